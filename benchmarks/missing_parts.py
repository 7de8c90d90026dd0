"""Measures retrieval with queries that contain only a part of a recipe, on the quickstart's test split.

    make quickstart
    python -m benchmarks.missing_parts --workdir quickstart/run

Recipes are embedded from their text in the gallery, images are the gallery's embeddings. `TextEncoder` describes how
missing parts are handled.
"""

from pathlib import Path

import numpy as np

import adamine_jax
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.retrieval.ranks import pair_ranks
from benchmarks.harness import describe_machine, results_parser, write_page
from benchmarks.scores import chance, scores_table

PARTS = {
    "ingredients and instructions": ("ingredients", "instructions"),
    "ingredients alone": ("ingredients",),
    "instructions alone": ("instructions",),
    "the title alone": ("title",),
}


def main() -> None:
    """Embeds and ranks the recipes, part by part, and writes the page."""
    parser = results_parser("missing_parts", __doc__, "--results")
    parser.add_argument("--workdir", type=Path, required=True, help="workdir of the quickstart")
    flags = parser.parse_args()

    model = adamine_jax.load(flags.workdir)
    gallery = adamine_jax.open_gallery(flags.workdir / "gallery" / "test", model.digest)
    items = [gallery.item(row) for row in range(len(gallery))]
    complete = [row for row, item in enumerate(items) if item.ingredients and item.instructions]
    image = gallery.embeddings("image")[complete]
    rows = []
    for name, parts in PARTS.items():
        texts = [RecipeText(**{part: getattr(items[row], part) for part in parts}) for row in complete]
        directions = pair_ranks(image, model.embed_recipes(texts))
        scores = [(np.median(ranks), 100 * np.mean(ranks <= 1), 100 * np.mean(ranks <= 10)) for ranks in directions]
        rows.append((name, *scores[0], *scores[1]))
    rows.append(("chance", *chance(len(complete))))
    lines = [
        "# Queries with a part of a recipe",
        "",
        f"`python -m benchmarks.missing_parts` on the {len(complete)} test pairs of `make quickstart` whose recipes "
        f"have both parts. {describe_machine()}",
        "",
        *scores_table(rows),
        "",
        "The model was trained on complete recipes only. A missing part is represented by a zero vector; a title is "
        "searched for ingredient names and serves as the only instruction.",
    ]
    write_page(flags.page, lines)


if __name__ == "__main__":
    main()
