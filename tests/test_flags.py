"""Empty paths on the command line, which would mean the current folder, are refused."""

import pytest

from adamine_jax import embed, search, serve
from data_builders.kitchen.__main__ import main as kitchen
from data_builders.recipe1m.__main__ import main as recipe1m
from data_builders.recipe1m.sentence_vectors.command import main as vectors


@pytest.mark.parametrize(
    ("command", "arguments", "flag"),
    [
        (embed.main, ["--workdir", "run", "--photos", "", "--out", "gallery"], "--photos"),
        (embed.main, ["--workdir", "", "--out", "gallery"], "--workdir"),
        (search.main, ["--workdir", "run", "--image", ""], "--image"),
        (serve.main, ["--workdir", "run", "--gallery", ""], "--gallery"),
        (kitchen, ["--out", ""], "--out"),
        (recipe1m, ["--source", "", "--out", "data"], "--source"),
        (recipe1m, ["--source", "download", "--vocab", ""], "--vocab"),
        (recipe1m, ["import", "--from", "recipes.csv", "--out", ""], "--out"),
        (vectors, ["--source", "", "--out", "vectors.npy"], "--source"),
    ],
)
def test_an_empty_path_is_refused(command, arguments, flag, capsys):
    with pytest.raises(SystemExit):
        command(arguments)
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"error: argument {flag}: is empty; give a path")
