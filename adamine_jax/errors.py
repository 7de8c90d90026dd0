"""Mistakes in input, told to the person at the keyboard in one line instead of a traceback."""

import functools
import os
import signal
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user gave cannot be used.

    The message is one line that says what is wrong, where (file, record, field) and what to do instead.
    """


def one_line_errors(main: Callable[..., int | None]) -> Callable[..., int]:
    """Wraps a command's `main`: a `UserError` becomes `error: …` on stderr and exit status 2.

    Args:
        main: the command; what it returns is its exit status, `None` counting as 0.

    Returns:
        A function of the same arguments that returns the exit status.
    """

    @functools.wraps(main)
    def wrapped(*args, **kwargs) -> int:
        try:
            return main(*args, **kwargs) or 0
        except UserError as error:
            from adamine_jax import processes  # which raises these errors itself

            print(f"error: {processes.prefix()}{' '.join(str(error).split())}", file=sys.stderr, flush=True)
            processes.leave(2)
            return 2
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr, flush=True)
            sys.stdout.flush()
            # Ends as a program without a handler would. An ordinary exit would tear down what other threads still
            # use: a compilation that goes on crashes it.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
            return 130

    return wrapped
