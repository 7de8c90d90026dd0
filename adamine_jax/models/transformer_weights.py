"""The tensors of pretrained transformer layers, by the names that each family gives them."""

import dataclasses
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.interop.huggingface import Checkpoint, TensorReader
from adamine_jax.models.transformer import Layers


@dataclasses.dataclass(frozen=True)
class LayerNames:
    """Names of the tensors of one layer, without the layer's prefix and without `.weight` and `.bias`.

    Attributes:
        norm1, norm2: LayerNorms of attention and of the MLP, before or after them.
        qkv: Projections to queries, keys and values, or one packed projection to all three.
        out: Output projection of the attention.
        up, down: First and second layer of the MLP.
        scales: LayerScale vectors of attention and MLP; empty without LayerScale.
        is_in_proj: Whether `qkv` is packed and has the suffixes `_weight` and `_bias`, as in PyTorch's
            MultiheadAttention.
    """

    norm1: str
    qkv: tuple[str, ...]
    out: str
    norm2: str
    up: str
    down: str
    scales: tuple[str, ...] = ()
    is_in_proj: bool = False


_SELF_ATTENTION = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_ATTENTION = ("attention.attention.query", "attention.attention.key", "attention.attention.value")

CLIP = LayerNames("layer_norm1", _SELF_ATTENTION, "self_attn.out_proj", "layer_norm2", "mlp.fc1", "mlp.fc2")
"""CLIP and SigLIP, photos and text."""
VIT = LayerNames(
    "layernorm_before",
    _ATTENTION,
    "attention.output.dense",
    "layernorm_after",
    "intermediate.dense",
    "output.dense",
)
DINOV2 = LayerNames(
    "norm1",
    _ATTENTION,
    "attention.output.dense",
    "norm2",
    "mlp.fc1",
    "mlp.fc2",
    ("layer_scale1.lambda1", "layer_scale2.lambda1"),
)
BERT = LayerNames(
    "attention.output.LayerNorm",
    ("attention.self.query", "attention.self.key", "attention.self.value"),
    "attention.output.dense",
    "output.LayerNorm",
    "intermediate.dense",
    "output.dense",
)
OPEN_CLIP = LayerNames("ln_1", ("attn.in_proj",), "attn.out_proj", "ln_2", "mlp.c_fc", "mlp.c_proj", is_in_proj=True)


_ACTIVATIONS = {"gelu": "gelu", "quick_gelu": "quick_gelu", "gelu_pytorch_tanh": "gelu_tanh", "gelu_new": "gelu_tanh"}


def activation_of(name: str, checkpoint: Checkpoint) -> str:
    """Returns our name of an activation of transformers.

    Raises:
        UserError: There is no such activation here.
    """
    if name not in _ACTIVATIONS:
        raise UserError(f"{checkpoint.weights}: activation {name!r} is not supported; only {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def read_layers(read: TensorReader, prefix: str, names: LayerNames, layers: Layers) -> dict[str, np.ndarray]:
    """Reads the parameters of `transformer.Transformer`.

    Args:
        read: The file.
        prefix: Prefix of a layer's tensors, with `{}` for its number.
        names: The family's names.
        layers: Sizes of the layers.
    """
    found = [_read_layer(read, prefix.format(number), names, layers) for number in range(layers.depth)]
    return {name: np.stack([layer[name] for layer in found]) for name in found[0]}


def read_qkv(read: TensorReader, prefix: str, names: tuple[str, ...], width: int, is_in_proj: bool) -> dict[str, Any]:
    """Reads the projections to queries, keys and values as one kernel (D, 3D) and one bias (3D,)."""
    if is_in_proj:
        kernel, bias = read(f"{prefix}{names[0]}_weight", 3 * width, width), read(f"{prefix}{names[0]}_bias", 3 * width)
        return {"kernel": kernel.T, "bias": bias}
    parts = [read.dense(prefix + name, width, 3 * width // len(names)) for name in names]
    return {field: np.concatenate([part[field] for part in parts], axis=-1) for field in ("kernel", "bias")}


def _read_layer(read: TensorReader, prefix: str, names: LayerNames, layers: Layers) -> dict[str, np.ndarray]:
    width = layers.width
    parts = {
        "norm1": read.norm(prefix + names.norm1, width),
        "qkv": read_qkv(read, prefix, names.qkv, width, names.is_in_proj),
        "out": read.dense(prefix + names.out, width, width),
        "norm2": read.norm(prefix + names.norm2, width),
        "up": read.dense(prefix + names.up, width, layers.mlp),
        "down": read.dense(prefix + names.down, layers.mlp, width),
    }
    flat = {f"{part}_{field}": array for part, arrays in parts.items() for field, array in arrays.items()}
    for number, name in enumerate(names.scales, 1):
        flat[f"scale{number}"] = read(prefix + name, width)
    return flat
