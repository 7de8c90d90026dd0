"""Searches a gallery for the recipes of a photo, the photos of a recipe, or similar photos or recipes.

python -m adamine_jax.search --workdir runs/a --image dinner.jpg
python -m adamine_jax.search --workdir runs/a --recipe soup.json --without leek
python -m adamine_jax.search --workdir runs/a --ingredients "beets, dill, sour cream" --in recipes --class soup
python -m adamine_jax.search --workdir runs/a --image dinner.jpg --text "lemon tart" --exclude nuts

A recipe is a JSON object with any of `title`, `ingredients` (lines) and `instructions` (lines), or a file in another
form that can be imported, such as a saved web page; docs/own_recipes.md lists them. `--without` moves the query away
from an ingredient, `--exclude` leaves out every recipe that contains it. The default gallery is that of the test split,
written at the end of training; `python -m adamine_jax.embed` builds others.
"""

import argparse
import dataclasses
import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError, one_line_errors, shown
from adamine_jax.base.flags import given_path
from adamine_jax.base.terminal_text import fitted
from adamine_jax.formats.recipe_files import read_recipe
from adamine_jax.gallery import duplicates, opening, store
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.fusion import Fused
from adamine_jax.gallery.items import Item
from adamine_jax.gallery.store import AMONG, Store
from adamine_jax.queries.changes import FORMER_PLACES, changed, moved
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.given import recipe_of
from adamine_jax.recipes.photos import stored
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.runs import workdir

_TITLE, _CLASS = 46, 18  # widths of the columns


@one_line_errors
def main(arguments: list[str] | None = None) -> None:
    """Parses the flags, embeds the query and prints the results."""
    flags = _parser().parse_args(arguments)
    # Everything that may be wrong with the flags is checked before the model is loaded.
    recipe = _recipe(flags)
    if flags.image:
        stored(flags.image, 1)
    workdir.load_config(flags.workdir)
    gallery = opening.opened(flags.store or flags.gallery or flags.workdir / "gallery" / "test")
    where = _filter(flags)
    searched = gallery.count(where)
    for name in gallery.unmatched(where):
        advice = "check the spelling and, in languages other than English, give all forms"
        print(f"--exclude {name}: in no recipe; {advice}", file=sys.stderr)
    if recipe is None and not flags.image:
        found = _fused(gallery, flags, where=where)
        _print(flags, gallery, f"“{flags.text}” → recipes", searched, _fused_hits(gallery, found))
        return
    encoder = Encoder(workdir.load_from_flags(flags), batch_sizes=(1,))
    gallery.check_model(encoder.digest)
    among = flags.among or ("recipes" if flags.image else "photos")
    approximate = flags.index and len(gallery) >= store.SMALLEST
    if flags.index and not approximate:
        print(f"--index: not needed; exact search of {len(gallery):,} items takes milliseconds", file=sys.stderr)
    if approximate and not gallery.has_index(AMONG[among]):
        gallery.build_index(AMONG[among])

    before, after = _embedded(encoder, flags, recipe)
    options = {"among": among, "where": where, "approximate": approximate}
    query = f"photo {flags.image}" if recipe is None else _summary(recipe)
    if flags.text:
        found = _fused(gallery, flags, after, **options)
        _print(flags, gallery, f"{query} and “{flags.text}” → {among}", searched, _fused_hits(gallery, found))
        return
    nearest = gallery.nearest if flags.duplicates else functools.partial(duplicates.nearest, gallery)
    hits = gallery.hits(*nearest(after, top=flags.top, **options))[0]
    results = [_Result(hit.item, f"{hit.similarity:6.3f}", {"similarity": round(hit.similarity, 6)}) for hit in hits]
    if before is not after:
        (former_hits,) = gallery.search(before, top=max(FORMER_PLACES, flags.top), **options)
        former = {hit.row: hit.place for hit in former_hits}
        results = [
            dataclasses.replace(
                result,
                fields=result.fields | {"place_before": former.get(hit.row)},
                note=f"  (was {former.get(hit.row, f'beyond {FORMER_PLACES}')})",
            )
            for hit, result in zip(hits, results, strict=True)
        ]
    _print(flags, gallery, f"{query} → {among}", searched, results, with_photos=among == "photos")


