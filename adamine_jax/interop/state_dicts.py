"""Reads PyTorch state dicts from `.safetensors` files and from files of `torch.save`."""

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
"""Value of `format` in the metadata of the .safetensors files that this project writes."""

TORCH_SUFFIXES = (".pth", ".pt", ".tar")

_MAX_LISTED = 10


def read_state_dict(path: Path, entries: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads a state dict.

    Args:
        path: `.safetensors` file, or file of `torch.save` (`.pth`, `.pt`, `.tar`), which requires PyTorch.
        entries: Keys under which a file of `torch.save` may store the state dict.

    Raises:
        UserError: The file cannot be read, or does not contain a state dict.
    """
    path = Path(path)
    return _read_torch_file(path, entries) if path.suffix in TORCH_SUFFIXES else read_safetensors(path)[0]


def read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Reads the tensors and the metadata of a `.safetensors` file.

    Tensors keep their dtypes, such as float16 and bfloat16.

    Raises:
        UserError: The file is missing, damaged, of another format, or has tensors of eight-bit floats.
    """
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except AttributeError as error:  # safetensors looks dtypes up in NumPy; JAX registers bfloat16 there, float8 nobody
        raise UserError(f"{path}: cannot be read ({error}); convert its tensors to float32") from None
    except (safetensors.SafetensorError, OSError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not a readable .safetensors file ({error}); copy or download it again") from None


def read_metadata(path: Path) -> dict[str, str]:
    """Reads the metadata of a `.safetensors` file without its tensors; see `read_safetensors`."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise UserError(f"{path}: not a readable .safetensors file ({error}); copy or download it again") from None


def _read_torch_file(path: Path, entries: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads a state dict from a file of `torch.save`, without executing any code in it; see `read_state_dict`."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        import torch
    except ImportError:
        raise UserError(f"{path}: reading it {how_to_get('torch')}, or convert it to .safetensors") from None
    try:
        state = _load(torch, path)
    except Exception as error:  # PyTorch raises many classes for damaged and foreign files
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        raise UserError(f"{path}: not a readable PyTorch file ({reason}); copy or download it again") from None
    if isinstance(state, dict):
        state = next((state[entry] for entry in entries if isinstance(state.get(entry), dict)), state)
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path}: contains no state dict (names to tensors); save only model.state_dict()")
    return {name: value.detach().float().numpy() for name, value in state.items()}


def tensor_fault(name: str, tensor: np.ndarray, shape: Sequence[int | None]) -> str | None:
    """Describes what is wrong with a tensor, or returns None.

    Args:
        name: Name of the tensor in its file.
        tensor: Array to check, which must be finite.
        shape: Required shape; None stands for any size.
    """
    if tensor.ndim != len(shape) or any(
        required not in (None, size) for required, size in zip(shape, tensor.shape, strict=True)
    ):
        return f"{name} is {_format_shape(tensor.shape)} instead of {_format_shape(shape)}"
    return None if np.isfinite(tensor).all() else f"{name} has values that are not finite"


def listed(faults: Sequence[str]) -> str:
    """Joins the first faults, missing tensors before unexpected ones and others, and the number of further ones."""
    faults = sorted(faults, key=lambda fault: (not fault.endswith("is missing"), not fault.endswith("is unexpected")))
    more = f" and {len(faults) - _MAX_LISTED} more" if len(faults) > _MAX_LISTED else ""
    return f"{', '.join(faults[:_MAX_LISTED])}{more}"


def _load(torch: Any, path: Path) -> Any:
    """Unpickles tensors, plain containers, and numbers including NumPy scalars, which stored scores often are."""
    from numpy._core.multiarray import scalar

    numbers = [type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")]
    allowed = [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *numbers]
    with torch.serialization.safe_globals(allowed), warnings.catch_warnings():
        # Python 2 pickled the bytes of numbers as text, which only Latin-1 decodes. PyTorch warns that it ignores the
        # encoding, although it does not.
        warnings.filterwarnings("ignore", "pickle_load_args only works")
        return torch.load(path, map_location="cpu", weights_only=True, encoding="latin1")


def _format_shape(shape: Sequence[int | None]) -> str:
    return "×".join("?" if size is None else str(size) for size in shape) or "a single number"


def leaves_with_names(tree: dict[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    """Returns the leaves of a nested dictionary, each with its path."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(tuple(entry.key for entry in path), leaf) for path, leaf in leaves]


def put_leaf(tree: dict[str, Any], path: tuple[str, ...], leaf: Any) -> None:
    """Sets the leaf at a path, creating missing dictionaries."""
    *parents, last = path
    for name in parents:
        tree = tree.setdefault(name, {})
    tree[last] = leaf
