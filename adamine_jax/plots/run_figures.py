"""The figures of one run, drawn from what its workdir holds."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.files import Item
from adamine_jax.gallery.store import Gallery
from adamine_jax.plots import having, ingredient_panels, removal, space
from adamine_jax.plots.curves import curves
from adamine_jax.plots.items import UnreadablePhoto, drawn_rows, load_beside, load_items
from adamine_jax.plots.rank_histogram import rank_histogram
from adamine_jax.plots.top5 import Model, top5_of_models, top5_photo_to_recipe, top5_recipe_to_photo
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.texts import RecipeText

PANELS = 3
"""Ingredients that are chosen where none is given."""


def draw_curves(workdir: Path) -> list[Path]:
    """Draws `metrics.jsonl` into `figures/curves.png` and `.svg`, with the `unfreeze_epoch` of `config.json`.

    Raises:
        UserError: a file is absent or damaged, or nothing was measured yet.
    """
    metrics, config = workdir / "metrics.jsonl", workdir / "config.json"
    train = f"`python -m adamine_jax.main --workdir {workdir}` writes it"
    for path in (metrics, config):
        if not path.exists():
            raise UserError(f"{path} is absent; {train}")
    try:
        unfreeze_epoch = json.loads(config.read_text(encoding="utf-8"))["unfreeze_epoch"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{config}: no unfreeze_epoch can be read from it ({error!r}); {train}") from None
    return curves(metrics, workdir / "figures" / "curves.png", unfreeze_epoch)


def draw_top5(workdir: Path, queries: int, seed: int, against: Path | None = None) -> list[Path]:
    """Draws what is retrieved in the gallery of the test split, in both directions.

    An item whose photo cannot be read is named on stderr and left out of all pictures.

    Args:
        workdir: of the run; its gallery is `gallery/test`.
        queries: how many; all there are, when there are fewer.
        seed: draws the queries from the id-sorted items, so that two runs show the same ones.
        against: workdir of another run, whose answers are drawn below those of this one; None = no picture of both.

    Raises:
        UserError: the gallery is absent or damaged, or that of `against` has other items.
    """
    items, image, recipe = load_items(_gallery_folder(workdir))
    models: list[Model] = []
    if against:
        names = (workdir.name, against.name) if workdir.name != against.name else (str(workdir), str(against))
        other = load_beside(_gallery_folder(against), [item.id for item in items])
        models = [Model(names[0], image, recipe), Model(names[1], *other)]
    shown, kept = drawn_rows(items, queries, seed), list(range(len(items)))
    out = workdir / "figures"
    while shown:
        places, of_kept = [kept.index(row) for row in shown], [items[row] for row in kept]
        arguments = of_kept, image[kept], recipe[kept], places
        try:
            drawn = top5_recipe_to_photo(*arguments, out / "top5_recipe_to_photo.png")
            drawn += top5_photo_to_recipe(*arguments, out / "top5_photo_to_recipe.png")
            if against:
                both = [Model(name, image[kept], recipe[kept]) for name, image, recipe in models]
                drawn += top5_of_models(of_kept, both, places, out / "top5_of_models.png")
            return drawn
        except UnreadablePhoto as unreadable:
            print(f"{unreadable}; left out of the pictures", file=sys.stderr, flush=True)
            kept = [row for row in kept if items[row].id != unreadable.id]
            shown = [row for row in shown if row in kept]
    raise UserError(f"none of the drawn photos of {_gallery_folder(workdir)} can be read")


def draw_map(workdir: Path, pairs: int, seed: int) -> list[Path]:
    """Draws the embedding space; see `plots.space`."""
    return space.draw_map(*load_items(_gallery_folder(workdir)), pairs, seed, workdir / "figures" / "map.png")


def draw_ranks(workdir: Path) -> list[Path]:
    """Draws the ranks of the right answers; see `plots.rank_histogram`."""
    gallery = Gallery(_gallery_folder(workdir))
    out = workdir / "figures" / "ranks.png"
    return rank_histogram(gallery.embeddings("image"), gallery.embeddings("recipe"), out)


def draw_panels(
    workdir: Path, encoder: Callable[[], Encoder], ingredients: Sequence[str], within: str | None
) -> list[Path]:
    """Draws the photos found for single ingredients, and prints how many of them have these.

    Args:
        workdir: of the run.
        encoder: loads its model.
        ingredients: names, of which unknown ones are left out with a line; none = the first three of
            `having.telling`.
        within: a class to search in; None = everywhere.

    Raises:
        UserError: the gallery or the model is absent, they do not belong together, the model knows none of the
            ingredients, or there is no such class.
    """
    gallery, items, model = _opened(workdir, encoder)
    if not ingredients:
        searched = [items[row] for row in gallery.rows_of_class(within)] if within else items
        ingredients = having.telling(searched, model)[:PANELS]
        if not ingredients:
            raise UserError("no ingredient that the model knows is frequent in the gallery; name some by --ingredients")
    unknown = [name for name in ingredients if not model.texts.knows(name)]
    if unknown:
        told = f"--ingredients {', '.join(unknown)}: not among the words of the model, which cannot look for it"
        if len(unknown) == len(ingredients):
            raise UserError(told)
        print(f"{told}; left out", file=sys.stderr)
    ingredients = list(dict.fromkeys(having.usual_name(name) for name in ingredients if name not in unknown))
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
    """Draws what is found for a recipe with an ingredient and without it, and prints the mean over all that have it.

    Args:
        workdir: of the run.
        encoder: loads its model.
        recipe: id; None = the first that has the ingredient, in an order that `seed` draws.
        without: the ingredient; None = the first of `having.telling` that the recipe has.
        seed: see above; draws the recipes of the mean as well.

    Raises:
        UserError: the gallery or the model is absent, they do not belong together, there is no such recipe, or none
            that has such an ingredient.
    """
    gallery, items, model = _opened(workdir, encoder)
    row, name = removal.choose(items, model, gallery.row_of(recipe) if recipe else None, without, seed)
    measured = removal.measure(gallery, items, model, row, name, seed)
    print(measured)
    return removal.draw(measured, workdir / "figures" / "removal.png")


def _gallery_folder(workdir: Path) -> Path:
    """Where the gallery of the test split is.

    Raises:
        UserError: it is not there.
    """
    folder = workdir / "gallery" / "test"
    if not folder.is_dir():
        raise UserError(
            f"{folder} is absent; `python -m adamine_jax.embed --workdir {workdir} --split test --out {folder}` "
            "writes it"
        )
    return folder


def _opened(workdir: Path, encoder: Callable[[], Encoder]) -> tuple[Gallery, list[Item], Encoder]:
    """The gallery with its items, and the model that made it."""
    gallery = Gallery(_gallery_folder(workdir))
    model = encoder()
    gallery.check_model(model.digest)
    return gallery, [gallery.item(row) for row in range(len(gallery))], model
