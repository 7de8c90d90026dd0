"""State dicts of PyTorch code, tensors by name, from `.safetensors` files or those that `torch.save` wrote."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors

from adamine_jax.base.errors import UserError
from adamine_jax.base.extras import how_to_get

FORMAT = "adamine_jax"
"""`format` in the metadata of the .safetensors files that this project writes."""

TORCH_SUFFIXES = (".pth", ".pt", ".tar")

_LISTED = 10


def read_state_dict(path: Path, entries: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads a state dict.

    Args:
        path: a `.safetensors` file, or one that `torch.save` wrote (`.pth`, `.pt`, `.tar`; this needs PyTorch).
        entries: names under which such a file may hold the state dict beside other things.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    path = Path(path)
    return read_torch_file(path, entries) if path.suffix in TORCH_SUFFIXES else read_safetensors(path)[0]


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads the tensors of a `.safetensors` file and its metadata.

    Raises:
        UserError: there is no such file, or it is damaged or something else.
    """
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (safetensors.SafetensorError, OSError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a readable .safetensors file ({error}); copy or download it again") from None


def read_torch_file(path: Path, entries: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads the tensors of a state dict that `torch.save` wrote. Nothing in the file is executed.

    Args:
        path: the file.
        entries: as in `read_state_dict`.

    Raises:
        UserError: PyTorch is not installed, there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        import torch
    except ImportError:
        raise UserError(f"{path}: reading it {how_to_get('torch')}, or convert it to .safetensors") from None
    try:
        state = _load(torch, path)
    except Exception as error:  # PyTorch raises a dozen different classes for a file that is damaged or not its own.
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        raise UserError(f"{path}: not a readable PyTorch file ({reason}); copy or download it again") from None
    if isinstance(state, dict):
        state = next((state[entry] for entry in entries if isinstance(state.get(entry), dict)), state)
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no state dict (names to tensors); save model.state_dict() alone")
    return {name: value.detach().float().numpy() for name, value in state.items()}


def tensor_fault(name: str, tensor: np.ndarray, shape: Sequence[int | None]) -> str | None:
    """What is wrong with a tensor of the given name, which should be of a shape and finite; None if nothing is.

    Args:
        name: the tensor's, as in its file.
        tensor: what the file holds.
        shape: that it should have; None stands for any size.
    """
    if tensor.ndim != len(shape) or any(
        want not in (None, size) for want, size in zip(shape, tensor.shape, strict=True)
    ):
        return f"{name} is {_by(tensor.shape)} instead of {_by(shape)}"
    return None if np.isfinite(tensor).all() else f"{name} has values that are not finite"


def listed(faults: Sequence[str]) -> str:
    """The first faults, and how many more there are."""
    more = f" and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
    return f"{', '.join(faults[:_LISTED])}{more}"


def _load(torch: Any, path: Path) -> Any:
    """Unpickles tensors, plain containers and numbers, NumPy's own numbers among them: scores are often such."""
    from numpy._core.multiarray import scalar

    numbers = [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")]
    allowed = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *numbers]
    with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
        # Python 2 pickled a number's bytes as text, which only Latin-1 reads back. PyTorch warns that it ignores the
        # encoding, but does not.
        warnings.filterwarnings("ignore", "pickle_load_args only works")
        return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")


def _by(shape: Sequence[int | None]) -> str:
    return "×".join("?" if size is None else str(size) for size in shape) or "a single number"


def leaves_with_names(tree: dict[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    """A nested dictionary's leaves, each with the names that lead to it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(tuple(entry.key for entry in path), leaf) for path, leaf in leaves]


def put_leaf(tree: dict[str, Any], path: tuple[str, ...], leaf: Any) -> None:
    """Sets the leaf that these names lead to, making the dictionaries on the way."""
    *parents, last = path
    for name in parents:
        tree = tree.setdefault(name, {})
    tree[last] = leaf
