"""Formats evaluation results as text tables, with chance and the published numbers beside them."""

from adamine_jax.retrieval.protocols import DIRECTIONS, RECALLS

# Carvalho et al., SIGIR 2018, AdaMine: MedR as published (from 0), then R@1, R@5, R@10 in percent.
PUBLISHED = {
    "1k": {"image_to_recipe": (1.0, 39.8, 69.0, 77.4), "recipe_to_image": (1.0, 40.2, 68.1, 78.7)},
    "10k": {"image_to_recipe": (13.2, 14.9, 35.3, 45.2), "recipe_to_image": (12.2, 14.8, 34.6, 46.1)},
}
ARROWS = {"image_to_recipe": "image → recipe", "recipe_to_image": "recipe → image"}

_LABEL = 26  # width of the first column
_MEAN, _STD = 8, 8  # widths of "23840.0" and of " ± 999.9" in the other columns
_GROUP_CELL = 8  # width of a column of a breakdown


def format_table(results: dict[str, dict]) -> str:
    """Formats the results of `evaluate` as a fixed-width table.

    Each protocol lists both directions, the scores of chance on as many pairs, and for `1k` and `10k` the numbers
    published by AdaMine's authors for Recipe1M. Their MedR counts from 0, so MedR is shown from 0 as well.

    Args:
        results: {protocol: {direction: {metric: {"mean", "std"}}, "draws", "pairs"}}, R@K in percent.

    Returns:
        Lines of text without a final newline; mean ± standard deviation if there are several draws.
    """
    if not results:
        return "no protocol was evaluated"
    blocks = ["\n".join(_block(name, result)) for name, result in results.items()]
    if any(name in PUBLISHED for name in results):
        blocks.append("published on Recipe1M: AdaMine, Carvalho et al. 2018; its MedR counts from 0")
    return "\n\n".join(blocks)


def _block(name: str, result: dict) -> list[str]:
    """Formats one protocol; a protocol with published numbers has the additional column MedR from 0."""
    pairs, draws = result["pairs"], result["draws"]
    published = PUBLISHED.get(name, {})
    heading = f"mean ± standard deviation over {draws} draws of {pairs:,} pairs" if draws > 1 else f"{pairs:,} pairs"
    recall_names = [f"r{k}" for k in RECALLS]
    lines = [
        f"{name}: {heading}; recall in %, MedR from 1{' and from 0' if published else ''}",
        _line("", "MedR", "from 0" if published else None, [f"R@{k}" for k in RECALLS]),
    ]
    for direction in DIRECTIONS:
        measured = result[direction]
        summaries = [measured[key] for key in ("medr", *recall_names)]
        medr, *recalls = (f"{summary['mean']:.1f}" for summary in summaries)
        deviations = [f" ± {summary['std']:.1f}" if draws > 1 else "" for summary in summaries]
        from_zero = f"{measured['medr_from_zero']['mean']:.1f}" if published else None
        lines.append(_line(ARROWS[direction], medr, from_zero, recalls, deviations))
    chance = [_percent(min(100.0, 100.0 * k / pairs)) for k in RECALLS]
    lines.append(_line("chance", f"{(pairs + 1) / 2:.1f}", f"{(pairs - 1) / 2:.1f}" if published else None, chance))
    for direction, (medr, *recalls) in published.items():
        label = f"published, {ARROWS[direction]}"
        lines.append(_line(label, "", f"{medr:.1f}", [f"{value:.1f}" for value in recalls]))
    return lines


def format_breakdown(rows: list[dict], by: str) -> str:
    """Formats the rows of `breakdown.break_down` as a fixed-width table; `by` is the heading of the groups."""
    width = max(len(by), *(len(row["group"]) for row in rows))
    names = ["MedR", *(f"R@{k}" for k in RECALLS)]
    header = [f"{ARROWS[direction]:>{4 * _GROUP_CELL}}" for direction in DIRECTIONS]
    cells = "".join(f"{name:>{_GROUP_CELL}}" for name in names)
    lines = [f"  {'':{width}}{'':{_GROUP_CELL}}{''.join(header)}", f"  {by:{width}}{'n':>{_GROUP_CELL}}{cells}{cells}"]
    for row in rows:
        values = [row[direction][key] for direction in DIRECTIONS for key in ("medr", *(f"r{k}" for k in RECALLS))]
        cells = "".join(f"{value:>{_GROUP_CELL}.1f}" for value in values)
        lines.append(f"  {row['group']:{width}}{row['queries']:>{_GROUP_CELL}}{cells}")
    return "\n".join(lines)


def columns(rows: list[list[str]], left: int = 1) -> str:
    """Formats rows of cells as columns: the first `left` ones are left-aligned, the others right-aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if number < left else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _percent(value: float) -> str:
    """Formats a percentage; small ones, such as chance on a large gallery, keep two significant digits."""
    return f"{value:.1f}" if value >= 0.1 else f"{value:.2g}"


def _line(label: str, medr: str, from_zero: str | None, recalls: list[str], deviations: list[str] | None = None) -> str:
    """Formats one row with aligned numbers; `deviations` are those of the MedR and the recalls."""
    deviations = deviations or [""] * (1 + len(recalls))
    cells = [f"{mean:>{_MEAN}}{std:<{_STD}}" for mean, std in zip([medr, *recalls], deviations, strict=True)]
    if from_zero is not None:
        cells.insert(1, f"{from_zero:>{_MEAN}}")
    return (f"  {label:<{_LABEL}}" + "".join(cells)).rstrip()
