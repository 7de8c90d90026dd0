"""Builds the gallery of a split of the data set, from its records or from embeddings that exist already."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress
from adamine_jax.gallery.building import BLOCK, description, item_of, lines_digest
from adamine_jax.gallery.folder.writer import GalleryWriter
from adamine_jax.gallery.items import MODALITIES, Item
from adamine_jax.gallery.opening import writer as opened_writer
from adamine_jax.input.damage import Damage
from adamine_jax.input.reading import StoredRecipe, read_recipes
from adamine_jax.input.record_index import RecordIndex
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.runs import embedding, workdir


def build_split(trained: workdir.Trained, split: str, place: str | Path, damage: Damage, dtype: str = "float32") -> int:
    """Embeds a split of the run's data set, or all splits, and writes their gallery.

    Args:
        trained: Model and data set of the run.
        split: "train", "val" or "test", or "all" for these three.
        place: Folder of the gallery, or `postgresql://` URL.
        damage: Counts damaged records.
        dtype: Type in which embeddings are stored.

    Returns:
        Number of pairs in the gallery.

    Raises:
        UserError: The split is missing, too many of its records are damaged, or the folder cannot be written.
    """
    dataset = trained.open_dataset()
    names = ("train", "val", "test") if split == "all" else (split,)
    indices = [index for name in names if len(index := dataset.index(name, damage))]
    if not indices:
        raise UserError(f"{trained.config.data.dir}: no {split} split to embed")
    about = _about_split(trained, indices, split)
    with opened_writer(place, about, MODALITIES, trained.config.model.embedding_dim, dtype) as writer:
        embedder, done = None, writer.taken
        for index in indices:
            remaining = index.sorted_by_id()[done:]
            done = max(done - len(index), 0)
            if not len(remaining):
                continue
            embedder = embedder or embedding.Embedder(trained.model, trained.config, trained.mesh, damage)
            batches = embedder.embed_batches(trained.variables, index, remaining, f"embedding {split}")
            for block in _joined(batches):
                _write_block(writer, trained, index, block, damage)
        if not len(writer):
            raise embedding.none_readable(indices[0])
        return writer.finish()


def build_text(encoder: Encoder, place: str | Path, damage: Damage, dtype: str = "float32") -> int:
    """Embeds the recipes without photos, writes their gallery, and returns the number of recipes in it.

    Raises:
        UserError: The data set has none, too many are damaged, or the folder cannot be written.
    """
    trained = encoder.trained
    index = trained.open_dataset().index("text", damage)
    if not len(index):
        raise UserError(
            f"{trained.config.data.dir}: no recipes without photos; convert the download with --without-photos"
        )
    order = index.sorted_by_id()
    with (
        opened_writer(place, _about_split(trained, [index], "text"), ("recipe",), encoder.dim, dtype) as writer,
        Progress("embedding text", len(order), "recipe", initial=writer.taken) as progress,
    ):
        while len(numbers := order[writer.taken : writer.taken + BLOCK]):
            found = list(read_recipes(index, numbers, damage))
            texts = [RecipeText() if recipe is None else recipe.text for recipe in found]
            writer.write({"recipe": encoder.embed_recipes(texts)}, [_item(trained, recipe) for recipe in found])
            progress.update(len(numbers))
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
    """Writes the gallery of the records with these numbers, given their embeddings.

    Returns:
        Number of pairs in the gallery; records that have become unreadable are left out.
    """
    with GalleryWriter(folder, _about_split(trained, [index], split), MODALITIES, image.shape[1]) as writer:
        for start in range(writer.taken, len(numbers), BLOCK):
            rows = slice(start, start + BLOCK)
            readable = np.ones(len(numbers[rows]), bool)
            block = embedding.Embedded(numbers[rows], readable, image[rows], recipe[rows])
            _write_block(writer, trained, index, block, damage)
        return writer.finish()


def _about_split(trained: workdir.Trained, indices: Sequence[RecordIndex], split: str) -> dict[str, Any]:
    records = [
        f"{index.ids[number].decode()} {index.length[number]}" for index in indices for number in index.sorted_by_id()
    ]
    return description(trained, {"split": split, "records": lines_digest(records)})


def _write_block(
    writer: GalleryWriter, trained: workdir.Trained, index: RecordIndex, block: embedding.Embedded, damage: Damage
) -> None:
    items: list[Item | None] = [None] * len(block.numbers)
    recipes = read_recipes(index, block.numbers[block.readable], damage)
    for row, found in zip(np.flatnonzero(block.readable), recipes, strict=True):
        items[row] = _item(trained, found)
    writer.write({"image": block.image, "recipe": block.recipe}, items)


def _joined(batches: Iterator[embedding.Embedded]) -> Iterator[embedding.Embedded]:
    """Joins batches to blocks of at least `BLOCK` rows."""
    waiting: list[embedding.Embedded] = []
    for batch in batches:
        waiting.append(batch)
        if sum(len(other.numbers) for other in waiting) >= BLOCK:
            yield embedding.Embedded(*map(np.concatenate, zip(*waiting, strict=True)))
            waiting = []
    if waiting:
        yield embedding.Embedded(*map(np.concatenate, zip(*waiting, strict=True)))


def _item(trained: workdir.Trained, found: StoredRecipe | None) -> Item | None:
    """Returns the item of a recipe; None for a damaged record."""
    if found is None:
        return None
    return dataclasses.replace(item_of(found.text, found.photo), class_name=trained.class_names[found.class_id])
