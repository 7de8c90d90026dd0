"""What a finished collection says about how it was made, and whether that is what is wanted now."""

import dataclasses
from typing import Any

from data_builders.recipe1m.options import Options

# Of the records and the files beside them; a change of the rules or of the fields needs another one.
VERSION = "1.0.0"


def describe(options: Options, digests: dict[str, str]) -> dict[str, Any]:
    """The part of `metadata.json` that two builds are compared by.

    Args:
        options: of the build; of a file only its name is told, its content is among the digests.
        digests: file -> SHA-256.
    """
    values = {
        name: getattr(value, "name", value) for name, value in dataclasses.asdict(options).items() if value is not None
    }
    return {"options": values, "source": digests}


def differences(there: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What differs between two descriptions, each in a few words; empty when they agree."""
    found = []
    for name in sorted({*there.get("source", {}), *wanted["source"]}):
        if there.get("source", {}).get(name) != wanted["source"].get(name):
            found.append(f"{name} is another file")
    for name in sorted({*there.get("options", {}), *wanted["options"]}):
        # A collection from before an option was there was made with what is its default now.
        old = there.get("options", {}).get(name, getattr(Options, name, None))
        new = wanted["options"].get(name)
        if old != new:
            found.append(f"{name} was {old}, is now {new}")
    return found
