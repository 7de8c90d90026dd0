"""Files are written atomically; durations are formatted."""

import os
import resource

import numpy as np
import pytest

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.base.files import atomic_write, save_array, write_text
from adamine_jax.base.progress import format_seconds


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def fail():
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_written_file_has_ordinary_permissions(tmp_path):
    write_text(tmp_path / "a.txt", "é")
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "a.txt").stat().st_mode == plain.stat().st_mode
    assert (tmp_path / "a.txt").read_bytes() == "é".encode()


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.ones((4, 3), ">f2").T, np.zeros((0, 5), "u1")])
def test_an_array_is_written_as_numpy_does(tmp_path, array):
    save_array(tmp_path / "ours.npy", array)
    np.save(tmp_path / "numpy.npy", np.ascontiguousarray(array))
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


@pytest.mark.parametrize("numbers", [100, 1_000_000])
def test_a_truncated_array_is_an_error(tmp_path, numbers):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))  # as if the disk were full after 500 bytes
    try:
        with pytest.raises(OSError, match="File too large"):
            save_array(tmp_path / "array.npy", np.zeros(numbers))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_user_error_is_one_line_and_status_two(capsys):
    @one_line_errors
    def main(fails):
        if fails:
            raise UserError("file.json, record 3:\n  no title")

    assert main(False) == 0
    assert main(True) == 2
    assert capsys.readouterr().err == "error: file.json, record 3: no title\n"


@pytest.mark.parametrize(("seconds", "text"), [(41.2, "41s"), (185, "3m05s"), (8220, "2h17m")])
def test_durations_are_formatted(seconds, text):
    assert format_seconds(seconds) == text
