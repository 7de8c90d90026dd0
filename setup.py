"""The packages that are installed, which `pyproject.toml` cannot say: those found, and `configs/` among them.

All else is in `pyproject.toml`.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["adamine_jax*", "data_builders*"]), "adamine_jax.presets"],
    package_dir={"adamine_jax.presets": "configs"},
)
