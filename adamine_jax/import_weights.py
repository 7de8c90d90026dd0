"""Weights that others trained: a ResNet for `--config.model.image.weights`, or a whole model as a workdir.

python -m adamine_jax.import_weights --from torchvision --file resnet101.pth --out resnet101.safetensors
python -m adamine_jax.import_weights --from adamine --file model.pth.tar --data data --workdir runs/published
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import jax

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.base.flags import given_path
from adamine_jax.interop.published_names import PUBLISHED
from adamine_jax.models.image import torchvision
from adamine_jax.models.image.weights import write_image_weights
from adamine_jax.training.import_model import import_model

_MODEL_FLAGS = {"--data": True, "--workdir": True, "--sentence-vectors": False}
"""Of a whole model, and whether it needs them."""

_MEANING = {
    "--out": "the .safetensors file to write",
    "--data": "a data set converted with the words that the model was trained with",
    "--workdir": "the folder to make",
}


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


if __name__ == "__main__":
    sys.exit(main())
