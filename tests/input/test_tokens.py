"""The cached tokens of a split are those of its records, for each tokenizer."""

import numpy as np

from adamine_jax.input import tokens
from adamine_jax.input.damage import Damage
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.reading import read_recipes
from adamine_jax.input.record_index import load_index
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.recipes.tokens import Tokenizer, train_tokenizer
from tests import tiny
from tests.pretrained import write_tokenizer


def texts_of(index):
    return [recipe.text for recipe in read_recipes(index, np.arange(len(index)), Damage())]


def assert_equal(ours, expected):
    for field, other in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(field, other)


def test_the_cache_has_the_tokens_of_each_record_for_each_tokenizer(tmp_path, monkeypatch):
    index = load_index(open_dataset(tiny.write_dataset(tmp_path / "data")).shards("train"))
    recipes = texts_of(index)
    write_tokenizer(tmp_path / "tokenizer.json")
    content = (tmp_path / "tokenizer.json").read_text()
    tokenizers = [
        Tokenizer(content, "a", 9),
        Tokenizer(content, "a", 7, by_line=True),
        Tokenizer(train_tokenizer(recipes, 90), "b", 16, by_line=True),
    ]
    for is_cached in (False, True):
        if is_cached:  # nothing is made again
            monkeypatch.setattr(tokens, "_write", lambda *_: 1 / 0)
        for tokenizer in tokenizers:
            split = tokens.split_tokens(index, tokenizer)
            for number, recipe in enumerate(recipes):
                assert_equal(split(number), tokenizer.encode(recipe))


def test_a_folder_that_cannot_be_written_has_no_cache(tmp_path, monkeypatch):
    index = load_index(open_dataset(tiny.write_dataset(tmp_path / "data", {"train": 3})).shards("train"))
    write_tokenizer(tmp_path / "tokenizer.json")

    def refuse(path):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(tokens.files, "atomic_write", refuse)
    assert tokens.split_tokens(index, Tokenizer((tmp_path / "tokenizer.json").read_text(), "a", 9)) is None


def test_long_text_is_split_and_not_cut(tmp_path):
    write_tokenizer(tmp_path / "tokenizer.json")
    content = (tmp_path / "tokenizer.json").read_text()
    words = [f"word{number}" for number in range(20)]
    recipe = RecipeText("word1", ("word2 word3", " "), (" ".join(words), "do things"))
    found = Tokenizer(content, "a", 8).encode(recipe)
    ids = {name: Tokenizer(content, "a", 8).encode(RecipeText(name)).ids[1] for name in (*words, "do", "things")}
    start, end = found.ids[0], found.ids[2]
    segments = np.split(found.ids, np.cumsum(found.lengths)[:-1])
    assert all(segment[0] == start and segment[-1] == end and len(segment) <= 8 for segment in segments)
    assert found.parts.tolist() == [0, 1, 2, 2, 2, 2]
    inside = np.concatenate([segment[1:-1] for segment in segments])
    assert inside.tolist() == [ids[w] for w in ("word1", "word2", "word3", *words, "do", "things")]
    by_line = Tokenizer(content, "a", 8, by_line=True).encode(recipe)
    assert by_line.parts.tolist() == [0, 1, 2, 2, 2, 2, 2]  # the last instruction is a segment of its own


def test_segments_are_padded_for_models_that_read_the_padding(tmp_path):
    write_tokenizer(tmp_path / "tokenizer.json")
    found = Tokenizer((tmp_path / "tokenizer.json").read_text(), "a", 8, pad=True).encode(RecipeText("word1"))
    assert found.lengths.tolist() == [8]
    assert found.ids[3:].tolist() == [0] * 5
