"""An image tower with a vision transformer, pretrained or trained from scratch."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import BOOLEAN, Rule, integer, number, one_of
from adamine_jax.interop.huggingface import exported_section, open_checkpoint
from adamine_jax.models.base import ImageTower, Section, Shared
from adamine_jax.models.image.vit import Form, ViT
from adamine_jax.models.image.vit_weights import read_vit, section_fields
from adamine_jax.models.layers import Linear
from adamine_jax.models.transformer import ACTIVATIONS, Layers
from adamine_jax.recipes.crops import Resizing

_LAYERS = ("width", "depth", "heads", "mlp", "activation", "eps", "layer_scale")
_FORM = ("patch", "class_tokens", "registers", "patch_bias", "pre_norm", "pool", "projection")
_PHOTO = ("mean", "std", "resample", "squash")


class VisionTransformer(ImageTower):
    """A vision transformer, `vit`, which is the backbone, and a linear layer, `fc`.

    Attributes:
        embedding_dim: D, length of the output; 0 = no linear layer, the output is the transformer's vector.
        form: Sizes and form of the transformer.
        mean, std: Mean and standard deviation with which pixels are normalised, for red, green and blue in the range 0
            to 1.
        remat, dtype, param_dtype: See `vit.ViT`.
    """

    embedding_dim: int
    form: Form
    mean: tuple[float, ...]
    std: tuple[float, ...]
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    backbone: ClassVar[tuple[str, ...]] = ("vit",)
    ends_alone: ClassVar[bool] = True
    rules: ClassVar[Mapping[str, Rule]] = {
        **{name: integer(1) for name in ("width", "depth", "heads", "mlp", "patch")},
        **{name: integer(0) for name in ("class_tokens", "registers", "projection")},
        **dict.fromkeys(("layer_scale", "patch_bias", "pre_norm", "squash"), BOOLEAN),
        "activation": one_of(*ACTIVATIONS),
        "eps": number("above 0"),
        "pool": one_of("class", "mean", "attention"),
        "resample": one_of("bilinear", "bicubic"),
    }

    @classmethod
    def defaults(cls) -> Section:
        tower = Section()
        tower.weights = ""  # folder of a pretrained model, or its model.safetensors; '' = random
        # All fields below are set from the pretrained model, if there is one. The defaults are those of a ViT-B/16.
        tower.width = 768  # length of a token's vector
        tower.depth = 12  # number of layers
        tower.heads = 12  # attention heads of each layer
        tower.mlp = 3072  # hidden length of each layer's MLP
        tower.patch = 16  # pixels of a patch's sides
        tower.activation = "gelu"  # 'gelu', 'gelu_tanh', 'quick_gelu' or 'relu'
        tower.eps = 1e-6  # added to the variance in LayerNorm
        tower.layer_scale = False  # True: learned scales after attention and MLP, as in DINOv2
        tower.class_tokens = 1  # tokens before the patches, with positions
        tower.registers = 0  # tokens without positions
        tower.patch_bias = True  # whether the embedding of the patches has a bias
        tower.pre_norm = False  # True: a LayerNorm before the layers, as in CLIP
        tower.pool = "class"  # 'class', 'mean' or 'attention'
        tower.projection = 0  # length of the model's own projection; 0 = none
        tower.mean = (0.5, 0.5, 0.5)  # subtracted from pixels in 0..1
        tower.std = (0.5, 0.5, 0.5)  # by which the difference is divided
        tower.resample = "bilinear"  # how photos are resized: 'bilinear' or 'bicubic'
        tower.squash = False  # True: to a square, whatever the aspect ratio
        return tower

    @classmethod
    def complete(cls, section: Section) -> None:
        if not section.weights:
            return
        fields = exported_section(section.weights, "image") or section_fields(open_checkpoint(section.weights))
        section.update({name: fields[name] for name in (*_LAYERS, *_FORM, *_PHOTO) if name in fields})

    @classmethod
    def check(cls, section: Section, config: Section) -> None:
        section = section.copy_and_resolve_references()
        cls.complete(section)
        if section.width % section.heads:
            raise UserError(f"config.model.image.heads = {section.heads}: must divide width = {section.width}")
        if config.data.image_size % section.patch:
            size, patch = config.data.image_size, section.patch
            raise UserError(
                f"config.data.image_size = {size}: patches of {patch} pixels do not divide it; use "
                f"{max(size // patch, 1) * patch} or {(size // patch + 1) * patch}"
            )

    @classmethod
    def build(cls, section: Section, shared: Shared) -> Self:
        common = {"remat": shared.remat, "dtype": shared.dtype, "param_dtype": shared.param_dtype}
        mean, std = tuple(section.mean), tuple(section.std)
        return cls(shared.embedding_dim, _form(section), mean, std, **common)

    @classmethod
    def load_weights(cls, section: Section, variables: dict[str, Any]) -> dict[str, Any]:
        if exported_section(section.weights, "image"):
            return super().load_weights(section, variables)
        form, params = _form(section), variables["params"]
        grid = round((len(params["vit"]["positions"]) - form.class_tokens) ** 0.5)
        loaded = read_vit(open_checkpoint(section.weights), form, grid)
        return {**variables, "params": {**params, "vit": jax.tree.map(jnp.asarray, loaded)}}

    @classmethod
    def resizing(cls, section: Section) -> Resizing:
        return Resizing(section.resample, section.squash)

    @classmethod
    def feature_dim(cls, section: Section) -> int:
        return _form(section).feature_dim

    def setup(self):
        self.vit = ViT(self.form, self.remat, self.dtype, self.param_dtype)
        if self.embedding_dim:
            self.fc = Linear(self.embedding_dim, self.param_dtype)

    def __call__(
        self, images: jax.Array, *, train: bool = False, use_running_average: bool = True, keys: Any = None
    ) -> jax.Array:
        """Embeds (B, S, S, 3) images, or (B, F) features of the backbone."""
        features = images if images.ndim == 2 else self.features(images)
        return self.fc(features) if self.embedding_dim else features

    def features(self, images: jax.Array, *, use_running_average: bool = True) -> jax.Array:
        """Maps (B, S, S, 3) RGB images in 0..255 to the transformer's vectors (B, F)."""
        mean, std = (255 * jnp.array(value, self.param_dtype) for value in (self.mean, self.std))
        return self.vit((images - mean) / std)


def _form(section: Section) -> Form:
    return Form(Layers(**{name: section[name] for name in _LAYERS}), **{name: section[name] for name in _FORM})
