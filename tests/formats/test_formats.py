"""Each format, from small files that follow its documentation, to the recipe that a cook expects."""

import base64
import contextlib
import email.message
import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.formats.recipe_files import parsed, read_recipe, read_recipes
from adamine_jax.formats.registry import read_source
from adamine_jax.recipes.fields import draft
from adamine_jax.recipes.photos import photo_files
from data_builders.recipe1m.own_recipes.command import main
from data_builders.recipe1m.own_recipes.import_report import Report
from tests.data_builders.recipe1m.own_recipes.own import jpeg

PIE = ("Pie", ["200 g flour", "2 eggs, beaten"], ["Mix the flour.", "Bake it."])


@pytest.fixture
def read(tmp_path):
    """Reads a source with the photos of archives."""
    (tmp_path / "report").mkdir()
    (tmp_path / "unpacked").mkdir()

    def run(source: Path):
        report = Report(tmp_path / "report", skip_broken=False, unpacked=tmp_path / "unpacked")
        with contextlib.closing(report):
            return [draft(entry) for entry in read_source(source, report)]

    return run


def whole(recipe):
    return recipe.title, recipe.ingredients, recipe.instructions


def written(tmp_path, name, data):
    path = tmp_path / "files" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


MARKDOWN = {
    "headings": "# Pie\n\n![photo](pie.jpg)\n\nA pie.\n\n## Ingredients\n\n- [ ] 200 g **flour**\n"
    "* 2 eggs, [beaten](x)\n\n"
    "## Directions\n\n1. Mix the\n   flour.\n2. Bake it.\n\n## Notes\n\n- good\n",
    "underlined": "Pie\n===\n\nZutaten\n-------\n- 200 g flour\n- 2 eggs, beaten\n\nZubereitung\n---\n\n"
    "Mix the flour.\n\nBake it.\n"
    "\n![[pie.jpg|300]]",
    "bold": "# Pie\n<img src='pie.jpg'>\n\n**Ingrédients :**\n\n200 g flour\n2 eggs, beaten\n\n"
    "**Préparation**\n\nMix the flour.\n\nBake it.",
    "chowdown": "---\nlayout: recipe\ntitle: Pie\nimage: pie.jpg\ningredients:\n- 200 g flour\n"
    "- 2 eggs, beaten\ndirections:\n"
    "- Mix the flour.\n- Bake it.\n---\nSome text.\n",
    "hugo": '+++\ntitle = "Pie"\nimages = ["pie.jpg"]\n+++\n\n### Ingredients\n#### Dough\n- 200 g flour\n'
    "- 2 eggs, beaten\n"
    "### Method\n#### First\n- Mix the flour.\n#### Then\n- Bake it.\n",
    "jekyll": "---\ntitle: Pie\npicture: pie.jpg\ningredients: [200 g flour, '2 eggs, beaten']\n---\n"
    "1. Mix the flour.\n1. Bake it.\n",
    "table": "# Pie\n![](pie.jpg)\n## Ingredients\n| amount | what |\n|---|---|\n| 200 g | flour |\n"
    "| 2 | eggs, beaten |\n\n"
    "## Steps\n- Mix the flour.\n- Bake it.\n",
}


@pytest.mark.parametrize("kind", MARKDOWN)
def test_markdown(read, tmp_path, kind):
    (recipe,) = read(written(tmp_path, "pie.md", MARKDOWN[kind]))
    assert whole(recipe) == PIE
    assert recipe.photos == ["pie.jpg"]


def test_a_markdown_file_without_a_recipe_is_reported(read, tmp_path):
    written(tmp_path, "README.md", "# About\n\nMy recipes.\n")
    written(tmp_path, "pie.md", MARKDOWN["headings"])
    assert [recipe.title for recipe in read(tmp_path / "files")] == ["Pie"]
    with pytest.raises(UserError, match="malformed front matter"):
        read(written(tmp_path, "bad.md", "---\na: [\n---\n"))


