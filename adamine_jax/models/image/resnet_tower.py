"""The published image tower: a ResNet and a linear layer."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from adamine_jax.base import storage
from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import Rule, integer, one_of
from adamine_jax.models.base import ImageTower, Section, Shared
from adamine_jax.models.image import resnet, resnet_weights
from adamine_jax.models.layers import Linear

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ResNetTower(ImageTower):
    """A ResNet, `resnet`, which is the backbone, and a linear layer, `fc`.

    Attributes:
        embedding_dim: D.
        depth, width, remat, dtype, param_dtype: See `resnet.ResNet`.
    """

    embedding_dim: int
    depth: int = 101
    width: int = 64
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    backbone: ClassVar[tuple[str, ...]] = ("resnet",)
    has_batch_norm: ClassVar[bool] = True
    rules: ClassVar[Mapping[str, Rule]] = {"depth": one_of(*resnet.LAYOUTS), "width": integer(1)}

    @classmethod
    def defaults(cls) -> Section:
        tower = Section()
        tower.depth = 101  # ResNet 10, 18, 34, 50, 101 or 152
        tower.width = 64  # channels of the first stage; 64 = standard, fewer for CPUs
        tower.weights = ""  # file written by `python -m adamine_jax.import_weights`; '' = random
        return tower

    @classmethod
    def check(cls, section: Section, config: Section) -> None:
        if section.weights and not storage.local(section.weights).is_file():
            raise UserError(
                f"config.model.image.weights = {section.weights}: no such file; python -m adamine_jax.import_weights "
                "writes one"
            )

    @classmethod
    def build(cls, section: Section, shared: Shared) -> Self:
        return cls(shared.embedding_dim, section.depth, section.width, shared.remat, shared.dtype, shared.param_dtype)

    @classmethod
    def load_weights(cls, section: Section, variables: dict[str, Any]) -> dict[str, Any]:
        whole = {collection: {"image_tower": tree} for collection, tree in variables.items()}
        loaded = resnet_weights.load_image_weights(section.weights, whole)
        return {collection: tree["image_tower"] for collection, tree in loaded.items()}

    @classmethod
    def feature_dim(cls, section: Section) -> int:
        return resnet.feature_dim(section.depth, section.width)

    def setup(self):
        self.resnet = resnet.ResNet(self.depth, self.width, self.remat, self.dtype, self.param_dtype)
        self.fc = Linear(self.embedding_dim, self.param_dtype)

    def __call__(
        self, images: jax.Array, *, train: bool = False, use_running_average: bool = True, keys: Any = None
    ) -> jax.Array:
        """Embeds (B, S, S, 3) images, or (B, F) features, which are passed to the linear layer."""
        return self.fc(images if images.ndim == 2 else self.features(images, use_running_average=use_running_average))

    def features(self, images: jax.Array, *, use_running_average: bool = True) -> jax.Array:
        """Maps (B, S, S, 3) RGB images in 0..255 to pooled features (B, F)."""
        mean, std = (255 * jnp.array(value, self.param_dtype) for value in (IMAGENET_MEAN, IMAGENET_STD))
        return self.resnet((images - mean) / std, use_running_average=use_running_average)
