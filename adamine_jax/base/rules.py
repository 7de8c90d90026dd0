"""Rules for the fields of a configuration: a description for error messages and a predicate."""

from collections.abc import Callable, Mapping
from typing import Any

from adamine_jax.base.errors import UserError

Rule = tuple[str, Callable[[Any], bool]]


def is_number(value: Any) -> bool:
    """Whether a value is an int or a float other than NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def integer(low: int, high: int | None = None) -> Rule:
    """An integer of at least `low`, and at most `high` if that is given."""
    description = f"an integer ≥ {low}" if high is None else f"an integer from {low} to {high}"
    return (
        description,
        lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= low and (high is None or v <= high),
    )


def number(sign: str) -> Rule:
    """A finite number 'above 0' or 'from 0'."""
    symbol, accepts = {"above 0": (">", lambda v: v > 0), "from 0": ("≥", lambda v: v >= 0)}[sign]
    return f"a number {symbol} 0", lambda v: is_number(v) and v != float("inf") and accepts(v)


def share(high: float) -> Rule:
    """A number from 0 to `high`."""
    return f"a number from 0 to {high}", lambda v: is_number(v) and 0 <= v <= high


def one_of(*choices: Any) -> Rule:
    """One of the given values; unlike in Python, True and False do not equal 1 and 0."""
    return (
        f"one of {', '.join(map(str, choices))}",
        lambda v: any(v == choice and isinstance(v, bool) == isinstance(choice, bool) for choice in choices),
    )


def subset_of(*choices: str) -> Rule:
    """A tuple or list of one or more of the given values."""
    return (
        f"a tuple of {', '.join(choices)}",
        lambda v: isinstance(v, tuple | list) and len(v) > 0 and set(v) <= set(choices),
    )


BOOLEAN = one_of(True, False)


def check(section: Any, rules: Mapping[str, Rule], path: str) -> None:
    """Applies rules to the section `path` of a configuration; a dotted name is a field of a nested section.

    Raises:
        UserError: A field has an invalid value.
    """
    for name, (description, accepts) in rules.items():
        value: Any = section
        for part in name.split("."):
            value = value[part]
        if not accepts(value):
            raise UserError(f"config.{path + '.' if path else ''}{name} = {value!r}: must be {description}")
