"""Pretrained vision transformers of transformers and open_clip: their sizes, and their tensors under our names."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.interop.huggingface import OPEN_CLIP, Checkpoint, TensorReader
from adamine_jax.models import transformer_weights as names
from adamine_jax.models.image.vit import Form, resized_positions
from adamine_jax.models.transformer_weights import activation_of, read_layers, read_qkv

Tree = dict[str, Any]

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF_MEAN_STD = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
CLIP_MEAN_STD = {"mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711)}

_SIZES = {"width": 768, "depth": 12, "heads": 12, "mlp": 3072, "patch": 16}
_CLIP = {"activation": "quick_gelu", "eps": 1e-5, "pre_norm": True, "patch_bias": False, "patch": 32}
_CLIP |= {"resample": "bicubic", **CLIP_MEAN_STD}
_SIGLIP = {"activation": "gelu_tanh", "eps": 1e-6, "class_tokens": 0, "pool": "attention", "squash": True}
_SIGLIP |= {"resample": "bicubic", **HALF_MEAN_STD}
_VIT = {"eps": 1e-12, "resample": "bilinear", "squash": True, **HALF_MEAN_STD}
_DINOV2 = {"eps": 1e-6, "patch": 14, "layer_scale": True, "resample": "bicubic", **IMAGENET}

FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "vit": _VIT,
    "deit": {**_VIT, "class_tokens": 2, "squash": False, "resample": "bicubic", **IMAGENET},
    "clip": {**_CLIP, "projection": 512},
    "clip_vision_model": _CLIP,
    "siglip": _SIGLIP,
    "siglip_vision_model": _SIGLIP,
    "siglip2": {**_SIGLIP, "resample": "bilinear"},
    "siglip2_vision_model": {**_SIGLIP, "resample": "bilinear"},
    "dinov2": _DINOV2,
    "dinov2_with_registers": {**_DINOV2, "registers": 4},
    OPEN_CLIP: {**_CLIP, "activation": "gelu", "projection": 512},
}
"""For each `model_type`, the fields of the section that differ from `_SIZES` where `config.json` leaves them out."""

_FIELDS = {
    "hidden_size": "width",
    "num_hidden_layers": "depth",
    "num_attention_heads": "heads",
    "intermediate_size": "mlp",
    "patch_size": "patch",
    "layer_norm_eps": "eps",
    "num_register_tokens": "registers",
}
_RESAMPLES = {2: "bilinear", 3: "bicubic"}


def section_fields(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the fields of the section of `VisionTransformer` that describe a pretrained model.

    Raises:
        UserError: The `model_type`, the activation or the kind of MLP is not supported, open_clip's model is not a
            plain vision transformer, or `preprocessor_config.json` is not readable.
    """
    family = checkpoint.family
    if family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UserError(
            f"{checkpoint.weights}: model_type {family!r} is not a vision transformer that can be read; "
            f"give one of {known}"
        )
    fields: dict[str, Any] = {**_SIZES, **FAMILIES[family]}
    if family == OPEN_CLIP:
        return fields | _open_clip_fields(checkpoint)
    config = checkpoint.config.get("vision_config", checkpoint.config)
    fields |= {ours: config[theirs] for theirs, ours in _FIELDS.items() if theirs in config}
    if "mlp_ratio" in config:
        fields["mlp"] = int(config["mlp_ratio"] * fields["width"])
    if config.get("use_swiglu_ffn"):
        raise UserError(f"{checkpoint.weights}: SwiGLU layers (DINOv2 giant) are not supported; give a smaller DINOv2")
    if "hidden_act" in config:
        fields["activation"] = activation_of(config["hidden_act"], checkpoint)
    if family == "clip":
        fields["projection"] = checkpoint.config.get("projection_dim", fields["projection"])
    return fields | _photo_fields(checkpoint)


