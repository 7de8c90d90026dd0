"""Pretrained text encoders of transformers and open_clip: their sizes, and their tensors under our names."""

from collections.abc import Mapping
from typing import Any

from adamine_jax.base.errors import UserError
from adamine_jax.interop.huggingface import OPEN_CLIP, Checkpoint, TensorReader
from adamine_jax.models import transformer_weights as names
from adamine_jax.models.recipe.text_transformer import Form
from adamine_jax.models.transformer_weights import activation_of, read_layers

_BERT = {"words": 30522, "width": 768, "depth": 12, "heads": 12, "mlp": 3072, "positions": 512, "activation": "gelu"}
_BERT |= {"eps": 1e-12, "post_norm": True, "embedding_norm": True, "final_norm": False, "pool": "mean"}
_BERT |= {"causal": False, "projection": 0, "projection_bias": False, "pad": False}
_CLIP = {**_BERT, "post_norm": False, "embedding_norm": False, "final_norm": True}
_CLIP |= {"words": 49408, "width": 512, "depth": 12, "heads": 8, "mlp": 2048, "positions": 77, "eps": 1e-5}
_CLIP |= {"activation": "quick_gelu", "causal": True, "pool": "last", "projection": 512}
_SIGLIP = {**_CLIP, "causal": False}
_SIGLIP |= {"words": 32000, "width": 768, "depth": 12, "heads": 12, "mlp": 3072, "positions": 64, "eps": 1e-6}
_SIGLIP |= {"activation": "gelu_tanh", "pool": "last", "projection": 768, "projection_bias": True, "pad": True}

FAMILIES: Mapping[str, Mapping[str, Any]] = {
    "bert": _BERT,
    "clip": _CLIP,
    "clip_text_model": {**_CLIP, "projection": 0},
    "siglip": _SIGLIP,
    "siglip2": _SIGLIP,
    OPEN_CLIP: {**_CLIP, "activation": "gelu"},
}
"""For each `model_type`, the fields of the section where `config.json` leaves them out."""

_FIELDS = {
    "vocab_size": "words",
    "hidden_size": "width",
    "num_hidden_layers": "depth",
    "num_attention_heads": "heads",
    "intermediate_size": "mlp",
    "max_position_embeddings": "positions",
    "layer_norm_eps": "eps",
}


