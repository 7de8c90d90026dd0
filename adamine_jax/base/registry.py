"""Registries of the towers, losses and evaluators that a configuration chooses by name."""

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from adamine_jax.base.errors import UserError


class Registry:
    """Maps names to classes or functions, each imported on first use.

    A name of the form `package.module:Name` is imported directly, which extends the project without changing it.

    Args:
        kind: Kind of the entries, for error messages: "loss".
        entries: `package.module:Name` by name.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]):
        self.kind, self._entries = kind, dict(entries)

    def names(self) -> tuple[str, ...]:
        """Returns the registered names."""
        return tuple(self._entries)

    def __call__(self, name: str) -> Any:
        """Returns the class or function of a name.

        Raises:
            UserError: The name is unknown, or its module or attribute cannot be imported.
        """
        module, _, attribute = self._entries.get(name, name).partition(":")
        if not attribute:
            near = difflib.get_close_matches(name, self._entries, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            choices = f"choose {', '.join(self._entries)}, or" if self._entries else "give"
            raise UserError(f"{self.kind} {name!r}: unknown{hint}; {choices} package.module:Name")
        try:
            return getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            raise UserError(f"{self.kind} {name}: {error}; install or correct the module {module}") from error
        except AttributeError:
            raise UserError(f"{self.kind} {name}: the module {module} has no attribute {attribute}") from None