def read_vit(checkpoint: Checkpoint, form: Form, grid: int) -> Tree:
    """Reads the parameters of `vit.ViT`.

    Args:
        checkpoint: The pretrained model.
        form: Its form, from `section_fields`.
        grid: Number of patches along each side; the positions are interpolated.

    Raises:
        UserError: A tensor is missing, misshapen, unexpected or not finite.
    """
    family = checkpoint.family
    if family == OPEN_CLIP:
        return _read_open_clip(checkpoint, form, grid)
    if family in ("clip", "clip_vision_model", "siglip", "siglip_vision_model", "siglip2", "siglip2_vision_model"):
        return _read_clip(checkpoint, form, grid)
    ignored = (r".*(pooler|classifier|mask_token|lm_head|decoder)",)
    read = TensorReader(checkpoint.tensors(), str(checkpoint.weights), (f"{family}.", "vit.", "dinov2."), ignored)
    tokens = [read("embeddings.cls_token", 1, 1, form.layers.width)[0]]
    if form.class_tokens == 2:
        tokens.append(read("embeddings.distillation_token", 1, 1, form.layers.width)[0])
    params = _patches(read, "embeddings.patch_embeddings.projection", form)
    params |= {"class_tokens": np.concatenate(tokens)}
    kernel = "antialiased bicubic" if family == "dinov2_with_registers" else "bicubic"
    params |= _positions(read, "embeddings.position_embeddings", form, grid, 3, kernel)
    if form.registers:
        params["registers"] = read("embeddings.register_tokens", 1, form.registers, form.layers.width)[0]
    layer_names = names.DINOV2 if form.layers.layer_scale else names.VIT
    params["transformer"] = read_layers(read, "encoder.layer.{}.", layer_names, form.layers)
    params |= _flat("post_norm", read.norm("layernorm", form.layers.width))
    read.finish(f"a {family} of {form.layers.depth} layers of width {form.layers.width}")
    return params


def _read_clip(checkpoint: Checkpoint, form: Form, grid: int) -> Tree:
    """Reads the vision part of CLIP or SigLIP."""
    width = form.layers.width
    ignored = (r"text_model\.", r"text_projection", r"logit_", r".*position_ids")
    read = TensorReader(checkpoint.tensors(), str(checkpoint.weights), ignored=ignored)
    vision = "vision_model." if read.axes("vision_model.post_layernorm.weight") else ""  # or a file without text
    params = _patches(read, f"{vision}embeddings.patch_embedding", form)
    kernel = "antialiased bilinear" if checkpoint.family.startswith("siglip2") else "bicubic"
    params |= _positions(read, f"{vision}embeddings.position_embedding.weight", form, grid, 2, kernel)
    params["transformer"] = read_layers(read, vision + "encoder.layers.{}.", names.CLIP, form.layers)
    params |= _flat("post_norm", read.norm(f"{vision}post_layernorm", width))
    if form.class_tokens:
        params["class_tokens"] = read(f"{vision}embeddings.class_embedding", width)[None]
    if form.pre_norm:
        params |= _flat("pre_norm", read.norm(f"{vision}pre_layrnorm", width))  # the name is theirs
    if form.pool == "attention":
        params |= _attention_head(read, f"{vision}head.", form)
    if form.projection:
        params["projection_kernel"] = read("visual_projection.weight", form.projection, width).T
    read.finish(f"a {checkpoint.family} with {form.layers.depth} vision layers of width {width}")
    return params


def _read_open_clip(checkpoint: Checkpoint, form: Form, grid: int) -> Tree:
    """Reads the vision part of open_clip's CLIP."""
    width = form.layers.width
    ignored = ("transformer", "token_embedding", "positional_embedding", "ln_final", "text", "logit_", "attn_mask")
    read = TensorReader(checkpoint.tensors(), str(checkpoint.weights), ignored=ignored)
    params = _patches(read, "visual.conv1", form)
    params["class_tokens"] = read("visual.class_embedding", width)[None]
    params |= _positions(read, "visual.positional_embedding", form, grid, 2, "bicubic")
    params |= _flat("pre_norm", read.norm("visual.ln_pre", width))
    params["transformer"] = read_layers(read, "visual.transformer.resblocks.{}.", names.OPEN_CLIP, form.layers)
    params |= _flat("post_norm", read.norm("visual.ln_post", width))
    params["projection_kernel"] = read("visual.proj", width, form.projection)
    read.finish(f"an open_clip model with {form.layers.depth} vision layers of width {width}")
    return params


