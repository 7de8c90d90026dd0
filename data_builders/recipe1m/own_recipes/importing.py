"""Imports recipes: reads the records, checks the photos, assigns ids and partitions, and writes the download.

The texts of all recipes are kept in memory, and at most one photo per worker.
"""

import contextlib
import functools
import os
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from adamine_jax.base.cores import available_cores
from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import track
from adamine_jax.formats.photo_files import (
    NOT_A_PATH,
    PhotoFile,
    PhotoFinder,
    PhotoProblem,
    photo_digest,
)
from adamine_jax.formats.registry import read_source
from adamine_jax.recipes.fields import NAMES, Draft, UnusableError, draft, known_fields, unknown_columns
from adamine_jax.recipes.languages import language_of, names_in
from adamine_jax.recipes.texts import text_digest
from data_builders.recipe1m.classes import BACKGROUND
from data_builders.recipe1m.own_recipes import identity
from data_builders.recipe1m.own_recipes.import_report import Report
from data_builders.recipe1m.own_recipes.journal import Journal, open_journal, parallel_map
from data_builders.recipe1m.own_recipes.writing import Placed, new_folder, open_layers, write_classes
from data_builders.recipe1m.passes.photos import map_in_order
from data_builders.recipe1m.recipes import PARTITIONS, RECIPE_ID

CLASSES_FROM = ("category", "none")
# Size of a group of recipes from which a shared photo is suspected to be a placeholder.
_PLACEHOLDER_GROUP = 5


@dataclass(frozen=True)
class ImportOptions:
    """Options of an import.

    Attributes:
        source: File or folder with the recipes.
        out: Folder to write the download to; None with `check`.
        check: Whether to show what would be read, and write nothing.
        format_name: Format of the files; see `read_source`.
        splits: Shares of train, val and test for recipes without a given partition.
        class_from: "category" to use the recipes' classes or categories, "none" to write no classes.
        allow_outside: Whether to accept photos outside the input folder.
        skip_broken: Whether to skip unreadable lines and files of a single file.
        strict: Whether to stop at an unreadable file of a folder, which is skipped otherwise.
        overwrite: Whether to replace the output of an earlier import.
        workers: Number of processes that read files, and of threads that decode photos.
    """

    source: Path
    out: Path | None
    check: bool = False
    format_name: str = ""
    splits: tuple[float, float, float] = (0.7, 0.15, 0.15)
    class_from: str = "category"
    allow_outside: bool = False
    skip_broken: bool = False
    strict: bool = False
    overwrite: bool = False
    workers: int = available_cores()

    def __post_init__(self):
        if self.class_from not in CLASSES_FROM:
            raise UserError(f"class_from is {self.class_from!r}; it must be 'category' or 'none'")
        if self.workers < 1:
            raise UserError(f"--workers is {self.workers}; it must be at least 1")


@dataclass(frozen=True, slots=True)
class _Found:
    """A recipe with its distinct photos and the digest of its text."""

    draft: Draft
    photos: list[PhotoFile]
    digest: str

    @property
    def content(self) -> tuple:
        return self.digest, tuple(photo.digest for photo in self.photos)


def import_recipes(options: ImportOptions) -> Report:
    """Writes recipes in the layout of a download.

    Raises:
        UserError: The input cannot be read, none of its recipes or photos can be used, or `out` cannot be written.
    """
    assert options.out is not None, "only a check needs no folder"
    source, out = (os.path.realpath(path) for path in (options.source, options.out))
    if os.path.isdir(source) and os.path.commonpath([source, out]) == source:
        raise UserError(f"--out {options.out} is inside the input folder; choose a folder outside {options.source}")
    if os.path.commonpath([source, out]) == out:
        raise UserError(f"--out {options.out} contains the input {options.source}; choose another folder")
    with (
        new_folder(options.out, overwrite=options.overwrite) as folder,
        open_journal(Path(out).with_name(f".{Path(out).name}.journal"), options.format_name) as journal,
    ):
        unpacked = folder.parent / "unpacked"
        unpacked.mkdir()
        report = new_report(folder, unpacked, options)
        with contextlib.closing(report):
            drafts = read_drafts(
                options, report, functools.partial(journal.map, parallel_map(options.workers, folder.parent))
            )
            found = _without_repeats(_with_photos(drafts, options, report, journal), report)
            for recipe in found:
                if not recipe.photos:
                    report.no_photo(recipe.draft.where, recipe.draft.title)
            placed = _placed(found, options, report)
            _write(folder, placed, report)
    return report


def new_report(folder: Path, unpacked: Path | None, options: ImportOptions) -> Report:
    """Returns an empty report of an import."""
    skip_broken = options.skip_broken or (options.source.is_dir() and not options.strict)
    return Report(folder, skip_broken=skip_broken, unpacked=unpacked)


def read_drafts(options: ImportOptions, report: Report, map_files: Callable) -> list[Draft]:
    """Returns the recipes of the input.

    Raises:
        UserError: The input cannot be read, or contains no recipe.
    """
    drafts = []
    entries = read_source(options.source, report, options.format_name, map_files)
    for entry in track(entries, "reading", unit="record"):
        if not entry.is_linked_data:
            report.unknown_columns.update(unknown_columns(entry.values))
        try:
            drafts.append(draft(entry, with_classes=options.class_from == "category"))
        except UnusableError as reason:
            title = known_fields(entry.values).get("title")
            report.drop(entry.where, str(reason), title if isinstance(title, str) else "")
            continue
        for field, values in drafts[-1].unread.items():
            for value in values if field != "images" else ():
                report.part(entry.where, field, value)
    if drafts:
        return drafts
    reasons = f"; left out: {report.reasons(report.dropped)}" if report.dropped else ""
    if files := report.without_recipe.first:
        reasons += f"; files without a recipe: {', '.join(files[:3])}"
    columns = f"; unused columns: {report.columns()}" if report.unknown_columns else ""
    raise UserError(f"--from {options.source} contains no recipe{reasons}{columns}")


