"""Builds the gallery of a split of the data set, from its records or from what is embedded already."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.building import BLOCK, description, lines_digest, say_if_going_on
from adamine_jax.gallery.files import SIDES, Item
from adamine_jax.gallery.writer import GalleryWriter
from adamine_jax.input.damage import Damage
from adamine_jax.input.items import read_recipes
from adamine_jax.input.records import RecordIndex, load_index
from adamine_jax.runs import embedding, workdir


def build_split(trained: workdir.Trained, split: str, folder: Path, damage: Damage) -> int:
    """Embeds a split of the run's data set into a gallery.

    Args:
        trained: the model.
        split: 'train', 'val' or 'test'.
        folder: the gallery.
        damage: takes the damaged records, which are left out.

    Returns:
        How many pairs it has.

    Raises:
        UserError: there is no such split, too many of its records are damaged, or the folder cannot be written.
    """
    index = load_index(trained.open_dataset().shards(split), damage)
    if not len(index):
        raise UserError(f"{trained.config.data.dir}: has no {split} split to embed")
    order = index.sorted_by_id()
    with GalleryWriter(
        folder, _about_split(trained, index, split), SIDES, trained.config.model.embedding_dim
    ) as writer:
        say_if_going_on(writer, folder)
        embedder = embedding.Embedder(trained.model, trained.config, trained.mesh, damage)
        rest = order[writer.taken :]
        if len(rest):
            batches = embedder.embed_batches(trained.variables, index, rest, f"embedding {split}")
            for numbers, readable, image, recipe in _joined(batches):
                _add(writer, trained, index, numbers, readable, image, recipe, damage)
        if not len(writer):
            raise embedding.none_readable(index)
        return writer.finish()


def write_split(
    trained: workdir.Trained,
    index: RecordIndex,
    split: str,
    numbers: np.ndarray,
    image: np.ndarray,
    recipe: np.ndarray,
    folder: Path,
    damage: Damage,
) -> int:
    """Writes the gallery of a split that is embedded already, of the records with these numbers.

    Returns:
        How many pairs it has: a record may have become unreadable since it was embedded.
    """
    with GalleryWriter(folder, _about_split(trained, index, split), SIDES, image.shape[1]) as writer:
        for start in range(writer.taken, len(numbers), BLOCK):
            rows = slice(start, start + BLOCK)
            readable = np.ones(len(numbers[rows]), bool)
            _add(writer, trained, index, numbers[rows], readable, image[rows], recipe[rows], damage)
        return writer.finish()


def _about_split(trained: workdir.Trained, index: RecordIndex, split: str) -> dict[str, Any]:
    order = index.sorted_by_id()
    records = [f"{index.ids[number].decode()} {index.length[number]}" for number in order]
    return description(trained, {"split": split, "records": lines_digest(records)}, trained.class_names)


def _add(
    writer: GalleryWriter,
    trained: workdir.Trained,
    index: RecordIndex,
    numbers: np.ndarray,
    readable: np.ndarray,
    image: np.ndarray,
    recipe: np.ndarray,
    damage: Damage,
) -> None:
    read = read_recipes(index, numbers[readable], damage)
    items: list[Item | None] = [None] * len(numbers)
    for place, found in zip(np.flatnonzero(readable), read, strict=True):
        if found is not None:
            items[place] = Item(
                id=found.id,
                title=found.title,
                class_name=trained.class_names[found.class_id],
                ingredients=found.ingredients,
                instructions=found.instructions,
                photo=found.photo,
            )
    writer.write({"image": image, "recipe": recipe}, items)


def _joined(parts: Iterator[embedding.Embedded]) -> Iterator[embedding.Embedded]:
    """Batches put together to at least `BLOCK` rows."""
    waiting: list[embedding.Embedded] = []
    for part in parts:
        waiting.append(part)
        if sum(len(other.numbers) for other in waiting) >= BLOCK:
            yield embedding.Embedded(*map(np.concatenate, zip(*waiting, strict=True)))
            waiting = []
    if waiting:
        yield embedding.Embedded(*map(np.concatenate, zip(*waiting, strict=True)))