def test_cooklang(read, tmp_path):
    text = (
        ">> source: https://example.org\n-- a comment\n= Dough =\nMix the @flour{200%g}\n"
        "in a #large bowl{}. [- not -]\n\n"
        "> A note.\n\nBeat @eggs{2}(beaten) for ~{5%minutes}, -- quickly\nadd @ground black pepper{} and @salt.\n"
    )
    path = written(tmp_path, "Egg pie.cook", text)
    written(tmp_path, "Egg pie.jpg", jpeg(1))
    (recipe,) = read(path)
    assert whole(recipe) == (
        "Egg pie",
        ["200 g flour", "2 eggs, beaten", "ground black pepper", "salt"],
        ["Mix the flour in a large bowl.", "Beat eggs for 5 minutes, add ground black pepper and salt."],
    )
    assert recipe.photos_beside == ("Egg pie.jpg",)


def test_meal_master(read, tmp_path):
    text = (
        "---------- Recipe via Meal-Master (tm) v8.05\n \n      Title: Pie\n Categories: Cakes, Fruit\n"
        "   Servings:  6\n \n"
        "    200 g  Flour                               2 lg Eggs; beaten, and\n"
        "      1 ts Salt                                     -cold\n"
        " \n---------------------------------SYRUP---------------------------------\n  1 1/2 c  Sugar\n \n"
        "  Mix the flour.\n  Wait.\n \n  Bake it.\n \n-----\n"
    )
    (recipe,) = read(written(tmp_path, "pies.mmf", text.replace("\n", "\r\n")))
    ingredients = ["200 g Flour", "1 teaspoon Salt", "2 large Eggs; beaten, and cold", "1 1/2 cup Sugar"]
    assert whole(recipe) == ("Pie", ingredients, ["Mix the flour. Wait.", "Bake it."])
    assert recipe.class_name == "cakes"


def paprika(name="Pie"):
    recipe = {"name": name, "ingredients": "200 g flour\n2 eggs, beaten", "directions": "Mix the flour.\n\nBake it.",
              "categories": ["Cakes"], "uid": "AB-1", "photo_data": base64.b64encode(jpeg(1)).decode()}  # fmt: skip
    return gzip.compress(json.dumps(recipe).encode())


def test_paprika(read, tmp_path):
    (recipe,) = read(written(tmp_path, "all.paprikarecipes", zipped({"Pie.paprikarecipe": paprika()})))
    assert whole(recipe) == PIE
    assert Path(recipe.photos[0]).read_bytes() == jpeg(1)
    (alone,) = read(written(tmp_path, "Pie.paprikarecipe", paprika()))
    assert whole(alone) == PIE


def test_tandoor(read, tmp_path):
    steps = [
        {"instruction": "Mix the flour.", "ingredients": [
            {"food": {"name": "Dough"}, "unit": None, "amount": 0, "note": "", "is_header": True, "no_amount": False},
            {"food": {"name": "flour"}, "unit": {"name": "g"}, "amount": 200.0, "note": "", "is_header": False}]},
        {"instruction": "Bake it.", "ingredients": [
            {"food": {"name": "eggs"}, "unit": None, "amount": 2.0, "note": "beaten", "no_amount": False}]},
    ]  # fmt: skip
    recipe = zipped({"recipe.json": json.dumps({"name": "Pie", "steps": steps, "keywords": []}), "image.jpg": jpeg(2)})
    (found,) = read(written(tmp_path, "export.zip", zipped({"1.zip": recipe})))
    assert whole(found) == PIE
    assert (found.folder / found.photos_beside[0]).read_bytes() == jpeg(2)