def _patches(read: TensorReader, name: str, form: Form) -> Tree:
    """Reads the convolution that embeds the patches as a matrix (P · P · 3, D)."""
    width, patch = form.layers.width, form.patch
    pixels = 3 * patch**2
    if read.axes(f"{name}.weight") == 2:  # SigLIP 2 for any aspect ratio: rows, columns, channels
        params = {"patches_kernel": read(f"{name}.weight", width, pixels).T}
    else:
        convolution = read(f"{name}.weight", width, 3, patch, patch)
        params = {"patches_kernel": convolution.transpose(2, 3, 1, 0).reshape(pixels, width)}
    return params | ({"patches_bias": read(f"{name}.bias", width)} if form.patch_bias else {})


def _positions(read: TensorReader, name: str, form: Form, grid: int, axes: int, kernel: str) -> Tree:
    """Reads the positions of the class tokens and of a square grid of patches, interpolated to grid × grid."""
    rows = max(read.length(name, axis=axes - 2), 1)
    positions = read(name, *(1,) * (axes - 2), rows, form.layers.width).reshape(rows, -1)
    patches = rows - form.class_tokens
    if patches < 1 or round(patches**0.5) ** 2 != patches:
        read.fault(f"{name} has {rows} positions, which are not {form.class_tokens} and a square number")
        return {}
    squares = resized_positions(positions[form.class_tokens :], grid, kernel)
    return {"positions": np.concatenate([positions[: form.class_tokens], squares])}


def _attention_head(read: TensorReader, prefix: str, form: Form) -> Tree:
    """Reads SigLIP's attention pooling."""
    width, mlp = form.layers.width, form.layers.mlp
    params = {"pool_query": read(f"{prefix}probe", 1, 1, width)[0]}
    params |= _flat("pool_qkv", read_qkv(read, f"{prefix}attention.", ("in_proj",), width, is_in_proj=True))
    params |= _flat("pool_out", read.dense(f"{prefix}attention.out_proj", width, width))
    params |= _flat("pool_norm", read.norm(f"{prefix}layernorm", width))
    params |= _flat("pool_up", read.dense(f"{prefix}mlp.fc1", width, mlp))
    return params | _flat("pool_down", read.dense(f"{prefix}mlp.fc2", mlp, width))


def _flat(name: str, arrays: Mapping[str, np.ndarray]) -> Tree:
    return {f"{name}_{field}": array for field, array in arrays.items()}


def _photo_fields(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns how the model's photos are resized and normalised, from `preprocessor_config.json` if it exists."""
    rules = checkpoint.read_json("preprocessor_config.json") or {}
    fields: dict[str, Any] = {}
    if "image_mean" in rules:
        fields |= {"mean": tuple(rules["image_mean"]), "std": tuple(rules["image_std"])}
    if rules.get("resample") in _RESAMPLES:
        fields["resample"] = _RESAMPLES[rules["resample"]]
    return fields


def _open_clip_fields(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the fields that `open_clip_config.json` states."""
    model = checkpoint.config["model_cfg"]
    vision = model.get("vision_cfg", {})
    if "width" not in vision or not isinstance(vision.get("layers"), int):
        raise UserError(f"{checkpoint.weights}: not a vision transformer of open_clip; give Hugging Face's form of it")
    fields = {"width": vision["width"], "depth": vision["layers"], "projection": model["embed_dim"]}
    fields |= {"heads": vision["width"] // vision.get("head_width", 64), "patch": vision["patch_size"]}
    fields["mlp"] = int(vision["width"] * vision.get("mlp_ratio", 4))
    if model.get("quick_gelu"):
        fields["activation"] = "quick_gelu"
    preprocess = checkpoint.config.get("preprocess_cfg", {})
    return fields | {name: tuple(preprocess[name]) for name in ("mean", "std") if name in preprocess}
