"""The layout that docs/architecture.md describes; `lint-imports` checks which package imports which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted(path for root in ("adamine_jax", "data_builders", "configs") for path in (ROOT / root).rglob("*.py"))


@pytest.mark.parametrize(("folder", "most"), [("adamine_jax", 14), ("data_builders/recipe1m", 20)])
def test_the_main_folders_stay_small(folder, most):
    assert len(list((ROOT / folder).glob("*.py"))) <= most


def test_no_folder_has_more_than_twenty_modules():
    sizes = {folder: len(list(folder.glob("*.py"))) for folder in {path.parent for path in MODULES}}
    assert max(sizes.values()) <= 20, sizes


def test_evaluation_loads_neither_matplotlib_nor_the_training_loss():
    program = "import adamine_jax.evaluate, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    ours = [name for name in loaded if name.partition(".")[0] in ("adamine_jax", "data_builders", "configs")]
    assert len(ours) <= 60
    assert not {"matplotlib", "adamine_jax.losses.adamine", "adamine_jax.losses.triplet"} & set(loaded)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_nothing_outside_the_towers_knows_their_layers():
    towers = (".models.image.", ".models.recipe.")
    importers = {
        path.relative_to(ROOT).as_posix()
        for path in MODULES
        for name in imported(path)
        if any(tower in f".{name}." for tower in towers) and "adamine_jax/models" not in path.as_posix()
    }
    assert importers == {"adamine_jax/import_weights.py"}  # the command that reads torchvision's files
