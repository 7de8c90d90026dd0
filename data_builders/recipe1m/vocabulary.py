"""The vocabulary and its word vectors, read from a file or trained on the collection."""

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

# With fewer words, nearly every word of the collection would be unknown: the minimum count is too high for it.
MIN_WORDS = 5


@dataclass(frozen=True)
class Vocabulary:
    """V words and their vectors.

    Attributes:
        words: Words in row order.
        vectors: (V, D) float32 array with rows of length 1 (rows of zeros are unchanged).
    """

    words: list[str]
    vectors: np.ndarray

    @cached_property
    def ids(self) -> dict[str, int]:
        """Id of each word; see `number_words`."""
        return number_words(self.words)

    @property
    def unknown_id(self) -> int:
        """Id of words that are not in the vocabulary."""
        return len(self.words) + FIRST_WORD_ID

    @property
    def digest(self) -> str:
        """SHA-256 of the content of `words.txt`, followed by the vectors as little-endian float32 in row order."""
        digest = hashlib.sha256(self._text())
        digest.update(np.ascontiguousarray(self.vectors, "<f4").tobytes())
        return digest.hexdigest()

    def write(self, folder: Path) -> None:
        """Writes `words.txt` (UTF-8, one word per line, each line ended by a line feed) and `word_vectors.npy`."""
        (folder / "words.txt").write_bytes(self._text())
        save_array(folder / "word_vectors.npy", np.ascontiguousarray(self.vectors, "<f4"))

    def _text(self) -> bytes:
        return "".join(f"{word}\n" for word in self.words).encode()


def number_words(words: list[str]) -> dict[str, int]:
    """Maps words in row order to ids; a repeated word has the id of its first row."""
    return {words[row]: row + FIRST_WORD_ID for row in reversed(range(len(words)))}


def normalise_rows(vectors: np.ndarray) -> np.ndarray:
    """Scales the rows of a (V, D) array to Euclidean length 1, as float32; rows of zeros are unchanged."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def load_vocabulary(path: Path) -> Vocabulary:
    """Reads a word2vec file, `.bin` (binary) or `.txt` (text), or a `.pkl` of (matrix, words).

    Raises:
        UserError: The file is missing, malformed or truncated.
    """
    if path.suffix not in (".bin", ".txt", ".pkl"):
        raise UserError(f"{path}: the name of a vocabulary must end in .bin, .txt or .pkl")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    words, rows = load_words(path) if path.suffix == ".pkl" else _load_word2vec(path)
    if not words:
        raise UserError(f"{path}: contains no words")
    for row, word in enumerate(words):
        if not word or "\n" in word:
            raise UserError(f"{path}: word {row + 1} is empty or contains a line feed")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        bad = words[int(np.argmin(finite))]
        raise UserError(f"{path}: the vector of {bad!r} contains a value that is not finite")
    return Vocabulary(words, normalise_rows(rows))


def _load_word2vec(path: Path) -> tuple[list[str], np.ndarray]:
    data = path.read_bytes()
    header, _, body = data.partition(b"\n")
    try:
        size, dims = (int(number) for number in header.split())
    except ValueError:
        raise UserError(f"{path}: a word2vec file must start with its numbers of words and dimensions") from None
    if size < 1 or dims < 1:
        raise UserError(f"{path}: the first line specifies {size} words of {dims} dimensions")
    # A word takes at least a letter and a space, a number four bytes or at least a digit and a space.
    if size * (2 + dims * (4 if path.suffix == ".bin" else 2)) > len(body) + 1:
        raise UserError(f"{path}: truncated; the first line specifies {size} words of {dims} dimensions")
    words, rows = [], np.empty((size, dims), np.float32)
    for word, row in (_binary_rows if path.suffix == ".bin" else _text_rows)(path, body, size, dims):
        rows[len(words)] = row
        words.append(word)
    return words, rows


def frequent_words(counts: Counter[str], options: Options) -> list[str]:
    """Returns the words of a trained vocabulary, most frequent first, equally frequent ones in alphabetical order.

    Raises:
        UserError: Fewer than `MIN_WORDS` words are frequent enough.
    """
    frequent = (word for word, count in counts.items() if count >= options.word_min_count)
    words = sorted(frequent, key=lambda word: (-counts[word], word))
    if len(words) < MIN_WORDS:
        raise UserError(
            f"too few words ({len(words)}) occur {options.word_min_count} times or more in the train recipes; "
            "give a smaller --word-min-count, or --vocab"
        )
    return words


def train_vocabulary(sentences: Path, counts: Counter[str], options: Options) -> Vocabulary:
    """Trains word2vec: skip-gram with hierarchical softmax (Mikolov et al., 2013).

    The result is the same to the bit on every run: a single thread updates the weights, the order of the words is
    fixed, and the initial values come from a seeded generator.

    Args:
        sentences: File with one sentence per line and words separated by spaces.
        counts: Count of each word in the file.
        options: Minimum count, dimensions, window and epochs.

    Raises:
        UserError: See `frequent_words`.
    """
    from gensim.models.callbacks import CallbackAny2Vec  # slow to import, and only needed for training
    from gensim.models.word2vec import LineSentence, Word2Vec

    words = frequent_words(counts, options)
    with sentences.open("rb") as file:
        number = sum(1 for _ in file)

    class ShowEpochs(CallbackAny2Vec):
        def on_epoch_end(self, model):
            progress.update()

    fixed = {"min_count": 1, "sg": 1, "hs": 1, "negative": 0, "seed": 1, "workers": 1, "sorted_vocab": 0}
    model = Word2Vec(vector_size=options.word_dim, window=options.word_window, **fixed)
    model.build_vocab_from_freq({word: counts[word] for word in words}, corpus_count=number)
    with Progress("word vectors", options.word_epochs, "epoch") as progress:
        lines, epochs = LineSentence(os.fspath(sentences)), options.word_epochs
        model.train(lines, total_examples=number, epochs=epochs, callbacks=[ShowEpochs()])
    return Vocabulary(words, normalise_rows(model.wv[words]))


def _binary_rows(path: Path, body: bytes, size: int, dims: int) -> Iterator[tuple[str, np.ndarray]]:
    position = 0
    for row in range(size):
        space = body.find(b" ", position)
        end = space + 1 + 4 * dims
        if space < 0 or end > len(body):
            raise UserError(f"{path}: truncated in word {row + 1} of {size}")
        # Some programs write a line feed after each vector.
        word = body[position:space].lstrip(b"\n")
        yield word.decode(errors="replace"), np.frombuffer(body, "<f4", dims, space + 1)
        position = end


def _text_rows(path: Path, body: bytes, size: int, dims: int) -> Iterator[tuple[str, np.ndarray]]:
    lines = body.split(b"\n")
    for row in range(size):
        word, *numbers = lines[row].rstrip().split(b" ") if row < len(lines) else [b""]
        if len(numbers) != dims:
            raise UserError(f"{path}: line {row + 2} is not a word and {dims} numbers; the file may be truncated")
        try:
            yield word.decode(errors="replace"), np.array(numbers, np.float32)
        except ValueError:
            raise UserError(f"{path}: line {row + 2} contains a value that is not a number") from None
