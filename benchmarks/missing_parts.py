"""What is lost when a query has only a part of a recipe: R@K of the quickstart's test split, part by part.

    make quickstart
    python -m benchmarks.missing_parts --workdir quickstart/run

Queries and candidates are the recipes of the gallery, embedded from their raw texts; the photos are those of the
gallery. A missing part is handled as `TextEncoder` says.
"""

import argparse
from pathlib import Path

import numpy as np

import adamine_jax
from adamine_jax.gallery.files import Item
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.retrieval.ranks import pair_ranks
from benchmarks.machine import describe_machine
from benchmarks.scores import chance, scores_table

RESULTS = Path(__file__).parent / "results" / "missing_parts.md"
PARTS = {
    "ingredients and instructions": ("ingredients", "instructions"),
    "ingredients alone": ("ingredients",),
    "instructions alone": ("instructions",),
    "the title alone": ("title",),
}


def main() -> None:
    """Embeds the recipes part by part, ranks, writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True, help="of the quickstart")
    parser.add_argument("--results", type=Path, default=RESULTS)
    flags = parser.parse_args()

    model = adamine_jax.load(flags.workdir)
    gallery = adamine_jax.open_gallery(flags.workdir / "gallery" / "test", model.digest)
    items = [gallery.item(row) for row in range(len(gallery))]
    whole = [row for row, item in enumerate(items) if item.ingredients and item.instructions]
    image = gallery.embeddings("image")[whole]
    rows = []
    for name, parts in PARTS.items():
        recipe = model.embed_recipes([part_of(items[row], parts) for row in whole])
        rows.append((name, *scores(image, recipe)))
    rows.append(("chance", *chance(len(whole))))
    flags.results.write_text(page(rows, len(whole)), encoding="utf-8")
    print(flags.results.read_text(encoding="utf-8"))


def part_of(item: Item, parts: tuple[str, ...]) -> RecipeText:
    """A recipe with these parts."""
    return RecipeText(**{name: getattr(item, name) for name in parts})


def scores(image: np.ndarray, recipe: np.ndarray) -> list[float]:
    """MedR, R@1 and R@10 of both directions."""
    both = pair_ranks(image, recipe)
    return [
        number for ranks in both for number in (np.median(ranks), 100 * np.mean(ranks <= 1), 100 * np.mean(ranks <= 10))
    ]


def page(rows: list[tuple], pairs: int) -> str:
    """The results page."""
    return "\n".join(
        [
            "# Queries with a part of a recipe",
            "",
            f"`python -m benchmarks.missing_parts`, {pairs} test pairs of `make quickstart`, those of recipes that "
            f"have both parts. {describe_machine()}",
            "",
            *scores_table(rows),
            "",
            "The model was trained on whole recipes alone. A missing part is a zero vector in its place; a title is "
            "read for the ingredients it names and as the one instruction.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
