"""Finds recipes for a photo, photos for a recipe, or either for its like.

python -m adamine_jax.search --workdir runs/a --image dinner.jpg
python -m adamine_jax.search --workdir runs/a --recipe soup.json --without leek
python -m adamine_jax.search --workdir runs/a --ingredients "beets, dill, sour cream" --in recipes --class soup

A recipe is a JSON object with any of `title`, `ingredients` (lines) and `instructions` (lines). What is searched is the
gallery that the test at the end of the training wrote, or one of `python -m adamine_jax.embed`.
"""

import argparse
import dataclasses
import json
import sys
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.base.flags import given_path
from adamine_jax.base.terminal_text import fitted
from adamine_jax.gallery import index
from adamine_jax.gallery.store import AMONG, Gallery, Hit, open_gallery
from adamine_jax.queries.changes import LOOKED_AT, changed, moved
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.photos import stored
from adamine_jax.recipes.texts import RecipeText, read_recipe
from adamine_jax.runs import workdir

_TITLE, _CLASS = 46, 18  # columns


@one_line_errors
def main(arguments: list[str] | None = None) -> None:
    """Parses the flags, embeds the query, prints what is found."""
    flags = _parser().parse_args(arguments)
    recipe = _recipe(flags)
    if flags.image:
        stored(flags.image, 1)  # a mistake in it is told before anything is loaded
    workdir.load_config(flags.workdir)  # likewise, and before one in the gallery's name
    folder = flags.gallery or flags.workdir / "gallery" / "test"
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder; write it with `python -m adamine_jax.embed --workdir {flags.workdir} "
            f"--split test --out {folder}`"
        )
    if flags.class_name is not None:
        Gallery(folder).rows_of_class(flags.class_name)
    encoder = Encoder(workdir.load_from_flags(flags), batch_sizes=(1,))
    gallery = open_gallery(folder, encoder.digest)
    among = flags.among or ("recipes" if flags.image else "photos")
    approximate = flags.index and len(gallery) >= index.SMALLEST
    if flags.index and not approximate:
        print(f"--index: not needed, exact search of {len(gallery):,} items takes milliseconds", file=sys.stderr)
    if approximate and not index.is_there(gallery, AMONG[among]):
        index.build(gallery, AMONG[among])

    before, after = _embedded(encoder, flags, recipe)
    options = {"among": among, "class_name": flags.class_name, "approximate": approximate}
    (hits,) = gallery.search(after, top=flags.top, **options)
    places = None
    if before is not after:
        (former,) = gallery.search(before, top=max(LOOKED_AT, flags.top), **options)
        places = {hit.row: hit.place for hit in former}
    if flags.json:
        print(json.dumps([_described(hit, gallery, among, places) for hit in hits], ensure_ascii=False, indent=2))
    else:
        query = f"photo {flags.image}" if recipe is None else _said(recipe)
        within = f" of class {flags.class_name}" if flags.class_name is not None else ""
        searched = len(gallery.rows_of_class(flags.class_name)) if flags.class_name is not None else len(gallery)
        print(f"{query} → {among} of {gallery.folder} ({searched:,}){within}\n")
        print("\n".join(_line(hit, places, among) for hit in hits))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m adamine_jax.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    workdir.add_flags(parser)
    query = parser.add_argument_group("the query: a photo, or a recipe or any part of one")
    query.add_argument("--image", type=given_path, metavar="PHOTO", help="a photo")
    query.add_argument("--recipe", type=given_path, metavar="FILE", help="a JSON file with a recipe")
    query.add_argument("--title", help="words of a title")
    query.add_argument("--ingredients", metavar="A,B", help="ingredients, with commas between them")
    query.add_argument("--instructions", metavar="TEXT", help="what is done, a sentence or more")
    query.add_argument("--with", dest="added", metavar="A,B", help="ingredients to add to the query")
    query.add_argument("--without", dest="removed", metavar="A,B", help="ingredients to take away; shows what moves")
    where = parser.add_argument_group("what is searched")
    where.add_argument("--gallery", type=given_path, metavar="DIR", help="default: WORKDIR/gallery/test")
    where.add_argument("--in", dest="among", choices=tuple(AMONG), help="default: the other side of the query")
    where.add_argument("--class", dest="class_name", metavar="NAME", help="only items of this class")
    where.add_argument(
        "--index", action="store_true", help="approximately, with a FAISS index, built and saved if absent"
    )
    parser.add_argument("--top", type=int, default=5, metavar="K", help="how many (default: 5)")
    parser.add_argument("--json", action="store_true", help="prints a list of JSON objects")
    return parser


