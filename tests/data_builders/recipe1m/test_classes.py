import itertools
from collections import Counter

import numpy as np
import pytest

from adamine_jax.recipes.words import STOP_WORDS
from data_builders.recipe1m.classes import BigramCounter, food101_names, name_classes, title_tokens
from data_builders.recipe1m.options import Options

SMALL = {"class_min_train": 2, "class_min_val": 1, "class_min_test": 1}


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Chocolate Cake", ["chocolate", "cake"]),
        ("Mom's Best Pie!", ["mom", "'s", "best", "pie", "!"]),
        ("Mom’s Pie", ["mom", "'s", "pie"]),
        ("Mac 'n Cheese & Mac n' Cheese", ["mac", "'n", "cheese", "&", "mac", "n'", "cheese"]),
        ("One-Pot Stew - (quick)", ["one-pot", "stew", "-", "(", "quick", ")"]),
        ("O'Brien Potatoes", ["o'brien", "potatoes"]),
        ("The Soup of the Day", ["soup", "day"]),
        ("I Don't Know", ["know"]),
        ("100% Rye, 2.0", ["100", "%", "rye", ",", "2", ".", "0"]),
        ("Crème brûlée", ["crème", "brûlée"]),
        ("", []),
    ],
)
def test_titles_fall_into_words_and_marks(title, expected):
    assert title_tokens(title) == expected


def test_the_stop_words_are_the_well_known_ones():
    assert len(STOP_WORDS) == 179
    assert {"i", "ourselves", "you're", "mightn't", "wouldn", "wouldn't", "the", "ma"} <= STOP_WORDS
    assert not {"soup", "would", "with cheese", ""} & STOP_WORDS


def test_bigrams_cross_titles_and_skip_stop_words():
    counter = BigramCounter()
    for title in ("Apple Pie", "Pie of the Apple", "", "Apple Pie"):
        counter.add(title_tokens(title))
    # The stream: apple pie pie apple apple pie.
    assert counter.most_common(9) == [("apple", "pie"), ("pie", "pie"), ("pie", "apple"), ("apple", "apple")]
    assert counter.most_common(1) == [("apple", "pie")]


def corpus(**titles):
    """Maps a title to letters such as "ttvs", one recipe per letter, in the partition that it abbreviates."""
    pairs = [(title.replace("_", " "), letter) for title, letters in titles.items() for letter in letters]
    return [title for title, _ in pairs], [{"t": "train", "v": "val", "s": "test"}[letter] for _, letter in pairs]


def classes_of(bigrams, food101=(), options=SMALL, **titles):
    names, partitions = corpus(**titles)
    class_names, class_ids = name_classes(
        [tuple(b.split()) for b in bigrams], food101, names, partitions, Options(**options)
    )
    found = {}
    for title, class_id in zip(names, class_ids.tolist(), strict=True):
        found.setdefault(title, set()).add(class_names[class_id])
    return class_names, found


def test_classes_worked_by_hand():
    class_names, found = classes_of(
        ["apple pie", "best soup", "pea soup", "rice bowl"],
        ["pizza", "pea soup", "tacos"],
        Apple_Pie_Deluxe="ttv",
        Grapple_pies="ts",
        Best_Soup="tttvs",
        Pea_Soup="ttvs",  # two train recipes are not more than two
        Rice_bowl="tttv",  # no test recipe
        Rice_bowl_and_apple_pie="s",
        Pizza="ttttvs",
        Tacos="tttvs",
        Pizza_tacos="tvs",
    )
    assert class_names == ["background", "apple pie", "pizza", "tacos"]
    assert found == {
        "Apple Pie Deluxe": {"apple pie"},
        "Grapple pies": {"apple pie"},  # a substring, as published
        "Best Soup": {"background"},  # a forbidden word
        "Pea Soup": {"background"},
        "Rice bowl": {"background"},
        "Rice bowl and apple pie": {"apple pie"},
        "Pizza": {"pizza"},
        "Tacos": {"tacos"},
        "Pizza tacos": {"pizza"},  # the first class that fits
    }


def test_a_name_does_not_span_two_titles_or_two_lines():
    class_names, found = classes_of(["pea soup"], Pea="ttttvs", soup="ttttvs", Pea_soup="tttvs", **{"Pea\nsoup": "tvs"})
    assert class_names == ["background", "pea soup"]
    assert found["Pea soup"] == {"pea soup"}
    assert found["Pea\nsoup"] == found["Pea"] == found["soup"] == {"background"}


@pytest.mark.parametrize(
    ("letters", "passes"), [("tttvs", True), ("ttvvvsss", False), ("tttttts", False), ("ttttttv", False)]
)
def test_both_sides_of_each_threshold(letters, passes):
    class_names, _ = classes_of(["pea soup"], Pea_Soup=letters)
    assert (class_names == ["background", "pea soup"]) is passes


def test_recipes_that_have_a_class_do_not_count_again():
    class_names, _ = classes_of(["pea soup", "soup bowl"], Pea_soup_bowl="ttttvs", Soup_bowl="ttvs")
    assert class_names == ["background", "pea soup"]


def test_bigrams_end_at_the_limit_and_food101_comes_beyond_it():
    class_names, _ = classes_of(
        ["apple pie", "pea soup"],
        ["pizza", "pea soup"],
        SMALL | {"max_classes": 1},
        Apple_pie="tttvs",
        Pea_soup="tttvs",
        Pizza="tttvs",
    )
    assert class_names == ["background", "apple pie", "pizza", "pea soup"]


def test_against_a_walk_written_without_care_for_speed():
    words = ["pea", "soup", "rice", "pie", "old", "bowl"]
    random = np.random.default_rng(0)
    titles = [" ".join(random.choice(words, 3)) for _ in range(300)]
    partitions = random.choice(["train", "train", "train", "val", "test"], 300).tolist()
    counter = BigramCounter()
    for title in titles:
        counter.add(title_tokens(title))
    stream = " ".join(titles).split()
    counts = Counter(itertools.pairwise(stream))
    expected, taken = ["background"], {}
    for first, second in sorted(counts, key=counts.get, reverse=True):
        if "old" in (first, second):
            continue
        hits = [n for n in range(300) if n not in taken and f"{first} {second}" in titles[n]]
        sizes = Counter(partitions[n] for n in hits)
        if sizes["train"] > 8 and sizes["val"] >= 1 and sizes["test"] >= 1:
            taken |= dict.fromkeys(hits, len(expected))
            expected.append(f"{first} {second}")
    assert len(expected) > 3
    options = Options(class_min_train=8)
    class_names, class_ids = name_classes(counter.most_common(2000), [], titles, partitions, options)
    assert class_names == expected
    assert class_ids.tolist() == [taken.get(n, 0) for n in range(300)]


def test_the_names_of_food101(tmp_path):
    names = food101_names(tmp_path)
    assert len(set(names)) == 101
    assert (names[0], names[-1]) == ("apple pie", "waffles")
    (tmp_path / "food101_classes_renamed.txt").write_text("Apple_pie\ntaco\n\n")
    assert food101_names(tmp_path) == ["apple pie", "taco"]
