"""Reads and writes the weights of a ResNet.

Tensors are named after their path in the model's variables. State dicts of torchvision and transformers are read, too.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from adamine_jax.base import storage
from adamine_jax.base.errors import UserError
from adamine_jax.base.files import atomic_write
from adamine_jax.interop import state_dicts
from adamine_jax.interop.state_dicts import FORMAT, leaves_with_names, listed
from adamine_jax.models.image import torchvision
from adamine_jax.models.image.torchvision import ResNetWeights

RESNET = "image_tower/resnet"


def load_image_weights(path: str | Path, variables: dict[str, Any]) -> dict[str, Any]:
    """Loads the ResNet of a file into a model's variables.

    Args:
        path: A file from `write_image_weights` or `export_weights`, or a state dict of torchvision or transformers
            (`.safetensors`, `.pth`).
        variables: {'params', 'batch_stats'} of `models.adamine.AdaMine`.

    Returns:
        The variables with the ResNet of the file. Dtypes do not change.

    Raises:
        UserError: The file cannot be read or contains a ResNet of another depth or width.
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
    """Reads a ResNet from a file of this project, torchvision or transformers.

    Raises:
        UserError: The file cannot be read or contains no ResNet.
    """
    path = storage.local(path)
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
        raise UserError(f"{path}: contains no complete ResNet; import or export one again")
    return ResNetWeights(depth, stem.shape[-1], loaded)


def write_image_weights(path: str | Path, weights: ResNetWeights) -> None:
    """Writes a ResNet for `load_image_weights` to a safetensors file, atomically.

    Tensors are named as in the model's variables, `params/image_tower/resnet/conv1/kernel`. The metadata is
    {format: adamine_jax, depth, width}.

    Raises:
        UserError: The folder of `path` does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise UserError(f"{path.parent}: no such folder; create it before {path.name} is written")
    tensors = {
        "/".join([collection, RESNET, *names]): np.ascontiguousarray(leaf)
        for (collection, *names), leaf in leaves_with_names(weights.variables)
    }
    metadata = {"format": FORMAT, "depth": str(weights.depth), "width": str(weights.width)}
    with atomic_write(path) as temporary:
        temporary.write_bytes(safetensors.numpy.save(tensors, metadata))  # `save_file` hides the OS error


def _check_same_resnet(ours: dict[str, Any], weights: ResNetWeights, path: str | Path) -> None:
    model, file = ({n: leaf.shape for n, leaf in leaves_with_names(t)} for t in (ours, weights.variables))
    if model == file:
        return
    depth = torchvision.find_depth(map(torchvision.torchvision_name, model))
    width = model["params", "conv1", "kernel"][-1]
    if (depth, width) != (weights.depth, weights.width):
        raise UserError(
            f"{path}: contains a ResNet-{weights.depth} of width {weights.width}, the model has a ResNet-{depth} of "
            f"width {width}; set config.model.image.depth = {weights.depth} and config.model.image.width = "
            f"{weights.width}, or give other weights"
        )
    differing = ["/".join(names) for names in sorted(model | file) if model.get(names) != file.get(names)]
    raise UserError(
        f"{path}: tensors are missing, unexpected or of the wrong shape: {listed(differing)}; import the file again"
    )