def section_fields(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the fields of the section of `PretrainedText` that describe a pretrained model.

    Raises:
        UserError: The `model_type` or the activation is not supported, open_clip's model has no text encoder of its
            own, or `1_Pooling/config.json` is not readable.
    """
    family = checkpoint.family
    if family not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise UserError(
            f"{checkpoint.weights}: model_type {family!r} is not a text encoder that can be read; give one of {known}"
        )
    fields: dict[str, Any] = dict(FAMILIES[family])
    if family == OPEN_CLIP:
        return fields | _open_clip_fields(checkpoint)
    config = checkpoint.config.get("text_config", checkpoint.config)
    fields |= {ours: config[theirs] for theirs, ours in _FIELDS.items() if theirs in config}
    if "hidden_act" in config:
        fields["activation"] = activation_of(config["hidden_act"], checkpoint)
    if family == "clip":
        fields["projection"] = checkpoint.config.get("projection_dim", fields["projection"])
    if family in ("siglip", "siglip2"):
        fields["projection"] = config.get("projection_size", fields["width"])
    pooling = checkpoint.read_json("1_Pooling/config.json") or {}  # of sentence-transformers
    if pooling.get("pooling_mode_cls_token") or pooling.get("pooling_mode") == "cls":
        fields["pool"] = "first"
    return fields


def read_text(checkpoint: Checkpoint, form: Form) -> dict[str, Any]:
    """Reads the parameters of `text_transformer.TextTransformer`.

    Raises:
        UserError: A tensor is missing, misshapen, unexpected or not finite.
    """
    read_family = {"bert": _read_bert, OPEN_CLIP: _read_open_clip}.get(checkpoint.family, _read_clip)
    return read_family(checkpoint, form)


def _read_bert(checkpoint: Checkpoint, form: Form) -> dict[str, Any]:
    width = form.layers.width
    ignored = (r".*pooler\.", r"cls\.", r"classifier\.", r".*position_ids")
    read = TensorReader(checkpoint.tensors(), str(checkpoint.weights), ("bert.",), ignored)
    embeddings = "embeddings.{}_embeddings.weight".format
    positions = read(embeddings("position"), form.positions, width)
    types = read(embeddings("token_type"), read.length(embeddings("token_type"), 0), width)
    params: dict[str, Any] = {"words": read(embeddings("word"), form.words, width)}
    params["positions"] = positions + types[:1]  # all segments have type 0
    params |= _norm(read, "embedding_norm", "embeddings.LayerNorm", width)
    params["transformer"] = read_layers(read, "encoder.layer.{}.", names.BERT, form.layers)
    read.finish(f"a BERT of {form.layers.depth} layers of width {width}")
    return params


def _read_clip(checkpoint: Checkpoint, form: Form) -> dict[str, Any]:
    """Reads the text part of CLIP or SigLIP."""
    width = form.layers.width
    ignored = (r"vision_model\.", r"visual_projection", r"logit_", r".*position_ids")
    read = TensorReader(checkpoint.tensors(), str(checkpoint.weights), ignored=ignored)
    text = "text_model." if read.axes("text_model.final_layer_norm.weight") else ""  # or a file without photos
    params: dict[str, Any] = {
        "words": read(f"{text}embeddings.token_embedding.weight", form.words, width),
        "positions": read(f"{text}embeddings.position_embedding.weight", form.positions, width),
        "transformer": read_layers(read, text + "encoder.layers.{}.", names.CLIP, form.layers),
    }
    params |= _norm(read, "final_norm", f"{text}final_layer_norm", width)
    if form.projection_bias:
        head = read.dense(f"{text}head", width, form.projection)
        params |= {"projection_kernel": head["kernel"], "projection_bias": head["bias"]}
    elif form.projection:
        params["projection_kernel"] = read("text_projection.weight", form.projection, width).T
    read.finish(f"a {checkpoint.family} with {form.layers.depth} text layers of width {width}")
    return params


def _read_open_clip(checkpoint: Checkpoint, form: Form) -> dict[str, Any]:
    width = form.layers.width
    read = TensorReader(checkpoint.tensors(), str(checkpoint.weights), ignored=(r"visual\.", r"logit_", r"attn_mask"))
    params: dict[str, Any] = {
        "words": read("token_embedding.weight", form.words, width),
        "positions": read("positional_embedding", form.positions, width),
        "transformer": read_layers(read, "transformer.resblocks.{}.", names.OPEN_CLIP, form.layers),
        "projection_kernel": read("text_projection", width, form.projection),
    }
    params |= _norm(read, "final_norm", "ln_final", width)
    read.finish(f"an open_clip model with {form.layers.depth} text layers of width {width}")
    return params


def _norm(read: TensorReader, ours: str, theirs: str, width: int) -> dict[str, Any]:
    return {f"{ours}_{field}": array for field, array in read.norm(theirs, width).items()}


def _open_clip_fields(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the fields that `open_clip_config.json` states."""
    model = checkpoint.config["model_cfg"]
    text = model.get("text_cfg", {})
    if "width" not in text or "hf_model_name" in text:
        raise UserError(f"{checkpoint.weights}: not a text encoder of open_clip; give Hugging Face's form of it")
    fields = {"width": text["width"], "depth": text["layers"], "heads": text["heads"], "mlp": 4 * text["width"]}
    fields |= {"words": text["vocab_size"], "positions": text["context_length"], "projection": model["embed_dim"]}
    return fields | ({"activation": "quick_gelu"} if model.get("quick_gelu") else {})
