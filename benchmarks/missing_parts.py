"""Measures retrieval with queries that contain only a part of a recipe, on the quickstart's test split.

    make quickstart
    python -m benchmarks.missing_parts --workdir quickstart/run

The same steps with other recipe towers, before it:

    python -m adamine_jax.main --config configs/quickstart.py:recipe=bag --workdir runs/bag \
        --config.data.dir=quickstart/data
    ... --workdir runs/bag_without_title --config.model.recipe.parts="('ingredients','instructions')"
    ... :recipe=transformer --workdir runs/transformer --config.model.recipe.width=64 \
        --config.model.recipe.line_tokens=32 --config.model.recipe.max_lines=12 --config.model.recipe.max_tokens=192
    ... :recipe=pretrained --workdir runs/pretrained --config.model.recipe.weights=all-MiniLM-L6-v2 \
        --config.model.recipe.max_tokens=192 --config.optim.rates="(('recipe_tower/encoder/*',0.05),)"
    python -m adamine_jax.main --config configs/quickstart.py --workdir runs/lstm_title \
        --config.data.dir=quickstart/data --config.model.recipe.title=True

Recipes are embedded from their text in the gallery, images are the gallery's embeddings. `TextEncoder` describes how
missing parts are handled.
"""

from pathlib import Path

import numpy as np

import adamine_jax
from adamine_jax.models import registry
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.retrieval.ranks import pair_ranks
from benchmarks.harness import describe_machine, results_parser, write_page
from benchmarks.scores import chance, scores_table

PARTS = {
    "all parts": ("title", "ingredients", "instructions"),
    "ingredients and instructions": ("ingredients", "instructions"),
    "ingredients alone": ("ingredients",),
    "instructions alone": ("instructions",),
    "the title alone": ("title",),
}


def main() -> None:
    """Embeds and ranks the recipes, part by part, and writes the page."""
    parser = results_parser("missing_parts", __doc__, "--results")
    parser.add_argument(
        "--workdir", type=Path, nargs="+", required=True, dest="workdirs", help="runs on the quickstart's data set"
    )
    flags = parser.parse_args()
    tables = [line for workdir in flags.workdirs for line in ("", f"## {workdir.name}", "", *table(workdir))]
    lines = [
        "# Queries with a part of a recipe",
        "",
        "`python -m benchmarks.missing_parts` on the test pairs of `make quickstart` whose recipes have ingredients "
        "and instructions. "
        f"{describe_machine()}",
        "",
        "The models were trained on complete recipes only, in the same steps and batches, with one seed each. "
        "`transformer` is small, and the steps of the quickstart are few for it. `pretrained` is MiniLM, fine-tuned "
        "with a twentieth of the learning rate of all other parameters. In `lstm` a missing part is a zero vector; "
        "a title is searched for ingredient names and serves as the only instruction.",
    ]
    write_page(flags.page, lines + tables)


def table(workdir: Path) -> list[str]:
    """Returns the table of a model."""
    return scores_table([(name, *scores) for name, scores in part_scores(workdir).items()])


def part_scores(workdir: Path) -> dict[str, list[float]]:
    """Returns MedR, R@1 and R@10 of each direction, for queries with some `PARTS`, and of chance."""
    model = adamine_jax.load(workdir)
    gallery = adamine_jax.open_gallery(workdir / "gallery" / "test", model.digest)
    items = [gallery.item(row) for row in gallery.rows]
    complete = [row for row, item in enumerate(items) if item.ingredients and item.instructions]
    image = gallery.embeddings("image")[complete]
    tower, found = registry.recipe_tower(model.trained.config.model), {}
    for name, parts in PARTS.items():
        texts = [RecipeText(**{part: getattr(items[row], part) for part in parts}) for row in complete]
        if tower.check_query(model.trained.config.model.recipe, texts[0]):
            continue  # the tower reads none of these parts
        scores = []
        for ranks in pair_ranks(image, model.embed_recipes(texts)):
            scores += [float(np.median(ranks)), 100 * np.mean(ranks <= 1), 100 * np.mean(ranks <= 10)]
        found[name] = scores
    found["chance"] = chance(len(complete))
    return found


if __name__ == "__main__":
    main()
