"""Changes a gallery, also while a server searches it, and shows what it contains.

python -m adamine_jax.gallery add --workdir runs/a --gallery galleries/mine --recipes new.jsonl
python -m adamine_jax.gallery update --workdir runs/a --gallery galleries/mine --recipes changed.jsonl
python -m adamine_jax.gallery remove --gallery galleries/mine --ids 0123456789,abcdef0123
python -m adamine_jax.gallery compact --gallery galleries/mine
python -m adamine_jax.gallery stats --gallery galleries/mine --duplicates
python -m adamine_jax.gallery verify --gallery galleries/mine
python -m adamine_jax.gallery export --gallery galleries/mine --out items.parquet

Searches in all processes see a change within half a second. An interrupted command leaves only complete changes;
rerun it to continue.
"""

import argparse
import functools
import json
import sys

import tqdm

from adamine_jax.base.errors import UserError, one_line_errors, shown
from adamine_jax.base.flags import given_path, local_path
from adamine_jax.gallery import additions, duplicates, maintenance, opening
from adamine_jax.gallery.items import KINDS
from adamine_jax.gallery.store import Store
from adamine_jax.queries.encoder import BATCH_SIZES, Encoder
from adamine_jax.runs import workdir


@one_line_errors
def main(arguments: list[str] | None = None) -> None:
    """Parses the flags and runs the command."""
    flags = _parser().parse_args(arguments)
    flags.command(flags)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m adamine_jax.gallery", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, description: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=description, description=description)
        command.set_defaults(command=globals()[f"_{name}"])
        place = command.add_mutually_exclusive_group(required=True)
        place.add_argument("--gallery", type=local_path, metavar="DIR", help="folder of the gallery")
        opening.add_store_flag(place)
        return command

    for name, description in (
        ("add", "add recipes or photos; those whose id is in the gallery are skipped"),
        ("update", "add recipes or photos, which replace those of the same id"),
    ):
        command = add(name, description)
        workdir.add_flags(command)
        source = command.add_mutually_exclusive_group(required=True)
        source.add_argument(
            "--recipes",
            type=given_path,
            metavar="FILE",
            help="recipes, a file or a folder; with photos for a gallery of pairs",
        )
        source.add_argument("--photos", type=local_path, metavar="DIR", help="folder of photos")
    command = add("remove", "remove items")
    ids = command.add_mutually_exclusive_group(required=True)
    ids.add_argument("--ids", metavar="A,B", help="ids, separated by commas")
    ids.add_argument("--ids-from", type=given_path, metavar="FILE", help="file with an id in each line")
    command = add("compact", "delete the embeddings of removed items and join small files")
    command.add_argument("--index", action="store_true", help="also build the index again")
    command = add("stats", "show what a gallery contains")
    command.add_argument(
        "--duplicates", action="store_true", help="also list groups of near duplicates, all with --json"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    add("verify", "read everything and report damage")
    command = add("export", "write items and embeddings as Parquet")
    command.add_argument("--out", type=local_path, required=True, metavar="FILE", help="file to write")
    command.add_argument("--format", choices=("parquet",), default="parquet", help="default: parquet")
    return parser


def _add(flags: argparse.Namespace, *, replace: bool = False) -> None:
    gallery = _opened(flags)
    with gallery.accepting_changes(), gallery.editor() as editor:
        encoder = Encoder(workdir.load_from_flags(flags), BATCH_SIZES)
        gallery.check_model(encoder.digest)
        sides = tuple(editor.about["sides"])
        say = functools.partial(tqdm.tqdm.write, file=sys.stderr)
        if (flags.photos is not None) != (sides == ("image",)):
            wanted = "--photos" if sides == ("image",) else "--recipes"
            raise UserError(f"{gallery.name}: a gallery of {KINDS[sides]}; add to it with {wanted}")
        if flags.photos:
            encoder.check_reads_photos()
            found = additions.photos(encoder, flags.photos, say)
        else:
            found = additions.recipes(encoder, sides, flags.recipes, say)
        count = additions.add(editor, encoder, found, say, replace=replace)
    _report(gallery, f"{count} {'added or replaced' if replace else 'added'}")


def _update(flags: argparse.Namespace) -> None:
    _add(flags, replace=True)


def _remove(flags: argparse.Namespace) -> None:
    try:
        text = flags.ids.replace(",", "\n") if flags.ids else flags.ids_from.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"--ids-from {flags.ids_from}: cannot be read ({error})") from None
    ids = list(dict.fromkeys(filter(None, map(str.strip, text.splitlines()))))
    gallery = _opened(flags)
    with gallery.accepting_changes(), gallery.editor() as editor:
        unknown = [identity for identity in ids if not editor.has(identity)]
        count = editor.remove(ids)
    if unknown:
        print(f"not in the gallery: {', '.join(unknown[:5])}{', …' if len(unknown) > 5 else ''}", file=sys.stderr)
    _report(gallery, f"{count} removed")


def _compact(flags: argparse.Namespace) -> None:
    gallery = _opened(flags)
    with gallery.editor() as editor:
        count = editor.compact()
    _report(gallery, f"the embeddings of {count} removed items are deleted")
    if flags.index:
        for modality in gallery.modalities:
            gallery.build_index(modality)


def _stats(flags: argparse.Namespace) -> None:
    gallery = _opened(flags)
    found = maintenance.stats(gallery)
    groups = duplicates.groups(gallery) if flags.duplicates else []
    if flags.json:
        found |= {"duplicates": groups} if flags.duplicates else {}
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return
    print(maintenance.text_of(found))
    if flags.duplicates:
        print(f"groups of near duplicates: {len(groups)}")
        for group in groups[:20]:
            print(f"  {', '.join(group)}")


def _verify(flags: argparse.Namespace) -> None:
    gallery = _opened(flags)
    gallery.verify()
    print(f"{shown(gallery.name)}: {_items(gallery)}, no damage found")


def _export(flags: argparse.Namespace) -> None:
    count = maintenance.export(_opened(flags), flags.out)
    print(f"{shown(flags.out)}: {count} items")


def _opened(flags: argparse.Namespace) -> Store:
    return opening.opened(flags.store or flags.gallery)


def _report(gallery: Store, what: str) -> None:
    gallery.refresh()
    print(f"{shown(gallery.name)}: {what}; {_items(gallery)}")


def _items(gallery: Store) -> str:
    count = len(gallery)
    return f"{count:,} item{'s' if count != 1 else ''}"


if __name__ == "__main__":
    sys.exit(main())
