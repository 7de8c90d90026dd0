"""Writes small downloads in the official layout."""

import io
import json
from pathlib import Path

from PIL import Image

INGREDIENTS = ("olive oil", "salt", "red onion")
INSTRUCTIONS = ("Heat the olive oil.", "Fry the red onion, add salt!")


def recipe_id(number: int) -> str:
    """Returns the id of a recipe, 10 hex digits."""
    return f"{number:010x}"


def photo_id(number: int) -> str:
    """Returns the id of a photo; different numbers give different folders."""
    return f"{number * 0x1357:010x}"[::-1] + ".jpg"


def jpeg(number: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    """Returns a JPEG file whose colour depends on the number."""
    file = io.BytesIO()
    Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, 80)).save(file, "JPEG")
    return file.getvalue()


class Download:
    """Records of the three layers and photos, which can be changed before they are written."""

    def __init__(self):
        self.layer1: list = []
        self.layer2: list = []
        self.detected: list = []
        self.photos: dict[tuple[str, str], bytes] = {}
        self.removed: list[str] | None = None

    def add(self, number: int, partition: str = "train", photos: int = 1, title: str | None = None, **fields) -> str:
        """Adds a recipe with photos, and returns its id; `fields` replace fields of layer 1."""
        identity = recipe_id(number)
        record = {
            "id": identity,
            "title": f"Dish {number}" if title is None else title,
            "url": f"https://example.org/{number}",
            "partition": partition,
            "ingredients": [{"text": f"some {name}"} for name in INGREDIENTS],
            "instructions": [{"text": line} for line in INSTRUCTIONS],
        }
        self.layer1.append(record | fields)
        self.detect(identity, INGREDIENTS)
        names = [photo_id(number * 100 + n) for n in range(photos)]
        if names:
            self.layer2.append({"id": identity, "images": [{"id": name, "url": ""} for name in names]})
        for n, name in enumerate(names):
            self.photos[partition, name] = jpeg(number * 100 + n)
        return identity

    def detect(self, identity: str, names, valid=None) -> None:
        """Sets the record of a recipe in det_ingrs.json."""
        self.detected = [record for record in self.detected if record["id"] != identity]
        valid = [True] * len(names) if valid is None else valid
        self.detected.append({"valid": valid, "id": identity, "ingredients": [{"text": name} for name in names]})

    def write(self, folder: Path) -> Path:
        """Writes the files and returns the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, records in (("layer1", self.layer1), ("layer2", self.layer2), ("det_ingrs", self.detected)):
            (folder / f"{name}.json").write_text(json.dumps(records))
        if self.removed is not None:
            (folder / "remove1M.txt").write_text("".join(f"{line}\n" for line in self.removed))
        for (partition, name), data in self.photos.items():
            path = folder.joinpath("images", partition, *name[:4], name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder
