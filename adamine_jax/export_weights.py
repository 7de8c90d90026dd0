"""Writes a trained model as one .safetensors file, as a folder for a model hub, or as StableHLO programs.

python -m adamine_jax.export_weights --workdir runs/a --out model.safetensors
python -m adamine_jax.export_weights --workdir runs/a --out model --format folder
python -m adamine_jax.export_weights --workdir runs/a --out model --format stablehlo
"""

import argparse
import sys
from collections.abc import Sequence

from adamine_jax.base.errors import UserError, one_line_errors, shown
from adamine_jax.base.flags import given_path
from adamine_jax.models.base import ImageTower
from adamine_jax.queries.programs import export_programs
from adamine_jax.runs import exported, model_card, workdir


@one_line_errors
def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(prog="python -m adamine_jax.export_weights", description=__doc__.split("\n")[0])
    parser.add_argument("--workdir", type=given_path, required=True, help="workdir of the training run")
    parser.add_argument("--out", type=given_path, required=True, help=".safetensors file or folder to write")
    parser.add_argument(
        "--format",
        choices=("safetensors", "folder", "stablehlo"),
        default="safetensors",
        help="all tensors (default); a folder with them, the configuration and the model card, which all commands and "
        "`adamine_jax.load` read like a workdir; or programs with their parameters, which need jax alone",
    )
    parser.add_argument("--batch-size", type=int, default=16, help="stablehlo only: rows of a batch (default: 16)")
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
    if args.format == "folder" and args.out.exists():
        raise UserError(f"--out {args.out}: exists; choose another folder")
    if args.batch_size < 1:
        raise UserError(f"--batch-size {args.batch_size}: must be at least 1")
    trained = workdir.load(args.workdir, checkpoint=args.checkpoint)
    if args.format == "stablehlo":
        for name, inputs in export_programs(trained, args.out, args.batch_size).items():
            fields = {"a batch": inputs} if "shape" in inputs else inputs
            shapes = (f"{field} {of['dtype']} {tuple(of['shape'])}" for field, of in fields.items())
            print(f"{shown(args.out)}/{name}.stablehlo: maps {', '.join(shapes)} to embeddings")
        return
    if args.format == "folder":
        text = model_card.stored(trained, args.workdir) or model_card.card(trained, args.workdir)
        parameters = exported.write_folder(trained, args.workdir, text, args.out)
        print(f"{shown(args.out)}: model of {shown(args.workdir)} at step {trained.step}, {parameters:,} parameters")
        print(f"complete its model card before you publish it: {shown(args.out / exported.CARD)}")
        return
    parameters = exported.write_weights(trained, args.out)
    print(f"{shown(args.out)}: model of {shown(args.workdir)} at step {trained.step}, {parameters:,} parameters")
    if trained.model.image_tower.backbone:
        section, tower = trained.config.model.image, type(trained.model.image_tower)
        reads_sizes = tower.complete.__func__ is not ImageTower.complete.__func__  # from the file
        sizes = {} if reads_sizes else {name: section[name] for name in section if name not in ("name", "weights")}
        flags = [f"--config.model.image.{name}={value}" for name, value in (sizes | {"weights": args.out}).items()]
        print(f"to use only the backbone of its image tower: {shown(' '.join(flags))}")


if __name__ == "__main__":
    sys.exit(main())
