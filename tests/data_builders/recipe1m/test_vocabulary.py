import hashlib
from collections import Counter

import numpy as np
import pytest
from gensim.models import KeyedVectors

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.vocabulary import Vocabulary, frequent_words, load_vocabulary, train_vocabulary

WORDS = ["</s>", "olive_oil", "crème", "salt", "Salt"]


@pytest.fixture
def vectors():
    return np.random.default_rng(0).normal(size=(len(WORDS), 6)).astype(np.float32)


def write_word2vec(path, words, vectors):
    model = KeyedVectors(vectors.shape[1])
    model.add_vectors(words, vectors)
    model.save_word2vec_format(path, binary=path.suffix == ".bin", sort_attr=None)
    return path


@pytest.mark.parametrize("name", ["vocab.bin", "vocab.txt"])
def test_a_word2vec_file_is_read_and_its_rows_made_one_long(tmp_path, vectors, name):
    vocabulary = load_vocabulary(write_word2vec(tmp_path / name, WORDS, vectors))
    assert vocabulary.words == WORDS
    assert vocabulary.vectors.dtype == np.float32
    np.testing.assert_allclose(vocabulary.vectors, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), rtol=2e-6)
    assert vocabulary.ids == {"</s>": 2, "olive_oil": 3, "crème": 4, "salt": 5, "Salt": 6}
    assert vocabulary.unknown_id == 7


def test_a_line_feed_behind_each_vector_is_no_part_of_the_next_word(tmp_path, vectors):
    rows = b"".join(word.encode() + b" " + row.tobytes() + b"\n" for word, row in zip(WORDS, vectors, strict=True))
    (tmp_path / "vocab.bin").write_bytes(b"5 6\n" + rows)
    assert load_vocabulary(tmp_path / "vocab.bin").words == WORDS


def test_a_row_of_zeros_stays_and_a_repeated_word_has_its_first_id(tmp_path):
    rows = b"".join(
        word + b" " + np.full(2, value, "<f4").tobytes() for word, value in ((b"a", 0), (b"b", 3), (b"a", 5))
    )
    (tmp_path / "vocab.bin").write_bytes(b"3 2\n" + rows)
    vocabulary = load_vocabulary(tmp_path / "vocab.bin")
    assert vocabulary.vectors[0].tolist() == [0, 0]
    assert vocabulary.ids == {"a": 2, "b": 3}


@pytest.mark.parametrize("name", ["vocab.bin", "vocab.txt"])
def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path, vectors, name):
    path = write_word2vec(tmp_path / name, WORDS, vectors)
    data = path.read_bytes()
    # Without its last digits a text still is one, so the text is cut at blanks only.
    ends = range(len(data) - 1) if name.endswith("bin") else [n for n in range(len(data)) if data[n : n + 1] == b" "]
    for end in ends:
        path.write_bytes(data[:end])
        with pytest.raises(UserError, match=name):
            load_vocabulary(path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("v.bin", b""),
        ("v.bin", b"not a word2vec file\n"),
        ("v.bin", b"0 5\n"),
        ("v.bin", b"-1 -5\n"),
        ("v.bin", b"99999999999 300\nabc "),
        ("v.bin", b"1 1\na " + np.float32("nan").tobytes()),
        ("v.txt", b"salt\npepper\n"),
        ("v.txt", b"1 2\nsalt 0.5 pepper\n"),
        ("v.pickle", b"1 1\na 1.0\n"),
    ],
)
def test_what_is_no_vocabulary_is_refused_in_one_line(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=name):
        load_vocabulary(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        load_vocabulary(tmp_path / "absent.bin")


def test_frequent_words_are_ordered_by_count_then_letters():
    counts = Counter({"e": 5, "b": 9, "a": 5, "z": 4, "d": 5, "c": 7})
    assert frequent_words(counts, Options(word_min_count=5)) == ["b", "c", "a", "d", "e"]
    with pytest.raises(UserError, match=r"too few words \(2\) occur 6 times or more"):
        frequent_words(counts, Options(word_min_count=6))


@pytest.fixture
def text(tmp_path):
    random = np.random.default_rng(1)
    # Two kinds of sentences that share no word.
    kinds = [[f"{kind}{n}" for n in range(8)] for kind in ("sweet", "salty")]
    sentences = [random.choice(kinds[n % 2], 10).tolist() for n in range(400)]
    path = tmp_path / "sentences.txt"
    path.write_text("".join(" ".join(sentence) + "\n" for sentence in sentences))
    return path, Counter(word for sentence in sentences for word in sentence)


def test_trained_vectors_put_words_of_one_kind_together(text):
    vocabulary = train_vocabulary(*text, Options(word_dim=16, word_epochs=10, word_min_count=1))
    assert len(vocabulary.words) == 16
    np.testing.assert_allclose(np.linalg.norm(vocabulary.vectors, axis=1), 1, rtol=1e-6)
    cosine = vocabulary.vectors @ vocabulary.vectors.T
    sweet = np.array([word.startswith("sweet") for word in vocabulary.words])
    assert cosine[np.ix_(sweet, sweet)].mean() > cosine[np.ix_(sweet, ~sweet)].mean() + 0.3


def test_training_again_gives_the_same_bytes(text):
    options = Options(word_dim=16, word_epochs=3, word_min_count=1)
    first, second = train_vocabulary(*text, options), train_vocabulary(*text, options)
    assert first.vectors.tobytes() == second.vectors.tobytes()
    assert first.digest == second.digest


def test_the_digest_is_that_of_the_two_files(tmp_path, vectors):
    vocabulary = Vocabulary(WORDS, vectors)
    vocabulary.write(tmp_path)
    words, rows = (tmp_path / "words.txt").read_bytes(), np.load(tmp_path / "word_vectors.npy")
    assert words.decode().split("\n")[:-1] == WORDS
    np.testing.assert_array_equal(rows, vectors)
    assert vocabulary.digest == hashlib.sha256(words + rows.tobytes()).hexdigest()
