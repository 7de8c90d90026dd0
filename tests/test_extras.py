"""Without an extra, what needs it says so in one line; training and evaluation need none."""

import subprocess
import sys
from pathlib import Path

import pytest

from adamine_jax.base.extras import EXTRAS
from tests import tiny

ROOT = Path(__file__).parents[1]

BLOCKED = """
import runpy, sys
names, sys.argv = sys.argv[1].split(","), sys.argv[2:]

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def without(packages, module, *arguments):
    command = [sys.executable, "-c", BLOCKED, packages, module, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("matplotlib", ["adamine_jax.figures", "--workdir", "tests"]),
        ("msgspec", ["data_builders.recipe1m", "--source", "tests", "--out", "nowhere"]),
        ("msgspec", ["data_builders.recipe1m", "check", "--source", "tests"]),
        ("msgspec", ["data_builders.recipe1m", "import", "--from", "a.jsonl", "--out", "nowhere"]),
        ("matplotlib", ["data_builders.kitchen", "--out", "tests", "--contact-sheet", "nowhere/a.png"]),
        ("torch", ["benchmarks.losses", "--part", "8", "--large", "0"]),
    ],
)
def test_a_missing_extra_is_one_line(package, arguments):
    done = without(package, *arguments)
    assert done.returncode == 2, done.stderr
    wanted = f"needs {package}, which is not installed: pip install 'adamine-jax[{EXTRAS[package]}]'"
    assert wanted in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_run_is_trained_and_evaluated_without_any_extra(tmp_path):
    data = tiny.write_dataset(tmp_path / "data")
    config = tmp_path / "config.py"
    config.write_text(
        "from tests import tiny\n"
        f"def get_config():\n    return tiny.small_config({str(data)!r}, epochs=1, unfreeze_epoch=0)\n"
    )
    packages = ",".join(name for name in EXTRAS if name != "tensorflow")
    trained = without(packages, "adamine_jax.main", "--config", config, "--workdir", tmp_path / "run")
    assert trained.returncode == 0, trained.stderr
    assert "no figures: this needs matplotlib, which is not installed" in trained.stdout
    evaluated = without(packages, "adamine_jax.evaluate", "--workdir", tmp_path / "run", "--split", "val")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "full: 12 pairs" in evaluated.stdout
    compared = without(packages, "adamine_jax.compare", *[tmp_path / "run"] * 2, "--out", tmp_path / "curves.png")
    assert compared.returncode == 2
    assert "needs matplotlib, which is not installed: pip install 'adamine-jax[figures]'" in compared.stderr
