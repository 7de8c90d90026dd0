"""Saved web pages with their photos, in all forms in which pages contain recipes."""

import email.message
import json
from pathlib import Path

import pytest

from adamine_jax.formats.recipe_files import parsed
from tests.data_builders.recipe1m.own_recipes.own import jpeg
from tests.formats.files import LINKED, PIE, page, whole, written


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
        '<img src="data:image/png;base64,' + "A" * 11_000_000 + '">' + page("x"),
        "<form><nav><h1>Pie</h1><h2>Ingredients</h2><li>200 g flour</li><li>2 eggs, beaten</li><h2>Method</h2>"
        "<li>Mix the flour.</li><li>Bake it.</li>",  # a menu that is not closed
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


def test_the_photo_of_a_page_without_markup_or_with_another_name(read, tmp_path):
    body = (
        "<header><img src='Pie_files/logo.png'></header><h1>Pie</h1><img src='./Pie%20it_files/pie.jpg'>"
        "<img src='Pie%20it_files/other.jpg'><h2>Ingredients</h2><ul><li>200 g flour<li>2 eggs, beaten</ul>"
        "<h2>Method</h2><ol><li>Mix the flour.<li>Bake it.</ol>"
    )
    for name in ("pie.jpg", "other.jpg"):
        written(tmp_path, f"Pie it_files/{name}", jpeg(1))
    (recipe,) = read(written(tmp_path, "Renamed.html", f"<html><title>Pie - my blog</title>{body}</html>"))
    assert whole(recipe) == PIE
    assert recipe.photos == ["Pie it_files/pie.jpg"]
    head = '<meta property="og:image" content="https://example.org/up/other-300x200.jpg">'
    (recipe,) = read(written(tmp_path, "Stated.html", f"<html>{head}{body}</html>"))
    assert recipe.photos == ["Pie it_files/other.jpg"]
    written(tmp_path, "beside.jpg", jpeg(1))
    (recipe,) = read(
        written(tmp_path, "Beside.html", f"<html>{body.replace('./Pie%20it_files/pie.jpg', 'beside.jpg')}</html>")
    )
    assert recipe.photos == ["beside.jpg"]
    outside = body.replace("./Pie%20it_files/pie.jpg", "../outside.jpg").replace(
        "Pie%20it_files/other.jpg", "http://x/y"
    )
    (tmp_path / "outside.jpg").write_bytes(jpeg(1))
    (recipe,) = read(written(tmp_path, "Outside.html", f"<html>{outside}</html>"))
    assert recipe.photos == ["../outside.jpg"]  # which the import refuses
    markup = page("https://example.org/up/pie-300x200.jpg") + "<img src='Pie%20it_files/pie.jpg'>"
    (recipe,) = read(written(tmp_path, "Marked up.html", markup))
    assert recipe.photos == ["Pie it_files/pie.jpg"]


def test_a_title_loses_the_name_of_the_site(read, tmp_path):
    text = "<title>Pie | my blog</title><h2>Ingredients</h2>1 egg<br>2 cups milk<h2>Method</h2><p>Mix.</p>"
    (recipe,) = read(written(tmp_path, "a.html", f"<html>{text}</html>"))
    assert recipe.title == "Pie"
