"""The passes of an import: read the records, look at the photos, settle ids and partitions, write.

The text of all recipes is in memory between the passes; of photos there is one a worker at most.
"""

import contextlib
import os
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from adamine_jax.base.cores import available_cores
from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import track
from adamine_jax.recipes.fields import NAMES, Draft, UnusableError, draft, known_fields, unknown_columns
from adamine_jax.recipes.ingredient_names import ingredient_names
from data_builders.recipe1m.classes import BACKGROUND
from data_builders.recipe1m.filters import INGREDIENT_LIMIT, INSTRUCTION_LIMIT
from data_builders.recipe1m.own_recipes import identity
from data_builders.recipe1m.own_recipes.photo_files import PhotoFile, PhotoFinder, PhotoProblem
from data_builders.recipe1m.own_recipes.report import Report
from data_builders.recipe1m.own_recipes.sources import read_source
from data_builders.recipe1m.own_recipes.writing import Layers, Placed, new_folder, write_classes
from data_builders.recipe1m.passes.photos import map_in_order
from data_builders.recipe1m.recipes import PARTITIONS

CLASSES_FROM = ("category", "none")
# So many recipes with the same photo: it is a placeholder, or the partitions are not what was asked for.
MANY_ALIKE = 5


@dataclass(frozen=True)
class ImportOptions:
    """What an import can be told.

    Attributes:
        source: a file or folder.
        out: the download's folder.
        splits: shares of train, val and test among the recipes whose partition is not given.
        class_from: "category": a recipe's class or category is its class; "none": no file of classes is written.
        allow_outside: take photos from outside of the input's folder.
        skip_broken: leave out what cannot be read.
        overwrite: replace a download that an import wrote.
        workers: threads that decode photos.
    """

    source: Path
    out: Path
    splits: tuple[float, float, float] = (0.7, 0.15, 0.15)
    class_from: str = "category"
    allow_outside: bool = False
    skip_broken: bool = False
    overwrite: bool = False
    workers: int = available_cores()

    def __post_init__(self):
        if self.class_from not in CLASSES_FROM:
            raise UserError(f"class_from is {self.class_from!r}; it takes 'category' or 'none'")
        if self.workers < 1:
            raise UserError(f"--workers is {self.workers}; it takes 1 or more")


@dataclass(frozen=True, slots=True)
class _Found:
    """A recipe with its photos, each once, and the digest of its text."""

    draft: Draft
    photos: list[PhotoFile]
    digest: str

    @property
    def content(self) -> tuple:
        return self.digest, tuple(photo.digest for photo in self.photos)


def import_recipes(options: ImportOptions) -> Report:
    """Writes a download out of a person's own recipes.

    Raises:
        UserError: the input cannot be read, no recipe or photo of it can be used, or `out` cannot be written.
    """
    source, out = (os.path.realpath(path) for path in (options.source, options.out))
    if os.path.isdir(source) and os.path.commonpath([source, out]) == source:
        raise UserError(f"--out {options.out} is in the folder that is read; choose one beside {options.source}")
    if os.path.commonpath([source, out]) == out:
        raise UserError(f"--out {options.out} holds what is read, {options.source}; choose another folder")
    with new_folder(options.out, overwrite=options.overwrite) as folder:
        report = Report(folder, skip_broken=options.skip_broken)
        with contextlib.closing(report):
            drafts = _read(options, report)
            found = _without_repeats(_with_photos(drafts, options, report), report)
            placed = _placed(found, options, report)
            _write(folder, placed, report)
    return report


def _read(options: ImportOptions, report: Report) -> list[Draft]:
    drafts = []
    for entry in track(read_source(options.source, report), "reading", unit="record"):
        if not entry.is_linked_data:
            report.unknown_columns.update(unknown_columns(entry.values))
        try:
            drafts.append(draft(entry, with_classes=options.class_from == "category"))
        except UnusableError as reason:
            title = known_fields(entry.values).get("title")
            report.drop(entry.where, str(reason), title if isinstance(title, str) else "")
    if drafts:
        return drafts
    why = f"; left out: {report.reasons(report.dropped)}" if report.dropped else ""
    columns = f"; columns that were not used: {report.columns()}" if report.unknown_columns else ""
    raise UserError(f"--from {options.source}: no recipe is in it{why}{columns}")


def _with_photos(drafts: list[Draft], options: ImportOptions, report: Report) -> list[_Found]:
    root = options.source if options.source.is_dir() else options.source.parent
    finder = PhotoFinder(root, allow_outside=options.allow_outside)

    def look(recipe: Draft) -> list[PhotoFile | PhotoProblem]:
        return [finder.find(recipe.folder, listed) for listed in recipe.photos]

    found = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # the oddities of photos are looked after
        looked = map_in_order(look, drafts, options.workers)
        for recipe, photos in track(looked, "looking at photos", len(drafts), "recipe"):
            once = {}
            for photo in photos or ():
                if isinstance(photo, PhotoProblem):
                    report.photo_problem(recipe.where, photo.kind, photo.listed, photo.detail)
                else:
                    once.setdefault(photo.digest, photo)
            digest = identity.text_digest(recipe.title, recipe.ingredients, recipe.instructions)
            found.append(_Found(recipe, list(once.values()), digest))
    if not any(recipe.photos for recipe in found):
        why = f"{report.reasons(report.photo_problems)}; their paths are relative to the file that lists them"
        none = f"no record lists one; name a column {' or '.join(NAMES['images'][:2])}"
        raise UserError(f"--from {options.source}: no photo can be used: {why if report.photo_problems else none}")
    return found


