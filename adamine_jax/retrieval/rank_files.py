"""`ranks_<split>.npz`: the rank of every query of every draw, for those who look into a test or compare two.

For each protocol `<protocol>/ids` (draws, pairs), the recipes' ids, and `<protocol>/image_to_recipe` and
`<protocol>/recipe_to_image` (draws, pairs) float32, the ranks of the same rows; `seed`, of the draws; `step`, of the
checkpoint.
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
    """What a `ranks_<split>.npz` holds.

    Attributes:
        protocols: the ranks under each.
        seed: of the draws.
        step: of the checkpoint.
    """

    protocols: dict[str, Ranked]
    seed: int
    step: int


def ranks_path(workdir: Path, split: str) -> Path:
    """Where a workdir keeps the ranks of a split."""
    return workdir / f"ranks_{split}.npz"


def write_ranks(path: Path, ranks: RankFile) -> None:
    """Writes the file, whole or not at all; ids as bytes."""
    arrays: dict[str, Any] = {"seed": np.int64(ranks.seed), "step": np.int64(ranks.step)}
    for name, ranked in ranks.protocols.items():
        arrays[f"{name}/ids"] = np.char.encode(ranked.ids) if ranked.ids.dtype.kind == "U" else ranked.ids
        arrays |= {f"{name}/{direction}": ranked.ranks[direction] for direction in DIRECTIONS}
    with files.atomic_write(path) as aside:
        np.savez(aside, **arrays)


def read_ranks(path: Path) -> RankFile:
    """Reads what `write_ranks` wrote.

    Raises:
        UserError: the file is absent, damaged, or something else.
    """
    try:
        with open(path, "rb") as file, np.load(file) as arrays:
            names = [field.removesuffix("/ids") for field in arrays.files if field.endswith("/ids")]
            protocols = {
                name: Ranked(
                    arrays[f"{name}/ids"],
                    {direction: arrays[f"{name}/{direction}"] for direction in DIRECTIONS},
                )
                for name in names
            }
            content = RankFile(protocols, int(arrays["seed"]), int(arrays["step"]))
    except FileNotFoundError:
        raise UserError(f"{path}: absent") from None
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, SyntaxError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    for name, ranked in content.protocols.items():
        if (
            ranked.ids.ndim != 2
            or not ranked.ids.size
            or any(
                ranks.shape != ranked.ids.shape or not np.issubdtype(ranks.dtype, np.floating) or not (ranks >= 1).all()
                for ranks in ranked.ranks.values()
            )
        ):
            raise UserError(f"{path}: cannot be read (what it holds of {name} does not fit together)")
    return content
