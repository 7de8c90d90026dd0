"""The modules that commands import, which cost seconds at every start."""

import pkgutil
import subprocess
import sys

import pytest

import adamine_jax

SLOW = ("tensorflow", "keras", "sklearn", "torch", "pandas", "matplotlib", "faiss", "msgspec", "gensim")


@pytest.mark.parametrize("command", ["main", "search", "serve", "embed", "figures", "compare"])
def test_a_command_starts_without_tensorflow(command):
    program = f"import sys, adamine_jax.{command}; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_that_reads_a_data_set_imports_tensorflow():
    names = [module.name for module in pkgutil.walk_packages(adamine_jax.__path__, "adamine_jax.")]
    program = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    program += "print('tensorflow' in sys.modules, 'adamine_jax.input.reading' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
