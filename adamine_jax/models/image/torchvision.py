"""Reads ResNet weights in torchvision's or transformers' names from `.safetensors` or `.pth` files."""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.interop.state_dicts import leaves_with_names, listed, put_leaf, read_state_dict, tensor_fault
from adamine_jax.models.image.resnet import LAYOUTS, Layout, ResNet
from adamine_jax.models.image.resnet_names import STEMS, file_modules, renamed

Tree = dict[str, Any]

CLASSIFIER = ("fc.weight", "fc.bias")
ENTRIES = ("state_dict", "model", "model_state_dict")
"""Keys under which training code stores a state dict."""

_LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


@dataclasses.dataclass(frozen=True)
class ResNetWeights:
    """A ResNet's weights in this project's layout.

    Attributes:
        depth: 10, 18, 34, 50, 101 or 152.
        width: Channels of the first stage.
        variables: {'params', 'batch_stats'} of `resnet.ResNet`, float32 NumPy arrays.
        dropped: Names of unused tensors of the file: the ImageNet classifier.
    """

    depth: int
    width: int
    variables: Tree
    dropped: tuple[str, ...] = ()


def read_torchvision(path: Path) -> ResNetWeights:
    """Reads the state dict of a ResNet; see `from_state_dict` for its names.

    Args:
        path: A `.safetensors` file, or a file from `torch.save` (`.pth`, `.pt`, `.tar`), which requires PyTorch and may
            contain the state dict under one of `ENTRIES`.

    Raises:
        UserError: The file cannot be read or is not the state dict of a ResNet.
    """
    return from_state_dict(read_state_dict(path, ENTRIES), where=str(path))


def from_state_dict(tensors: dict[str, np.ndarray], *, where: str = "the state dict") -> ResNetWeights:
    """Converts the state dict of a ResNet.

    Depth and width are inferred from names and shapes. `num_batches_tracked` is ignored and the ImageNet classifier is
    dropped. All other tensors must match exactly.

    The names do not tell where a bottleneck of transformers' has its stride: it must be in the 3×3 convolution, as in
    torchvision, which is the default (`downsample_in_bottleneck=False`).

    Args:
        tensors: Arrays by torchvision's or transformers' names; see `resnet_names.file_modules`.
        where: Name of the file, for error messages.

    Raises:
        UserError: Tensors are missing, unexpected, of the wrong shape or not finite; the message names them.
    """
    tensors = {name: array for name, array in tensors.items() if not name.endswith("num_batches_tracked")}
    to_file = file_modules(tensors)
    if to_file is None:
        raise UserError(
            f"{where}: not a ResNet (no {' or '.join(STEMS)} among its {len(tensors)} tensors); give a state dict with "
            "the names of torchvision or transformers"
        )
    from_file = {theirs: ours for ours, theirs in to_file.items()}
    names = {name: renamed(name, from_file) for name in tensors}
    resnet = {ours: tensors[name] for name, ours in names.items() if ours}
    dropped = [name for name in CLASSIFIER if resnet.pop(name, None) is not None]

    def in_file(name: str) -> str:
        return renamed(name, to_file) or name

    depth, width = depth_and_width(resnet, where)
    variables, faults = convert(resnet, depth, width, in_file)
    faults += [f"{name} is unexpected" for name, ours in names.items() if ours is None]
    if faults:
        raise UserError(f"{where}: not the weights of a ResNet-{depth} of width {width}: {listed(faults)}")
    return ResNetWeights(depth, width, variables, tuple(map(in_file, dropped)))


def convert(
    tensors: dict[str, np.ndarray], depth: int, width: int, rename: Callable[[str], str] = str
) -> tuple[Tree, list[str]]:
    """Converts torchvision's tensors to this project's layout.

    Args:
        tensors: Arrays by torchvision's names.
        depth: Depth of the ResNet.
        width: Channels of its first stage.
        rename: Maps torchvision's name of a tensor to its name in the file, for the faults.

    Returns:
        {'params', 'batch_stats'} of `resnet.ResNet`, and a description of each tensor that does not match.
    """
    by_name = {
        torchvision_name(path): (path, leaf.shape) for path, leaf in leaves_with_names(abstract_variables(depth, width))
    }
    faults = [f"{rename(name)} is missing" for name in by_name if name not in tensors]
    faults += [f"{rename(name)} is unexpected" for name in tensors if name not in by_name]
    variables: Tree = {}
    for name, (path, shape) in by_name.items():
        if name not in tensors:
            continue
        expected = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else shape
        if fault := tensor_fault(rename(name), tensors[name], expected):
            faults.append(fault)
        else:
            put_leaf(variables, path, _to_ours(tensors[name]))
    return variables, faults


def abstract_variables(depth: int, width: int) -> Tree:
    """Returns the shapes and dtypes of a ResNet's variables, {'params', 'batch_stats'}."""
    photo = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    model = ResNet(depth, width)
    return jax.eval_shape(functools.partial(model.init, use_running_average=True), key, photo)


def torchvision_name(path: tuple[str, ...]) -> str:
    """Returns torchvision's name of a leaf.

    `('params', 'layer3_2', 'downsample_conv', 'kernel')` is `layer3.2.downsample.0.weight`.
    """
    _, *modules, leaf = path
    name = ".".join([*modules, _LEAVES[leaf]])
    name = re.sub(r"^(layer\d)_(\d+)", r"\1.\2", name)
    return name.replace("downsample_conv", "downsample.0").replace("downsample_bn", "downsample.1")


def find_depth(names: Iterable[str]) -> int | None:
    """Returns the depth of the ResNet with tensors of these torchvision names; None if no ResNet has these blocks."""
    names = list(names)
    found = [re.match(r"layer([1-4])\.(\d+)\.", name) for name in names]
    places = [(int(match[1]), int(match[2]) + 1) for match in found if match]
    one, two, three, four = (
        max((count for place, count in places if place == stage), default=0) for stage in range(1, 5)
    )
    layout = Layout((one, two, three, four), bottleneck=any(name.endswith("conv3.weight") for name in names))
    return next((depth for depth, known in LAYOUTS.items() if known == layout), None)


def depth_and_width(tensors: dict[str, np.ndarray], where: str) -> tuple[int, int]:
    """Returns the depth and width of the ResNet with these tensors.

    Args:
        tensors: Arrays by torchvision's names; one is `conv1.weight`.
        where: Name of the file, for error messages.

    Raises:
        UserError: The tensors are those of another network.
    """
    depth = find_depth(tensors)
    if depth is None:
        raise UserError(
            f"{where}: its blocks match none of ResNet-10, 18, 34, 50, 101 and 152; give the state dict of one of these"
        )
    shape = tensors["conv1.weight"].shape
    return depth, max(shape[0], 1) if shape else 1  # `convert` refuses an empty convolution


def _to_ours(array: np.ndarray) -> np.ndarray:
    """Transposes convolution kernels from (F, C, k, k) to (k, k, C, F) and casts to float32."""
    array = np.asarray(array, np.float32)
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