def _recipe(flags: argparse.Namespace) -> RecipeText | None:
    """The recipe that the flags give, None where they give a photo.

    Raises:
        UserError: they give both, or nothing, or something empty.
    """
    parts = {name: getattr(flags, name) for name in ("title", "ingredients", "instructions")}
    given = [f"--{name}" for name in ("image", "recipe", *parts) if getattr(flags, name) is not None]
    if flags.top < 1:
        raise UserError(f"--top {flags.top}: takes 1 or more")
    if not given:
        raise UserError("nothing to search for: give --image, --recipe, --title, --ingredients or --instructions")
    if len(given) > 1 and ("--image" in given or "--recipe" in given):
        raise UserError(f"{' and '.join(given)}: give a photo, a recipe's file, or its parts, and not several of these")
    if flags.image:
        return None
    if flags.recipe:
        return read_recipe(flags.recipe)
    recipe = RecipeText(
        title=(flags.title or "").strip(),
        ingredients=tuple(_listed(flags.ingredients)),
        instructions=tuple(line.strip() for line in (flags.instructions or "").splitlines() if line.strip()),
    )
    if recipe.is_empty:
        raise UserError(f"{given[0]}: is empty; give some words")
    return recipe


def _listed(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _embedded(encoder: Encoder, flags: argparse.Namespace, recipe: RecipeText | None) -> tuple[np.ndarray, np.ndarray]:
    """(1, D) rows of the query before and after ingredients were added or taken away; one row where none were."""
    added, removed = _listed(flags.added), _listed(flags.removed)
    if recipe is None:
        _tell_unknown(encoder, RecipeText(ingredients=(*added, *removed)))
        before = encoder.embed_photos([flags.image])
        return before, moved(before, encoder, added, removed)
    different, absent = changed(recipe, added, removed)
    if different.is_empty:
        raise UserError("--without: nothing is left of the recipe; take less away")
    for name in absent:
        instead = "; taken from its embedding instead" if encoder.texts.knows(name) else ""
        print(f"--without {name}: the recipe does not have it{instead}", file=sys.stderr)
    _tell_unknown(encoder, different)
    _tell_unknown(encoder, RecipeText(ingredients=tuple(absent)))
    if not encoder.texts.reads(different):
        print("the model knows no word of the query: what it finds means nothing", file=sys.stderr)
    elif unseen := encoder.texts.unknown_title_words(different):
        print(f"of the title the model does not know, and so not see: {', '.join(unseen)}", file=sys.stderr)
    before = encoder.embed_recipes([recipe])
    after = before if different == recipe else encoder.embed_recipes([different])
    return before, moved(after, encoder, (), absent)


def _tell_unknown(encoder: Encoder, recipe: RecipeText) -> None:
    for name in encoder.texts.unknown_names(recipe):
        known = encoder.texts.similar_names(name)
        hint = f"; it knows {', '.join(known)}" if known else ""
        print(f"{name!r} is not among the words of the model, which does not see it{hint}", file=sys.stderr)


def _said(recipe: RecipeText) -> str:
    parts = []
    if recipe.title:
        parts.append(f"“{recipe.title}”")
    for name, count in (("ingredient", len(recipe.ingredients)), ("instruction", len(recipe.instructions))):
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
    return f"recipe ({', '.join(parts)})"


def _line(hit: Hit, places: dict[int, int] | None, among: str) -> str:
    title, class_name = fitted(hit.item.title, _TITLE), fitted(hit.item.class_name, _CLASS)
    line = f"{hit.place:4}  {hit.similarity:6.3f}  {title}  {class_name}  {hit.item.id}"
    if among == "photos":
        line += f"  {hit.item.photo}"
    if places is not None:
        line += f"  (was {places.get(hit.row, f'beyond {LOOKED_AT}')})"
    return line


def _described(hit: Hit, gallery: Gallery, among: str, places: dict[int, int] | None) -> dict:
    described: dict[str, Any] = {"place": hit.place, "similarity": round(hit.similarity, 6)}
    if places is not None:
        described["place_before"] = places.get(hit.row)
    item = {name: value for name, value in dataclasses.asdict(hit.item).items() if name != "photo"}
    item["class"] = item.pop("class_name")
    return described | item | {"photo": str(hit.item.photo) if hit.item.photo else None}


if __name__ == "__main__":
    sys.exit(main())
