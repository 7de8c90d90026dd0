"""A recipe tower with a pretrained text encoder: BERT and its relatives, or the text part of CLIP or SigLIP."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.initializers import truncated_normal
from jax.typing import DTypeLike

from adamine_jax.base import storage
from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import BOOLEAN, Rule, integer, number, one_of, share, subset_of
from adamine_jax.interop.huggingface import exported_section, open_checkpoint
from adamine_jax.models.base import Parts, RecipeTower, Section, Shared, tokens_of
from adamine_jax.models.layers import Linear, dropout
from adamine_jax.models.recipe.segments import pad_segments, unread_share
from adamine_jax.models.recipe.text_transformer import Form, TextTransformer, encode_rows
from adamine_jax.models.recipe.text_weights import read_text, section_fields
from adamine_jax.models.transformer import ACTIVATIONS, Layers, Transformer
from adamine_jax.recipes import tokens
from adamine_jax.recipes.texts import PARTS, EncodedRecipe, RecipeText, unread_query

_LAYERS = ("width", "depth", "heads", "mlp", "activation", "eps", "post_norm")
_FORM = ("words", "positions", "embedding_norm", "final_norm", "causal", "pool", "projection", "projection_bias")


class PretrainedText(RecipeTower):
    """A text encoder, `encoder`, which is the backbone; the fusion of a recipe's segments; and a linear layer, `fc`.

    Title, ingredients and instructions are one text each. A text that is longer than the encoder reads becomes several
    segments. A part that is missing has no segment.

    Attributes:
        embedding_dim: D; 0 = without the linear layer.
        form: Sizes and form of the encoder.
        max_segments: S, maximum number of segments of a recipe.
        fusion: 'mean' (of the unit vectors of a part's segments, then of the parts) or 'transformer' (two layers over
            the segments, then their mean).
        dropout: Share of the fused vector's values that are dropped in training.
        read_parts: Which parts are read.
        part_embeddings: Whether the output has the embeddings of the parts as well; only with 'mean'.
        remat, dtype, param_dtype: See `transformer.Transformer`.
    """

    embedding_dim: int
    form: Form
    max_segments: int
    fusion: str = "mean"
    dropout: float = 0.0
    read_parts: tuple[str, ...] = PARTS
    part_embeddings: bool = False
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    backbone: ClassVar[tuple[str, ...]] = ("encoder",)
    ends_alone: ClassVar[bool] = True
    reads_lines: ClassVar[bool] = False
    needs_keys: ClassVar[bool] = True
    reads_vocabulary: ClassVar[bool] = False
    rules: ClassVar[Mapping[str, Rule]] = {
        **{name: integer(1) for name in ("words", "width", "depth", "heads", "mlp", "positions", "max_tokens")},
        **{name: integer(0) for name in ("projection", "segment_tokens")},
        **dict.fromkeys(
            ("post_norm", "embedding_norm", "final_norm", "causal", "projection_bias", "pad"),
            BOOLEAN,
        ),
        "parts": subset_of(*PARTS),
        "fusion": one_of("mean", "transformer"),
        "part_embeddings": BOOLEAN,
        "dropout": share(0.99),
        "activation": one_of(*ACTIVATIONS),
        "eps": number("above 0"),
        "pool": one_of("mean", "first", "last"),
    }

    @classmethod
    def defaults(cls) -> Section:
        tower = Section()
        tower.weights = ""  # folder of a pretrained model with its tokenizer.json
        tower.vocabulary = ""  # tokenizer.json; '' = that of the model, stored in the workdir
        tower.parts = PARTS  # what the tower reads
        tower.max_tokens = 512  # maximum number of tokens of a recipe
        tower.segment_tokens = (
            0  # maximum number of tokens of a segment, with the special ones; 0 = as many as the model reads
        )
        tower.prefix = ""  # text before each part, such as 'passage: ' for E5; not repeated if a part is split
        tower.fusion = "mean"  # of a recipe's segments: 'mean' or 'transformer'
        tower.dropout = 0.0  # share of the values before the last layer that are dropped in training
        tower.part_embeddings = False  # True: also embed the parts, for loss=parts
        # The fields below are set from the pretrained model. The defaults are those of BERT-base.
        tower.words = 30522  # number of tokens of the vocabulary
        tower.width = 768  # length of a token's vector
        tower.depth = 12  # number of layers
        tower.heads = 12  # attention heads of each layer
        tower.mlp = 3072  # hidden length of each layer's MLP
        tower.positions = 512  # maximum number of tokens that the model reads
        tower.activation = "gelu"  # 'gelu', 'gelu_tanh', 'quick_gelu' or 'relu'
        tower.eps = 1e-12  # added to the variance in LayerNorm
        tower.post_norm = True  # whether the norms follow the residual sums
        tower.embedding_norm = True  # whether a LayerNorm follows the embeddings
        tower.final_norm = False  # whether a LayerNorm follows the layers
        tower.causal = False  # whether tokens attend to earlier ones only
        tower.pool = "mean"  # 'mean' of the tokens, the 'first' or the 'last'
        tower.projection = 0  # length of the model's own projection; 0 = none
        tower.projection_bias = False  # whether that has a bias
        tower.pad = False  # whether the model reads the padding, as SigLIP does
        return tower

    @classmethod
    def complete(cls, section: Section) -> None:
        if section.weights:
            fields = exported_section(section.weights, "recipe") or section_fields(open_checkpoint(section.weights))
            section.update({name: fields[name] for name in (*_LAYERS, *_FORM, "pad") if name in fields})
        if section.segment_tokens > section.positions:
            raise UserError(
                f"config.model.recipe.segment_tokens = {section.segment_tokens}: {section.weights} reads at most "
                f"{section.positions} tokens; use 0 for as many as it reads"
            )

    @classmethod
    def check(cls, section: Section, config: Section) -> None:
        if not section.weights:
            raise UserError(
                "config.model.recipe.name = 'pretrained': set config.model.recipe.weights to the folder of a model, "
                "or use the tower 'transformer', which is trained from scratch"
            )
        if section.part_embeddings and section.fusion != "mean":
            raise UserError("config.model.recipe.part_embeddings: needs config.model.recipe.fusion = 'mean'")
        cls.complete(section.copy_and_resolve_references())

    @classmethod
    def build(cls, section: Section, shared: Shared) -> Self:
        common = {"remat": shared.remat, "dtype": shared.dtype, "param_dtype": shared.param_dtype}
        return cls(
            shared.embedding_dim,
            _form(section),
            _max_segments(section),
            section.fusion,
            section.dropout,
            tuple(section.parts),
            section.part_embeddings,
            **common,
        )

    @classmethod
    def fit(cls, section: Section, recipes: Iterable[RecipeText]) -> str:
        if exported_section(section.weights, "recipe"):
            raise UserError(
                f"config.model.recipe.weights = {section.weights}: set config.model.recipe.vocabulary to the "
                "vocabulary.json of its workdir as well"
            )
        path = open_checkpoint(section.weights).folder / "tokenizer.json"
        storage.fetch(path)
        if not path.is_file():
            raise UserError(f"{path.parent}: contains no tokenizer.json; copy that of the model to it")
        tokenizer = tokens.load(path, _segment_tokens(section))
        if tokenizer.size > section.words:
            raise UserError(
                f"{path}: has {tokenizer.size} tokens, the model knows {section.words}; give the tokenizer.json of "
                "this model"
            )
        return path.read_text(encoding="utf-8")

    @classmethod
    def tokenizer(cls, section: Section) -> tokens.Tokenizer:
        return tokens.load(Path(section.vocabulary), _segment_tokens(section), pad=section.pad, prefix=section.prefix)

    @classmethod
    def make_batch(cls, section: Section, recipes: Sequence[EncodedRecipe]) -> dict[str, np.ndarray]:
        """Makes the fields that `segments.pad_segments` describes."""
        parts = [PARTS.index(part) for part in section.parts]
        rows = tokens_of(cls.tokenizer(section), recipes)
        return pad_segments(rows, parts, section.max_tokens, _max_segments(section))

    @classmethod
    def unread(cls, section: Section, recipes: Iterable[EncodedRecipe]) -> str:
        parts = [PARTS.index(part) for part in section.parts]
        rows = tokens_of(cls.tokenizer(section), list(recipes))
        return unread_share(rows, parts, [(section.max_tokens, _max_segments(section))])

    @classmethod
    def load_weights(cls, section: Section, variables: dict[str, Any]) -> dict[str, Any]:
        if exported_section(section.weights, "recipe"):
            return super().load_weights(section, variables)
        loaded = jax.tree.map(jnp.asarray, read_text(open_checkpoint(section.weights), _form(section)))
        return {**variables, "params": {**variables["params"], "encoder": loaded}}

    @classmethod
    def check_query(cls, section: Section, recipe: RecipeText) -> str:
        return unread_query(recipe, section.parts)

    def setup(self):
        self.encoder = TextTransformer(self.form, self.max_segments, self.remat, self.dtype, self.param_dtype)
        width = self.form.feature_dim
        if self.fusion == "transformer":
            layers = Layers(width, depth=2, heads=max(width // 64, 1), mlp=4 * width)
            self.fusion_layers = Transformer(layers, self.remat, self.dtype, self.param_dtype)
            self.part_vectors = self.param(
                "part_vectors", truncated_normal(0.02), (len(PARTS) + 1, width), self.param_dtype
            )
        if self.embedding_dim:
            self.fc = Linear(self.embedding_dim, self.param_dtype)

    def __call__(self, batch: Mapping[str, jax.Array], *, train: bool = False, keys: Any = None) -> jax.Array | Parts:
        """Embeds B recipes, before the head.

        Args:
            batch: `tokens`, `segments` and `parts`; see `segments.pad_segments`.
            train: Whether to drop values.
            keys: (B,) PRNG keys, for training.

        Returns:
            (B, embedding_dim) of `param_dtype`.
        """
        vectors = encode_rows(self.encoder, batch["segments"], batch["tokens"])
        fused = fused_mean(vectors, batch["parts"]) if self.fusion == "mean" else self._fused(vectors, batch["parts"])
        if train and self.dropout:
            fused = dropout(fused, self.dropout, keys)
        whole = self.fc(fused) if self.embedding_dim else fused
        if not self.part_embeddings:
            return whole
        means, mask = part_means(vectors, batch["parts"])
        read = jnp.array([PARTS.index(part) for part in PARTS if part in self.read_parts])
        means, mask = means[:, read], mask[:, read]
        return Parts(whole, self.fc(means) if self.embedding_dim else means, mask)

    @property
    def parts(self) -> int:
        """Number of parts of an embedding; see `Parts`."""
        return len(self.read_parts) if self.part_embeddings else 0

    def _fused(self, vectors: jax.Array, parts: jax.Array) -> jax.Array:
        is_real = parts > 0
        x = vectors + jnp.take(self.part_vectors, parts, axis=0)
        x = self.fusion_layers(x, is_real[:, None, :] | jnp.eye(parts.shape[1], dtype=bool)).astype(vectors.dtype)
        return masked_mean(x, is_real)


def fused_mean(vectors: jax.Array, parts: jax.Array) -> jax.Array:
    """Averages the unit vectors of each part's segments, then those of the parts that are there.

    Args:
        vectors: (B, S, F) vectors of segments.
        parts: (B, S) part of each segment, from 1; 0 = no segment.

    Returns:
        (B, F); zeros for a recipe without segments.
    """
    return masked_mean(*part_means(vectors, parts))


def part_means(vectors: jax.Array, parts: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Averages the unit vectors of each part's segments; see `fused_mean`.

    Returns:
        (B, 3, F) means, zeros for a part that is missing, and (B, 3) bool, which parts are there.
    """
    squares = jnp.sum(jnp.square(vectors), axis=-1, keepdims=True)
    units = vectors * jax.lax.rsqrt(jnp.maximum(squares, 1e-24))
    masks = [parts == number for number in range(1, len(PARTS) + 1)]
    means = jnp.stack([masked_mean(units, mask) for mask in masks], axis=1)
    return means, jnp.stack([mask.any(axis=1) for mask in masks], axis=1)


def masked_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Averages x (B, S, F) over the segments where mask (B, S) is True; a row without any is zero."""
    return jnp.sum(x * mask[..., None], axis=1) / jnp.maximum(jnp.sum(mask, axis=1), 1)[:, None]


def _form(section: Section) -> Form:
    return Form(Layers(**{name: section[name] for name in _LAYERS}), **{name: section[name] for name in _FORM})


def _segment_tokens(section: Section) -> int:
    return min(section.segment_tokens or section.positions, section.max_tokens)


def _max_segments(section: Section) -> int:
    return len(section.parts) + section.max_tokens // _segment_tokens(section)
