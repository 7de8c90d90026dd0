"""Names of the parts that a configuration chooses: towers, losses, evaluators, and what each name stands for."""

import difflib
import importlib
from collections.abc import Mapping
from typing import Any

from adamine_jax.base.errors import UserError


class Registry:
    """Maps names to classes or functions, each imported when it is first asked for.

    A name of the form `package.module:Name` is not looked up but imported, so that people extend the project without
    changing it.

    Args:
        kind: What the names stand for, for errors: "loss".
        entries: `package.module:Name` by name.
    """

    def __init__(self, kind: str, entries: Mapping[str, str]):
        self.kind, self._entries = kind, dict(entries)

    def __call__(self, name: str) -> Any:
        """Returns what a name stands for.

        Raises:
            UserError: The name is unknown, or the module or attribute that it names cannot be imported.
        """
        module, _, attribute = self._entries.get(name, name).partition(":")
        if not attribute:
            raise UserError(self._unknown(name))
        try:
            return getattr(importlib.import_module(module), attribute)
        except ImportError as error:
            raise UserError(f"{self.kind} {name}: {error}; install or correct the module {module}") from error
        except AttributeError:
            raise UserError(f"{self.kind} {name}: the module {module} has no {attribute}") from None

    @property
    def names(self) -> tuple[str, ...]:
        """The names that need no module path."""
        return tuple(self._entries)

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._entries, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        return f"{self.kind} {name!r}: unknown{hint}; takes {', '.join(self._entries)}, or package.module:Name"
