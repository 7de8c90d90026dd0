"""A full disk: a one-line error, no incomplete output, and a second run that works.

No disk is filled: a limit on the size of files makes each write beyond it fail as on a full one.
"""

import contextlib
import errno
import json
import os
import resource
import subprocess
import sys

import pytest

from adamine_jax.base.errors import UserError
from data_builders.file_errors import os_errors_reported
from tests.data_builders.recipe1m.download import jpeg
from tests.data_builders.recipe1m.planted import FEW_WORDS, planted, run
from tests.data_builders.recipe1m.test_vectors import encodings, write_file


@contextlib.contextmanager
def files_of_at_most(size: int):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with input for each command."""
    folder = tmp_path_factory.mktemp("inputs")
    planted().write(folder / "download")
    write_file(folder / "encodings", "train", encodings(range(50), [20] * 50)[0])
    own = folder / "own"
    own.mkdir()
    lines = []
    for number in range(20):
        (own / f"{number}.jpg").write_bytes(jpeg(number))
        steps = [f"Stir {number}. " + "and stir " * 100]
        lines.append({"title": f"Stew {number}", "instructions": steps, "images": [f"{number}.jpg"]})
    (own / "own.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def command(name: str, inputs, out):
    return {
        "build": ("--source", inputs / "download", "--out", out, *FEW_WORDS),
        "check": ("check", "--source", inputs / "download", "--out", out, *FEW_WORDS),
        "import": ("import", "--from", inputs / "own" / "own.jsonl", "--out", out),
        "vectors": ("vectors", "--source", inputs / "encodings", "--out", out / "sentences.npy"),
    }[name]


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("size", [0, 300, 8_000])
@pytest.mark.parametrize("name", ["check", "import", "vectors"])
def test_a_full_disk_is_one_line_and_the_next_run_works(inputs, tmp_path, capsys, name, size):
    arguments = command(name, inputs, tmp_path / "out")
    with files_of_at_most(size):
        assert run(*arguments) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert line.startswith("error: ")
    assert str(tmp_path) in line
    assert "free some space" in line
    assert files(tmp_path) == {}
    assert run(*arguments) == 0
    assert run(*command(name, inputs, tmp_path / "other")) == 0
    assert files(tmp_path / "out") == files(tmp_path / "other") != {}


def test_an_older_report_stays(inputs, tmp_path):
    arguments = command("check", inputs, tmp_path / "report")
    assert run(*arguments) == 0
    before = files(tmp_path)
    with files_of_at_most(8_000):
        assert run(*arguments, "--resize", "20") == 2
    assert files(tmp_path) == before


@pytest.mark.parametrize("size", [300, pytest.param(8_000, marks=pytest.mark.slow)])
def test_a_build_on_a_full_disk(inputs, tmp_path, size):
    arguments = [str(word) for word in command("build", inputs, tmp_path)]
    limited = (
        "import resource, sys\n"
        "from data_builders.recipe1m.__main__ import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run([sys.executable, "-c", limited, *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert line.startswith(f"error: {tmp_path}")
    assert "free some space" in line
    assert files(tmp_path) == {}


def test_a_check_needs_little_space_and_reports_where(inputs, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with files_of_at_most(0):
        assert run("check", "--source", inputs / "download", *FEW_WORDS) == 2
    assert f"error: {tmp_path}" in capsys.readouterr().err
    assert files(tmp_path) == {}


def test_other_problems_name_the_file(tmp_path):
    with pytest.raises(UserError, match=r"^/absent/file: No such file or directory$"), os_errors_reported(tmp_path):
        os.stat("/absent/file")
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full/file")
    with pytest.raises(UserError, match=r"^/full/file: No space left on device \("), os_errors_reported(tmp_path):
        raise full
    with pytest.raises(UserError, match=f"^{tmp_path}: something$"), os_errors_reported(tmp_path):
        raise OSError("something")
    nowhere = tmp_path / "not" / "there"
    with pytest.raises(UserError, match=rf"^{nowhere}: No space \("), os_errors_reported(nowhere):
        raise OSError(errno.ENOSPC, "No space")
