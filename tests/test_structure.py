"""The layout that docs/architecture.md describes, and imports that would slow down commands.

`lint-imports` checks the imports between packages.
"""

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import adamine_jax

ROOT = Path(__file__).parents[1]
SLOW = ("tensorflow", "keras", "sklearn", "torch", "pandas", "matplotlib", "faiss", "msgspec", "gensim")
MODULES = sorted(path for root in ("adamine_jax", "data_builders", "configs") for path in (ROOT / root).rglob("*.py"))


@pytest.mark.parametrize(("folder", "most"), [("adamine_jax", 14), ("data_builders/recipe1m", 20)])
def test_main_folders_have_few_modules(folder, most):
    assert len(list((ROOT / folder).glob("*.py"))) <= most


def test_no_folder_has_more_than_20_modules():
    folders = {path.parent for path in MODULES} - {ROOT / "configs"}  # one preset per file
    sizes = {folder: len(list(folder.glob("*.py"))) for folder in folders}
    assert max(sizes.values()) <= 20, sizes


def modules_after(program, *arguments):
    """Returns the names of all modules that are loaded after running a program."""
    command = [sys.executable, "-c", f"import sys; {program}; print(*sys.modules)", *arguments]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_evaluation_loads_neither_matplotlib_nor_the_training_loss():
    loaded = modules_after("import adamine_jax.evaluate")
    ours = [name for name in loaded if name.partition(".")[0] in ("adamine_jax", "data_builders", "configs")]
    assert len(ours) <= 66
    assert not {"matplotlib", "adamine_jax.losses.adamine", "adamine_jax.losses.triplet"} & loaded


@pytest.mark.parametrize("command", ["main", "search", "serve", "embed", "figures", "compare"])
def test_commands_start_without_slow_imports(command):
    assert not modules_after(f"import adamine_jax.{command}") & set(SLOW)


def test_no_module_imports_tensorflow():
    names = [module.name for module in pkgutil.walk_packages(adamine_jax.__path__, "adamine_jax.")]
    loaded = modules_after("import importlib; [importlib.import_module(name) for name in sys.argv[1:]]", *names)
    assert "tensorflow" not in loaded
    assert "adamine_jax.input.reading" in loaded


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_only_import_weights_imports_the_layers_of_towers():
    towers = (".models.image.", ".models.recipe.")
    importers = {
        path.relative_to(ROOT).as_posix()
        for path in MODULES
        for name in imported(path)
        if any(tower in f".{name}." for tower in towers) and "adamine_jax/models" not in path.as_posix()
    }
    assert importers == {"adamine_jax/import_weights.py"}  # reads torchvision's files
