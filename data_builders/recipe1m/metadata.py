"""Describes how a collection was made, and compares two descriptions."""

import dataclasses
from typing import Any

from data_builders.recipe1m.options import Options

# Version of the records and the files beside them. Increase it when the rules or the fields change.
VERSION = "1.0.0"


def describe(options: Options, digests: dict[str, str]) -> dict[str, Any]:
    """Returns the part of `metadata.json` that builds are compared by: options and SHA-256 digests of the files."""
    values = {
        name: getattr(value, "name", value) for name, value in dataclasses.asdict(options).items() if value is not None
    }
    return {"options": values, "source": digests}


def differences(existing: dict[str, Any], requested: dict[str, Any]) -> list[str]:
    """Lists the differences between two descriptions, a few words each."""
    old_source, old_options = existing.get("source", {}), existing.get("options", {})
    found = [
        f"{name} is another file"
        for name in sorted({*old_source, *requested["source"]})
        if old_source.get(name) != requested["source"].get(name)
    ]
    for name in sorted({*old_options, *requested["options"]}):
        # A collection that is older than an option was made with its present default.
        old, new = old_options.get(name, getattr(Options, name, None)), requested["options"].get(name)
        if old != new:
            found.append(f"{name} was {old}, is now {new}")
    return found
