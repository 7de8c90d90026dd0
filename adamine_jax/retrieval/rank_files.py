"""Reads and writes `ranks_<split>.npz`, the rank of every query of every draw of an evaluation.

The file contains for each protocol `<protocol>/ids` (draws, pairs), the ids of the recipes drawn, and their ranks
`<protocol>/image_to_recipe` and `<protocol>/recipe_to_image` (draws, pairs) float32; the `seed` of the draws; and the
`step` of the checkpoint.
"""

import dataclasses
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base import files
from adamine_jax.base.errors import UserError
from adamine_jax.retrieval.protocols import DIRECTIONS, Ranked


@dataclasses.dataclass(frozen=True)
class RankFile:
    """Content of a `ranks_<split>.npz`.

    Attributes:
        protocols: Ranks under each protocol.
        seed: Seed of the draws.
        step: Step of the checkpoint.
    """

    protocols: dict[str, Ranked]
    seed: int
    step: int


def ranks_path(workdir: Path, split: str) -> Path:
    """Returns the path of a workdir's ranks of a split."""
    return workdir / f"ranks_{split}.npz"


def write_ranks(path: Path, ranks: RankFile) -> None:
    """Writes a rank file atomically; ids are stored as bytes."""
    arrays: dict[str, Any] = {"seed": np.int64(ranks.seed), "step": np.int64(ranks.step)}
    for name, ranked in ranks.protocols.items():
        arrays[f"{name}/ids"] = np.char.encode(ranked.ids) if ranked.ids.dtype.kind == "U" else ranked.ids
        arrays |= {f"{name}/{direction}": ranked.ranks[direction] for direction in DIRECTIONS}
    with files.atomic_write(path) as temporary:
        np.savez(temporary, **arrays)


def read_ranks(path: Path) -> RankFile:
    """Reads a rank file, or raises a `UserError` if it is missing or damaged."""
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            names = [field.removesuffix("/ids") for field in arrays.files if field.endswith("/ids")]
            protocols = {
                name: Ranked(arrays[f"{name}/ids"], {each: arrays[f"{name}/{each}"] for each in DIRECTIONS})
                for name in names
            }
            content = RankFile(protocols, int(arrays["seed"]), int(arrays["step"]))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, SyntaxError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    for name, ranked in content.protocols.items():
        shape = ranked.ids.shape
        if (
            len(shape) != 2
            or 0 in shape
            or any(r.shape != shape or r.dtype.kind != "f" or not (r >= 1).all() for r in ranked.ranks.values())
        ):
            raise UserError(f"{path}: cannot be read (the arrays of {name} are inconsistent)")
    return content
