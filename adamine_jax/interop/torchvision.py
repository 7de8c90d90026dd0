"""ResNet weights in torchvision's names and layout, as `.safetensors` or `.pth` files."""

import dataclasses
import functools
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors

from adamine_jax.errors import UserError
from adamine_jax.models.resnet import LAYOUTS, Layout, ResNet

Tree = dict[str, Any]

TORCH_SUFFIXES = (".pth", ".pt", ".tar")
CLASSIFIER = ("fc.weight", "fc.bias")

_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
_LISTED = 10


@dataclasses.dataclass(frozen=True)
class ResNetWeights:
    """A ResNet's weights in this project's layout.

    Attributes:
        depth: 18, 34, 50, 101 or 152.
        width: channels of the first stage.
        variables: {'params', 'batch_stats'} of `models.resnet.ResNet`, float32 NumPy arrays.
        dropped: names in the file that have no place here: the ImageNet classifier.
    """

    depth: int
    width: int
    variables: Tree
    dropped: tuple[str, ...] = ()


def read_torchvision(path: Path) -> ResNetWeights:
    """Reads a state dict of a torchvision ResNet.

    Args:
        path: a `.safetensors` file, or one that `torch.save` wrote (`.pth`, `.pt`, `.tar`; this needs PyTorch).

    Raises:
        UserError: the file cannot be read, or is not the state dict of a ResNet.
    """
    path = Path(path)
    tensors = read_torch_file(path) if path.suffix in TORCH_SUFFIXES else read_safetensors(path)[0]
    return from_state_dict(tensors, where=str(path))


def from_state_dict(tensors: dict[str, np.ndarray], *, where: str = "the state dict") -> ResNetWeights:
    """Converts a state dict of a torchvision ResNet.

    Depth and width are read off the names and shapes. `num_batches_tracked` is ignored, `fc.weight` and `fc.bias`
    are dropped, and every other tensor must be there, in its shape, and alone.

    Args:
        tensors: arrays by torchvision's names.
        where: the file's name, for errors.

    Raises:
        UserError: names missing, left over or misshapen tensors, and those that are not finite.
    """
    tensors = {name: array for name, array in tensors.items() if not name.endswith("num_batches_tracked")}
    dropped = tuple(name for name in CLASSIFIER if name in tensors)
    tensors = {name: array for name, array in tensors.items() if name not in CLASSIFIER}
    depth, width = _depth_and_width(tensors, where)
    expected = abstract_variables(depth, width)
    by_name = {torchvision_name(path): (path, leaf.shape) for path, leaf in leaves_with_names(expected)}

    faults = [f"{name} is missing" for name in by_name if name not in tensors]
    faults += [f"{name} does not belong" for name in tensors if name not in by_name]
    variables: Tree = {}
    for name, (path, shape) in by_name.items():
        if name not in tensors:
            continue
        array = _to_ours(tensors[name])
        if array.shape != shape:
            wanted = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape
            faults.append(f"{name} is {_by(tensors[name].shape)} instead of {_by(wanted)}")
        elif not np.isfinite(array).all():
            faults.append(f"{name} has values that are not finite")
        else:
            put_leaf(variables, path, array)
    if faults:
        raise UserError(f"{where}: not the weights of a ResNet-{depth} of width {width}: {listed(faults)}")
    return ResNetWeights(depth, width, variables, dropped)


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


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a state dict that `torch.save` wrote. Nothing in the file is executed.

    Raises:
        UserError: PyTorch is not installed, there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    try:
        import torch
    except ImportError:
        raise UserError(
            f"{path}: reading .pth files needs PyTorch: pip install 'adamine-jax[torch]', or convert to .safetensors"
        ) from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # PyTorch raises a dozen different classes for a file that is damaged or not its own.
        reason = str(error).strip().split("\n")[0][:120] or type(error).__name__
        raise UserError(f"{path}: not a readable PyTorch file ({reason}); copy or download it again") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no state dict (names to tensors); save model.state_dict() alone")
    return {name: value.float().numpy() for name, value in state.items()}


def abstract_variables(depth: int, width: int) -> Tree:
    """Shapes and dtypes of a ResNet's variables, {'params', 'batch_stats'}."""
    photo = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    model = ResNet(depth, width)
    return jax.eval_shape(functools.partial(model.init, use_running_average=True), key, photo)


def torchvision_name(path: tuple[str, ...]) -> str:
    """Torchvision's name of one of our leaves.

    `('params', 'layer3_2', 'downsample_conv', 'kernel')` is `layer3.2.downsample.0.weight`.
    """
    _, *modules, leaf = path
    name = ".".join([*modules, _LEAVES[leaf]])
    name = re.sub(r"^(layer\d)_(\d+)", r"\1.\2", name)
    return name.replace("downsample_conv", "downsample.0").replace("downsample_bn", "downsample.1")


def find_depth(names: Iterable[str]) -> int | None:
    """Depth of the ResNet that has tensors of these torchvision names; None if its blocks are those of no ResNet."""
    names = list(names)
    blocks = [0, 0, 0, 0]
    for name in names:
        if match := re.match(r"layer([1-4])\.(\d+)\.", name):
            stage = int(match[1]) - 1
            blocks[stage] = max(blocks[stage], int(match[2]) + 1)
    layout = Layout(tuple(blocks), bottleneck=any(name.endswith("conv3.weight") for name in names))
    return next((depth for depth, known in LAYOUTS.items() if known == layout), None)


def leaves_with_names(tree: Tree) -> list[tuple[tuple[str, ...], Any]]:
    """A nested dictionary's leaves, each with the names that lead to it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(tuple(entry.key for entry in path), leaf) for path, leaf in leaves]


def put_leaf(tree: Tree, path: tuple[str, ...], leaf: Any) -> None:
    """Sets the leaf that these names lead to, making the dictionaries on the way."""
    *parents, last = path
    for name in parents:
        tree = tree.setdefault(name, {})
    tree[last] = leaf


def listed(faults: list[str]) -> str:
    """The first faults, and how many more there are."""
    more = f" and {len(faults) - _LISTED} more" if len(faults) > _LISTED else ""
    return f"{', '.join(faults[:_LISTED])}{more}"


def _to_ours(array: np.ndarray) -> np.ndarray:
    """Convolution kernels from (F, C, k, k) to (k, k, C, F); all in float32."""
    array = np.asarray(array, np.float32)
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def _depth_and_width(tensors: dict[str, np.ndarray], where: str) -> tuple[int, int]:
    stem = tensors.get("conv1.weight")
    if stem is None or stem.ndim != 4:
        raise UserError(
            f"{where}: not a torchvision ResNet (no conv1.weight among its {len(tensors)} tensors); "
            "give a state dict as torchvision names it"
        )
    depth = find_depth(tensors)
    if depth is None:
        raise UserError(
            f"{where}: its blocks are those of none of ResNet-18, 34, 50, 101 and 152; "
            "the file is another network, or a part of one"
        )
    return depth, stem.shape[0]


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single number"
