"""Writes a small `data_lmdb`, as AdaMine's published code read it."""

import pickle

import lmdb
import numpy as np
from PIL import Image

from tests.data_builders.recipe1m.download import photo_id, recipe_id
from tests.data_builders.recipe1m.torch_pickles import dumps, tensor

LENGTH = 8


def picture(number=0, size=(64, 48)):
    """An image of noise of its own."""
    return Image.fromarray(np.random.default_rng(number).integers(0, 255, (size[1], size[0], 3), np.uint8))


class Database:
    """Recipes and photos of the partitions, to be changed at will before they are written.

    Attributes:
        of: partition -> name of an environment -> number -> value.
    """

    def __init__(self):
        self.of = {}

    def add(self, number, partition="train", *, photos=1, class_id=0, ingredients=(2, 3), sentences=2, **fields):
        """Adds a recipe; `fields` replace its values. Returns its number in the partition."""
        names = ("ids", "classes", "ingrs", "rlens", "rbps", "numims", "impos", "stvecs", "imnames", "ims")
        of = self.of.setdefault(partition, {name: {} for name in names})
        first_row, first_photo = len(of["stvecs"]) + 1, len(of["imnames"]) + 1
        for row in range(sentences):
            of["stvecs"][len(of["stvecs"])] = vector(number, row)
        for n in range(photos):
            name = photo_id(number * 100 + n)
            of["imnames"][len(of["imnames"])] = f"recipe1M/images/{partition}/{'/'.join(name[:4])}/{name}"
            of["ims"][len(of["ims"])] = picture(number * 100 + n)
        places = [first_photo + n for n in range(photos)]
        values = {
            "ids": recipe_id(number),
            "classes": class_id + 1,
            "ingrs": np.array([*ingredients, 1, *[0] * (19 - len(ingredients))], np.uint16),
            "rlens": sentences,
            "rbps": first_row,
            "numims": photos,
            "impos": np.array(places + [0] * (5 - photos), np.uint32),
        }
        at = len(of["ids"])
        for name, value in (values | fields).items():
            of[name][at] = value
        return at

    def write(self, folder, *, keys=3, protocol=3, form="rebuild", as_folder=True):
        """Writes `data_lmdb` into a folder, which is returned.

        Args:
            folder: gets it.
            keys, protocol: pickle protocols of the keys and of the values.
            form: of the tensors, see `torch_pickles`.
            as_folder: whether an environment is a folder, or a file alone.
        """
        for partition, of in self.of.items():
            place = folder / "data_lmdb" / partition
            place.mkdir(parents=True, exist_ok=True)
            for name, values in of.items():
                write_environment(place / f"{name}.lmdb", values, keys, protocol, form, as_folder)
        return folder


class Pickled(bytes):
    """A value that is a pickle already."""


def vector(number, row):
    """The vector of a recipe's sentence."""
    return np.random.default_rng([number, row]).standard_normal(LENGTH).astype(np.float32)


def write_environment(path, values, keys=3, protocol=3, form="rebuild", as_folder=True):
    """Writes one environment: number -> value; a NumPy array of floats stands for a tensor."""
    with (
        lmdb.open(str(path), subdir=as_folder, map_size=1 << 26) as environment,
        environment.begin(write=True) as write,
    ):
        for number, value in values.items():
            write.put(pickle.dumps(number, keys), _pickled(value, protocol, form))
    if not as_folder:
        path.with_name(f"{path.name}-lock").unlink()


def _pickled(value, protocol, form):
    if isinstance(value, Pickled):
        return bytes(value)
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return dumps(tensor(value, form), protocol)
    return pickle.dumps(value, protocol)
