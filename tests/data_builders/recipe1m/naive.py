"""An independent, simple implementation of the filter rules: whole files, one rule after the other."""

import json
import re
from collections import Counter
from pathlib import Path

ID = re.compile("[0-9a-fA-F]{10}")
MOST_PHOTOS = 5


def kept_and_dropped(source: Path, readable: set[str]) -> tuple[list[tuple[str, str]], Counter[str]]:
    """Returns the kept recipes, and the number of dropped ones for each reason.

    Args:
        source: Folder of a download whose recipes have few ingredients and instructions.
        readable: Ids of the readable photos.

    Returns:
        Id and partition of each kept recipe, in order, and the number of dropped ones by the first words of the reason.
    """
    layer1, layer2, detected = (_load(source / f"{name}.json") for name in ("layer1", "layer2", "det_ingrs"))
    removed = [line.lower() for line in (source / "remove1M.txt").read_text().split()][1:]
    kept, dropped, seen = [], Counter(), set()
    for record in layer1:
        photos = names = None
        if not (reason := _unusable(record)):
            names, photos = _first(detected, record["id"]), _first(layer2, record["id"])
            reason = _unusable_photos(photos)
        images = photos["images"] if photos and not reason else []
        listed = [photo.get("id") if isinstance(photo, dict) else photo for photo in images]
        unwanted = ""
        if not reason:
            unwanted = "listed in" if record["id"].lower() in removed else "" if listed else "no photo"
            reason = "" if unwanted else _unusable_names(names)  # nobody looks at the names of what is not wanted
        if not reason:
            reason = "id appears" if record["id"].lower() in seen else unwanted
            seen.add(record["id"].lower())
        if not reason and not any(isinstance(photo, str) and photo in readable for photo in listed[:MOST_PHOTOS]):
            reason = "none of"
        if reason:
            dropped[reason] += 1
        else:
            kept.append((record["id"], record["partition"]))
    return kept, dropped


def _load(path: Path) -> list:
    return json.loads(path.read_bytes().decode("utf-8-sig"))


def _first(records: list, identity: str) -> dict | None:
    for record in records:
        found = record.get("id") if isinstance(record, dict) else None
        if isinstance(found, str) and ID.fullmatch(found) and found.lower() == identity.lower():
            return record
    return None


def _is_texts(value) -> bool:
    lines = value if isinstance(value, list) else [None]
    return all(isinstance(line, dict) and isinstance(line.get("text"), str) for line in lines)


def _unusable(record) -> str:
    if not isinstance(record, dict):
        return "the record"
    if not isinstance(record.get("id"), str) or not ID.fullmatch(record["id"]):
        return "id is"
    if record.get("partition") not in ["train", "val", "test"]:
        return "partition is"
    for name in ("title", "url"):
        if not isinstance(record.get(name, "" if name == "url" else None), str):
            return f"{name} is"
    for name in ("ingredients", "instructions"):
        if not _is_texts(record.get(name)):
            return f"{name} are"
    return ""


def _unusable_names(record: dict | None) -> str:
    if record is None:
        return ""
    if not _is_texts(record.get("ingredients")):
        return "det_ingrs.json: ingredients"
    valid = record.get("valid")
    if not isinstance(valid, list) or not all(flag is True or flag is False for flag in valid):
        return "det_ingrs.json: valid is"
    return "" if len(valid) == len(record["ingredients"]) else "det_ingrs.json: valid and"


def _unusable_photos(record: dict | None) -> str:
    return "" if record is None or isinstance(record.get("images"), list) else "layer2.json: images"
