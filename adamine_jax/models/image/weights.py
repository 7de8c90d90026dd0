"""Files with the weights of a ResNet: reads them into a model, and writes them.

Their tensors are named after their place in the model's variables; torchvision's state dicts are read too.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from adamine_jax.base.errors import UserError
from adamine_jax.base.files import atomic_write
from adamine_jax.interop import state_dicts
from adamine_jax.interop.state_dicts import FORMAT, leaves_with_names, listed
from adamine_jax.models.image import torchvision
from adamine_jax.models.image.torchvision import ResNetWeights

RESNET = "image_tower/resnet"


def load_image_weights(path: str | Path, variables: dict[str, Any]) -> dict[str, Any]:
    """Puts a file's ResNet into a model's variables.

    Args:
        path: a file that `write_image_weights` or `export_weights` wrote, or a torchvision state dict
            (`.safetensors`, `.pth`).
        variables: {'params', 'batch_stats'} of `models.adamine.AdaMine`.

    Returns:
        The same variables with another ResNet, each array in the dtype it had.

    Raises:
        UserError: the file cannot be read, or holds another ResNet than the model's.
    """
    weights = read_image_weights(path)
    ours = {collection: variables[collection]["image_tower"]["resnet"] for collection in ("params", "batch_stats")}
    _check_same_resnet(ours, weights, path)
    loaded = jax.tree.map(lambda old, new: jnp.asarray(new, old.dtype), ours, weights.variables)
    return {
        collection: {**tree, "image_tower": {**tree["image_tower"], "resnet": loaded[collection]}}
        if collection in loaded
        else tree
        for collection, tree in variables.items()
    }


def read_image_weights(path: str | Path) -> ResNetWeights:
    """Reads a ResNet from a file of this project or of torchvision.

    Raises:
        UserError: the file cannot be read, or holds no ResNet.
    """
    path = Path(path)
    if path.suffix in state_dicts.TORCH_SUFFIXES:
        return torchvision.read_torchvision(path)
    tensors, metadata = state_dicts.read_safetensors(path)
    if metadata.get("format") != FORMAT:
        return torchvision.from_state_dict(tensors, where=str(path))
    loaded: dict[str, Any] = {}
    for name, tensor in tensors.items():
        collection, is_resnet, inside = name.partition(f"/{RESNET}/")
        if is_resnet:
            state_dicts.put_leaf(loaded, (collection, *inside.split("/")), tensor)
    names = [torchvision.torchvision_name(names) for names, _ in leaves_with_names(loaded)]
    stem = tensors.get(f"params/{RESNET}/conv1/kernel")
    depth = torchvision.find_depth(names)
    if stem is None or depth is None:
        raise UserError(f"{path}: holds no whole ResNet; import or export it again, from a model that has one")
    return ResNetWeights(depth, stem.shape[-1], loaded)


def write_image_weights(path: str | Path, weights: ResNetWeights) -> None:
    """Writes a ResNet for `load_image_weights`: a safetensors file, whole or not at all.

    Its tensors are called as in the model's variables, `params/image_tower/resnet/conv1/kernel`; its metadata say
    {format: adamine_jax, depth, width}.

    Raises:
        UserError: there is no such folder.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"{path.parent}: there is no such folder to write {path.name} into")
    tensors = {
        "/".join([collection, RESNET, *names]): np.ascontiguousarray(leaf)
        for (collection, *names), leaf in leaves_with_names(weights.variables)
    }
    metadata = {"format": FORMAT, "depth": str(weights.depth), "width": str(weights.width)}
    with atomic_write(path) as aside:
        aside.write_bytes(safetensors.numpy.save(tensors, metadata))  # its `save_file` hides the system's error


def _check_same_resnet(ours: dict[str, Any], weights: ResNetWeights, path: str | Path) -> None:
    here, there = ({n: leaf.shape for n, leaf in leaves_with_names(t)} for t in (ours, weights.variables))
    if here == there:
        return
    depth = torchvision.find_depth(map(torchvision.torchvision_name, here))
    width = here["params", "conv1", "kernel"][-1]
    if (depth, width) != (weights.depth, weights.width):
        raise UserError(
            f"{path}: holds a ResNet-{weights.depth} of width {weights.width}, the model has a ResNet-{depth} of width "
            f"{width}: set model.image.depth = {weights.depth} and model.image.width = {weights.width}, or give other "
            "weights"
        )
    differing = ["/".join(names) for names in sorted(here | there) if here.get(names) != there.get(names)]
    raise UserError(f"{path}: tensors are missing, left over or misshapen, import them again: {listed(differing)}")
