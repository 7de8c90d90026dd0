"""`adamine COMMAND …`: each command is the module that `python -m` runs, with its flags and exit statuses.

adamine train --config quickstart --workdir runs/a --config.data.dir=data
adamine search --workdir runs/a --image dinner.jpg
"""

import difflib
import runpy
import sys

from adamine_jax.base.errors import UserError, one_line_errors

COMMANDS = {
    "train": ("adamine_jax.main", "train, validate and test a model, or resume a run"),
    "evaluate": ("adamine_jax.evaluate", "score a model on a split"),
    "embed": ("adamine_jax.embed", "embed a split, photos or recipes as a gallery"),
    "search": ("adamine_jax.search", "search a gallery with a photo or a recipe"),
    "serve": ("adamine_jax.serve", "a page and an API to search with"),
    "figures": ("adamine_jax.figures", "draw a run's figures"),
    "compare": ("adamine_jax.compare", "put runs side by side"),
    "import-weights": ("adamine_jax.import_weights", "weights that others trained"),
    "export-weights": ("adamine_jax.export_weights", "a model as one .safetensors file"),
    "convert": ("data_builders.recipe1m", "download → TFRecords; also check, vectors"),
    "import": ("data_builders.recipe1m", "your own recipes → download"),
}
"""A command to the module that runs it, and what it does. `convert` and `import` are modules of the converter."""


@one_line_errors
def main() -> None:
    """Runs the command that the first argument names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h", "help"):
        print(__doc__)
        for command, (_, what) in COMMANDS.items():
            print(f"  {command:<15} {what}")
        print("\n`adamine COMMAND --help` lists a command's flags.")
        return
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"takes {', '.join(COMMANDS)}"
        raise UserError(f"adamine {name}: no such command; {hint}")
    module = COMMANDS[name][0]
    sys.argv[:2] = [f"adamine {name}", *(["import"] if name == "import" else [])]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.exit(main())
