"""What people see of a recipe: its texts and its first photo."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from adamine_jax.input.damage import Damage, DamagedRecord
from adamine_jax.input.examples import features_of
from adamine_jax.input.records import RecordIndex, RecordReader


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A record's texts and photo.

    Attributes:
        id: ten hexadecimal digits.
        title: as written.
        class_id: 0 = background.
        ingredients: raw lines.
        instructions: raw lines.
        photo: the first photo, a JPEG file.
    """

    id: str
    title: str
    class_id: int
    ingredients: tuple[str, ...]
    instructions: tuple[str, ...]
    photo: bytes


def read_recipes(index: RecordIndex, numbers: np.ndarray, damage: Damage) -> Iterator[Recipe | None]:
    """Yields the recipes of the records with these numbers, in their order; None for one that `damage` takes."""
    reader = RecordReader(index)
    try:
        for number in numbers:
            try:
                payload = reader.read(number)
            except DamagedRecord as damaged:
                damage.report(damaged)
                yield None
                continue
            yield _recipe(features_of(payload))
    finally:
        reader.close()


def _recipe(features) -> Recipe:
    def texts(name: str) -> tuple[str, ...]:
        return tuple(value.decode("utf-8", errors="replace") for value in features[name].bytes_list.value)

    return Recipe(
        id=texts("id")[0],
        title=texts("title")[0],
        class_id=next(iter(features["class_id"].int64_list.value), 0),
        ingredients=texts("ingredients"),
        instructions=texts("instructions"),
        photo=features["images"].bytes_list.value[0],
    )
