"""Valid files with random changes are read or reported in one line."""

import contextlib
import io
import json

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from adamine_jax.base.errors import UserError
from adamine_jax.formats.registry import read_source
from adamine_jax.recipes.fields import UnusableError, draft
from data_builders.recipe1m.own_recipes.import_report import Report
from tests.formats.files import LINKED, page, paprika, written, zipped
from tests.formats.test_formats import MARKDOWN

STEPS = [{"instruction": "Mix.", "ingredients": [{"food": {"name": "egg"}, "amount": 2, "unit": None}]}]


def table():
    file = io.BytesIO()
    parquet.write_table(pyarrow.table({"name": ["Pie"], "ingredients": [["egg"]]}), file)
    return file.getvalue()


def mhtml():
    parts = (f"Content-Type: {kind}\nContent-Location: pie.jpg\n\n{text}\n" for kind, text in (
        ("text/html", page("pie.jpg")), ("image/jpeg", "x"),
    ))  # fmt: skip
    return "Content-Type: multipart/related; boundary=b\n\n--b\n" + "--b\n".join(parts) + "--b--\n"


FILES = {
    "a.json": json.dumps(LINKED),
    "b.json": json.dumps({"recipes": [{"name": "Pie", "steps": STEPS}, {"name": "x", "recipe_ingredient": [{}]}]}),
    "a.jsonl": json.dumps(LINKED) + "\n" + json.dumps({"title": "Tart", "ingredients": "egg, milk"}),
    "a.csv": 'title;ingredients;directions\nPie;[\'egg\', \'milk\'];"[""Mix.""]"\nTart;egg|milk;Mix.',
    "a.html": page({"@type": "ImageObject", "url": ["pie.jpg"]}),
    "b.html": "<div itemscope itemtype='http://schema.org/Recipe'><h1 itemprop=name>Pie</h1>"
    "<li itemprop=recipeIngredient>egg</li><p itemprop=recipeInstructions>Mix. Bake.</p></div>",
    "c.html": "<h1>Pie</h1><h2>Ingredients</h2><ul><li>egg<li>milk</ul><h2>Method</h2><p>1. Mix.<br>2. Bake.</p>",
    "a.mhtml": mhtml(),
    "a.md": MARKDOWN["hugo"],
    "b.md": MARKDOWN["jekyll"],
    "c.md": MARKDOWN["table"],
    "a.cook": ">> source: x\nMix @flour{200%g} and @eggs{2}(beaten) for ~{5%min}. [- no -] -- no\n= Then =\nBake.",
    "a.mmf": "---------- Recipe via Meal-Master (tm) v8.05\n \n      Title: Pie\n Categories: Cakes\n \n"
    "    200 g  Flour                               2 lg Eggs; beaten, and\n \n  Mix.\n \n-----\n",
    "a.parquet": table(),
    "a.paprikarecipes": zipped({"Pie.paprikarecipe": paprika()}),
    "a.zip": zipped({"1/recipe.json": json.dumps(LINKED), "1/a.md": MARKDOWN["hugo"]}),
}
PIECES = st.sampled_from([b"", b"\0", b"{", b"]", b'"', b"<", b"--", b"\n", b"null", b"1e999", b"\xff", b"&#0;", b"{}"])
CHANGES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.one_of(PIECES, st.binary(max_size=6))), max_size=6)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_a_changed_file_is_read_or_reported(tmp_path, name, changes):
    data = FILES[name] if isinstance(FILES[name], bytes) else FILES[name].encode()
    for place, length, piece in changes:
        start = int(place * len(data))
        data = data[:start] + piece + data[start + length :]
    path = written(tmp_path, name, data)
    (tmp_path / "unpacked").mkdir(exist_ok=True)
    report = Report(tmp_path, skip_broken=True, unpacked=tmp_path / "unpacked")
    with contextlib.closing(report), contextlib.suppress(UserError):
        for entry in read_source(path, report):
            with contextlib.suppress(UnusableError):
                assert draft(entry).title
