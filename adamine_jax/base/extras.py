"""Packages that only some commands need: the extras of `pyproject.toml`."""

import importlib.util

from adamine_jax.base.errors import UserError


def require(what: str, extra: str, *modules: str) -> None:
    """Looks for modules that an extra brings, without importing them.

    Args:
        what: needs them, with the verb: "figures need".
        extra: to install for them.
        *modules: top-level names.

    Raises:
        UserError: some are not installed; it names the extra.
    """
    if missing := [module for module in modules if not _is_installed(module)]:
        raise UserError(f"{what} {', '.join(missing)}: pip install 'adamine-jax[{extra}]'")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
