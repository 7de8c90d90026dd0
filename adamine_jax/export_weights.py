"""Writes a trained model as one .safetensors file, or as StableHLO programs.

python -m adamine_jax.export_weights --workdir runs/a --out model.safetensors
python -m adamine_jax.export_weights --workdir runs/a --out model --format stablehlo
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import safetensors.numpy

from adamine_jax.base.errors import UserError, one_line_errors, shown
from adamine_jax.base.files import atomic_write
from adamine_jax.base.flags import given_path
from adamine_jax.config import stored as configuration
from adamine_jax.interop.state_dicts import FORMAT, leaves_with_names
from adamine_jax.models.base import ImageTower
from adamine_jax.queries.programs import export_programs
from adamine_jax.runs import workdir


def export_weights(trained: workdir.Trained, path: Path) -> int:
    """Writes a model's parameters and BatchNorm statistics atomically.

    Tensors are named by their path in the model's variables, like `params/recipe_tower/fc/kernel`. The metadata are
    {format: adamine_jax, step, config (content of `config.json`), vocabulary_digest}.

    Args:
        trained: Model to write.
        path: Path of the .safetensors file.

    Returns:
        The number of parameters.
    """
    variables = jax.device_get(trained.variables)
    tensors = {"/".join(names): np.ascontiguousarray(leaf) for names, leaf in leaves_with_names(variables)}
    metadata = {
        "format": FORMAT,
        "step": str(trained.step),
        "config": configuration.to_json(trained.config),
        "vocabulary_digest": trained.vocabulary_digest,
    }
    with atomic_write(path) as temporary:
        # `save_file` would hide the operating system's error.
        temporary.write_bytes(safetensors.numpy.save(tensors, metadata))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


@one_line_errors
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m adamine_jax.export_weights", description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", type=given_path, required=True, help="workdir of the training run")
    parser.add_argument("--out", type=given_path, required=True, help=".safetensors file or folder to write")
    parser.add_argument(
        "--format",
        choices=("safetensors", "stablehlo"),
        default="safetensors",
        help="all tensors (default), or programs with their parameters, which need jax alone",
    )
    parser.add_argument("--batch-size", type=int, default=16, help="rows of the programs' batches")
    parser.add_argument(
        "--checkpoint",
        choices=("best", "last"),
        default="best",
        help="best by validation score (default), or last",
    )
    args = parser.parse_args(argv)
    if args.format == "safetensors" and args.out.suffix != ".safetensors":
        raise UserError(f"--out {args.out}: the name must end in .safetensors")
    if not args.out.parent.is_dir():
        raise UserError(f"--out {args.out}: the folder {args.out.parent} does not exist; create it first")
    if args.batch_size < 1:
        raise UserError(f"--batch-size {args.batch_size}: must be at least 1")
    trained = workdir.load(args.workdir, checkpoint=args.checkpoint)
    if args.format == "stablehlo":
        for name, inputs in export_programs(trained, args.out, args.batch_size).items():
            fields = {"a batch": inputs} if "shape" in inputs else inputs
            shapes = (f"{field} {of['dtype']} {tuple(of['shape'])}" for field, of in fields.items())
            print(f"{shown(args.out)}/{name}.stablehlo: maps {', '.join(shapes)} to embeddings")
        return
    parameters = export_weights(trained, args.out)
    print(f"{shown(args.out)}: model of {shown(args.workdir)} at step {trained.step}, {parameters:,} parameters")
    if trained.model.image_tower.backbone:
        section, tower = trained.config.model.image, type(trained.model.image_tower)
        reads_sizes = tower.complete.__func__ is not ImageTower.complete.__func__  # from the file
        sizes = {} if reads_sizes else {name: section[name] for name in section if name not in ("name", "weights")}
        flags = [f"--config.model.image.{name}={value}" for name, value in (sizes | {"weights": args.out}).items()]
        print(f"to use only the backbone of its image tower: {shown(' '.join(flags))}")


if __name__ == "__main__":
    sys.exit(main())
