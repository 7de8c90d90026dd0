"""What commands import before they do anything: seconds that people wait for."""

import subprocess
import sys

import pytest

SLOW = ("tensorflow", "keras", "sklearn", "torch", "pandas")


@pytest.mark.parametrize("command", ["main", "search", "serve", "embed", "figures", "compare"])
def test_a_command_starts_without_tensorflow(command):
    program = f"import sys, adamine_jax.{command}; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