def test_a_backup_of_mealie(read, tmp_path):
    key = "0123456789abcdef0123456789abcdef"
    tables = {
        "recipes": [{"id": key, "name": "Pie", "image": "x", "org_url": None}],
        "recipes_ingredients": [
            {"recipe_id": key, "position": 1, "quantity": 2, "food_id": "e", "unit_id": None, "note": "beaten"},
            {"recipe_id": key, "position": 0, "quantity": 200, "food_id": "f", "unit_id": "g", "note": ""},
        ],
        "recipe_instructions": [
            {"recipe_id": key, "position": 0, "title": "Dough", "text": "Mix the flour."},
            {"recipe_id": key, "position": 1, "text": "Bake it."},
        ],
        "ingredient_foods": [{"id": "f", "name": "flour"}, {"id": "e", "name": "eggs"}],
        "ingredient_units": [{"id": "g", "name": "g"}],
    }
    photo = "data/recipes/01234567-89ab-cdef-0123-456789abcdef/images/original.webp"
    (recipe,) = read(written(tmp_path, "backup.zip", zipped({"database.json": json.dumps(tables), photo: jpeg(3)})))
    assert whole(recipe) == PIE
    assert photo in recipe.photos
    assert (recipe.folder / photo).is_file()


def test_nextcloud(read, tmp_path):
    values = {"@type": "Recipe", "name": "Pie", "image": "/apps/cookbook/1", "recipeIngredient": PIE[1],
              "recipeInstructions": PIE[2]}  # fmt: skip
    written(tmp_path, "Pie/recipe.json", json.dumps(values))
    written(tmp_path, "Pie/full.jpg", jpeg(4))
    (recipe,) = read(tmp_path / "files")
    assert (whole(recipe), recipe.photos_beside) == (PIE, ("full.jpg",))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../a.json": "{}"}, "outside of the archive"),
        ({"/etc/a.json": "{}"}, "outside of the archive"),
        ({"a/..\\..\\b.json": "{}"}, "outside of the archive"),
        ({"a.json": b" " * 50_000_000}, "more than 100 times as large"),
        ({"a.zip": zipped({"../b.json": "{}"})}, "outside of the archive"),
        ({"a.zip": zipped({f"{n}.json": bytes(10_000_000) for n in range(20)})}, "more than 100 times as large"),
    ],
)
def test_dangerous_archives_are_refused(read, tmp_path, members, message):
    with pytest.raises(UserError, match=rf"a\.zip: .*{message}"):
        read(written(tmp_path, "a.zip", zipped(members)))
    assert not (tmp_path / "b.json").exists()


def test_a_bomb_in_paprika_is_refused(read, tmp_path, monkeypatch):
    monkeypatch.setattr("adamine_jax.formats.archives.MAX_RECIPE", 1000)
    data = gzip.compress(b" " * 5000)
    with pytest.raises(UserError, match="more than"):
        read(written(tmp_path, "a.paprikarecipe", data))


LINKED = {"@type": "Recipe", "name": "Pie", "recipeIngredient": PIE[1], "recipeInstructions": PIE[2]}


def page(image):
    return f'<html><script type="application/ld+json">{json.dumps(LINKED | {"image": image})}</script></html>'


def test_a_saved_page_has_its_photos_once(read, tmp_path):
    sizes = [f"https://example.org/up/pie-{size}.jpg" for size in ("100x100", "400x300", "scaled")]
    path = written(tmp_path, "Pie.html", page([*sizes, "https://example.org/up/other.jpg?w=5"]))
    for number, name in enumerate(("pie-100x100.jpg", "pie-400x300.jpg", "other.jpg", "ad.html")):
        written(tmp_path, f"Pie_files/{name}", bytes(10 + number))
    (recipe,) = read(tmp_path / "files")
    assert recipe.photos == ["Pie_files/pie-400x300.jpg", "Pie_files/other.jpg"]
    assert whole(recipe) == PIE == whole(read(path)[0])


def test_mhtml(read, tmp_path):
    message = email.message.EmailMessage()
    message["Subject"] = "Pie"
    message.set_content(page("https://example.org/pie-300x200.jpg"), subtype="html")
    message.add_related(jpeg(1), "image", "jpeg")
    list(message.walk())[-1]["Content-Location"] = "https://example.org/pie.jpg"
    (recipe,) = read(written(tmp_path, "pie.mhtml", message.as_bytes()))
    assert whole(recipe) == PIE
    assert Path(recipe.photos[0]).read_bytes() == jpeg(1)


