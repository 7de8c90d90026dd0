"""Hierarchical transformers over title, ingredients and instructions, trained from scratch.

Salvador et al., *Revamping Cross-Modal Recipe Retrieval with Hierarchical Transformers and Self-supervised Learning*
(CVPR 2021), section 3.1.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.initializers import truncated_normal
from jax.typing import DTypeLike

from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import BOOLEAN, Rule, integer, share, subset_of
from adamine_jax.models.base import Parts, RecipeTower, Section, Shared, tokens_of
from adamine_jax.models.layers import Linear, dropout
from adamine_jax.models.recipe.pretrained import masked_mean
from adamine_jax.models.recipe.segments import pad_segments, unread_share
from adamine_jax.models.recipe.text_transformer import Form, TextTransformer, encode_rows
from adamine_jax.models.transformer import Layers, Transformer
from adamine_jax.recipes import tokens
from adamine_jax.recipes.texts import PARTS, EncodedRecipe, RecipeText, unread_query


class HierarchicalTransformer(RecipeTower):
    """Hierarchical transformer encoders and a linear layer, `fc`.

    Each part has an encoder over the tokens of a line. Ingredients and instructions also have one over the lines. The
    lines of a part are averaged and the parts are concatenated. A missing part gives the zero vector.

    Attributes:
        embedding_dim: D.
        layers: Sizes of the layers of every encoder.
        words: V, number of tokens of the vocabulary.
        line_tokens: Maximum number of tokens of a line; longer lines are split.
        lines: Maximum number of lines of each part that the tower reads, by part.
        word_dropout: Share of the tokens whose vectors are zeros in training.
        dropout: Share of the values before the last layer that are dropped in training.
        part_embeddings: Whether the output has the embeddings of the parts as well, each by a linear layer of its own.
        remat, dtype, param_dtype: See `transformer.Transformer`.
    """

    embedding_dim: int
    layers: Layers
    words: int
    line_tokens: int
    lines: Mapping[str, int]
    word_dropout: float = 0.0
    dropout: float = 0.0
    part_embeddings: bool = False
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    needs_keys: ClassVar[bool] = True
    reads_vocabulary: ClassVar[bool] = False
    rules: ClassVar[Mapping[str, Rule]] = {
        **{name: integer(1) for name in ("words", "width", "depth", "heads", "line_tokens", "max_lines", "max_tokens")},
        "parts": subset_of(*PARTS),
        "word_dropout": share(0.99),
        "dropout": share(0.99),
        "part_embeddings": BOOLEAN,
    }

    @classmethod
    def defaults(cls) -> Section:
        tower = Section()
        tower.parts = PARTS  # what the tower reads
        tower.words = 16_000  # maximum number of tokens of the vocabulary
        tower.width = 512  # length of a token's vector
        tower.depth = 2  # layers of each encoder
        tower.heads = 4  # attention heads of each layer
        tower.line_tokens = 64  # maximum number of tokens of a line; longer lines are split
        tower.max_lines = 20  # maximum number of lines of a part
        tower.max_tokens = 512  # maximum number of tokens of a part
        tower.word_dropout = 0.0  # share of the tokens that are dropped in training, for small data
        tower.dropout = 0.0  # share of the values before the last layer that are dropped in training
        tower.part_embeddings = False  # True: also embed the parts, for loss=parts
        tower.vocabulary = ""  # tokenizer.json; '' = learned from the train split and stored in the workdir
        return tower

    @classmethod
    def check(cls, section: Section, config: Section) -> None:
        if section.width % section.heads:
            raise UserError(f"config.model.recipe.heads = {section.heads}: must divide width = {section.width}")

    @classmethod
    def build(cls, section: Section, shared: Shared) -> Self:
        layers = Layers(section.width, section.depth, section.heads, 4 * section.width)
        lines = {part: _limits(section, part)[1] for part in section.parts}
        words, drop = cls.tokenizer(section).size, (section.word_dropout, section.dropout)
        common = {"remat": shared.remat, "dtype": shared.dtype, "param_dtype": shared.param_dtype}
        drop = (*drop, section.part_embeddings)
        return cls(shared.embedding_dim, layers, words, section.line_tokens, lines, *drop, **common)

    @classmethod
    def fit(cls, section: Section, recipes: Iterable[RecipeText]) -> str:
        return tokens.train_tokenizer(recipes, section.words)

    @classmethod
    def tokenizer(cls, section: Section) -> tokens.Tokenizer:
        return tokens.load(Path(section.vocabulary), section.line_tokens, by_line=True)

    @classmethod
    def make_batch(cls, section: Section, recipes: Sequence[EncodedRecipe]) -> dict[str, np.ndarray]:
        """Makes the fields that `segments.pad_segments` describes for each part, with its name before theirs."""
        rows = tokens_of(cls.tokenizer(section), recipes)
        batch = {}
        for part in section.parts:
            fields = pad_segments(rows, [PARTS.index(part)], *_limits(section, part))
            batch |= {f"{part}_{name}": field for name, field in fields.items()}
        return batch

    @classmethod
    def unread(cls, section: Section, recipes: Iterable[EncodedRecipe]) -> str:
        rows = tokens_of(cls.tokenizer(section), list(recipes))
        numbers = [PARTS.index(part) for part in section.parts]
        return unread_share(rows, numbers, [_limits(section, part) for part in section.parts])

    @classmethod
    def check_query(cls, section: Section, recipe: RecipeText) -> str:
        return unread_query(recipe, section.parts)

    def setup(self):
        common = {"remat": self.remat, "dtype": self.dtype, "param_dtype": self.param_dtype}
        form = Form(self.layers, self.words, self.line_tokens)
        self.words_of = {part: TextTransformer(form, lines, **common) for part, lines in self.lines.items()}
        listed = {part: lines for part, lines in self.lines.items() if part != "title"}
        self.lines_of = {part: Transformer(self.layers, **common) for part in listed}
        self.positions = {
            part: self.param(f"{part}_positions", truncated_normal(0.02), (lines, self.layers.width), self.param_dtype)
            for part, lines in listed.items()
        }
        self.fc = Linear(self.embedding_dim, self.param_dtype)
        if self.part_embeddings:
            self.fc_of = {part: Linear(self.embedding_dim, self.param_dtype) for part in self.lines}

    @property
    def parts(self) -> int:
        """Number of parts of an embedding; see `Parts`."""
        return len(self.lines) if self.part_embeddings else 0

    def __call__(self, batch: Mapping[str, jax.Array], *, train: bool = False, keys: Any = None) -> jax.Array | Parts:
        """Embeds B recipes, before the head.

        Args:
            batch: See `make_batch`.
            train: Whether to drop tokens and values.
            keys: (B,) PRNG keys, for training.

        Returns:
            (B, embedding_dim) of `param_dtype`.
        """
        keys = keys if train else None
        vectors = {part: self._part(part, batch, keys, number) for number, part in enumerate(self.lines)}
        joined = jnp.concatenate(list(vectors.values()), axis=-1)
        if keys is not None and self.dropout:
            joined = dropout(joined, self.dropout, keys)
        whole = self.fc(joined)
        if not self.part_embeddings:
            return whole
        # In the order of `PARTS`; Flax sorts the names of dictionaries of submodules.
        names = [part for part in PARTS if part in vectors]
        parts = jnp.stack([self.fc_of[part](vectors[part]) for part in names], axis=1)
        return Parts(whole, parts, jnp.stack([jnp.any(batch[f"{part}_parts"] > 0, axis=1) for part in names], axis=1))

    def _part(self, part: str, batch: Mapping[str, jax.Array], keys: jax.Array | None, number: int) -> jax.Array:
        """Returns the (B, width) vectors of a part of the recipes."""
        words, segments = batch[f"{part}_tokens"], batch[f"{part}_segments"]
        keep = None
        if keys is not None and self.word_dropout:
            own_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, number + 1)
            keep = dropout(jnp.ones(words.shape, self.param_dtype), self.word_dropout, own_keys)
        lines = encode_rows(self.words_of[part], segments, words, keep)
        is_line = batch[f"{part}_parts"] > 0
        if part in self.lines_of:
            itself = jnp.eye(is_line.shape[1], dtype=bool)  # a softmax over nothing would be NaN
            x = lines + self.positions[part]
            lines = self.lines_of[part](x, is_line[:, None, :] | itself).astype(self.param_dtype)
        return masked_mean(lines, is_line)


def _limits(section: Section, part: str) -> tuple[int, int]:
    """Returns the maximum number of tokens and of lines of a part."""
    lines = 1 if part == "title" else section.max_lines
    return min(lines * section.line_tokens, section.max_tokens), lines
