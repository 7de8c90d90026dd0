"""Filters hold for every result, words find titles, and an index follows the changes of a gallery."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.base.errors import UserError
from adamine_jax.gallery import opening, store
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.folder import exact, index
from adamine_jax.gallery.folder.editing import Editor
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.gallery.folder.writer import GalleryWriter
from adamine_jax.gallery.fusion import fused
from adamine_jax.gallery.items import MODALITIES, Item
from adamine_jax.recipes.ingredient_names import ingredient_names
from adamine_jax.recipes.mentions import mention
from data_builders.kitchen.recipes import recipe
from tests.changing_gallery import ABOUT, CLASSES, DIM, FOODS, embeddings, item, vector, write
from tests.databases import at


def naive(numbers, chosen):
    """The numbers of the items that pass a filter."""

    def passes(found):
        names = [name for line in found.ingredients for name, _ in ingredient_names(line)]
        tags = [(name.lower(), value.lower()) for name, value in found.tags]
        return (
            (chosen.class_name is None or found.class_name.lower() == chosen.class_name.lower())
            and (not chosen.language or found.language == chosen.language)
            and all((name.lower(), value.lower()) in tags for name, value in chosen.tags)
            and all(any(mention(food).search(name) for name in names) for food in chosen.include)
            and not any(mention(food).search(line) for food in chosen.exclude for line in found.ingredients)
            and (not chosen.exclude or found.ingredients != ())
        )

    return [number for number in numbers if passes(item(number))]


@pytest.fixture(scope="module", params=["folder", "postgresql"])
def new_place(request, tmp_path_factory):
    """A function from a name to the place of a new gallery, in a folder or in PostgreSQL."""
    if request.param == "folder":
        return lambda name: tmp_path_factory.mktemp(name) / "g"
    url = request.getfixturevalue("database")
    return lambda name: at(url, f"filters_{name}")


@pytest.fixture(scope="module")
def changed(new_place):
    """A gallery with removed and added items, and their numbers."""
    gallery = opening.opened(write(new_place("changed"), range(60)))
    with gallery.editor() as editor:
        editor.remove([f"id {number}" for number in range(0, 60, 7)])
        editor.add([item(number) for number in range(60, 80)], embeddings(range(60, 80)))
    return gallery, [number for number in range(80) if number >= 60 or number % 7]


foods = st.lists(st.sampled_from([*FOODS, "tomato", "nuts", "berry", "eggs", "cherry", "TOMATO"]), max_size=2).map(
    tuple
)
filters = st.builds(
    Filter,
    class_name=st.sampled_from([None, "soup", "cake"]),
    include=foods,
    exclude=foods,
    language=st.sampled_from(["", "en", "de"]),
    tags=st.sampled_from([(), (("cuisine", "thai"),), (("Minutes", "2"), ("cuisine", "French"))]),
)


@given(st.sampled_from([*FOODS, "tomato", "eggs", "wombat", "red onions"]))
@settings(deadline=None, max_examples=30)
def test_an_ingredient_is_unmatched_if_its_exclusion_leaves_out_no_item(changed, food):
    gallery, numbers = changed
    with_ingredients = naive(numbers, Filter(exclude=("wombat",)))
    is_unmatched = naive(numbers, Filter(exclude=(food,))) == with_ingredients
    assert gallery.unmatched(Filter(exclude=(food,))) == [food] * is_unmatched


@settings(deadline=None, max_examples=200)
@given(filters, st.integers(0, 1000), st.integers(1, 12))
def test_filtered_results_are_those_of_a_naive_search(changed, chosen, seed, top):
    gallery, numbers = changed
    allowed = naive(numbers, chosen)
    assert gallery.count(chosen) == len(allowed)
    query = vector(10_000 + seed)
    (hits,) = gallery.search(query, "recipes", top, where=chosen)
    expected = sorted(allowed, key=lambda number: -float(-vector(number)[0] @ query[0]))[:top]
    assert [hit.item.id for hit in hits] == [f"id {number}" for number in expected]
    for found in gallery.search_words("dish tomato", top=top, where=chosen):
        assert int(gallery.item(found.row).id.split()[1]) in allowed


def test_an_index_finds_what_was_added_and_not_what_was_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SMALLEST", 100)
    monkeypatch.setattr(index, "EXACT", 20)
    rng = np.random.default_rng(0)
    rows = np.tanh(rng.normal(size=(3000, 3)) @ rng.normal(size=(3, DIM))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    items = [Item(f"{n}", "", CLASSES[0] if n % 10 == 0 else CLASSES[1]) for n in range(3000)]
    with GalleryWriter(tmp_path / "g", ABOUT, ("recipe",), DIM) as writer:
        writer.write({"recipe": rows[:2500]}, items[:2500])
        writer.finish()
    gallery = Gallery(tmp_path / "g")
    index.build(gallery, "recipe")
    with Editor(tmp_path / "g") as editor:
        editor.add(items[2500:], {"recipe": rows[2500:]})
        editor.remove([f"{n}" for n in range(0, 3000, 3)])
    gallery.refresh()
    alive = np.array([n for n in range(3000) if n % 3])
    queries = rows[rng.choice(3000, 50)]
    for candidates, where in ((alive, None), (alive[alive % 10 == 0], Filter(class_name="soup"))):
        found = gallery.nearest(queries, "recipes", 10, where=where, approximate=True)[1]
        expected = exact.search(rows, queries, 10, candidates)[1]
        assert np.isin(found, candidates).all()
        assert np.mean([np.isin(a, b).mean() for a, b in zip(expected, found, strict=True)]) > 0.95
        with Editor(tmp_path / "g") as editor:
            editor.compact()
        gallery.refresh()


def test_an_index_forgets_what_was_compacted(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "SMALLEST", 100)
    rng = np.random.default_rng(0)
    rows = np.tanh(rng.normal(size=(2000, 3)) @ rng.normal(size=(3, DIM))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with GalleryWriter(tmp_path / "g", ABOUT, ("recipe",), DIM) as writer:
        writer.write({"recipe": rows}, [Item(f"{n}", "") for n in range(2000)])
        writer.finish()
    gallery = Gallery(tmp_path / "g")
    index.build(gallery, "recipe")
    for removed in (range(1990, 2000), range(0, 1990, 4)):
        with Editor(tmp_path / "g") as editor:
            editor.remove([f"{n}" for n in removed])
            editor.compact()
            added = [Item(f"new {n}", "") for n in removed]
            new = embeddings(range(5000 + removed.start, 5000 + removed.start + len(added)))["recipe"]
            editor.add(added, {"recipe": new})
        gallery.refresh()
        found = gallery.nearest(rows, "recipes", 5, approximate=True)[1]
        assert np.isin(found, gallery.rows).all()
        assert all(len(set(each)) == 5 for each in found.tolist())
        itself = gallery.nearest(new, "recipes", 1, approximate=True)[1][:, 0]
        assert itself.tolist() == gallery.rows[-len(added) :].tolist()


def test_words_find_titles_first_and_fusion_shows_the_places(changed):
    gallery, numbers = changed
    for number in numbers[::5]:
        title = item(number).title
        found = gallery.search_words(title.upper(), vector(number + 1), "recipes", 5)
        assert gallery.item(found[0].row).id == f"id {number}"
        assert found[0].places["title"] == 1
        assert "embedding" in found[1].places
        (first, *_) = gallery.search_words(title, top=3)
        assert first.row == found[0].row
    assert gallery.search_words("?!") == gallery.search_words("wombat") == []
    assert [each.row for each in fused({"a": [1, 2], "b": [2, 3]}, [], 3)] == [2, 1, 3]


def test_a_filter_needs_words_and_known_classes(changed):
    gallery, _ = changed
    with pytest.raises(UserError, match="'!!': an ingredient needs at least one word"):
        gallery.count(Filter(exclude=("!!",)))
    with pytest.raises(UserError, match="no class 'stew'"):
        gallery.count(Filter(class_name="stew"))


PLURALS = (
    "cookie cookies, brioche brioches, quiche quiches, brownie brownies, berry berries, tomato tomatoes, pie pies, "
    "shoe shoes, peach peaches, radish radishes, glass glasses, box boxes, nut nuts, egg eggs, turkey turkeys, "
    "cheese cheeses, sauce sauces, olive olives, anchovy anchovies, smoothie smoothies, avocado avocados, chive chives"
)


@pytest.mark.parametrize("pair", PLURALS.split(", "))
def test_filters_find_the_singular_and_the_plural(new_place, pair):
    one, many = pair.split()
    place = new_place(one)
    with opening.writer(place, ABOUT, MODALITIES, DIM) as writer:
        lines = (f"1 {one}",), (f"2 {many}, chopped",), ("1 cup water",)
        writer.write(embeddings(range(3)), [item(n, ingredients=each) for n, each in enumerate(lines)])
        writer.finish()
    gallery = opening.opened(place)
    assert gallery.unmatched(Filter(exclude=("wombat", one, "wombat"))) == ["wombat"]
    for word in (one, many):
        assert gallery.unmatched(Filter(exclude=(word,))) == []
        assert gallery.count(Filter(include=(word,))) == 2
        assert gallery.count(Filter(exclude=(word,))) == 1


def test_the_ingredients_of_removed_items_are_in_no_recipe(new_place):
    gallery = opening.opened(write(new_place("removed"), range(4)))
    with gallery.editor() as editor:
        editor.add([dataclasses.replace(item(9), ingredients=("1 wombat",))], embeddings([9]))
    where = Filter(exclude=("wombats",))
    assert gallery.unmatched(where) == []
    with gallery.editor() as editor:
        editor.remove(["id 9"])
    assert gallery.unmatched(where) == ["wombats"]
    assert gallery.count(Filter(include=("wombat",))) == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_no_search_of_ten_thousand_returns_an_excluded_ingredient(new_place, seed):
    dishes = [recipe(seed, number, (1.0, 0.0, 0.0)) for number in range(2000)]
    items = [
        Item(f"{number}", dish.title, ingredients=tuple(dish.ingredients), language="en")
        for number, dish in enumerate(dishes)
    ]
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(len(items), DIM)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    place = new_place(f"kitchen{seed}")
    with opening.writer(place, ABOUT, ("recipe",), DIM) as writer:
        writer.write({"recipe": rows}, items)
        writer.finish()
    gallery = opening.opened(place)
    first = int(gallery.rows[0])
    names = sorted({name for item in items for line in item.ingredients for name, _ in ingredient_names(line)})
    searches = 5000 if isinstance(gallery, Gallery) else 500  # with both seeds, 10,000 in a folder
    for _ in range(searches):
        excluded = tuple(rng.choice(names, rng.integers(1, 4)))
        query = rows[rng.integers(len(rows))][None]
        found = gallery.nearest(query, "recipes", 10, where=Filter(exclude=excluded))[1][0] - first
        for number in found.tolist():
            lines = items[number].ingredients
            assert not any(mention(name).search(line) for name in excluded for line in lines), (excluded, lines)