def _fused(gallery: Store, flags: argparse.Namespace, query: np.ndarray | None = None, **options: Any) -> list[Fused]:
    """Searches by words, and by a query if there is one."""
    if flags.duplicates:
        return gallery.search_words(flags.text, query, top=flags.top, **options)
    found = gallery.search_words(flags.text, query, top=2 * flags.top, **options)
    return [found[place] for place in duplicates.distinct(gallery, [each.row for each in found], flags.top)]


@dataclasses.dataclass(frozen=True)
class _Result:
    """An item, its score as text, and further fields of the JSON output."""

    item: Item
    score: str
    fields: dict[str, Any]
    note: str = ""


def _fused_hits(gallery: Store, found: list[Fused]) -> list[_Result]:
    """Returns results with their places in each search."""
    items, results = gallery.items(each.row for each in found), []
    for each in found:
        if each.row in items:  # otherwise it was removed meanwhile
            note = ", ".join(f"{name} {place}" for name, place in each.places.items())
            results.append(_Result(items[each.row], f"{each.score:6.4f}", {"places": each.places}, f"  ({note})"))
    return results


def _print(
    flags: argparse.Namespace,
    gallery: Store,
    query: str,
    searched: int,
    results: list[_Result],
    *,
    with_photos: bool = False,
) -> None:
    if flags.json:
        content = [_json_hit(place, result) for place, result in enumerate(results, 1)]
        print(json.dumps(content, ensure_ascii=False, indent=2))
        return
    print(f"{query} of {shown(gallery.name)} ({searched:,}){_conditions(flags)}\n")
    if not results:
        print("nothing found")
    for place, result in enumerate(results, 1):
        item = result.item
        line = f"{place:4}  {result.score}  {fitted(item.title, _TITLE)}  {fitted(item.class_name, _CLASS)}  {item.id}"
        print(f"{line}{f'  {item.photo}' if with_photos and isinstance(item.photo, Path) else ''}{result.note}")


def _filter(flags: argparse.Namespace) -> Filter:
    """Returns the filter that the flags give."""
    tags = []
    for tag in flags.tag or ():
        name, is_pair, value = tag.partition("=")
        if not is_pair or not name or not value:
            raise UserError(f"--tag {tag}: expected NAME=VALUE, such as cuisine=italian")
        tags.append((name, value))
    return Filter(
        class_name=flags.class_name,
        include=tuple(_split(flags.include)),
        exclude=tuple(_split(flags.exclude)),
        language=flags.language or "",
        tags=tuple(tags),
    )


def _conditions(flags: argparse.Namespace) -> str:
    """Returns the conditions of a search as text."""
    tags = flags.tag or ()
    given = [f"of class {flags.class_name}" if flags.class_name is not None else ""]
    given += [f"with {flags.include}" if flags.include else "", f"without any {flags.exclude}" if flags.exclude else ""]
    given += [f"in language {flags.language}" if flags.language else "", *tags]
    return f" {', '.join(filter(None, given))}" if any(given) else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m adamine_jax.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    workdir.add_flags(parser)
    query = parser.add_argument_group("query: a photo, a recipe, or parts of a recipe")
    query.add_argument("--image", type=given_path, metavar="PHOTO", help="image file of a dish")
    query.add_argument(
        "--recipe", type=given_path, metavar="FILE", help="file of a recipe: JSON, a saved web page, Markdown, …"
    )
    query.add_argument("--title", help="title of a recipe")
    query.add_argument("--ingredients", metavar="A,B", help="comma-separated ingredients of a recipe")
    query.add_argument("--instructions", metavar="TEXT", help="instructions of a recipe, one or more sentences")
    query.add_argument("--text", metavar="WORDS", help="words of the recipe, alone or together with any of the above")
    query.add_argument("--with", dest="added", metavar="A,B", help="ingredients to add to the query")
    query.add_argument(
        "--without", dest="removed", metavar="A,B", help="ingredients to remove from the query; shows former places"
    )
    where = parser.add_argument_group("what to search")
    place = where.add_mutually_exclusive_group()
    place.add_argument("--gallery", type=given_path, metavar="DIR", help="default: WORKDIR/gallery/test")
    opening.add_store_flag(place)
    where.add_argument(
        "--in", dest="among", choices=tuple(AMONG), help="default: recipes for a photo, photos for a recipe"
    )
    where.add_argument("--class", dest="class_name", metavar="NAME", help="search only items of this class")
    where.add_argument("--include", metavar="A,B", help="search only recipes that have these ingredients")
    where.add_argument("--exclude", metavar="A,B", help="search only recipes without any of these ingredients")
    where.add_argument("--language", metavar="CODE", help="search only recipes in this language, such as en")
    where.add_argument(
        "--tag", action="append", metavar="NAME=VALUE", help="search only items with this tag; repeatable"
    )
    where.add_argument(
        "--index", action="store_true", help="search approximately with an index, which is built if missing"
    )
    where.add_argument("--duplicates", action="store_true", help="also show near duplicates of results")
    parser.add_argument("--top", type=int, default=5, metavar="K", help="maximum number of results (default: 5)")
    parser.add_argument("--json", action="store_true", help="print a list of JSON objects")
    return parser


