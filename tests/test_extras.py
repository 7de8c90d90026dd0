"""A missing extra is reported in one line; training and evaluation need none."""

import subprocess
import sys
from pathlib import Path

import pytest

from adamine_jax.base.extras import EXTRAS
from tests import tiny

ROOT = Path(__file__).parents[1]

BLOCKED = """
import runpy, sys
from importlib.machinery import PathFinder
names, sys.argv = sys.argv[1].split(","), sys.argv[2:]

class Others:
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in names else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Others()
if sys.argv[0] == "adamine_jax.search":
    from adamine_jax.gallery import store
    store.SMALLEST = 1  # smallest gallery that an index is built for
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def without(packages, module, *arguments):
    command = [sys.executable, "-c", BLOCKED, packages, module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("fastapi", ["adamine_jax.serve", "--workdir", "nowhere"]),
        ("faiss", ["adamine_jax.embed", "--workdir", "nowhere", "--out", "nowhere", "--index"]),
        ("torch", ["adamine_jax.import_weights", "--from=torchvision", "--file={}/a.pth", "--out=nowhere"]),
        ("msgspec", ["data_builders.recipe1m", "vectors", "--source", "tests", "--out", "nowhere"]),
        ("pytorch_metric_learning", ["benchmarks.losses"]),
        ("matplotlib", ["adamine_jax.figures", "--workdir", "tests"]),
        ("msgspec", ["data_builders.recipe1m", "--source", "tests", "--out", "nowhere"]),
        ("msgspec", ["data_builders.recipe1m", "check", "--source", "tests"]),
        ("msgspec", ["data_builders.recipe1m", "import", "--from", "a.jsonl", "--out", "nowhere"]),
        ("matplotlib", ["data_builders.kitchen", "--out", "tests", "--contact-sheet", "nowhere/a.png"]),
        ("torch", ["benchmarks.losses", "--part", "8", "--large", "0"]),
        ("grimp", ["benchmarks.structure"]),
    ],
)
def test_a_missing_extra_is_one_line(package, arguments, tmp_path):
    (tmp_path / "a.pth").touch()
    done = without(package, *(argument.format(tmp_path) for argument in arguments))
    assert done.returncode == 2, done.stderr
    expected = f"needs {package}, which is not installed: pip install 'adamine-jax[{EXTRAS[package]}]'"
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_is_trained_and_evaluated_without_any_extra(tmp_path):
    data = tiny.write_dataset(tmp_path / "data")
    fields = tiny.small_config(data, bag=True, epochs=1, unfreeze_epoch=0).to_dict()
    config = tmp_path / "config.py"
    config.write_text(f"from ml_collections import ConfigDict\ndef get_config():\n    return ConfigDict({fields!r})\n")
    packages = ",".join(EXTRAS)
    trained = without(packages, "adamine_jax.main", "--config", config, "--workdir", tmp_path / "run")
    assert trained.returncode == 0, trained.stderr
    assert "figures skipped: this needs matplotlib, which is not installed" in trained.stdout
    evaluated = without(packages, "adamine_jax.evaluate", "--workdir", tmp_path / "run", "--split", "val")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "full: 12 pairs" in evaluated.stdout
    compared = without(packages, "adamine_jax.compare", *[tmp_path / "run"] * 2, "--out", tmp_path / "curves.png")
    assert compared.returncode == 2
    assert "needs matplotlib, which is not installed: pip install 'adamine-jax[figures]'" in compared.stderr
    searched = without(
        packages, "adamine_jax.search", "--workdir", tmp_path / "run", "--ingredients", "word1", "--index"
    )
    assert searched.returncode == 2
    assert searched.stderr == "error: this needs faiss, which is not installed: pip install 'adamine-jax[search]'\n"


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("tensorflow", ["--out", "{}/out"]),
        ("gensim", ["--out", "{}/out"]),
        ("matplotlib", ["check", "--out", "{}/out"]),
    ],
)
def test_the_converter_reports_a_missing_extra_before_it_reads(package, arguments, tmp_path):
    kitchen = ["--out", tmp_path / "kitchen", "--recipes", "3", "--seed", "1"]
    cooked = without("tensorflow,gensim,msgspec,sklearn,torch,matplotlib", "data_builders.kitchen", *kitchen)
    assert cooked.returncode == 0, cooked.stderr
    arguments = [argument.format(tmp_path) for argument in arguments]
    done = without(package, "data_builders.recipe1m", *arguments, "--source", tmp_path / "kitchen")
    assert done.returncode == 2
    expected = f"needs {package}, which is not installed: pip install 'adamine-jax[{EXTRAS[package]}]'"
    assert done.stderr == f"error: this {expected}\n"
    assert not (tmp_path / "out").exists()
