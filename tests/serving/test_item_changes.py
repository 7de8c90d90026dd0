"""The gallery changes through the API with the token alone, is searched meanwhile, and its filters hold."""

import json
import shutil
import threading
import time

import httpx
import pytest

from adamine_jax import embed
from adamine_jax.gallery import opening
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.folder.store import Gallery
from tests.databases import at
from tests.servers import serving
from tests.small_collection import photo_file

TOKEN = "0123456789 abcdef"
HEADERS = {"authorization": f"Bearer {TOKEN}"}
RECIPE = {
    "title": "Walnut bread",
    "ingredients": ["500 g flour", "100 g walnuts, chopped"],
    "instructions": ["Mix the flour with the walnuts and then bake the bread for an hour."],
    "class": "bread",
    "cuisine": "Alpine",
}


@pytest.fixture(scope="module", params=["folder", "postgresql"])
def changing(request, kitchen, model, folder, tmp_path_factory):
    """A client of a server that accepts changes, and its gallery."""
    if request.param == "folder":
        gallery = Gallery(shutil.copytree(folder, tmp_path_factory.mktemp("changing") / "g"))
    else:
        place = at(request.getfixturevalue("database"), "serving")
        assert embed.main(["--workdir", str(kitchen / "run"), "--split", "train", "--store", place]) == 0
        gallery = opening.opened(place)
    with (
        serving(model, gallery, token=TOKEN) as (address, _, _),
        httpx.Client(base_url=f"{address}/api/v1", timeout=60) as client,
    ):
        yield client, gallery
    gallery.verify()


def first_id(gallery):
    return gallery.item(gallery.rows[0]).id


def form(number=3, **fields):
    return {"data": {"recipe": json.dumps(RECIPE | fields)}, "files": {"photo": photo_file(number)}}


def test_items_are_added_found_replaced_and_removed(changing):
    api, gallery = changing
    before = len(gallery)
    answer = api.post("/items", headers=HEADERS, **form())
    assert answer.status_code == 201
    identity = answer.json()["id"]
    assert answer.json() == {"id": identity, "items": before + 1}
    assert api.get("/gallery").json()["items"] == before + 1
    item = api.get("/item", params={"id": identity}).json()
    assert (item["class"], item["language"], item["tags"]) == ("bread", "en", [["cuisine", "Alpine"]])
    assert api.get("/photo", params={"id": identity}).status_code == 200
    (hit,) = api.get("/search/words", params={"words": "walnut bread", "top": 1}).json()["recipes"]
    assert (hit["id"], hit["places"], hit["similarity"]) == (identity, {"words": 1, "title": 1}, None)
    found = api.post("/search/recipe", json=RECIPE | {"in": "recipes", "include": ["walnut"]} | {"class": None})
    assert found.status_code == 422  # unknown field: cuisine
    query = {"title": RECIPE["title"], "ingredients": RECIPE["ingredients"], "in": "recipes"}
    (hit,) = api.post("/search/recipe", json=query | {"include": ["walnut"]}).json()["recipes"]
    assert (hit["id"], [line["in_query"] for line in hit["ingredients"]]) == (identity, [True, True])
    for conditions in ({"exclude": ["walnuts"]}, {"language": "de"}, {"tag": ["cuisine=french"]}):
        hits = api.post("/search/recipe", json=query | {"top": 100} | conditions).json()["recipes"]
        assert identity not in [each["id"] for each in hits]
    (hit,) = api.post("/search/recipe", json=query | {"tag": ["Cuisine=alpine"], "words": "bread"}).json()["recipes"]
    assert hit["places"] == {"words": 1, "embedding": 1}
    assert hit["similarity"] > 0.5

    assert api.post("/items", headers=HEADERS, **form()).status_code == 409
    answer = api.put("/items", params={"id": identity}, headers=HEADERS, **form(4, title="Nut bread"))
    assert answer.json() == {"id": identity, "items": before + 1}
    assert api.get("/item", params={"id": identity}).json()["title"] == "Nut bread"
    assert api.get("/search/words", params={"words": "walnut bread", "top": 1}).json()["recipes"][0]["places"] == {
        "words": 1
    }
    assert api.delete("/items", params={"id": identity}, headers=HEADERS).json() == {"id": identity, "items": before}
    assert api.delete("/items", params={"id": identity}, headers=HEADERS).status_code == 404
    assert api.get("/item", params={"id": identity}).status_code == 404


@pytest.mark.parametrize("given", ["", TOKEN, f"Bearer {TOKEN}x", "Bearer", "Basic x", "Bearer \xe9"])
def test_nothing_changes_without_the_token(changing, given):
    api, gallery = changing
    headers = {"authorization": given.encode("latin-1")}
    identity = first_id(gallery)
    for method in ("POST", "PUT", "DELETE"):
        answer = api.request(method, "/items", params={"id": identity}, headers=headers)
        assert answer.status_code == 401
        assert answer.json() == {"error": "The token is missing or wrong."}
    assert first_id(gallery) == identity


def test_changes_are_off_without_a_token(api):
    for headers in ({}, {"authorization": "Bearer"}):
        answer = api.post("/items", json=RECIPE, headers=headers)
        assert answer.status_code == 403
        assert "--token-file" in answer.json()["error"]


@pytest.mark.parametrize(
    ("request_of", "status", "message"),
    [
        (lambda: {"json": RECIPE}, 422, "no photo; a gallery of pairs needs one"),
        (lambda: {"content": b"{"}, 422, "not valid JSON"),
        (lambda: {"json": []}, 422, "The item"),
        (lambda: {"json": {"title": ""}}, 422, "title"),
        (lambda: form(title="x", ingredients=[], instructions=[]), 422, "The item"),
        (lambda: form() | {"data": {}}, 422, "The field recipe is missing"),
        (lambda: form() | {"files": {"photo": b"x"}}, 422, "The photo cannot be used"),
        (lambda: form(ingredients=[1]), 422, "ingredients"),
    ],
)
def test_items_that_cannot_be_added_are_explained(changing, request_of, status, message):
    api, gallery = changing
    before = len(gallery)
    answer = api.post("/items", headers=HEADERS, **request_of())
    if status == 422 and answer.status_code == 201:  # a title alone may be embedded
        return
    assert answer.status_code == status
    assert message in answer.json()["error"]
    assert len(gallery) == before


def test_other_processes_and_threads_change_the_gallery_while_it_is_searched(changing):
    api, gallery = changing
    before = gallery.count(Filter(class_name="bread")) if "bread" in gallery.class_counts() else 0
    stop, failed = threading.Event(), []

    def search():
        with httpx.Client(base_url=api.base_url, timeout=60) as client:
            while not stop.is_set():
                answer = client.post("/search/recipe", json={"title": "bread", "in": "recipes", "top": 100})
                hits = answer.json()["recipes"] if answer.status_code == 200 else None
                if not hits or [hit["place"] for hit in hits] != list(range(1, len(hits) + 1)):
                    failed.append(answer.text)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(8):
            assert api.post("/items", headers=HEADERS, **form(number, title=f"Bread {number}")).status_code == 201
            with gallery.editor() as editor:  # as `adamine gallery remove` in another process
                editor.remove([first_id(gallery)])
            start = time.monotonic()
            while number == 4 and not api.get("/search/words", params={"words": "Bread 4"}).json()["recipes"]:
                assert time.monotonic() < start + 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    gallery.refresh()
    assert gallery.count(Filter(class_name="bread")) == before + 8