@pytest.mark.parametrize(
    "html",
    [
        '<div itemscope itemtype="http://schema.org/Recipe"><h1 itemprop="name">Pie</h1>'
        '<li itemprop="recipeIngredient">200 g flour<li itemprop="recipeIngredient">2 eggs, beaten</li>'
        '<div itemprop="author" itemscope itemtype="http://schema.org/Person">'
        '<b itemprop="name">Ann</b></div><ol itemprop="recipeInstructions"><li>Mix the flour.<li>Bake it.</ol></div>',
        '<div vocab="http://schema.org/" typeof="Recipe"><h1 property="name">Pie</h1>'
        '<li property="recipeIngredient">200 g flour</li><li property="schema:recipeIngredient">2 eggs, beaten</li>'
        '<p property="recipeInstructions">Mix the flour.</p><p property="recipeInstructions">Bake it.</p></div>',
        '<script type="application/ld+json">{"@type": "Recipe", broken</script>' + page("x"),
        f'<script type="application/ld+json">{json.dumps(LINKED)[:-1]},}}</script>',
        '<link rel="canonical" href="http:///?">' + page("x"),
        "<nav><li>Ingredients</li></nav><h1>Pie</h1><h2>What you'll need</h2>"
        "<ul><li>200 g <b>flour</b><li>2 eggs, beaten</ul>"
        "<h2>Method:</h2><ol><li><p>Mix the flour.</p></li><li>Bake it.</li></ol><h2>Comments</h2><p>Nice.</p>",
        "<h1>Pie</h1><p><b>Zubereitung</b></p><p>Mix the flour.</p><p>Bake it.</p>"
        "<h3>Zutaten für 4 Personen</h3>200 g flour<br>"
        "2 eggs, beaten<br>",
    ],
)
def test_pages_in_other_forms(html, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection was opened"))
    recipe = parsed(f"<!doctype html><html><body>{html}</body></html>", "page")
    assert (recipe.title, list(recipe.ingredients), list(recipe.instructions)) == PIE


def test_the_scraper_of_a_site_is_used_without_names_of_sections():
    linked = LINKED | {"recipeInstructions": [{"@type": "HowToSection", "name": "Dough", "itemListElement": PIE[2]}]}
    link = '<link rel="canonical" href="https://www.allrecipes.com/recipe/1/pie/">'
    recipe = parsed(f'<html>{link}<script type="application/ld+json">{json.dumps(linked)}</script></html>', "page")
    assert list(recipe.instructions) == PIE[2]


def test_queries_are_read_like_imports(tmp_path, read):
    linked = {"@type": "Recipe", "name": "Rice &amp; eggs", "recipeIngredient": ["<b>1 cup</b> rice"],
              "recipeInstructions": "<ol><li>Boil the rice.</li><li>Add &amp; stir.</li></ol>"}  # fmt: skip
    html = f'<script type="application/ld+json">{json.dumps(linked)}</script>'
    paths = [
        written(tmp_path, "a.json", json.dumps(linked)),
        written(tmp_path, "b.json", json.dumps([{"@graph": [{"@type": "WebSite"}, linked]}])),
        written(tmp_path, "c.jsonl", json.dumps(linked)),
        written(tmp_path, "d.html", f"<html>{html}</html>"),
        written(
            tmp_path, "e.md", "# Rice & eggs\n## Ingredients\n- 1 cup rice\n## Steps\n- Boil the rice.\n- Add & stir.\n"
        ),
    ]
    for path in paths:
        imported, query, (listed,) = read(path)[0], read_recipe(path), read_recipes(path)
        assert whole(imported) == ("Rice & eggs", ["1 cup rice"], ["Boil the rice.", "Add & stir."])
        for recipe in (query, listed):
            assert (recipe.title, list(recipe.ingredients), list(recipe.instructions)) == whole(imported)
    with pytest.raises(UserError, match=r"two\.json: contains 2 recipes; must be one"):
        read_recipe(written(tmp_path, "two.json", json.dumps([linked, linked | {"name": "Other"}])))


INGREDIENTS = [
    ({"quantity": 0.5, "measure": "cup", "ingredient": "rice"}, "1/2 cup rice"),
    ({"amount": "2", "unit": "cups", "name": "rice", "notes": "washed"}, "2 cups rice, washed"),
    ({"qty": 1.3333333, "unit": {"name": "cup"}, "food": {"name": "rice"}}, "1 1/3 cup rice"),
    ({"display": "2 beets", "quantity": 2}, "2 beets"),
    ({"original_text": "1 tbsp oil", "display": "1 tablespoon oil"}, "1 tbsp oil"),
    ({"@type": "PropertyValue", "value": 3, "unitText": "dl", "name": "milk"}, "3 dl milk"),
    ({"amount": {"min": 1, "max": 2}, "unit": "kg", "name": "rice"}, "1-2 kg rice"),
    ({"name": "Dough", "ingredients": ["1 egg"]}, "1 egg"),
    ({"rice": "1 cup"}, "1 cup rice"),
    ({"Dough": ["1 egg"]}, "1 egg"),
    ({"name": "salt", "amount": None}, "salt"),
]


@pytest.mark.parametrize(("value", "line"), INGREDIENTS)
def test_ingredients_may_be_objects(value, line):
    assert list(parsed(json.dumps({"title": "Pie", "ingredients": [value, "x"]}), "r").ingredients) == [line, "x"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("3 red peppers, 2 small onions, salt", ["3 red peppers", "2 small onions", "salt"]),
        ("1 onion, finely chopped", ["1 onion, finely chopped"]),
        ("3 red peppers2 onions, chopped1 can tomatoes", ["3 red peppers", "2 onions, chopped", "1 can tomatoes"]),
        ("flour; sugar; 7up", ["flour", "sugar", "7up"]),
        ("- 1 egg\n▢ salt\n• oil", ["1 egg", "salt", "oil"]),
    ],
)
def test_ingredients_may_be_one_text(text, lines):
    assert list(parsed(json.dumps({"title": "Pie", "ingredients": text}), "r").ingredients) == lines


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
        *(("a.md", text * 100_000) for text in ("![", "[", "<!--", "# a ", "#", "|", "**", "%%", "`")),
        *(("a.md", f"# a{text * 100_000}x") for text in (" ", "#")),
        *(("a.cook", text * 100_000) for text in ("[-", "@&", "@a ", "~{", ">> a", "-- ")),
        ("a.cook", ">> a" + " " * 100_000 + "x"),
        ("a.html", f"<script type='application/ld+json'>{' ' * 500_000}x</script>"),
        ("a.html", page("-scaled" * 50_000 + "x.jpg")),
    ],
)
def test_long_runs_take_linear_time(tmp_path, name, text):
    """A quadratic reader would take minutes or hours."""
    with contextlib.suppress(UserError):
        read_recipe(written(tmp_path, name, text))


