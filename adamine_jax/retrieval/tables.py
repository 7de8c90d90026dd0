"""Evaluation results as a table for the terminal, chance and the published numbers beside them."""

from adamine_jax.retrieval.protocols import DIRECTIONS, RECALLS

# Carvalho et al., SIGIR 2018, AdaMine: MedR as printed (from 0), then R@1, R@5, R@10 in percent.
PUBLISHED = {
    "1k": {"image_to_recipe": (1.0, 39.8, 69.0, 77.4), "recipe_to_image": (1.0, 40.2, 68.1, 78.7)},
    "10k": {"image_to_recipe": (13.2, 14.9, 35.3, 45.2), "recipe_to_image": (12.2, 14.8, 34.6, 46.1)},
}
ARROWS = {"image_to_recipe": "image → recipe", "recipe_to_image": "recipe → image"}

_LABEL = 26  # characters of the first column
_MEAN, _STD = 8, 8  # characters of "23840.0" and of " ± 999.9" in each of the other columns
_GROUP_CELL = 8  # of a breakdown


def format_table(results: dict[str, dict]) -> str:
    """A fixed-width table of what `evaluate` returns.

    Each protocol has its two directions, what chance would score on as many pairs, and for `1k` and `10k` the numbers
    that AdaMine's authors printed for Recipe1M. Their MedR counts from 0: there the own one is shown from 0 as well.

    Args:
        results: {protocol: {direction: {metric: {"mean", "std"}}, "draws", "pairs"}}, R@K in percent.

    Returns:
        Lines of text, without a newline at the end; mean ± standard deviation where there were several draws.
    """
    if not results:
        return "no protocol was evaluated"
    blocks = ["\n".join(_block(name, result)) for name, result in results.items()]
    if any(name in PUBLISHED for name in results):
        blocks.append("published on Recipe1M: AdaMine, Carvalho et al. 2018, as printed; its MedR counts from 0")
    return "\n\n".join(blocks)


def _block(name: str, result: dict) -> list[str]:
    """The lines of one protocol; with published numbers they have a column more, MedR from 0."""
    pairs, draws = result["pairs"], result["draws"]
    published = PUBLISHED.get(name, {})
    several = f"mean ± standard deviation over {draws} draws of {pairs:,} pairs" if draws > 1 else f"{pairs:,} pairs"
    recall_names = [f"r{k}" for k in RECALLS]
    lines = [
        f"{name}: {several}; recall in %, MedR from 1{' and from 0' if published else ''}",
        _line("", "MedR", "from 0" if published else None, [f"R@{k}" for k in RECALLS]),
    ]
    for direction in DIRECTIONS:
        measured = result[direction]
        spreads = [measured[key] for key in ("medr", *recall_names)]
        medr, *recalls = (f"{spread['mean']:.1f}" for spread in spreads)
        behind = [f" ± {spread['std']:.1f}" if draws > 1 else "" for spread in spreads]
        from_zero = f"{measured['medr_from_zero']['mean']:.1f}" if published else None
        lines.append(_line(ARROWS[direction], medr, from_zero, recalls, behind))
    chance = [_percent(min(100.0, 100.0 * k / pairs)) for k in RECALLS]
    lines.append(_line("chance", f"{(pairs + 1) / 2:.1f}", f"{(pairs - 1) / 2:.1f}" if published else None, chance))
    for direction, (medr, *recalls) in published.items():
        label = f"published, {ARROWS[direction]}"
        lines.append(_line(label, "", f"{medr:.1f}", [f"{value:.1f}" for value in recalls]))
    return lines


def format_breakdown(rows: list[dict], by: str) -> str:
    """A fixed-width table of what `breakdown.break_down` returns, headed by what the groups are made `by`."""
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
    """Columns as wide as they need, the first `left` ones to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        sides = ["<"] * left + [">"] * (len(row) - left)
        cells = [f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _percent(value: float) -> str:
    """Chance is small on a large gallery: 0.01 must not be printed as 0.0."""
    return f"{value:.1f}" if value >= 0.1 else f"{value:.2g}"


def _line(label: str, medr: str, from_zero: str | None, recalls: list[str], behind: list[str] | None = None) -> str:
    """One row; the numbers end below each other, whatever stands `behind` the MedR and the recalls."""
    behind = behind or [""] * (1 + len(recalls))
    cells = [f"{number:>{_MEAN}}{text:<{_STD}}" for number, text in zip([medr, *recalls], behind, strict=True)]
    if from_zero is not None:
        cells.insert(1, f"{from_zero:>{_MEAN}}")
    return (f"  {label:<{_LABEL}}" + "".join(cells)).rstrip()
