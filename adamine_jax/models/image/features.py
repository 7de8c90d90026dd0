"""An image tower on precomputed image features: a linear layer, with optional standardisation and dropout."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import BOOLEAN, Rule, share
from adamine_jax.models.base import ImageTower, Section, Shared
from adamine_jax.models.layers import Linear, dropout


class FeatureTower(ImageTower):
    """Maps (B, F) features to (B, D) with the layer `fc`.

    Attributes:
        embedding_dim: D.
        features: F; 0 if the features are not standardised.
        dropout: Share of the features that are dropped in training.
        param_dtype: Dtype of the parameters and the output.
    """

    embedding_dim: int
    features: int = 0
    dropout: float = 0.0
    param_dtype: DTypeLike = jnp.float32

    reads_photos: ClassVar[bool] = False
    needs_keys: ClassVar[bool] = True
    rules: ClassVar[Mapping[str, Rule]] = {"standardize": BOOLEAN, "dropout": share(0.99)}

    @classmethod
    def defaults(cls) -> Section:
        tower = Section()
        tower.feature_dim = 0  # length of a row of data.image_features; set from the file
        tower.standardize = False  # True: to mean 0 and standard deviation 1 over the photos of the train split
        tower.dropout = 0.0  # share of the features that are dropped in training
        return tower

    @classmethod
    def check(cls, section: Section, config: Section) -> None:
        if not config.data.image_features:
            raise UserError(
                "config.model.image.name = 'features': set config.data.image_features to a file of features"
            )

    @classmethod
    def build(cls, section: Section, shared: Shared) -> Self:
        features = section.feature_dim if section.standardize else 0
        return cls(shared.embedding_dim, features, section.dropout, shared.param_dtype)

    @classmethod
    def feature_dim(cls, section: Section) -> int:
        return section.feature_dim

    def setup(self):
        self.fc = Linear(self.embedding_dim, self.param_dtype)
        if self.features:
            self.mean = self.variable("batch_stats", "mean", jnp.zeros, self.features, self.param_dtype)
            self.std = self.variable("batch_stats", "std", jnp.ones, self.features, self.param_dtype)

    def __call__(
        self, images: jax.Array, *, train: bool = False, use_running_average: bool = True, keys: Any = None
    ) -> jax.Array:
        if self.features:
            images = (images - self.mean.value) / (self.std.value + 1e-3)
        if train and self.dropout:
            images = dropout(images, self.dropout, keys)
        return self.fc(images)
