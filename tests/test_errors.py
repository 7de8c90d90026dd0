"""User errors are reported in one line, and Ctrl-C ends the program by its signal."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adamine_jax.base.errors import DiskFull, UserError, one_line_errors

INTERRUPTED = """
from adamine_jax.base.errors import one_line_errors

@one_line_errors
def main():
    try:
        raise KeyboardInterrupt
    finally:
        print("closed")

main()
print("went on")
"""


def test_a_user_error_is_one_line_and_status_two(capsys):
    @one_line_errors
    def main():
        raise UserError("no such\n  file")

    assert main() == 2
    assert capsys.readouterr().err == "error: no such file\n"


def test_an_interrupt_ends_the_program_by_its_signal_after_cleaning_up():
    finished = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=Path(__file__).parents[1], capture_output=True, text=True
    )
    assert finished.returncode == -signal.SIGINT
    assert finished.stdout == "closed\n"
    assert finished.stderr == "interrupted\n"


def test_a_full_disk_is_one_line_with_the_free_space_and_status_one(tmp_path, capsys):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "not" / "there"))

    @one_line_errors
    def main(error):
        raise error

    assert main(full) == 1
    assert main(DiskFull(OSError(errno.EDQUOT, "?"), tmp_path, "make it larger")) == 1
    assert main(OSError(errno.EFBIG, "?")) == 1
    first, second, third = capsys.readouterr().err.splitlines()
    before, _, rest = first.partition(" (")
    assert before == f"error: {tmp_path}/not/there: no space left on device"
    free, _, rest = rest.partition(" ")
    assert float(free.replace(",", "")) > 0
    assert rest == "MiB are free); free some space and rerun the command"
    assert second.startswith(f"error: {tmp_path}: disk quota exceeded (")
    assert second.endswith("; make it larger")
    assert third == "error: file too large; free some space and rerun the command"


def test_other_system_errors_are_not_hidden():
    @one_line_errors
    def main():
        open("/no/such/folder/file")  # noqa: SIM115

    with pytest.raises(FileNotFoundError):
        main()
