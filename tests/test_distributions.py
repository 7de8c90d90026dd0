"""The wheel and the source distribution contain everything, and run in fresh environments of each supported Python."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMMANDS = """
python -m data_builders.kitchen --out download --recipes 60 --seed 1 --splits 0.6,0.2,0.2
adamine convert --source download --out data --word-dim 16 --class-min-train 1
adamine train --config quickstart --workdir run --config.data.dir=data --config.epochs=1 --config.batch_size=16
adamine evaluate --workdir run --split val
adamine search --workdir run --ingredients "rice, eggs"
adamine export-weights --workdir run --out model --format folder
python -c 'import adamine_jax; adamine_jax.load("model").embed_recipes([{"ingredients": ["rice"]}])'
"""

pytestmark = pytest.mark.slow


def tracked():
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).exists()]


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """A folder with both, built from the tracked files; the wheel is made of the source distribution."""
    folder = tmp_path_factory.mktemp("distributions")
    for name in tracked():
        (folder / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "checkout" / name)
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, folder / "checkout"], check=True)
    return folder


def test_the_wheel_contains_the_tracked_files(distributions):
    names = zipfile.ZipFile(next(distributions.glob("*.whl"))).namelist()
    packaged = {name for name in names if ".dist-info/" not in name}
    expected = {name for name in tracked() if name.startswith(("adamine_jax/", "data_builders/"))}
    presets = {name.replace("configs/", "adamine_jax/presets/") for name in tracked() if name.startswith("configs/")}
    assert packaged == expected | presets


def test_the_source_distribution_contains_the_tracked_files(distributions):
    with tarfile.open(next(distributions.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in tracked() if not name.startswith(".")} <= names


def python_3(minor):
    """The path of an interpreter that runs, since those of pyenv's shims do not all."""
    for path in (f"python3.{minor}", *Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")):
        command = [path, "-c", "import sys, venv; print(*sys.version_info[:2])"]
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except FileNotFoundError:
            continue
        if done.stdout == f"3 {minor}\n":
            return path
    pytest.skip(f"there is no Python 3.{minor}")


@pytest.mark.parametrize(("suffix", "minor"), [("whl", 11), ("whl", 12), ("whl", 13), ("tar.gz", 11)])
def test_a_distribution_runs_in_a_fresh_environment(distributions, suffix, minor, tmp_path):
    path = next(distributions.glob(f"*.{suffix}"))
    subprocess.run([python_3(minor), "-m", "venv", tmp_path / "environment"], check=True)
    bin_ = tmp_path / "environment" / "bin"
    subprocess.run([bin_ / "pip", "install", "--quiet", f"{path}[convert]"], check=True)
    variables = {"PATH": f"{bin_}:/usr/bin:/bin", "JAX_PLATFORMS": "cpu", "HOME": str(tmp_path)}
    done = subprocess.run(["bash", "-ec", COMMANDS], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "val split" in done.stdout
