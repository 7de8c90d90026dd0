"""Imports published weights: a ResNet for `--config.model.image.weights`, or a whole model as a workdir.

python -m adamine_jax.import_weights --from torchvision --file resnet101.pth --out resnet101.safetensors
python -m adamine_jax.import_weights --from adamine --file model.pth.tar --data data --workdir runs/published
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import jax

from adamine_jax.base.errors import UserError, one_line_errors, shown
from adamine_jax.base.flags import given_path, local_path
from adamine_jax.interop.published_names import PUBLISHED
from adamine_jax.models.image import torchvision
from adamine_jax.models.image.resnet_weights import write_image_weights
from adamine_jax.training.import_model import import_model

_MODEL_FLAGS = {"--data": True, "--workdir": True, "--sentence-vectors": False}
"""Flags of a whole model, and whether they are required."""

_MEANING = {
    "--out": ".safetensors file to write",
    "--workdir": "folder to create",
    "--data": "data set converted with the words and classes that the model was trained with",
}


@one_line_errors
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m adamine_jax.import_weights", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--from", dest="source", choices=["torchvision", *PUBLISHED], required=True, help="code base of the weights"
    )
    parser.add_argument("--file", type=given_path, required=True, help="state dict or checkpoint, .safetensors or .pth")
    parser.add_argument("--out", type=given_path, help=f"torchvision only: {_MEANING['--out']}")
    parser.add_argument("--workdir", type=local_path, help=f"whole models only: {_MEANING['--workdir']}")
    parser.add_argument("--data", type=local_path, help=f"whole models only: {_MEANING['--data']}")
    parser.add_argument("--sentence-vectors", type=local_path, help="whole models only: config.data.sentence_vectors")
    args = parser.parse_args(argv)
    _check_flags(args)
    if args.source == "torchvision":
        _import_resnet(args.file, args.out)
    else:
        import_model(args.source, args.file, args.data, args.workdir, args.sentence_vectors)


def _check_flags(args: argparse.Namespace) -> None:
    """Raises a `UserError` for a flag that the source does not take, and for a missing one."""
    takes = {"--out": True} if args.source == "torchvision" else _MODEL_FLAGS
    given = [flag for flag in ("--out", *_MODEL_FLAGS) if getattr(args, flag[2:].replace("-", "_")) is not None]
    required = [flag for flag, is_required in takes.items() if is_required]
    if invalid := [flag for flag in given if flag not in takes]:
        raise UserError(f"{invalid[0]}: not valid with --from {args.source}; give {' and '.join(required)}")
    if missing := [flag for flag in required if flag not in given]:
        raise UserError(f"{missing[0]} is missing: --from {args.source} requires it ({_MEANING[missing[0]]})")


def _import_resnet(file: Path, out: Path) -> None:
    weights = torchvision.read_torchvision(file)
    write_image_weights(out, weights)
    parameters = sum(leaf.size for leaf in jax.tree.leaves(weights.variables["params"]))
    print(f"{shown(out)}: ResNet-{weights.depth} of width {weights.width}, {parameters:,} parameters")
    if weights.dropped:
        print(f"left out: {', '.join(weights.dropped)} (the ImageNet classifier)")
    print(
        f"use it with --config.model.image.depth={weights.depth} --config.model.image.width={weights.width} "
        f"--config.model.image.weights={shown(out)}"
    )


if __name__ == "__main__":
    sys.exit(main())
