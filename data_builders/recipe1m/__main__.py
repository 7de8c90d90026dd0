"""`python -m data_builders.recipe1m`: `command.py`, or one line where the extra `convert` is not installed."""

import sys

from adamine_jax.base.errors import one_line_errors
from adamine_jax.base.extras import require


@one_line_errors
def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    require("the converter needs", "convert", "msgspec", "matplotlib")
    from data_builders.recipe1m import command

    return command.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
