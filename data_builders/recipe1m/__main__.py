"""Entry point of `python -m data_builders.recipe1m`; see `command`."""

import sys

from adamine_jax.base.errors import one_line_errors


@one_line_errors
def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    from data_builders.recipe1m import command  # imported here so that a missing extra is reported in one line

    return command.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
