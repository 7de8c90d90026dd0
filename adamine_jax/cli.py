"""usage: adamine COMMAND [flags], or adamine --version

Each command is also a module, such as `python -m adamine_jax.search`, with the same flags and exit status.

adamine train --config quickstart --workdir runs/a --config.data.dir=data
adamine search --workdir runs/a --image dinner.jpg
"""

import difflib
import runpy
import sys

from adamine_jax.base import __version__
from adamine_jax.base.errors import UserError, one_line_errors

COMMANDS = {
    "train": ("adamine_jax.main", "train, validate and test a model, or resume a run"),
    "evaluate": ("adamine_jax.evaluate", "score a model on a split"),
    "embed": ("adamine_jax.embed", "embed a split, photos or recipes as a gallery"),
    "gallery": ("adamine_jax.gallery", "add to, remove from and check a gallery"),
    "search": ("adamine_jax.search", "search a gallery with a photo or a recipe"),
    "serve": ("adamine_jax.serve", "serve a search page and an API"),
    "figures": ("adamine_jax.figures", "draw a run's figures"),
    "compare": ("adamine_jax.compare", "compare runs"),
    "import-weights": ("adamine_jax.import_weights", "import weights from other projects"),
    "export-weights": ("adamine_jax.export_weights", "export a model as a file, a folder for hubs, or programs"),
    "convert": ("data_builders.recipe1m", "convert a download to TFRecords; also check, vectors"),
    "import": ("data_builders.recipe1m", "import your own recipes, for convert"),
}
"""Module and description of each command."""


@one_line_errors
def main() -> None:
    """Runs the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h", "help"):
        print(__doc__)
        for command, (_, description) in COMMANDS.items():
            print(f"  {command:<15} {description}")
        print("\n`adamine COMMAND --help` lists the flags of a command.")
        return
    if name == "--version":
        print(f"adamine-jax {__version__}")
        return
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose {', '.join(COMMANDS)}"
        raise UserError(f"adamine {name}: no such command; {hint}")
    module = COMMANDS[name][0]
    sys.argv[:2] = [f"adamine {name}", *(["import"] if name == "import" else [])]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.exit(main())
