"""Writes a trained model as one .safetensors file.

python -m adamine_jax.export_weights --workdir runs/a --out model.safetensors
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import safetensors.numpy

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.base.files import atomic_write
from adamine_jax.base.flags import given_path
from adamine_jax.config import stored as configuration
from adamine_jax.interop.state_dicts import FORMAT, leaves_with_names
from adamine_jax.runs import workdir


def export_weights(trained: workdir.Trained, path: Path) -> int:
    """Writes a model's parameters and BatchNorm statistics, whole or not at all.

    A tensor is called after its place in the model's variables, `params/recipe_tower/fc/kernel`. The metadata say
    {format: adamine_jax, step, config (as `config.json` holds it), vocabulary_digest}.

    Args:
        trained: the model.
        path: of the .safetensors file.

    Returns:
        How many parameters the model has.
    """
    variables = jax.device_get(trained.variables)
    tensors = {"/".join(names): np.ascontiguousarray(leaf) for names, leaf in leaves_with_names(variables)}
    metadata = {
        "format": FORMAT,
        "step": str(trained.step),
        "config": configuration.to_json(trained.config),
        "vocabulary_digest": trained.vocabulary_digest,
    }
    with atomic_write(path) as aside:
        aside.write_bytes(safetensors.numpy.save(tensors, metadata))  # its `save_file` hides the system's error
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


@one_line_errors
def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m adamine_jax.export_weights", description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", type=given_path, required=True, help="folder of a training run")
    parser.add_argument("--out", type=given_path, required=True, help="the .safetensors file to write")
    parser.add_argument(
        "--checkpoint", choices=("best", "last"), default="best", help="best by validation (default), or last"
    )
    args = parser.parse_args(argv)
    if args.out.suffix != ".safetensors":
        raise UserError(f"--out {args.out}: takes a name that ends in .safetensors")
    if not args.out.parent.is_dir():
        raise UserError(f"{args.out.parent}: there is no such folder to write {args.out.name} into")
    trained = workdir.load(args.workdir, checkpoint=args.checkpoint)
    parameters = export_weights(trained, args.out)
    print(f"{args.out}: the model of {args.workdir} at step {trained.step}, {parameters:,} parameters")
    if trained.model.image_tower.backbone:
        sizes = {name: value for name, value in trained.config.model.image.items() if name not in ("name", "weights")}
        shown = [f"--config.model.image.{name}={value}" for name, value in (sizes | {"weights": args.out}).items()]
        print(f"the backbone of its image tower alone: {' '.join(shown)}")


if __name__ == "__main__":
    sys.exit(main())
