"""The subword tokens of a split, made once and cached beside its shards."""

import contextlib
import dataclasses
import hashlib
import itertools
from pathlib import Path

import ml_collections
import numpy as np

from adamine_jax.base import files, storage
from adamine_jax.base.progress import Progress
from adamine_jax.distributed.broadcast import run_on_first
from adamine_jax.input.damage import Damage
from adamine_jax.input.features import Vectors, open_vectors
from adamine_jax.input.reading import read_recipes
from adamine_jax.input.record_index import RecordIndex
from adamine_jax.models import registry
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.recipes.tokens import Tokenizer, Tokens

_CHUNK = 1000


@dataclasses.dataclass(frozen=True)
class SplitTokens:
    """The tokens of a split's recipes.

    Attributes:
        ids: (n,) uint16 or int32 token ids of all recipes, memory-mapped.
        first_id: (s + 1,) int64, index in `ids` of the first id of each segment, followed by n.
        parts: (s,) uint8, part of each segment, an index of `texts.PARTS`.
        first_segment: (N + 1,) int64, index of the first segment of each record, followed by s.
    """

    ids: np.ndarray
    first_id: np.ndarray
    parts: np.ndarray
    first_segment: np.ndarray

    def __call__(self, record: int) -> Tokens:
        """Returns the tokens of a record."""
        first, last = self.first_segment[record], self.first_segment[record + 1]
        bounds = self.first_id[first : last + 1]
        ids = np.asarray(self.ids[bounds[0] : bounds[-1]], np.int32)
        return Tokens(ids, np.diff(bounds).astype(np.int32), self.parts[first:last].astype(np.int32))


def open_inputs(config: ml_collections.ConfigDict, index: RecordIndex) -> Vectors:
    """Opens the given vectors and the tokens of a split; see `features.open_vectors`."""
    tokenizer = registry.recipe_tower(config.model).tokenizer(config.model.recipe)
    tokens = None if tokenizer is None else split_tokens(index, tokenizer)
    return dataclasses.replace(open_vectors(config, index), tokens=tokens)


def split_tokens(index: RecordIndex, tokenizer: Tokenizer) -> SplitTokens | None:
    """Opens the cached tokens of a split, or makes and caches them.

    Returns:
        The tokens; None if the split is empty or the cache cannot be written or read. Recipes are then tokenized for
        each batch. A damaged record has no tokens.
    """
    if not len(index):
        return None
    ids, segments = _cache(index, tokenizer)
    for path in (ids, segments):
        storage.fetch(path)
    run_on_first(lambda: segments.exists() or _write(ids, segments, index, tokenizer))
    try:
        for path in (ids, segments):
            storage.fetch(path)  # in the other processes
        with np.load(segments) as arrays:
            return SplitTokens(np.load(ids, mmap_mode="r"), **arrays)
    except (OSError, storage.StoreError, ValueError, KeyError):
        return None


def _cache(index: RecordIndex, tokenizer: Tokenizer) -> tuple[Path, Path]:
    """Returns the two files of the cache, whose names depend on the records and the tokenizer."""
    records = hashlib.sha256(b"".join(array.tobytes() for array in (index.ids, index.offset, index.length)))
    shard = index.shards[0]
    name = f".{shard.name.split('.tfrecord')[0]}.tokens-{tokenizer.digest}-{records.hexdigest()[:8]}"
    return shard.parent / f"{name}.npy", shard.parent / f"{name}.npz"


def _write(ids: Path, segments: Path, index: RecordIndex, tokenizer: Tokenizer) -> None:
    made: list[Tokens] = []
    recipes = read_recipes(index, np.arange(len(index)), Damage(len(index)))
    with Progress("tokenizing the recipes", len(index), "recipe") as progress:
        while chunk := list(itertools.islice(recipes, _CHUNK)):
            made += tokenizer.encode_all([RecipeText() if recipe is None else recipe.text for recipe in chunk])
            progress.update(len(chunk))
    lengths = np.concatenate([tokens.lengths for tokens in made])
    dtype = np.uint16 if tokenizer.size <= 1 << 16 else np.int32
    tables = {
        "first_id": np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        "parts": np.concatenate([tokens.parts for tokens in made]).astype(np.uint8),
        "first_segment": np.cumsum([0, *(len(tokens.lengths) for tokens in made)], dtype=np.int64),
    }
    all_ids = np.concatenate([tokens.ids for tokens in made]).astype(dtype)
    # The segments come last: they say that the ids are complete. A read-only data set may prevent each of them.
    for path, save in ((ids, lambda path: np.save(path, all_ids)), (segments, lambda path: np.savez(path, **tables))):
        with contextlib.suppress(OSError, storage.StoreError), files.atomic_write(path) as temporary:
            save(temporary)
