"""Of near duplicates, one is a result; items with similar embeddings and other content all are."""

import dataclasses
import io
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adamine_jax import search
from adamine_jax.gallery import duplicates, opening
from adamine_jax.gallery.items import MODALITIES, Item
from tests.changing_gallery import ABOUT, DIM, embeddings, item, vector
from tests.databases import at
from tests.tiny_gallery import photo_of

COPIES, OTHERS = 30, 40


@pytest.fixture(scope="module", params=["folder", "postgresql"])
def gallery(request, tmp_path_factory):
    """Items 0 to 39, 30 copies of item 0 with another title, and an item with its embeddings and another recipe."""
    place = tmp_path_factory.mktemp("copies") / "g"
    if request.param == "postgresql":
        place = at(request.getfixturevalue("database"), "copies")
    rng = np.random.default_rng(0)
    original = item(0, ingredients=tuple(f"{n} cups of food {n}" for n in range(1, 9)))
    copies = [dataclasses.replace(original, id=f"copy {n}", title=f"Dish {n}") for n in range(COPIES)]
    other = item(1, id="other recipe")
    items = [original, *map(item, range(1, OTHERS)), *copies, other]
    rows = embeddings([*range(OTHERS), *[0] * (COPIES + 1)])
    noise = 1e-3 * rng.normal(size=rows["recipe"].shape).astype(np.float32)
    rows = {side: (each + noise) / np.linalg.norm(each + noise, axis=1, keepdims=True) for side, each in rows.items()}
    with opening.writer(place, ABOUT, MODALITIES, DIM) as writer:
        writer.write(rows, items)
        writer.finish()
    return opening.opened(place)


def is_copy(identity):
    return identity == "id 0" or identity.startswith("copy")


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 100), st.integers(1, 50))
def test_one_item_of_a_group_is_a_result(gallery, seed, top):
    query = -vector(0) + 0.5 * vector(1000 + seed)
    every = [hit.item.id for hit in gallery.search(query, "recipes", len(gallery))[0]]
    expected, seen = [], False
    for identity in every:
        if not (is_copy(identity) and seen):
            expected.append(identity)
        seen |= is_copy(identity)
    (hits,) = gallery.hits(*duplicates.nearest(gallery, query, "recipes", top))
    assert [hit.item.id for hit in hits] == expected[:top]
    assert len({hit.similarity for hit in hits}) == len(hits)


def test_groups_are_those_of_the_results(gallery):
    (group,) = duplicates.groups(gallery)
    # The search for neighbours of each item sees the ten nearest, which connect the group.
    assert set(group) <= {"id 0", *(f"copy {n}" for n in range(COPIES))}
    assert len(group) > COPIES * 0.9


def test_removed_rows_are_left_out(gallery):
    rows = gallery.rows[:3].tolist()
    assert duplicates.distinct(gallery, [10**6, *rows, 10**6 + 1], 5) == [1, 2, 3]
    assert duplicates.distinct(gallery, [], 5) == duplicates.distinct(gallery, [10**6], 5) == []


def jpeg(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def test_photos_are_compared_by_what_they_show(tmp_path):
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (12, 12, 3), np.uint8)).resize((256, 256), Image.Resampling.BICUBIC)
    photos = [jpeg(image, 95), jpeg(image.resize((100, 100)), 60), photo_of(3)]
    rows = np.repeat(vector(1), 3, axis=0)
    with opening.writer(tmp_path / "g", ABOUT, ("image",), DIM) as writer:
        writer.write({"image": rows}, [Item(f"{n}.jpg", f"{n}", photo=photo) for n, photo in enumerate(photos)])
        writer.finish()
    gallery = opening.opened(tmp_path / "g")
    assert duplicates.groups(gallery) == [["0.jpg", "1.jpg"]]
    (hits,) = gallery.hits(*duplicates.nearest(gallery, vector(1), "photos", 3))
    assert [hit.item.id for hit in hits] == ["0.jpg", "2.jpg"]


def test_the_command_shows_one_of_a_group_unless_asked(kitchen, tmp_path, capsys):
    from adamine_jax import embed

    recipe = {"title": "Soup", "ingredients": ["beets", "salt"], "instructions": ["Boil the beets with the salt."]}
    lines = [recipe | {"id": f"{n}"} for n in range(4)] + [{"title": "Cake", "ingredients": ["flour"]}]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, lines)))
    workdir = ["--workdir", str(kitchen / "run")]
    assert embed.main([*workdir, "--recipes", str(tmp_path / "r.jsonl"), "--out", str(tmp_path / "g")]) == 0
    capsys.readouterr()

    def found(*flags):
        command = [*workdir, "--gallery", str(tmp_path / "g"), "--in", "recipes", "--json", *flags]
        assert search.main(command) == 0
        return sorted(hit["title"] for hit in json.loads(capsys.readouterr().out))

    for query in (["--title", "Soup"], ["--text", "soup beets"], ["--title", "Soup", "--text", "soup"]):
        one, all_of_them = found(*query), found(*query, "--duplicates")
        assert one.count("Soup") == 1
        assert all_of_them.count("Soup") == 4
