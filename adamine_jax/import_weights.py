"""Weights that others trained: a ResNet for `--config.model.image.weights`, or a whole model as a workdir.

python -m adamine_jax.import_weights --from torchvision --file resnet101.pth --out resnet101.safetensors
python -m adamine_jax.import_weights --from adamine --file model.pth.tar --data data --workdir runs/published
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from adamine_jax.errors import UserError, one_line_errors
from adamine_jax.files import written_whole
from adamine_jax.flags import given_path
from adamine_jax.import_model import import_model
from adamine_jax.interop import state_dicts, torchvision
from adamine_jax.interop.published_names import PUBLISHED
from adamine_jax.interop.state_dicts import listed
from adamine_jax.interop.torchvision import ResNetWeights, leaves_with_names

FORMAT = "adamine_jax"

RESNET = "image_tower/resnet"

_MODEL_FLAGS = {"--data": True, "--workdir": True, "--sentence-vectors": False}
"""Of a whole model, and whether it needs them."""

_MEANING = {
    "--out": "the .safetensors file to write",
    "--data": "a data set converted with the words that the model was trained with",
    "--workdir": "the folder to make",
}


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
            torchvision.put_leaf(loaded, (collection, *inside.split("/")), tensor)
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
    with written_whole(path) as aside:
        aside.write_bytes(safetensors.numpy.save(tensors, metadata))  # its `save_file` hides the system's error


@one_line_errors
def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m adamine_jax.import_weights", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--from", dest="source", choices=["torchvision", *PUBLISHED], required=True, help="who made the weights"
    )
    parser.add_argument(
        "--file", type=given_path, required=True, help="a state dict or checkpoint, .safetensors or .pth"
    )
    parser.add_argument("--out", type=given_path, help="of torchvision: the .safetensors file to write")
    parser.add_argument("--workdir", type=given_path, help="of a whole model: the folder to make")
    parser.add_argument(
        "--data", type=given_path, help="of a whole model: a data set of its words and classes, converted"
    )
    parser.add_argument("--sentence-vectors", type=given_path, help="of a whole model: config.data.sentence_vectors")
    args = parser.parse_args(argv)
    _check_flags(args)
    if args.source == "torchvision":
        _import_resnet(args.file, args.out)
        return
    import_model(args.source, args.file, args.data, args.workdir, args.sentence_vectors)


def _check_flags(args: argparse.Namespace) -> None:
    """Refuses flags of the other kind of source, and misses those of its own."""
    takes = {"--out": True} if args.source == "torchvision" else _MODEL_FLAGS
    given = [flag for flag in ("--out", *_MODEL_FLAGS) if getattr(args, flag[2:].replace("-", "_")) is not None]
    if others := [flag for flag in given if flag not in takes]:
        needed = " and ".join(flag for flag, needs in takes.items() if needs)
        raise UserError(f"{others[0]}: --from {args.source} does not take it; takes {needed}")
    if missing := [flag for flag, needs in takes.items() if needs and flag not in given]:
        raise UserError(f"{missing[0]} is missing: --from {args.source} needs it, {_MEANING[missing[0]]}")


def _import_resnet(file: Path, out: Path) -> None:
    weights = torchvision.read_torchvision(file)
    write_image_weights(out, weights)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(weights.variables["params"]))
    print(f"{out}: ResNet-{weights.depth} of width {weights.width}, {parameters:,} parameters")
    if weights.dropped:
        print(f"left out: {', '.join(weights.dropped)} (the ImageNet classifier)")
    print(
        f"use it with --config.model.image.depth={weights.depth} --config.model.image.width={weights.width} "
        f"--config.model.image.weights={out}"
    )


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


if __name__ == "__main__":
    sys.exit(main())