def test_texts_of_steps_that_list_their_ingredients():
    steps = [
        {"number": 1, "step": "Boil the beets.", "ingredients": [{"name": "beets"}]},
        {"text": "Eat.", "ingredients": ["5f"]},
    ]
    recipe = parsed(json.dumps({"title": "x", "ingredients": ["2 beets"], "instructions": steps}), "r")
    assert recipe.instructions == ("Boil the beets.", "Eat.")


def test_paragraphs_and_sections_of_markdown_are_kept(read, tmp_path):
    text = (
        "# Pie\n\n## 🛒 Ingredients\n\n2 eggs\n\n### Dough\n\n- 1 cup milk\n\n"
        "## 👩‍🍳 Directions\n\nPreheat the oven.\n\n"
        "1. Mix.\n\n   Rest it.\n\n2. Bake.\n\n![](<My Photo (1).jpg>)\n"
    )
    (recipe,) = read(written(tmp_path, "pie.md", text))
    assert whole(recipe) == ("Pie", ["2 eggs", "1 cup milk"], ["Preheat the oven.", "Mix. Rest it.", "Bake."])
    assert recipe.photos == ["My Photo (1).jpg"]
    (other,) = read(
        written(tmp_path, "b.md", "# Ingredients\n\n## Dough\n\n- egg\n\n# Directions\n\n## Dough\n\n1. Mix.\n")
    )
    assert whole(other) == ("b", ["egg"], ["Mix."])


