"""Markdown, Cooklang and Meal-Master, from files that follow their documentation to the expected recipe."""

import gzip
import json
import unicodedata

import pytest

from adamine_jax.base.errors import UserError
from tests.data_builders.recipe1m.own_recipes.own import jpeg
from tests.formats.files import PIE, whole, written

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


@pytest.mark.parametrize(
    ("link", "photo"),
    [
        ("My soup (1).jpg", "My soup (1).jpg"),
        ("<My soup.jpg>", "My soup.jpg"),
        ('My soup.jpg "My soup"', "My soup.jpg"),
        ("soup.jpg 'in a bowl'", "soup.jpg"),
        ("soup.jpg =300x200", "soup.jpg"),
        (" a/My%20soup.jpg ", "a/My%20soup.jpg"),
        ("soup.JPG (My soup)", "soup.JPG"),
        ("my soup.jpg “My soup”", "my soup.jpg"),
        ('soup.jpg width="300"', "soup.jpg"),
        ('<my soup.jpg>"My soup"', "my soup.jpg"),
        ("soup 'in a bowl'", "soup"),
    ],
)
def test_photos_of_markdown(read, tmp_path, link, photo):
    (recipe,) = read(written(tmp_path, "a.md", f"# Soup\n\n![]({link}) Nice.\n\n## Ingredients\n\n- egg\n"))
    assert recipe.photos == [photo]
    assert recipe.photos_beside == ()


def test_the_photo_of_a_note_may_have_its_name(read, tmp_path):
    path = written(tmp_path, "Nr. 5 soup.md", "# Soup\n\n## Ingredients\n\n- egg\n")
    for name in ("Nr. 5 soup.JPG", "Nr. 5 soup.txt", "Nr. 5 soup 2.jpg", "Nr. 6 soup.jpg"):
        written(tmp_path, name, jpeg(1))
    (recipe,) = read(path)
    assert recipe.photos_beside == ("Nr. 5 soup.JPG",)


def test_the_photo_of_a_note_may_differ_in_case_and_normal_form(read, tmp_path):
    path = written(tmp_path, "Crème.md.gz", gzip.compress(b"# Soup\n\n## Ingredients\n\n- egg\n"))
    name = unicodedata.normalize("NFD", "crème.Jpg")
    written(tmp_path, name, jpeg(1))
    (recipe,) = read(path)
    assert recipe.photos_beside == (name,)


@pytest.mark.parametrize("text", ["---\ntags: []\n---\n", "---\ntags: []\n---", "+++\n+++\n", "# \n", "\n"])
def test_notes_without_a_recipe(read, tmp_path, text):
    assert read(written(tmp_path, "a.md", text)) == []


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


def test_marks_of_obsidian_hugo_and_paprika_are_no_text(read, tmp_path):
    text = (
        '+++\ntitle = "Pie"\n[cover]\nimage = "pie.jpg"\n+++\n{{% ingredients %}}\n## Ingredients\n'
        "- 200 g ==flour==[^1]\n"
        "- 2 eggs, beaten {{% /ingredients %}}\n\n## Steps\n1. Mix the flour. ^step3\n2. Bake it. #cake\n\n"
        "> [!tip]\n> Better the next day.\n\n[^1]: Fine.\n\n#pie #sweet\n"
    )
    (recipe,) = read(written(tmp_path, "pie.md", text))
    assert whole(recipe) == PIE
    assert recipe.photos == ["pie.jpg"]
    nested = "---\ntitle: Pie\nrecipe:\n  ingredients: [200 g flour, '2 eggs, beaten']\n"
    nested += "  directions: [Mix the flour., Bake it.]\n"
    (recipe,) = read(written(tmp_path, "b.md", nested + '---\n{{< figure src="/images/pie.jpg" >}}\n'))
    assert whole(recipe) == PIE
    assert recipe.photos == ["/images/pie.jpg"]
    exported = {"name": "Pie", "ingredients": "**200 g** flour\n2 eggs, beaten", "uid": "1"}
    exported |= {"directions": "_Mix_ the flour.\n[photo:1]\nBake [recipe:it]."}
    (recipe,) = read(written(tmp_path, "a.paprikarecipe", gzip.compress(json.dumps(exported).encode())))
    assert whole(recipe) == PIE
