"""The files of a gallery, a folder that appears whole or not at all.

gallery/
  gallery.json    which model made it, how many items it has, and what of them
  image.npy       (N, D) float32 unit rows of the photos; absent in a gallery of recipes alone
  recipe.npy      (N, D) likewise of the recipes; absent in one of photos alone
  items.jsonl     N lines: id, title, class, photo, ingredients, instructions
  items.npz       where each line begins, and the classes
  photos/         the photos that the items name
"""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError

BACKGROUND = "background"
SIDES = ("image", "recipe")
"""Of which a gallery holds embeddings: of the photos, of the recipes, or of both."""
WRITE_AGAIN = "write the gallery again with `python -m adamine_jax.embed`"


@dataclasses.dataclass(frozen=True)
class Item:
    """One recipe and its photo.

    Attributes:
        id: unique in its gallery.
        title: as written.
        class_name: "background" where it has no class.
        ingredients: raw lines.
        instructions: raw lines.
        photo: an image file's path or its bytes, or (H, W, 3) uint8 pixels; None where there is none.
    """

    id: str
    title: str
    class_name: str = BACKGROUND
    ingredients: tuple[str, ...] = ()
    instructions: tuple[str, ...] = ()
    photo: bytes | Path | np.ndarray | None = None


def item_of(line: bytes, folder: Path, where: str) -> Item:
    """An item from its line in `items.jsonl`; `where` is told to a person.

    Raises:
        UserError: the line is damaged.
    """
    try:
        record = json.loads(line)
        return Item(
            id=record["id"],
            title=record["title"],
            class_name=record["class"],
            ingredients=tuple(record["ingredients"]),
            instructions=tuple(record["instructions"]),
            photo=folder / record["photo"] if record["photo"] else None,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{where}: not an item of a gallery ({error!r}); {WRITE_AGAIN}") from None


def read_about(folder: Path) -> dict[str, Any]:
    """`gallery.json`; see `Gallery.about`.

    Raises:
        UserError: there is none, or it is none.
    """
    path = folder / "gallery.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        old = " (an earlier version wrote it)" if (folder / "items.jsonl").exists() else ""
        raise UserError(
            f"{folder}: is no gallery, or not a whole one{old}; write it with "
            f"`python -m adamine_jax.embed --workdir RUN --split test --out {folder}`"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {WRITE_AGAIN}") from None
    if not isinstance(about, dict) or _missing_of(about):
        raise UserError(f"{path}: lacks {', '.join(_missing_of(about))}; {WRITE_AGAIN}")
    return about


def _missing_of(about: Any) -> list[str]:
    """The fields that `gallery.json` needs and does not have."""
    needed = ("model", "items", "dim", "sides", "class_names")
    return [name for name in needed if not isinstance(about, dict) or name not in about]


def read_table(folder: Path) -> dict[str, np.ndarray]:
    """`items.npz`: `starts` (N + 1,) int64, first bytes of the lines; `class_id` (N,) int32; `ids` (N,) texts.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with np.load(folder / "items.npz") as arrays:
            return {name: arrays[name] for name in ("starts", "class_id", "ids")}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{folder}/items.npz: cannot be read ({error}); {WRITE_AGAIN}") from None


def map_array(path: Path) -> np.ndarray:
    """A `.npy`, mapped from the disk.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {WRITE_AGAIN}") from None
