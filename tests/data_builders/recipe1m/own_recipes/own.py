"""Recipes of one's own in each format that is read, and what an import made of them."""

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from data_builders.recipe1m.__main__ import main
from tests.data_builders.recipe1m.download import jpeg


def recipe(number: int, **fields) -> dict:
    """A record with a photo of its own; `fields` replace its fields, None leaves one out."""
    record = {
        "title": f"Dish {number}",
        "ingredients": [f"{number + 1} cups flour, sifted", "a pinch of salt"],
        "instructions": [f"Mix for {number + 1} minutes.", "Bake."],
        "images": [f"photos/{number}.jpg"],
    }
    return {name: value for name, value in (record | fields).items() if value is not None}


def write_photos(folder: Path, *numbers: int) -> None:
    """Writes photos/<number>.jpg, each in a colour of its own."""
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / "photos" / f"{number}.jpg").write_bytes(jpeg(number))


def write_lines(path: Path, records: list) -> Path:
    """Writes JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def write_list(path: Path, records: list) -> Path:
    """Writes a JSON list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(records, indent=1), encoding="utf-8")
    return path


def write_sheet(path: Path, records: list[dict], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    """Writes a sheet: ingredients in lines within a cell, instructions and photos divided by `|`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for record in records for column in record))
    text = io.StringIO(newline="")
    rows = csv.writer(text, delimiter=delimiter)
    rows.writerow(columns)
    for record in records:
        cells = record | {"ingredients": "\n".join(record["ingredients"])}
        rows.writerow("|".join(cell) if isinstance(cell := cells.get(column, ""), list) else cell for column in columns)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def linked(record: dict) -> dict:
    """A record as schema.org has it."""
    steps = [{"@type": "HowToStep", "text": text} for text in record["instructions"]]
    return {
        "@context": "https://schema.org",
        "@type": "Recipe",
        "name": record["title"],
        "recipeIngredient": record["ingredients"],
        "recipeInstructions": [{"@type": "HowToSection", "name": "Cook", "itemListElement": steps}],
        "image": [{"@type": "ImageObject", "url": path} for path in record["images"]],
    }


def page(*documents, kind: str = "application/ld+json") -> str:
    """A web page with scripts."""
    scripts = "".join(f'<script type="{kind}">{json.dumps(document)}</script>' for document in documents)
    return f"<!DOCTYPE html><html><head><title>x</title>{scripts}</head><body><p>Recipe & more</body></html>"


def write_pages(folder: Path, records: list[dict]) -> Path:
    """Writes a folder of schema.org recipes, in turn as .json, as .jsonld with a graph, and as .html."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, record in enumerate(records):
        document = linked(record)
        graph = {"@context": "https://schema.org", "@graph": [{"@type": "WebPage", "name": "x"}, document]}
        name, text = (
            (f"{number:03}.json", json.dumps(document)),
            (f"{number:03}.jsonld", json.dumps(graph)),
            (f"{number:03}.html", page({"@type": "WebSite", "name": "x"}, [document])),
        )[number % 3]
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@dataclass
class Imported:
    """What a folder that was written holds; recipes by title."""

    folder: Path

    @property
    def recipes(self) -> dict[str, dict]:
        return {record["title"]: record for record in self.layer("layer1")}

    @property
    def names(self) -> dict[str, list[tuple[str, bool]]]:
        return {
            record["id"]: [
                (name["text"], sure) for name, sure in zip(record["ingredients"], record["valid"], strict=True)
            ]
            for record in self.layer("det_ingrs")
        }

    @property
    def photos(self) -> dict[str, list[bytes]]:
        """The bytes of a recipe's photos, by its id."""
        partitions = {record["id"]: record["partition"] for record in self.layer("layer1")}
        found = {}
        for record in self.layer("layer2"):
            root = self.folder / "images" / partitions[record["id"]]
            found[record["id"]] = [
                root.joinpath(*image["id"][:4], image["id"]).read_bytes() for image in record["images"]
            ]
        return found

    def layer(self, name: str) -> list[dict]:
        return json.loads((self.folder / f"{name}.json").read_text(encoding="ascii"))

    def dropped(self) -> list[list[str]]:
        """The rows of dropped.tsv."""
        return [line.split("\t") for line in (self.folder / "dropped.tsv").read_text(encoding="utf-8").splitlines()]


def run_import(source: Path, out: Path, *flags) -> int:
    """`python -m data_builders.recipe1m import`: its exit status."""
    return main(["import", "--from", str(source), "--out", str(out), *map(str, flags)])


def texts(lines: list[dict]) -> list[str]:
    """The texts of a layer's lines."""
    return [line["text"] for line in lines]
