"""Prints a table of the injected faults and whether each run ended like an undisturbed one."""


def pytest_terminal_summary(terminalreporter):
    words = {"passed": "same as undisturbed", "failed": "DIFFERS from undisturbed", "skipped": "skipped"}
    rows = []
    for outcome, word in words.items():
        for report in terminalreporter.stats.get(outcome, []):
            if report.nodeid.startswith("tests/faults/") and (report.when == "call" or outcome == "skipped"):
                file, _, name = report.nodeid.removeprefix("tests/faults/test_").partition(".py::test_")
                rows.append((file.replace("_", " "), name.replace("_", " "), word, f"{report.duration:.0f} s"))
    if not rows:
        return
    terminalreporter.section("faults")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in sorted(rows):
        terminalreporter.write_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))
