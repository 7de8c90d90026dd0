"""Recipes as subword tokens, made by a `tokenizer.json` of Hugging Face's `tokenizers`."""

import functools
import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.extras import how_to_get
from adamine_jax.recipes.texts import RecipeText

_PADDING, _UNKNOWN = "[PAD]", "[UNK]"


class Tokens(NamedTuple):
    """The tokens of a recipe, in segments that a text encoder reads one by one.

    Attributes:
        ids: (n,) int32 ids of the tokens of all segments.
        lengths: (s,) int32 number of tokens of each segment.
        parts: (s,) int32 part of the recipe that a segment belongs to, an index of `texts.PARTS`.
    """

    ids: np.ndarray
    lengths: np.ndarray
    parts: np.ndarray

    @classmethod
    def of(cls, segments: Sequence[tuple[int, Sequence[int]]]) -> "Tokens":
        """Joins segments, each a part and its ids."""
        ids = np.fromiter(itertools.chain.from_iterable(ids for _, ids in segments), np.int32)
        return cls(
            ids, np.array([len(ids) for _, ids in segments], np.int32), np.array([p for p, _ in segments], np.int32)
        )


class Tokenizer:
    """Splits recipes into segments of tokens.

    Args:
        content: The text of a `tokenizer.json`.
        where: Its name, for errors.
        max_length: Maximum number of tokens of a segment, with the special ones; longer text becomes several segments.
        by_line: Whether each ingredient and each instruction is a segment of its own; otherwise a part is one text.
        pad: Whether segments are padded to `max_length`, for models that read the padding, such as SigLIP.
        prefix: Text before each part or line, such as "passage: " for E5. If that is split into several segments, only
            the first one contains the prefix.

    Attributes:
        size: Number of ids.
        digest: Identifies the tokens that the tokenizer makes.

    Raises:
        UserError: The content is not a tokenizer, or `max_length` leaves no room for text.
    """

    def __init__(
        self, content: str, where: str, max_length: int, by_line: bool = False, pad: bool = False, prefix: str = ""
    ):
        tokenizers = _tokenizers()
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(content)
        except Exception as error:  # the library raises no narrower class
            raise UserError(f"{where}: not a tokenizer.json ({error}); copy it from the model's folder again") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.size = self._tokenizer.get_vocab_size()
        self._max_length, self._by_line, self._prefix = max_length, by_line, prefix
        self._pad_id = _pad_id(json.loads(content)) if pad else None
        self._start, self._end = self._special_ids()
        special = len(self._start) + len(self._end)
        if max_length <= special:
            raise UserError(
                f"{where}: segments of {max_length} tokens have no room for text, because {special} tokens are special "
                "ones; allow more tokens"
            )
        settings = repr((content, max_length, by_line, pad, prefix))
        self.digest = hashlib.sha256(settings.encode()).hexdigest()[:16]
        self.encode = functools.lru_cache(maxsize=20_000)(self._encode)

    def encode_all(self, recipes: Sequence[RecipeText]) -> list[Tokens]:
        """Tokenizes recipes, on all cores."""
        texts = [self._texts(recipe) for recipe in recipes]
        encoded = iter(
            self._tokenizer.encode_batch([text for each in texts for _, text in each], add_special_tokens=False)
        )
        return [Tokens.of([s for part, _ in each for s in self._segments(part, next(encoded).ids)]) for each in texts]

    def _encode(self, recipe: RecipeText) -> Tokens:
        return self.encode_all([recipe])[0]

    def _texts(self, recipe: RecipeText) -> list[tuple[int, str]]:
        lines = ((recipe.title,), recipe.ingredients or recipe.names or (), recipe.instructions)
        given = [[line.strip() for line in part if line.strip()] for part in lines]
        if not self._by_line:
            given = [["\n".join(part)] if part else [] for part in given]
        return [(number, self._prefix + line) for number, part in enumerate(given) for line in part]

    def _segments(self, part: int, ids: list[int]) -> list[tuple[int, list[int]]]:
        room = self._max_length - len(self._start) - len(self._end)
        pieces = [self._start + ids[first : first + room] + self._end for first in range(0, len(ids), room)]
        if self._pad_id is not None:
            pieces = [piece + [self._pad_id] * (self._max_length - len(piece)) for piece in pieces]
        return [(part, piece) for piece in pieces]

    def _special_ids(self) -> tuple[list[int], list[int]]:
        """Returns the ids that the tokenizer puts before and after a text."""
        plain = self._tokenizer.encode("a", add_special_tokens=False).ids
        whole = self._tokenizer.encode("a").ids
        for start in range(len(whole) - len(plain) + 1):
            if whole[start : start + len(plain)] == plain:
                return whole[:start], whole[start + len(plain) :]
        return [], []


def train_tokenizer(recipes: Iterable[RecipeText], size: int) -> str:
    """Learns lower-case byte pairs from recipes; returns a `tokenizer.json` in which id 0 is the padding.

    Args:
        recipes: Recipes of the train split.
        size: Maximum number of tokens.
    """
    tokenizers = _tokenizers()
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=_UNKNOWN))
    tokenizer.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.NFKC(), tokenizers.normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, special_tokens=[_PADDING, _UNKNOWN], show_progress=False
    )
    lines = (line for recipe in recipes for line in (recipe.title, *recipe.ingredients, *recipe.instructions))
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer.to_str()


@functools.lru_cache(maxsize=4)
def load(path: Path, max_length: int, by_line: bool = False, pad: bool = False, prefix: str = "") -> Tokenizer:
    """Loads a `tokenizer.json`; see `Tokenizer`."""
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); copy it from the model's folder") from None
    return Tokenizer(content, str(path), max_length, by_line, pad, prefix)


def _pad_id(content: dict[str, Any]) -> int:
    """Returns the id of the padding that a `tokenizer.json` names, or of its end."""
    if content.get("padding"):
        return int(content["padding"]["pad_id"])
    ids = {token["content"]: int(token["id"]) for token in content.get("added_tokens", [])}
    return next((ids[name] for name in ("<pad>", "[PAD]", "</s>", "<|endoftext|>") if name in ids), 0)


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise UserError(f"text encoders {how_to_get('tokenizers')}") from None
    return tokenizers
