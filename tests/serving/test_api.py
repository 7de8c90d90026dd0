"""The API finds the same results as the commands, and reports invalid requests."""

import io
import json

import httpx
import pytest
from PIL import Image

from adamine_jax import embed, search
from adamine_jax.gallery.items import BusyGallery
from adamine_jax.gallery.opening import open_gallery
from adamine_jax.serving import messages
from tests.servers import serving
from tests.small_collection import photo_file, recipes

WRITTEN = {recipe["id"]: recipe for recipe in recipes(48)}


def command_results(kitchen, capsys, *flags):
    """Returns (id, former place) pairs and similarities of `python -m adamine_jax.search`."""
    command = ["--workdir", str(kitchen / "run"), "--gallery", str(kitchen / "gallery"), "--json", "--top", "24"]
    assert search.main([*command, *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    return [(hit["id"], hit.get("place_before")) for hit in found], [hit["similarity"] for hit in found]


def assert_same(answer, among, expected):
    assert answer.status_code == 200, answer.text
    hits = answer.json()[among]
    assert [(hit["id"], hit["place_before"]) for hit in hits] == expected[0]
    assert [hit["similarity"] for hit in hits] == pytest.approx(expected[1], abs=1e-5)
    assert [hit["place"] for hit in hits] == list(range(1, len(hits) + 1))


@pytest.mark.parametrize("changes", [{}, {"with": ["dill"], "without": ["salt", "olive oil"]}])
@pytest.mark.parametrize("among", ["recipes", "photos"])
def test_a_photo_finds_the_same_results_as_the_command(kitchen, api, tmp_path, capsys, changes, among):
    (tmp_path / "a.png").write_bytes(photo_file(7))
    flags = [flag for name, values in changes.items() for flag in (f"--{name}", ",".join(values))]
    expected = command_results(kitchen, capsys, "--image", str(tmp_path / "a.png"), "--in", among, *flags)
    answer = api.post("/search/photo", params={"in": among, "top": 24, **changes}, files={"photo": photo_file(7)})
    assert_same(answer, among, expected)


def test_a_recipe_finds_the_same_results_as_the_command(kitchen, api, tmp_path, capsys):
    recipe = {"title": "Soup", "ingredients": ["3 beets, diced", "dill"], "instructions": ["Stir the beets."]}
    (tmp_path / "r.json").write_text(json.dumps(recipe))
    for changes in ({}, {"with": ["salt"], "without": ["beets"]}, {"without": ["leek"]}, {"class": "cake"}):
        values = {name: value if isinstance(value, str) else value[0] for name, value in changes.items()}
        flags = [flag for name, value in values.items() for flag in (f"--{name}", value)]
        expected = command_results(kitchen, capsys, "--recipe", str(tmp_path / "r.json"), *flags)
        assert_same(api.post("/search/recipe", json=recipe | changes | {"top": 24}), "photos", expected)


def test_partial_recipes_and_the_ingredients_of_the_query(api):
    query = {"ingredients": ["2 beets", "dragon fruit"], "in": "both", "top": 3, "without": ["leek"]}
    query["exclude"] = ["dragon fruit"]
    answer = api.post("/search/recipe", json=query).json()
    assert answer["unmatched"] == ["dragon fruit"]
    assert answer["names"] == [{"name": "beets", "known": True}, {"name": "dragon fruit", "known": False}]
    assert answer["absent"] == ["leek"]
    assert len(answer["recipes"]) == len(answer["photos"]) == 3
    for hit in answer["recipes"]:
        written = WRITTEN[hit["id"]]
        assert hit["title"] == written["title"]
        assert hit["class"] == written["class"]
        assert [line["line"] for line in hit["ingredients"]] == written["ingredients"]
        assert [line["in_query"] for line in hit["ingredients"]] == ["beets" in line for line in written["ingredients"]]
        assert [f"Stir the {line['names'][0]}, then taste it." for line in hit["ingredients"]] == hit["instructions"]
    assert api.post("/search/recipe", json={"title": "beet soup"}).status_code == 200
    assert api.post("/search/recipe", json={"instructions": ["Stir."]}).status_code == 200


def test_responses_match_their_schema_and_marks_belong_to_one_query(api):
    """Items are cached and shared by all responses, which the server does not validate."""

    def marks(answer):
        answer.raise_for_status()
        found = messages.Found.model_validate(answer.json(), strict=True)
        assert set(answer.json()) == set(messages.Found.model_fields)
        assert set(answer.json()["photos"][0]) == set(found.photos[0].model_dump(by_alias=True))
        return [line.in_query for hit in found.photos for line in hit.ingredients]

    query = {"in": "photos", "top": 24}
    assert any(marks(api.post("/search/recipe", json=query | {"ingredients": ["2 beets"]})))
    assert not any(marks(api.post("/search/photo", params=query, files={"photo": photo_file(7)})))


def test_an_absent_ingredient_is_subtracted_from_the_embedding(api):
    plain = api.post("/search/recipe", json={"ingredients": ["2 beets"], "top": 24}).json()["photos"]
    moved = api.post("/search/recipe", json={"ingredients": ["2 beets"], "top": 24, "without": ["leek"]}).json()[
        "photos"
    ]
    assert [hit["similarity"] for hit in moved] != pytest.approx([hit["similarity"] for hit in plain], abs=1e-3)
    places = {hit["id"]: hit["place"] for hit in plain}
    assert [hit["place_before"] for hit in moved] == [places[hit["id"]] for hit in moved]


def test_an_item_finds_similar_items(api, gallery):
    identifier = gallery.ids[5]
    for by, among in (("photo", "photos"), ("recipe", "recipes")):
        (first, *_) = api.get("/search/similar", params={"id": identifier, "by": by, "in": among}).json()[among]
        assert first["id"] == identifier
        assert first["similarity"] == pytest.approx(1, abs=1e-5)
    assert api.get("/search/similar", params={"id": identifier, "by": "recipe"}).json()["recipes"] is None
    assert api.get("/search/similar", params={"id": "nobody"}).status_code == 404


def test_items_and_their_photos(api, gallery):
    identifier = gallery.ids[2]
    item = api.get("/item", params={"id": identifier}).json()
    assert item["title"] == WRITTEN[identifier]["title"]
    base = str(api.base_url).split("/api/")[0]
    large = api.get(base + item["photo"]["large"])
    assert large.headers["content-type"] == "image/jpeg"
    assert large.content == gallery.item(2).photo.read_bytes()
    small = Image.open(io.BytesIO(api.get(base + item["photo"]["small"]).content))
    assert min(small.size) == min(*Image.open(io.BytesIO(large.content)).size, 160)
    assert api.get("/item", params={"id": "../gallery.json"}).status_code == 404
    assert api.get("/photo", params={"id": "photos/00000000.jpg"}).status_code == 404


def test_suggestions_are_known_ingredients_of_the_gallery(api, model):
    assert api.get("/suggestions", params={"text": " OL"}).json() == {"names": ["olive oil"]}
    assert api.get("/suggestions", params={"text": "pepper"}).json() == {"names": ["black pepper"]}
    names = api.get("/suggestions", params={"text": "", "top": 50}).json()["names"]
    lines = [line for recipe in recipes(48) if recipe["partition"] == "train" for line in recipe["ingredients"]]
    counts = [sum(name in line for line in lines) for name in names]
    assert counts == sorted(counts, reverse=True)
    assert len(names) == len({line.split(" cups ")[1] for line in lines})


def test_the_gallery_and_the_state(api):
    about = api.get("/gallery").json()
    assert about["items"] == 24
    assert about["sides"] == ["recipes", "photos"]
    assert {kind["name"]: kind["items"] for kind in about["classes"]} == {"soup": 12, "cake": 12}
    assert len(about["examples"]) == 6
    assert api.get("/health").json() == {"status": "ok"}
    assert api.get("/ready").json() == {"status": "ready"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({}, "empty recipe; give any of title, ingredients and instructions"),
        ({"title": "  ", "ingredients": ["", " "]}, "empty recipe"),
        ({"ingredients": ["salt"], "top": 101}, "top: Input should be less than or equal to 100"),
        ({"ingredients": ["salt"], "top": 0}, "top: Input should be greater"),
        ({"ingredients": ["x" * 501]}, "ingredients.0: String should have at most 500 characters"),
        ({"ingredients": ["x"] * 61}, "ingredients: List should have at most 60 items"),
        ({"title": "x" * 301}, "title: String should have at most 300 characters"),
        ({"ingredients": ["salt"], "without": ["salt"]}, "Nothing is left of the recipe"),
        ({"ingredients": ["salt"], "class": "stew"}, "no item of this class"),
        ({"ingredients": ["salt"], "in": "books"}, "in: Input should be 'recipes', 'photos' or 'both'"),
        ({"ingredients": ["salt"], "colour": "red"}, "colour: unknown field"),
        ({"title": "\ud800"}, "title: Input should be a valid string"),
        ([], "Send one JSON object"),
        ("soup", "Send one JSON object"),
    ],
)
def test_invalid_queries_are_reported_in_one_sentence(api, query, message):
    content = json.dumps(query)
    answer = api.post("/search/recipe", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422
    assert answer.json().keys() == {"error"}
    assert message in answer.json()["error"]


def test_unknown_paths_and_methods(api):
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/search/recipe", 405), ("DELETE", "/item", 405)):
        answer = api.request(method, path)
        assert answer.status_code == status
        assert answer.json()["error"].endswith(".")


def test_a_gallery_of_photos(kitchen, model, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(3):
        (tmp_path / "photos" / f"{number}.png").write_bytes(photo_file(number))
    command = ["--workdir", str(kitchen / "run"), "--photos", str(tmp_path / "photos"), "--out", str(tmp_path / "g")]
    assert embed.main(command) == 0
    gallery = open_gallery(tmp_path / "g", model.digest)
    with serving(model, gallery) as (address, _, _), httpx.Client(base_url=f"{address}/api/v1") as api:
        assert api.get("/gallery").json()["sides"] == ["photos"]
        found = api.post("/search/photo", files={"photo": photo_file(2)}).json()
        assert found["recipes"] is None
        assert found["photos"][0]["id"] == "2.png"
        for answer in (
            api.post("/search/photo", files={"photo": photo_file(2)}, params={"in": "recipes"}),
            api.get("/search/similar", params={"id": "2.png", "by": "recipe"}),
        ):
            assert answer.status_code == 422
            assert answer.json()["error"].startswith("The gallery contains only photos")
        assert api.get("/search/similar", params={"id": "2.png"}).json()["photos"][0]["id"] == "2.png"
        assert "sour cream" in api.get("/suggestions", params={"text": "sour"}).json()["names"]


def test_options_may_be_fields_of_the_form(api):
    options = {"in": "both", "top": "2", "with": ["dill", "salt"], "class": "CAKE"}
    by_query = api.post("/search/photo", params=options, files={"photo": photo_file(7)}).json()
    by_form = api.post("/search/photo", data=options, files={"photo": photo_file(7)}).json()
    assert len(by_form["recipes"]) == 2
    assert by_form | {"milliseconds": 0} == by_query | {"milliseconds": 0}
    answer = api.post("/search/photo", data={"top": "no"}, files={"photo": photo_file(7)})
    assert (answer.status_code, answer.json()["error"][:4]) == (422, "top:")


def test_a_pasted_page_is_the_same_query_as_its_recipe(api):
    linked = {"@type": "Recipe", "name": "Soup", "recipeIngredient": ["<b>3 beets</b>, diced", "dill"],
              "recipeInstructions": "<p>Stir the beets.</p><p>Eat.</p>"}  # fmt: skip
    page = f'<html><script type="application/ld+json">{json.dumps(linked)}</script>{"<p>x</p>" * 50_000}</html>'
    recipe = {"title": "Soup", "ingredients": ["3 beets, diced", "dill"], "instructions": ["Stir the beets.", "Eat."]}
    expected = api.post("/search/recipe", json=recipe).json()["photos"]
    for query in ({"text": page}, {"text": json.dumps(linked)}, {"text": page, "title": "Soup"}):
        assert api.post("/search/recipe", json=query).json()["photos"] == expected
    changed = api.post("/search/recipe", json={"text": page, "ingredients": ["salt"]}).json()
    assert [name["name"] for name in changed["names"]] == ["salt"]
    answer = api.post("/search/recipe", json={"text": "<p>no recipe</p>"})
    assert answer.status_code == 422
    assert answer.json()["error"] == "The pasted text: contains no recipe; expected exactly one."


def test_an_unreachable_gallery_is_a_503_that_reveals_nothing(api, gallery, monkeypatch):
    def unreachable(*_, **__):
        raise BusyGallery("postgresql://db.internal/x: cannot be reached (connection refused)")

    for name in ("row_of", "check_filter", "refresh", "nearest"):
        monkeypatch.setattr(gallery, name, unreachable)
    monkeypatch.setattr(type(gallery), "__len__", unreachable)
    for answer in (
        api.get("/ready"),
        api.get("/item", params={"id": "x"}),
        api.get("/search/similar", params={"id": "x"}),
        api.post("/search/recipe", json={"title": "soup", "exclude": ["nuts"]}),
        api.post("/search/recipe", json={"title": "soup"}),
    ):
        assert (answer.status_code, answer.json()) == (503, {"error": "The gallery cannot be searched now; try again."})
        assert answer.headers["retry-after"] == "5"
    assert api.get("/health").status_code == 200
    metrics = httpx.get(str(api.base_url).replace("/api/v1/", "/metrics"))
    assert metrics.status_code == 200
