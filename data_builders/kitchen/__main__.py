"""Writes a synthetic Recipe1M in the layout of the official download, or a contact sheet of a download.

python -m data_builders.kitchen --out DIR --recipes 4200 --seed 1
python -m data_builders.kitchen --out DIR --contact-sheet FILE.png
"""

import argparse
import os
import sys
import time

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.base.flags import local_path
from adamine_jax.base.progress import format_seconds
from data_builders.kitchen.contact_sheet import write_contact_sheet
from data_builders.kitchen.writer import Kitchen, write_download
from data_builders.splits import parse_splits


@one_line_errors
def main(arguments: list[str] | None = None) -> None:
    flags = _flags(arguments)
    if flags.contact_sheet is not None:
        write_contact_sheet(flags.out, flags.contact_sheet, flags.seed)
        print(f"wrote {flags.contact_sheet}")
        return
    for name, minimum in (("recipes", 1), ("photo_size", 32), ("workers", 1), ("seed", 0), ("with_photos", 0)):
        value = getattr(flags, name)
        if value is not None and value < minimum:
            raise UserError(f"--{name.replace('_', '-')} {value}: must be at least {minimum}")
    start = time.monotonic()
    kitchen = Kitchen(flags.seed, flags.recipes, parse_splits(flags.splits), flags.photo_size, flags.with_photos)
    photos = write_download(kitchen, flags.out, flags.workers)
    seconds = time.monotonic() - start
    print(f"wrote {flags.recipes} recipes and {photos} photos to {flags.out} in {format_seconds(seconds)}")


def _flags(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m data_builders.kitchen", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=local_path, required=True, help="folder of the download; must be empty or missing"
    )
    parser.add_argument(
        "--recipes", type=int, default=4200, help="number of recipes in layer1.json, about 6%% of them with defects"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all random choices")
    parser.add_argument("--splits", default="0.7,0.15,0.15", help="shares of train, val and test")
    parser.add_argument("--photo-size", type=int, default=192, help="shorter side of the photos in pixels")
    parser.add_argument("--with-photos", type=int, help="number of leading recipes with photos (default: all)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="number of processes; does not change the output"
    )
    parser.add_argument(
        "--contact-sheet",
        type=local_path,
        metavar="FILE.png",
        help="draw photos of the existing download in --out instead",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
