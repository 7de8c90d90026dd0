"""The words that have ids, and their vectors: read from a word2vec file or trained from the collection's own text."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.files import save_array
from adamine_jax.base.progress import Progress
from adamine_jax.recipes.words import FIRST_WORD_ID
from data_builders.recipe1m.legacy.unpickling import load_words
from data_builders.recipe1m.options import Options

# With fewer words than this nearly everything is unknown: the minimum count does not suit the collection.
LEAST_WORDS = 5


@dataclass(frozen=True)
class Vocabulary:
    """V words and their vectors.

    Attributes:
        words: in row order.
        vectors: (V, D) float32, rows of length 1 (a row of zeros stays one).
    """

    words: list[str]
    vectors: np.ndarray

    @cached_property
    def ids(self) -> dict[str, int]:
        """Word -> id; a word that is listed twice has its first row's."""
        return number_words(self.words)

    @property
    def unknown_id(self) -> int:
        """The id of every word that is not in the vocabulary."""
        return len(self.words) + FIRST_WORD_ID

    @property
    def digest(self) -> str:
        """SHA-256 over `words.txt` as it is written and the vectors as little-endian float32, row by row."""
        digest = hashlib.sha256(self._text())
        digest.update(np.ascontiguousarray(self.vectors, "<f4").tobytes())
        return digest.hexdigest()

    def write(self, folder: Path) -> None:
        """Writes `words.txt` (UTF-8, a word a line, each line ended by a line feed) and `word_vectors.npy`."""
        (folder / "words.txt").write_bytes(self._text())
        save_array(folder / "word_vectors.npy", np.ascontiguousarray(self.vectors, "<f4"))

    def _text(self) -> bytes:
        return "".join(f"{word}\n" for word in self.words).encode()


def number_words(words: list[str]) -> dict[str, int]:
    """Word -> id for words in row order; a word that is listed twice has its first row's id."""
    return {words[row]: row + FIRST_WORD_ID for row in reversed(range(len(words)))}


def normalise_rows(vectors: np.ndarray) -> np.ndarray:
    """(V, D) -> (V, D) float32 with rows of Euclidean length 1; rows of zeros stay."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def load_vocabulary(path: Path) -> Vocabulary:
    """Reads a word2vec file: `.bin` is the binary form, `.txt` the one in text; or a `.pkl` of (matrix, words).

    Raises:
        UserError: there is no such file, or it is not in that form, or is cut off.
    """
    if path.suffix not in (".bin", ".txt", ".pkl"):
        raise UserError(f"{path}: a vocabulary is a file ending in .bin, .txt or .pkl")
    if not path.is_file():
        raise UserError(f"{path}: there is no such file")
    words, rows = load_words(path) if path.suffix == ".pkl" else _load_word2vec(path)
    if not words:
        raise UserError(f"{path} has no word")
    for row, word in enumerate(words):
        if not word or "\n" in word:
            raise UserError(f"{path}: word {row + 1} is empty or has a line feed")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        bad = words[int(np.argmin(finite))]
        raise UserError(f"{path}: the vector of {bad!r} has a value that is not a finite number")
    return Vocabulary(words, normalise_rows(rows))


def _load_word2vec(path: Path) -> tuple[list[str], np.ndarray]:
    data = path.read_bytes()
    header, _, body = data.partition(b"\n")
    try:
        size, dims = (int(number) for number in header.split())
    except ValueError:
        raise UserError(f"{path}: a word2vec file starts with a line of two numbers, words and dimensions") from None
    if size < 1 or dims < 1:
        raise UserError(f"{path}: the first line announces {size} words of {dims} dimensions")
    # Each word takes a letter and a blank, each number four bytes or else a digit and a blank.
    if size * (2 + dims * (4 if path.suffix == ".bin" else 2)) > len(body) + 1:
        raise UserError(f"{path} is cut off: the first line announces {size} words of {dims} dimensions")
    words, rows = [], np.empty((size, dims), np.float32)
    for word, row in (_binary_rows if path.suffix == ".bin" else _text_rows)(path, body, size, dims):
        rows[len(words)] = row
        words.append(word)
    return words, rows


def frequent_words(counts: Counter[str], options: Options) -> list[str]:
    """The words of a trained vocabulary, most frequent first, equally frequent ones in the order of their letters.

    Raises:
        UserError: almost none is frequent enough.
    """
    words = sorted((word for word, count in counts.items() if count >= options.word_min_count))
    words.sort(key=lambda word: -counts[word])
    if len(words) < LEAST_WORDS:
        raise UserError(
            f"too few words ({len(words)}) appear {options.word_min_count} times or more in the train recipes; "
            f"a small collection needs a smaller --word-min-count, or --vocab"
        )
    return words


def train_vocabulary(sentences: Path, counts: Counter[str], options: Options) -> Vocabulary:
    """Trains word2vec: skip-gram with hierarchical softmax (Mikolov et al. 2013), repeatable to the bit.

    One worker, because two would race for the weights; the order of the words is ours, because a sort by frequency
    alone leaves it to the machine; the start values come from a seeded generator and from no string hash.

    Args:
        sentences: a file with a sentence a line, words divided by blanks.
        counts: how often each word is in it.
        options: minimum count, dimensions, window and passes.

    Raises:
        UserError: see `frequent_words`.
    """
    from gensim.models.callbacks import CallbackAny2Vec  # slow to import and not needed with a given vocabulary
    from gensim.models.word2vec import LineSentence, Word2Vec

    words = frequent_words(counts, options)
    with sentences.open("rb") as file:
        number = sum(1 for _ in file)

    class ShowPasses(CallbackAny2Vec):
        def on_epoch_end(self, model):
            progress.update()

    model = Word2Vec(
        vector_size=options.word_dim,
        window=options.word_window,
        min_count=1,
        sg=1,
        hs=1,
        negative=0,
        seed=1,
        workers=1,
        sorted_vocab=0,
    )
    model.build_vocab_from_freq({word: counts[word] for word in words}, corpus_count=number)
    with Progress("word vectors", options.word_epochs, "epoch") as progress:
        model.train(
            LineSentence(os.fspath(sentences)),
            total_examples=number,
            epochs=options.word_epochs,
            callbacks=[ShowPasses()],
        )
    return Vocabulary(words, normalise_rows(model.wv[words]))


def _binary_rows(path: Path, body: bytes, size: int, dims: int) -> Iterator[tuple[str, np.ndarray]]:
    position = 0
    for row in range(size):
        blank = body.find(b" ", position)
        end = blank + 1 + 4 * dims
        if blank < 0 or end > len(body):
            raise UserError(f"{path} is cut off in word {row + 1} of {size}")
        # Some writers put a line feed behind each vector, some do not.
        word = body[position:blank].lstrip(b"\n")
        yield word.decode(errors="replace"), np.frombuffer(body, "<f4", dims, blank + 1)
        position = end


def _text_rows(path: Path, body: bytes, size: int, dims: int) -> Iterator[tuple[str, np.ndarray]]:
    lines = body.split(b"\n")
    for row in range(size):
        word, *numbers = lines[row].rstrip().split(b" ") if row < len(lines) else [b""]
        if len(numbers) != dims:
            raise UserError(f"{path}: line {row + 2} should hold a word and {dims} numbers; is the file cut off?")
        try:
            yield word.decode(errors="replace"), np.array(numbers, np.float32)
        except ValueError:
            raise UserError(f"{path}: line {row + 2} has something that is not a number") from None
