"""Mistakes end in one line and Ctrl-C in a clean death."""

import signal
import subprocess
import sys
from pathlib import Path

from adamine_jax.errors import UserError, one_line_errors

INTERRUPTED = """
from adamine_jax.errors import one_line_errors

@one_line_errors
def main():
    try:
        raise KeyboardInterrupt
    finally:
        print("closed")

main()
print("went on")
"""


def test_a_mistake_is_one_line_and_status_two(capsys):
    @one_line_errors
    def main():
        raise UserError("no such\n  file")

    assert main() == 2
    assert capsys.readouterr().err == "error: no such file\n"


def test_an_interrupt_ends_the_program_as_the_signal_does_once_all_is_closed():
    finished = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=Path(__file__).parents[1], capture_output=True, text=True
    )
    assert finished.returncode == -signal.SIGINT
    assert finished.stdout == "closed\n"
    assert finished.stderr == "interrupted\n"