def _without_repeats(found: list[_Found], report: Report) -> list[_Found]:
    """Without records that say and show the same as another one; those with ids of their own stay."""
    with_id = {recipe.content for recipe in found if identity.ID.fullmatch(recipe.draft.given_id)}
    seen, kept = set(), []
    for recipe in found:
        given = recipe.draft.given_id.lower() if identity.ID.fullmatch(recipe.draft.given_id) else ""
        if (recipe.content, given) in seen or (not given and recipe.content in with_id):
            report.drop(recipe.draft.where, "the same text and photos as another record", recipe.draft.title)
            continue
        seen.add((recipe.content, given))
        kept.append(recipe)
    return kept


def _placed(found: list[_Found], options: ImportOptions, report: Report) -> list[Placed]:
    drafts = [recipe.draft for recipe in found]
    digests = [recipe.digest for recipe in found]
    ties = [recipe.content for recipe in found]
    ids, changed = identity.recipe_ids([recipe.given_id for recipe in drafts], digests, ties)
    image_ids, moved = identity.short_ids(photo.digest for recipe in found for photo in recipe.photos)
    keys = [[recipe.digest, *(photo.digest for photo in recipe.photos)] for recipe in found]
    group = identity.groups(keys)
    given = [recipe.partition for recipe in drafts]
    partitions, split = identity.partitions(ids, given, group, options.splits)
    if other := sum(bool(recipe.given_id and not identity.ID.fullmatch(recipe.given_id)) for recipe in drafts):
        report.note(f"{other} ids are not 10 hexadecimal digits; imported.tsv has the new one of each")
    if changed:
        first = ", ".join(f"{drafts[number].where} is {ids[number]}" for number in changed[:3])
        report.note(f"{len(changed)} ids were taken by another recipe and replaced: {first}")
    if moved:
        report.note(f"{len(moved)} photos have another id than the first digits of their SHA-256, which were taken")
    sizes = Counter(group)
    alike = [of for of, size in sizes.most_common() if size > 1]
    if alike:
        largest = sizes[alike[0]]
        text = f"{len(alike)} groups of recipes have a text or a photo in common and stay in one partition"
        hint = "; is one of the photos a placeholder?" if largest >= MANY_ALIKE else ""
        report.note(f"{text}; the largest has {largest}, among them {drafts[alike[0]].where}{hint}")
    if split:
        first = ", ".join(drafts[of].where for of in split[:3])
        report.note(f"{len(split)} of these groups are in several partitions, as given: a leak ({first})")
    return [
        Placed(recipe.draft, ids[number], partitions[number], [(image_ids[p.digest], p) for p in recipe.photos])
        for number, recipe in enumerate(found)
    ]


def _write(folder: Path, placed: list[Placed], report: Report) -> None:
    class_of: dict[str, str] = {}
    long = Counter()
    with Layers(folder) as layers:
        for recipe in track(placed, "writing", len(placed), "recipe"):
            names = _names(recipe.draft, report)
            layers.add(recipe, names)
            report.recipes[recipe.partition] += 1
            report.with_photo[recipe.partition] += bool(recipe.photos)
            report.photos.update(identity for identity, _ in recipe.photos)
            long["instructions"] += len(recipe.draft.instructions) >= INSTRUCTION_LIMIT
            long["ingredients"] += len({name for name, _ in names}) >= INGREDIENT_LIMIT - 1
            if recipe.draft.class_name:
                class_of[recipe.id] = recipe.draft.class_name
    if class_of:
        write_classes(folder / "classes1M.pkl", class_of)
    report.classes.update(name for name in class_of.values() if name != BACKGROUND)
    if long["instructions"]:
        what = f"recipes with {INSTRUCTION_LIMIT} instructions or more, which the converter leaves out"
        report.note(f"{what}: {long['instructions']}; join some of their steps")
    if long["ingredients"]:
        what = f"recipes with {INGREDIENT_LIMIT - 1} ingredients or more, left out by the converter if it knows so many"
        report.note(f"{what}: {long['ingredients']}")
    for partition in PARTITIONS:
        if not report.with_photo[partition]:
            report.note(f"no recipe with a photo is in {partition}: give partitions, or other --splits")


def _names(recipe: Draft, report: Report) -> list[tuple[str, bool]]:
    if recipe.names is not None:
        return [(name, True) for name in recipe.names]
    found = []
    for line in recipe.ingredients:
        names = ingredient_names(line)
        report.ingredient_line(line, names)
        found += names
    return found
