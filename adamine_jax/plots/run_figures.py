"""Draws the figures of one run from the files in its workdir."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from adamine_jax.base import storage
from adamine_jax.base.errors import UserError
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.gallery.items import Item
from adamine_jax.plots import ingredient_panels, removal, space
from adamine_jax.plots.curves import curves
from adamine_jax.plots.gallery_items import UnreadablePhoto, all_items, load_embeddings, load_items, sample_rows
from adamine_jax.plots.ingredient_presence import usual_name, visible_ingredients
from adamine_jax.plots.rank_histogram import rank_histogram
from adamine_jax.plots.top5 import Model, top5_photo_to_recipe, top5_recipe_to_photo
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.texts import RecipeText

PANELS = 3
"""Number of ingredients drawn by default."""


def draw_curves(workdir: Path) -> list[Path]:
    """Draws `metrics.jsonl` as `figures/curves.png` and `.svg`, with the `unfreeze_epoch` of `config.json`.

    Raises:
        UserError: A file is missing or damaged, or nothing has been measured yet.
    """
    metrics, config = workdir / "metrics.jsonl", workdir / "config.json"
    hint = f"train the run with `python -m adamine_jax.main --workdir {workdir}`"
    for path in (metrics, config):
        if not path.exists():
            raise UserError(f"{path} is missing; {hint}")
    try:
        unfreeze_epoch = json.loads(config.read_text(encoding="utf-8"))["unfreeze_epoch"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{config}: cannot read unfreeze_epoch ({error!r}); {hint}") from None
    return curves(metrics, workdir / "figures" / "curves.png", unfreeze_epoch)


def draw_top5(workdir: Path, queries: int, seed: int, against: Path | None = None) -> list[Path]:
    """Draws retrieval examples from the gallery of the test split, in both directions.

    Items whose photo cannot be read are omitted with a warning on stderr.

    Args:
        workdir: Workdir of the run.
        queries: Maximum number of queries.
        seed: Seed of the queries, sampled from the items sorted by id, so that two runs show the same ones.
        against: Workdir of another run to compare with in an additional figure.

    Raises:
        UserError: The gallery is missing or damaged, or the gallery of `against` has other items.
    """
    items, *embeddings = load_items(_gallery_folder(workdir))
    models = [Model(workdir.name, *embeddings)]
    if against:
        names = (workdir.name, against.name) if workdir.name != against.name else (str(workdir), str(against))
        others = load_embeddings(_gallery_folder(against), [item.id for item in items])
        models = [Model(names[0], *embeddings), Model(names[1], *others)]
    shown, kept = sample_rows(items, queries, seed), list(range(len(items)))
    out = workdir / "figures"
    while shown:
        kept_items, rows = [items[row] for row in kept], [kept.index(row) for row in shown]
        kept_models = [Model(name, image[kept], recipe[kept]) for name, image, recipe in models]
        try:
            drawn = top5_recipe_to_photo(kept_items, kept_models[:1], rows, out / "top5_recipe_to_photo.png")
            drawn += top5_photo_to_recipe(kept_items, kept_models[:1], rows, out / "top5_photo_to_recipe.png")
            if against:
                drawn += top5_recipe_to_photo(kept_items, kept_models, rows, out / "top5_of_models.png")
            return drawn
        except UnreadablePhoto as unreadable:
            print(f"{unreadable}; omitted from the figures", file=sys.stderr, flush=True)
            kept = [row for row in kept if items[row].id != unreadable.id]
            shown = [row for row in shown if row in kept]
    raise UserError(f"{_gallery_folder(workdir)}: none of the sampled photos can be read")


def draw_map(workdir: Path, pairs: int, seed: int) -> list[Path]:
    """Draws the embedding space; see `plots.space`."""
    return space.draw_map(*load_items(_gallery_folder(workdir)), pairs, seed, workdir / "figures" / "map.png")


def draw_ranks(workdir: Path) -> list[Path]:
    """Draws the ranks of the correct matches; see `plots.rank_histogram`."""
    gallery = Gallery(_gallery_folder(workdir))
    out = workdir / "figures" / "ranks.png"
    return rank_histogram(gallery.embeddings("image"), gallery.embeddings("recipe"), out)


def draw_panels(
    workdir: Path, encoder: Callable[[], Encoder], ingredients: Sequence[str], within: str | None
) -> list[Path]:
    """Draws the photos retrieved for single ingredients and prints how many of their recipes contain them.

    Ingredients outside the vocabulary are skipped with a warning; without any, the first three of `visible_ingredients`
    are drawn. `within` is the class to search; None searches all.

    Raises:
        UserError: The gallery or the model is missing, they do not belong together, none of the ingredients is in the
            vocabulary, or the class does not exist.
    """
    gallery, items, model = _open(workdir, encoder)
    if not ingredients:
        searched = [items[row] for row in gallery.rows_of_class(within)] if within else items
        ingredients = visible_ingredients(searched, model)[:PANELS]
        if not ingredients:
            raise UserError(
                "no ingredient in the model's vocabulary is frequent in the gallery; name some by --ingredients"
            )
    unknown = [name for name in ingredients if not model.texts.knows(name)]
    if unknown:
        warning = f"--ingredients {', '.join(unknown)}: not in the vocabulary of the model"
        if len(unknown) == len(ingredients):
            raise UserError(warning)
        print(f"{warning}; skipped", file=sys.stderr)
    ingredients = list(dict.fromkeys(usual_name(name) for name in ingredients if name not in unknown))
    queries = model.embed_recipes([RecipeText(ingredients=(name,)) for name in ingredients])
    panels = [
        ingredient_panels.find(gallery, items, name, query, within)
        for name, query in zip(ingredients, queries, strict=True)
    ]
    for panel in panels:
        print(panel)
    return ingredient_panels.draw(panels, workdir / "figures" / "ingredients.png")


def draw_removal(
    workdir: Path, encoder: Callable[[], Encoder], recipe: str | None, without: str | None, seed: int
) -> list[Path]:
    """Draws the photos retrieved for a recipe with and without an ingredient, and prints the mean over recipes.

    See `removal.choose` for the defaults of `recipe` (an id) and `without`.

    Raises:
        UserError: The gallery or the model is missing, they do not belong together, or there is no such recipe.
    """
    gallery, items, model = _open(workdir, encoder)
    row, name = removal.choose(items, model, gallery.row_of(recipe) if recipe else None, without, seed)
    measured = removal.measure(gallery, items, model, row, name, seed)
    print(measured)
    return removal.draw(measured, workdir / "figures" / "removal.png")


def _gallery_folder(workdir: Path) -> Path:
    folder = workdir / "gallery" / "test"
    storage.fetch(folder, depth=1)
    if not folder.is_dir():
        raise UserError(
            f"{folder} is missing; write it with "
            f"`python -m adamine_jax.embed --workdir {workdir} --split test --out {folder}`"
        )
    return folder


def _open(workdir: Path, encoder: Callable[[], Encoder]) -> tuple[Gallery, list[Item], Encoder]:
    """Returns the gallery, its items and the model, which must have embedded the gallery."""
    gallery = Gallery(_gallery_folder(workdir))
    model = encoder()
    gallery.check_model(model.digest)
    return gallery, all_items(gallery), model