def test_records_of_a_list_are_read_like_documents_and_none_is_lost(read, tmp_path):
    tandoor = {"name": "Soup", "steps": [{"instruction": "Boil.", "ingredients": [{"food": {"name": "beets"}}]}]}
    (soup,) = read(written(tmp_path, "a.json", json.dumps([tandoor])))
    assert whole(soup) == ("Soup", ["beets"], ["Boil."])
    latin = json.dumps([{"title": "Crème", "ingredients": ["œuf"]}], ensure_ascii=False).encode("cp1252")
    assert read(written(tmp_path, "b.json", latin))[0].title == "Crème"
    same = [LINKED, LINKED | {"recipeInstructions": ["Fry."]}, LINKED]
    assert len(read(written(tmp_path, "c.json", json.dumps({"@graph": same})))) == 2
    mixed = {"recipes": [LINKED, {"title": "Tart", "ingredients": ["egg"]}, {"title": "only"}]}
    report = Report(tmp_path / "report", skip_broken=False)
    with contextlib.closing(report):
        found = [entry.values for entry in read_source(written(tmp_path, "d.json", json.dumps(mixed)), report)]
    assert [values.get("title", values.get("name")) for values in found] == ["Pie", "Tart", "only"]


def test_photos_of_an_archive_are_found_in_it_alone(tmp_path):
    table = "Title,Ingredients,Instructions,Image_Name\nPie,\"['flour', 'egg']\",Mix. Bake.,pie-abc\n"
    archive = zipped({"recipes.csv": table, "Food Images/Food Images/pie-abc.jpg": jpeg(1)})
    path = written(tmp_path, "kaggle.zip", archive)
    written(tmp_path, "other/pie-abc.jpg", jpeg(2))
    assert main(["--from", str(path), "--out", str(tmp_path / "out"), "--splits", "1,0,0"]) == 0
    (photo,) = (tmp_path / "out" / "images").rglob("*.jpg")
    assert photo.read_bytes() == jpeg(1)


def test_names_with_colons_and_double_dashes(read, tmp_path):
    (recipe,) = read(written(tmp_path, "a.paprikarecipes", zipped({"Soup: the best.paprikarecipe": paprika("Soup")})))
    assert recipe.title == "Soup"
    (recipe,) = read(written(tmp_path, "a.cook", "Serve at 10--15 degrees with @milk{}."))
    assert (recipe.ingredients, recipe.instructions) == (["milk"], ["Serve at 10--15 degrees with milk."])


def test_galleries_of_a_folder_skip_what_is_broken(tmp_path):
    written(tmp_path, "a.json", "{")
    written(tmp_path, "b.json", json.dumps(LINKED))
    written(tmp_path, "c.jsonl", '{"url": "x"}\n{"title": "Tart"}\n')
    written(tmp_path, "d.md", "# About\n")
    said: list[str] = []
    assert [recipe.title for recipe in read_recipes(tmp_path / "files", said.append)] == ["Pie", "Tart"]
    assert [line.split(":")[0] for line in said] == ["a.json", "c.jsonl", "d.md"]
    assert all(line.endswith("; skipped") for line in said)
    with pytest.raises(UserError, match=r"a\.json: not JSON"):
        list(read_recipes(tmp_path / "files/a.json"))


def test_photos_are_recognised_by_their_content_or_suffix(tmp_path):
    for name in ("a.jfif", "b.jpe", "c.JPG", "d.pjpeg", "e", "f.avif", ".hidden"):
        written(tmp_path, name, jpeg(1))
    written(tmp_path, "notes", "no photo")
    written(tmp_path, "g.txt", jpeg(1))
    assert [path.name for path in photo_files(tmp_path / "files")] == [
        "a.jfif",
        "b.jpe",
        "c.JPG",
        "d.pjpeg",
        "e",
        "f.avif",
    ]