def _with_photos(drafts: list[Draft], options: ImportOptions, report: Report, journal: Journal) -> list[_Found]:
    root = options.source if options.source.is_dir() else options.source.parent
    digest_of = functools.partial(journal.call, photo_digest)
    finder = PhotoFinder(root, unpacked=report.unpacked, allow_outside=options.allow_outside, digest_of=digest_of)

    def find_photos(recipe: Draft) -> list[PhotoFile | PhotoProblem]:
        listed = [finder.find(recipe.folder, name) for name in recipe.photos]
        if any(isinstance(photo, PhotoFile) for photo in listed):
            return listed
        beside = [finder.find(recipe.folder, name) for name in recipe.photos_beside]
        return [photo for photo in beside if isinstance(photo, PhotoFile)] or listed

    found = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")  # unreadable photos are reported
        with_photos = map_in_order(find_photos, drafts, options.workers)
        for recipe, photos in track(with_photos, "reading photos", len(drafts), "recipe"):
            distinct = {}
            for photo in photos or ():
                if isinstance(photo, PhotoProblem):
                    report.photo_problem(recipe.where, photo.kind, photo.listed, photo.detail)
                else:
                    distinct.setdefault(photo.digest, photo)
            for value in recipe.unread.get("images", ()):
                report.photo_problem(recipe.where, NOT_A_PATH, value)
            digest = text_digest(recipe.title, recipe.ingredients, recipe.instructions)
            found.append(_Found(recipe, list(distinct.values()), digest))
    if not any(recipe.photos for recipe in found):
        reason = f"no record lists one; name a column {' or '.join(NAMES['images'][:2])}"
        if report.photo_problems:
            reason = f"{report.reasons(report.photo_problems)}; paths must be relative to the file that lists them"
        raise UserError(f"--from {options.source}: no photo can be used: {reason}")
    return found


def _without_repeats(found: list[_Found], report: Report) -> list[_Found]:
    """Drops records with the same text and photos as another one, unless both have ids."""
    with_id = {recipe.content for recipe in found if RECIPE_ID.fullmatch(recipe.draft.given_id)}
    seen, kept = set(), []
    for recipe in found:
        given = recipe.draft.given_id.lower() if RECIPE_ID.fullmatch(recipe.draft.given_id) else ""
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
    if other := sum(bool(recipe.given_id and not RECIPE_ID.fullmatch(recipe.given_id)) for recipe in drafts):
        report.note(f"replaced ids that are not 10 hexadecimal digits: {other}; imported.tsv lists the new ones")
    if changed:
        first = ", ".join(f"{drafts[number].where} is {ids[number]}" for number in changed[:3])
        report.note(f"replaced ids that another recipe has: {len(changed)} ({first})")
    if moved:
        report.note(f"the ids of {len(moved)} photos are not the first digits of their SHA-256, which were taken")
    sizes = Counter(group)
    if shared := [key for key, size in sizes.most_common() if size > 1]:
        largest = sizes[shared[0]]
        text = f"groups of recipes with a common text or photo, each kept in one partition: {len(shared)}"
        hint = "; is one of its photos a placeholder?" if largest >= _PLACEHOLDER_GROUP else ""
        report.note(f"{text}; the largest has {largest} recipes, including {drafts[shared[0]].where}{hint}")
    if split:
        first = ", ".join(drafts[key].where for key in split[:3])
        report.note(f"{len(split)} of these groups are split by their given partitions: a leak ({first})")
    return [
        Placed(recipe.draft, ids[number], partitions[number], [(image_ids[p.digest], p) for p in recipe.photos])
        for number, recipe in enumerate(found)
    ]


def _write(folder: Path, placed: list[Placed], report: Report) -> None:
    class_of: dict[str, str] = {}
    languages = languages_of([recipe.draft for recipe in placed])
    report.languages.update(languages)
    with open_layers(folder) as layers:
        for recipe, language in track(zip(placed, languages, strict=True), "writing", len(placed), "recipe"):
            layers.add(recipe, _names(recipe.draft, language, report))
            report.recipes[recipe.partition] += 1
            report.with_photo[recipe.partition] += bool(recipe.photos)
            report.photos.update(identity for identity, _ in recipe.photos)
            if recipe.draft.class_name:
                class_of[recipe.id] = recipe.draft.class_name
    if class_of:
        write_classes(folder / "classes1M.pkl", class_of)
    report.classes.update(name for name in class_of.values() if name != BACKGROUND)
    for partition in PARTITIONS:
        if not report.with_photo[partition]:
            report.note(f"{partition} has no recipe with a photo; give partitions, or change --splits")


def languages_of(recipes: list[Draft]) -> list[str]:
    """Returns the language of each recipe; that of most recipes for texts that are too short to tell."""
    found = [language_of(recipe.ingredients, recipe.instructions) for recipe in recipes]
    usual = next((language for language, _ in Counter(filter(None, found)).most_common(1)), "")
    return [language or usual for language in found]


def _names(recipe: Draft, language: str, report: Report) -> list[tuple[str, bool]]:
    if recipe.names is not None:
        return [(name, True) for name in recipe.names]
    found = []
    for line in recipe.ingredients:
        names = names_in(line, language)
        report.ingredient_line(line, names)
        found += names
    return found