def _recipe(flags: argparse.Namespace) -> RecipeText | None:
    """Returns the recipe given by the flags; None if they give a photo."""
    parts = {name: getattr(flags, name) for name in ("title", "ingredients", "instructions")}
    given = [f"--{name}" for name in ("image", "recipe", *parts) if getattr(flags, name) is not None]
    if flags.top < 1:
        raise UserError(f"--top {flags.top}: expected at least 1")
    if not given and not flags.text:
        raise UserError("no query: give --image, --recipe, --title, --ingredients, --instructions or --text")
    if len(given) > 1 and ("--image" in given or "--recipe" in given):
        raise UserError(f"{' and '.join(given)}: give only one of a photo, the file of a recipe, and parts of a recipe")
    if flags.image or not given:
        return None
    if flags.recipe:
        return read_recipe(flags.recipe)
    values = parts | {"ingredients": _split(flags.ingredients)}
    if not any(map(str.strip, (flags.title or "", flags.instructions or "", *values["ingredients"]))):
        raise UserError(f"{given[0]}: empty value; give at least one word")
    return recipe_of(values, given[0])


def _split(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _embedded(encoder: Encoder, flags: argparse.Namespace, recipe: RecipeText | None) -> tuple[np.ndarray, np.ndarray]:
    """Embeds the query before and after its changes, (1, D) each; returns one array twice if nothing changes."""
    added, removed = _split(flags.added), _split(flags.removed)
    if recipe is None:
        _report_unknown(encoder, RecipeText(ingredients=(*added, *removed)))
        before = encoder.embed_photos([flags.image])
        return before, moved(before, encoder, added, removed)
    changed_recipe, absent = changed(recipe, added, removed)
    if changed_recipe.is_empty:
        raise UserError("--without: nothing is left of the recipe; remove fewer ingredients")
    for name in absent:
        instead = "; it is subtracted from the embedding instead" if encoder.texts.knows(name) else ""
        print(f"--without {name}: not in the recipe{instead}", file=sys.stderr)
    _report_unknown(encoder, changed_recipe)
    _report_unknown(encoder, RecipeText(ingredients=tuple(absent)))
    if not encoder.texts.reads(changed_recipe):
        print("warning: the model knows no word of the query, so the results are meaningless", file=sys.stderr)
    elif unknown := encoder.texts.unknown_title_words(changed_recipe):
        print(f"unknown words of the title, ignored by the model: {', '.join(unknown)}", file=sys.stderr)
    before = encoder.embed_recipes([recipe])
    after = before if changed_recipe == recipe else encoder.embed_recipes([changed_recipe])
    return before, moved(after, encoder, (), absent)


def _report_unknown(encoder: Encoder, recipe: RecipeText) -> None:
    for name in encoder.texts.unknown_names(recipe):
        similar = encoder.texts.similar_names(name)
        hint = f"; similar known ingredients: {', '.join(similar)}" if similar else ""
        print(f"unknown ingredient {name!r}, ignored by the model{hint}", file=sys.stderr)


def _summary(recipe: RecipeText) -> str:
    parts = []
    if recipe.title:
        parts.append(f"“{recipe.title}”")
    for name, count in (("ingredient", len(recipe.ingredients)), ("instruction", len(recipe.instructions))):
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
    return f"recipe ({', '.join(parts)})"


def _json_hit(place: int, result: _Result) -> dict[str, Any]:
    item = dataclasses.asdict(result.item)
    photo = item.pop("photo")
    item["class"] = item.pop("class_name")
    return {"place": place} | result.fields | item | {"photo": str(photo) if isinstance(photo, Path) else None}


if __name__ == "__main__":
    sys.exit(main())
