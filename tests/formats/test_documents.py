"""JSON files, pages and folders of them."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.base.errors import UserError
from adamine_jax.formats.pages import page_recipes
from adamine_jax.formats.registry import read_source
from adamine_jax.recipes.fields import UnusableError, draft
from data_builders.recipe1m.own_recipes.import_report import Report
from tests.data_builders.recipe1m.own_recipes.own import linked, page, recipe
from tests.data_builders.recipe1m.own_recipes.test_fields import JSON_VALUES


@pytest.fixture
def read(tmp_path):
    """Reads a source; gives the titles of its recipes by where they stand, and the report."""
    (tmp_path / "report").mkdir()

    def run(source: Path, *, skip_broken: bool = False) -> tuple[dict[str, str], Report]:
        report = Report(tmp_path / "report", skip_broken=skip_broken)
        titles = {}
        with contextlib.closing(report):
            for entry in read_source(source, report):
                with contextlib.suppress(UnusableError):
                    titles[entry.where] = draft(entry).title
        return titles, report

    return run


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "recipes"
    made.mkdir()
    return made


PIE, TART = linked(recipe(1, title="Pie")), linked(recipe(2, title="Tart"))


@pytest.mark.parametrize(
    "document",
    [
        PIE,
        [PIE],
        [[{"@type": "Thing"}, [PIE]]],
        {"@graph": [{"@type": "WebSite", "name": "x"}, PIE]},
        {"@type": "WebPage", "mainEntity": PIE},
        PIE | {"@type": ["Thing", "Recipe"]},
        PIE | {"@type": "http://schema.org/Recipe"},
        PIE | {"@type": "schema:Recipe"},
        {"title": "Pie", "ingredients": ["flour"]},
    ],
)
@pytest.mark.parametrize("suffix", ["json", "jsonld", "html"])
def test_a_recipe_is_found_at_any_place(read, folder, document, suffix):
    name = f"pie.{suffix}"
    (folder / name).write_text(page(document) if suffix == "html" else json.dumps(document), encoding="utf-8-sig")
    # The data of a page have to say that they are a recipe.
    found = [] if suffix == "html" and "title" in document else ["Pie"]
    assert list(read(folder)[0].values()) == list(read(folder / name)[0].values()) == found


def test_files_are_read_in_order_with_those_below_and_without_hidden_ones(read, folder):
    (folder / "b").mkdir()
    (folder / ".git").mkdir()
    for name in ("b/pie.json", "a.json", ".git/c.json", "._a.json", "c.txt"):
        (folder / name).write_text(json.dumps(PIE), encoding="utf-8")
    (folder / "package.json").write_text('{"name": "x", "version": "1"}')
    (folder / "index.html").write_text(page({"@type": "WebSite", "name": "x"}))
    titles, report = read(folder)
    assert titles == {"a.json": "Pie", "b/pie.json": "Pie"}
    assert report.without_recipe.first == ["c.txt", "index.html", "package.json"]


def test_links_to_files_elsewhere_are_not_read(read, folder, tmp_path):
    (folder / "pie.json").write_text(json.dumps(PIE))
    (tmp_path / "secret.json").write_text(json.dumps(TART))
    (folder / "a.json").symlink_to(tmp_path / "secret.json")
    (folder / "b.json").symlink_to(folder / "pie.json")
    (folder / "c.json").symlink_to(tmp_path / "missing.json")
    titles, _ = read(folder)
    assert titles == {"b.json": "Pie", "pie.json": "Pie"}


def test_several_recipes_of_a_file_are_numbered(read, folder):
    (folder / "a.html").write_text(page(PIE, {"@graph": [TART]}))
    (folder / "b.json").write_text(json.dumps([PIE, {"@type": "Thing"}, TART]))
    (folder / "c.json").write_text(json.dumps({"b": TART, "a": PIE | {"isRelatedTo": TART}}))
    assert list(read(folder)[0].items()) == [
        ("a.html recipe 1", "Pie"),
        ("a.html recipe 2", "Tart"),
        ("b.json record 1", "Pie"),
        ("b.json record 3", "Tart"),
        ("c.json recipe 1", "Tart"),
        ("c.json recipe 2", "Pie"),
    ]


def test_each_element_of_a_list_that_is_given_itself_is_a_record(read, folder):
    path = folder / "a.json"
    path.write_text(json.dumps([{"name": "Pie", "steps": "Bake."}, 5, None]))
    titles, report = read(path)
    assert titles == {"a.json record 1": "Pie"}
    assert report.dropped["the record is not an object"].counts.total() == 2


@pytest.mark.parametrize(
    ("script", "titles"),
    [
        ('<script type="application/ld+json">{}</script>', ["Pie"]),
        ("<SCRIPT TYPE='Application/LD+JSON; charset=utf-8' >\n//<![CDATA[\n{}\n//]]>\n</SCRIPT>", ["Pie"]),
        ("<script type=application/ld+json><!-- {} --></script>", ["Pie"]),
        ('<!-- <script type="application/ld+json">{}</script> -->', []),
        ('<script type="application/ld+json">{}</script> and more text', ["Pie"]),
        ("<script>{}</script>", []),
        ('<script type="text/javascript">var x = {}</script>', []),
    ],
)
def test_scripts_of_a_page(read, folder, script, titles):
    (folder / "a.html").write_text(f"<p>1 < 2 & 3<br>{script.replace('{}', json.dumps(PIE))}", encoding="utf-8")
    assert list(read(folder)[0].values()) == titles


def test_pages_say_how_their_text_is_encoded(read, folder):
    text = f'<meta charset="iso-8859-1">{page(PIE)}'.replace('"Pie"', '"Soufflé"')
    (folder / "a.html").write_bytes(text.encode("latin-1"))
    assert list(read(folder)[0].values()) == ["Soufflé"]
    (folder / "a.html").write_bytes(text.replace("iso-8859-1", "klingon").encode("latin-1"))
    assert list(read(folder)[0].values()) == ["Soufflé"]  # guessed


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"@type": "Recipe", ', "not JSON ("),
        ("a.json", '{"name": "a"}\n{"name": "b"', "not JSON ("),
        ("a.json", '[{"name": "a"}, {"name"', "broken JSON at byte 23 (record 2)"),
        ("a.json", "", "the file is empty"),
        ("a.json", b"\xff", "not JSON ("),
        ("a.csv", "url\nx\n", "no column is named title or name (found: url)"),
        ("a.csv", "title,title\nx,y\n", "two columns are named 'title'"),
    ],
)
def test_a_broken_file_stops_or_is_left_out(read, folder, name, text, message):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    (folder / "b.json").write_text(json.dumps(PIE))
    with pytest.raises(UserError) as caught:
        read(folder)
    assert message in str(caught.value)
    assert str(caught.value).startswith(name)
    titles, report = read(folder, skip_broken=True)
    assert list(titles.values())[-1] == "Pie"
    assert report.dropped["cannot be read"].counts.total() == 1


def test_line_feeds_within_the_texts_of_pages_are_forgiven(read, folder):
    (folder / "a.html").write_text(page(PIE).replace("Bake.", "Bake\nit."))
    assert list(read(folder)[0].values()) == ["Pie"]


def test_images_of_a_graph_are_resolved(folder, tmp_path):
    image = {"@type": "ImageObject", "@id": "#photo", "url": "photo.jpg"}
    document = {"@graph": [PIE | {"image": [{"@id": "#photo"}, {"@id": "#none"}]}, image]}
    (folder / "a.json").write_text(json.dumps(document))
    report = Report(tmp_path, skip_broken=False)
    (entry,) = read_source(folder, report)
    report.close()
    assert draft(entry).photos == ["photo.jpg", "#none"]


def test_a_folder_without_recipes_lists_the_supported_files(read, folder):
    (folder / "a.xyz").write_text("title\n")
    with pytest.raises(UserError, match=r"contains no recipe files; supported suffixes are \.json, \.jsonld"):
        read(folder)


LINKED_VALUES = st.recursive(
    JSON_VALUES | st.sampled_from(["Recipe", "ImageObject"]),
    lambda values: st.dictionaries(st.sampled_from(["@type", "@graph", "@id", "image", "name"]), values),
)


@settings(deadline=None)
@given(LINKED_VALUES)
def test_any_json_is_read(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("any")
    (folder / "a.json").write_text(json.dumps(value))
    report = Report(tmp_path_factory.mktemp("report"), skip_broken=False)
    for source in (folder, folder / "a.json"):
        for entry in read_source(source, report):
            assert entry.where.startswith("a.json")
    report.close()


@pytest.mark.parametrize(
    "text", ["<!--", "<a ", "<![CDATA[", "<script ", "<script>", "<!-- -->", "&", " ", "<script type='"]
)
def test_a_malformed_page_takes_linear_time(folder, text):
    """A quadratic parser would take hours."""
    script = json.dumps(PIE)
    page = f'<script type="application/ld+json">{script}{" " * 1_000_000}</script>' + text * 1_000_000
    assert page_recipes(page)[0]["name"] == "Pie"
