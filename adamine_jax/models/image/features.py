"""An image tower on precomputed image features: a linear layer."""

from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from adamine_jax.base.errors import UserError
from adamine_jax.models.base import ImageTower, Section, Shared
from adamine_jax.models.layers import Linear


class FeatureTower(ImageTower):
    """Maps (B, F) features to (B, D) with the layer `fc`.

    Attributes:
        embedding_dim: D.
        param_dtype: Dtype of the parameters and the output.
    """

    embedding_dim: int
    param_dtype: DTypeLike = jnp.float32

    reads_photos: ClassVar[bool] = False

    @classmethod
    def defaults(cls) -> Section:
        tower = Section()
        tower.feature_dim = 0  # length of a row of data.image_features; set from the file
        return tower

    @classmethod
    def check(cls, section: Section, config: Section) -> None:
        if not config.data.image_features:
            raise UserError(
                "config.model.image.name = 'features': set config.data.image_features to a file of features"
            )

    @classmethod
    def build(cls, section: Section, shared: Shared) -> Self:
        return cls(shared.embedding_dim, shared.param_dtype)

    @classmethod
    def feature_dim(cls, section: Section) -> int:
        return section.feature_dim

    def setup(self):
        self.fc = Linear(self.embedding_dim, self.param_dtype)

    def __call__(
        self, images: jax.Array, *, train: bool = False, use_running_average: bool = True, keys: Any = None
    ) -> jax.Array:
        return self.fc(images)
