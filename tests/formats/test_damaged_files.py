"""Damaged and malicious files end in one line, in linear time."""

import contextlib
import gzip
import json

import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.formats.recipe_files import read_recipe
from data_builders.recipe1m.own_recipes.command import main
from tests.data_builders.recipe1m.own_recipes.own import jpeg
from tests.formats.files import LINKED, page, written, zipped


def deflate64():
    """An archive with a method of compression that Python does not have."""
    data = bytearray(zipped({"a.json": "{}"}))
    for mark, place in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        data[data.index(mark) + place] = 9
    return bytes(data)


BROKEN = {
    "photos.zip": zipped({"a.jpg": jpeg(1)}),
    "deflate64.zip": deflate64(),
    "corrupt.zip": zipped({"a.json": json.dumps(LINKED) * 9}).replace(b"a.json", b"a.json", 1)[:60] + bytes(40),
    "dot.zip": zipped({".": "{}", "b.json": json.dumps(5)}),
    "types.json": '{"recipes": 5, "recipes_ingredients": 5, "recipe_instructions": 5}',
    "tandoor.json": '{"name": "x", "steps": [{"instruction": "", "ingredients": 5}]}',
    "photos.paprikarecipe": gzip.compress(b'{"name": "x", "photos": true}'),
    "deep.json": '{"title": ' + '{"name": ' * 600 + '"x"' + "}" * 600 + ', "ingredients": ["x"]}',
    "unit.jsonl": '{"title": "x", "ingredients": [{"name": "x", "unit": '
    + '{"name": ' * 600
    + '"x"'
    + "}" * 600
    + "}]}",
    "loop.md": "---\ntitle: &a {name: *a}\ningredients: [egg]\n---\nBoil.\n",
    "aliases.md": "---\ntitle: x\na: &a [egg, egg, egg, egg, egg, egg, egg, egg, egg, egg]\n"
    + "".join(f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 10)}]\n" for n in range(6))
    + "ingredients: *g\n---\n",
    "hex.html": b'<meta charset="hex">\xe9',
    "name.mhtml": b"Content-Type: multipart/related; boundary=x\n\n--x\nContent-Type: image/jpeg; name*\n\nx\n--x--\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_cost_no_other_file_and_no_traceback(tmp_path, capsys, name):
    path = written(tmp_path, name, BROKEN[name])
    assert main(["--check", "--from", str(path)]) == 2
    assert capsys.readouterr().err.count("error: ") == 1
    written(tmp_path, "good.json", json.dumps(LINKED))
    assert main(["--check", "--from", str(tmp_path / "files")]) == 0
    assert "good.json: Pie" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "-" * 100_000 + "x"),
        ("a.html", "<p>Ingredients</p>" * 50_000),
        ("a.json", json.dumps({"title": "x", "instructions": "." * 500_000})),
        ("a.json", json.dumps({"title": "x", "instructions": "a. " * 200_000})),
        ("a.json", json.dumps({"title": "x", "instructions": "x" + " 1." * 200_000})),
        *(
            ("a.md", text * 100_000)
            for text in ("![", "![](", "![]( ' \n", "[", "<!--", "# a ", "#", "|", "**", "%%", "`")
        ),
        *(("a.md", f"# a{text * 100_000}x") for text in (" ", "#")),
        *(("a.cook", text * 100_000) for text in ("[-", "@&", "@a ", "~{", ">> a", "-- ")),
        ("a.cook", ">> a" + " " * 100_000 + "x"),
        ("a.html", f"<script type='application/ld+json'>{' ' * 500_000}x</script>"),
        ("a.html", page("-scaled" * 50_000 + "x.jpg")),
        ("a.html", f"<script type='application/ld+json'>{'1 ' * 500_000}</script>"),
        ("a.html", "<div>" * 500_000),
        ("a.html", "<div itemscope itemtype='http://schema.org/Recipe'>" + "<b itemprop='name'>" * 100_000),
        ("a.json", json.dumps([[LINKED | {"recipeIngredient": [str(number)]} for number in range(5000)]])),
    ],
)
def test_long_runs_take_linear_time(tmp_path, name, text):
    """A quadratic reader would take minutes or hours."""
    with contextlib.suppress(UserError):
        read_recipe(written(tmp_path, name, text))
