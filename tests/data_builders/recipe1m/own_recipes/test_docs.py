"""The examples of the README and of docs/own_recipes.md do what is said there."""

import re
from pathlib import Path

from adamine_jax.recipes.fields import NAMES
from adamine_jax.recipes.ingredient_names import ingredient_names
from tests.data_builders.recipe1m.download import jpeg
from tests.data_builders.recipe1m.own_recipes.own import Imported, run_import

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "own_recipes.md").read_text(encoding="utf-8")


def test_the_examples_of_the_readme_are_the_same_recipe(tmp_path):
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("## With your own recipes\n")[1].split("\n## ")[0]
    line, sheet, *_ = re.findall(r"```\w*\n(.*?)```", section, re.DOTALL)
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    found = []
    for name, text in (("recipes.jsonl", line), ("recipes.csv", sheet)):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert run_import(tmp_path / name, tmp_path / f"{name}.out") == 0
        imported = Imported(tmp_path / f"{name}.out")
        found.append([imported.layer(layer) for layer in ("layer1", "layer2", "det_ingrs")])
    assert found[0] == found[1]
    (record,) = found[0][0]
    assert imported.names[record["id"]] == [("beets", True), ("salt", True)]


def test_the_table_of_names_is_what_the_rule_gives():
    table = PAGE.split("| line | name |\n|---|---|\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.split("\n")]
    assert len(rows) >= 8
    for line, names in rows:
        assert ingredient_names(line) == [(name.strip(), True) for name in names.split(";") if name], line


def test_the_table_of_fields_has_all_their_names():
    table = PAGE.split("| field | accepted names | |\n|---|---|---|\n")[1].split("\n\n")[0]
    rows = [re.findall(r"`([^`]+)`", row.rsplit("|", 2)[0]) for row in table.split("\n")]
    assert {row[0]: tuple(row) for row in rows} == NAMES
