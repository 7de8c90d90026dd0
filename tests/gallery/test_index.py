"""The FAISS index agrees with exact search, belongs to one gallery, and is complete or absent."""

import json
import shutil

import numpy as np
import pytest

from adamine_jax.base import files
from adamine_jax.base.errors import UserError
from adamine_jax.gallery import store
from adamine_jax.gallery.folder import exact, index
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.gallery.folder.writer import GalleryWriter
from adamine_jax.gallery.items import MODALITIES, Item

DIM, COUNT = 32, 3000
ABOUT = {"model": "abc", "step": 3, "source": {}}


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def write(folder, about=ABOUT, seed=0):
    """Writes a gallery on a four-dimensional manifold; photos are near their recipes."""
    rng = np.random.default_rng(seed)
    recipe = unit(np.tanh(rng.normal(size=(COUNT, 4)) @ rng.normal(size=(4, DIM))))
    image = unit(recipe + 0.02 * rng.normal(size=recipe.shape))
    items = [Item(f"{row}", "", ("background", "soup")[row % 2]) for row in range(COUNT)]
    with GalleryWriter(folder, about, MODALITIES, DIM) as writer:
        writer.write({"image": image, "recipe": recipe}, items)
        writer.finish()
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = write(tmp_path_factory.mktemp("indexed") / "g")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "SMALLEST", 1000)
        about = index.build(Gallery(folder), "recipe")
    return folder, about


@pytest.fixture
def folder(built, tmp_path):
    return shutil.copytree(built[0], tmp_path / "g")


def test_the_index_agrees_with_exact_search(built):
    folder, about = built
    gallery = Gallery(folder)
    assert about.recall >= 0.98
    assert about.visited < about.cells
    queries = np.asarray(gallery.embeddings("image")[::30])
    snapshot = gallery.snapshot()
    similarities, rows = index.Index(folder, gallery.about, "recipe").search(snapshot, queries, 10)
    expected = exact.search(gallery.embeddings("recipe"), queries, 10)
    recall = np.mean([np.isin(one, other).mean() for one, other in zip(expected[1], rows, strict=True)])
    assert recall >= 0.95
    # The similarities are exact and sorted.
    np.testing.assert_allclose(
        similarities, np.einsum("qd,qkd->qk", queries, gallery.embeddings("recipe")[rows]), atol=1e-6
    )
    assert (np.diff(similarities, axis=1) <= 0).all()


def test_a_gallery_searches_with_its_index(folder):
    gallery = Gallery(folder)
    query = np.asarray(gallery.embeddings("image")[7:8])
    (hits,) = gallery.search(query, "recipes", 3, approximate=True)
    assert hits[0].row == 7
    (in_class,) = gallery.search(query, "recipes", 3, class_name="soup", approximate=True)
    assert [hit.row % 2 for hit in in_class] == [1, 1, 1]
    with pytest.raises(UserError, match="the image embeddings have no index; build it with"):
        gallery.search(query, "photos", 3, approximate=True)


def test_all_rows_are_searched_if_the_visited_cells_contain_fewer_than_requested(folder):
    path = folder / "recipe.faiss.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"visited": 1}))
    gallery = Gallery(folder)
    query = gallery.embeddings("recipe")[:2]
    found = gallery.nearest(query, "recipes", COUNT, approximate=True)
    for one, other in zip(found, exact.search(gallery.embeddings("recipe"), query, COUNT), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def opened(folder):
    return index.Index(folder, Gallery(folder).about, "recipe")


def test_the_index_of_another_gallery_is_refused(folder, tmp_path):
    other = write(tmp_path / "other", ABOUT | {"model": "def"}, seed=1)
    for name in ("recipe.faiss", "recipe.faiss.json"):
        shutil.copy(folder / name, other / name)
    with pytest.raises(UserError, match="index of another gallery or model; build it with"):
        opened(other)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("recipe.faiss", b"x", "recipe.faiss: cannot be read"),
        ("recipe.faiss.json", b"{", r"recipe.faiss.json: cannot be read"),
        ("recipe.faiss.json", b'{"a": 1}', r"recipe.faiss.json: cannot be read"),
    ],
)
def test_a_damaged_index_is_reported(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        opened(folder)


def test_a_deleted_index_is_reported(folder):
    (folder / "recipe.faiss").unlink()
    with pytest.raises(UserError, match=r"recipe\.faiss: cannot be read"):
        opened(folder)


def test_a_killed_build_leaves_no_index(folder, monkeypatch):
    monkeypatch.setattr(store, "SMALLEST", 1000)
    before = json.loads((folder / "recipe.faiss.json").read_text())

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", kill)
        with pytest.raises(KeyboardInterrupt):
            index.build(Gallery(folder), "recipe")
    assert not index.exists(Gallery(folder), "recipe")
    index.build(Gallery(folder), "recipe")
    assert json.loads((folder / "recipe.faiss.json").read_text()) == before


def test_a_small_gallery_is_refused(folder):
    with pytest.raises(UserError, match="3,000 items; an index needs 10,000, exact search of fewer takes milliseconds"):
        index.build(Gallery(folder), "recipe")
