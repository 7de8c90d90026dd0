"""Programs lowered for TPU topologies, without a TPU: `benchmarks.tpu` compiles them.

Arguments are shapes with shardings; nothing is computed and no weights are read.
"""

import dataclasses
import functools
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding

from adamine_jax import losses
from adamine_jax.base.extras import require
from adamine_jax.config import preset
from adamine_jax.distributed.mesh import by_rows, make_mesh, replicated, state_shardings
from adamine_jax.input.damage import Damage
from adamine_jax.losses import registry as loss_registry
from adamine_jax.models import registry
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.models.image.resnet import ResNet
from adamine_jax.models.image.vit import Form, ViT
from adamine_jax.models.image.vit_weights import FAMILIES as PHOTO_FAMILIES
from adamine_jax.models.recipe.text_weights import FAMILIES as TEXT_FAMILIES
from adamine_jax.models.transformer import Layers
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText
from adamine_jax.recipes.tokens import train_tokenizer
from adamine_jax.runs.embedding import Embedder
from adamine_jax.training.state import create_state
from adamine_jax.training.step import make_train_step
from benchmarks.peers.flax_resnet import PlainResNet
from benchmarks.peers.flax_vit import PlainViT
from benchmarks.workload import TABLE_ROWS

LARGE = "ViT-L/14 and BERT-large"
_B16, _L14 = {"patch": 16}, {"patch": 14, "width": 1024, "depth": 24, "heads": 16, "mlp": 4096}
_MINILM, _BERT_LARGE = ({"width": 384, "depth": 6, "mlp": 1536}, {"width": 1024, "depth": 24, "heads": 16, "mlp": 4096})
PRETRAINED: Mapping[str, tuple[str, dict[str, int], str, dict[str, int]]] = {
    "clip_vitb16": ("clip", _B16, "clip", {}),
    "siglip2_base": ("siglip2", _B16, "siglip2", {"words": 256_000}),
    "dinov2_minilm": ("dinov2", {}, "bert", _MINILM),
    LARGE: ("clip", _L14, "bert", _BERT_LARGE),
}
"""For presets with pretrained models the family and the sizes of the vision transformer and of the text encoder."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A program to compile.

    Attributes:
        kind: 'train', 'frozen' (the image backbone is), 'evaluate', 'loss', or a name of `ENCODERS`.
        preset: Name of the preset, or `LARGE`, which is `clip_vitb16` with larger models; '' for a peer.
        topology: Name of the TPU topology, such as 'v5e:2x4'.
        rows: Rows of the batch on each chip.
        fsdp: Number of chips that share a copy of the state.
        slices: Number of slices of this topology, connected by a data-center network.
        parts: Number of parts in which the batch is embedded.
    """

    kind: str
    preset: str
    topology: str
    rows: int
    fsdp: int = 1
    slices: int = 1
    parts: int = 1

    @property
    def name(self) -> str:
        """Identifies the program."""
        more = f" fsdp {self.fsdp}" if self.fsdp > 1 else ""
        more += f" slices {self.slices}" if self.slices > 1 else ""
        more += f" parts {self.parts}" if self.parts > 1 else ""
        return f"{self.preset or 'peer'} {self.kind} {self.topology} {self.rows}{more}"

    def lower(self) -> Any:
        """Lowers the program for its topology; `compile()` compiles it."""
        topology = topologies.get_topology_desc(self.topology, platform="tpu", num_slices=self.slices)
        mesh = make_mesh(topology.devices, self.fsdp)
        rows = self.rows * mesh.size
        if self.kind == "loss":
            return _loss(mesh, rows, self.preset)
        if not self.preset:
            return _encoder(self.kind, mesh, rows)
        return _step(self.kind, self.preset, mesh, rows, self.parts)


def describe_tpus() -> None:
    """Lets JAX describe TPU topologies on a machine without TPUs; call it before JAX is used.

    Raises:
        ModuleNotFoundError: The package libtpu is missing.
    """
    require("libtpu", "tokenizers")
    import libtpu

    library = Path(libtpu.get_library_path())
    os.environ |= {"TPU_LIBRARY_PATH": str(library), "TPU_WORKER_HOSTNAMES": "localhost", "TPU_SKIP_MDS_QUERY": "1"}
    os.environ |= {"ALLOW_MULTIPLE_LIBTPU_LOAD": "1", "JAX_PLATFORMS": "cpu"}
    jax.config.update("jax_enable_compilation_cache", False)  # programs for absent devices cannot be loaded from it


def _abstract(tree: Any, sharding: NamedSharding) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), tree)


def _step(kind: str, name: str, mesh: Mesh, rows: int, parts: int = 1) -> Any:
    """Lowers a training or an evaluation step of a preset, with bfloat16 arithmetic."""
    config = config_of(name, rows)
    config.accumulate = parts
    model, loss = build_model(config.model, table_rows=TABLE_ROWS), loss_registry.build(config.loss)
    cpu = make_mesh(jax.devices("cpu")[:1])
    size = config.data.image_size
    create = functools.partial(init_variables, model, jax.random.key(0), config.model, image_size=size)
    state = jax.eval_shape(lambda: create_state(model, loss, create(), cpu))
    state = jax.tree.map(_abstract, state, state_shardings(state, mesh))
    batch = _abstract(_batch(config, rows), by_rows(mesh))
    if kind == "evaluate":
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        batch["readable"] = jax.ShapeDtypeStruct((rows,), jnp.bool_, sharding=by_rows(mesh))
        return Embedder(model, config, mesh, Damage(0))._step.lower(variables, batch)
    step = make_train_step(model, loss, config, mesh, 1000)
    return step.lower(state, batch, frozen=kind == "frozen")


def config_of(name: str, rows: int) -> Any:
    """Returns a preset with the sizes of its pretrained models."""
    config = preset("clip_vitb16" if name == LARGE else name)
    config.batch_size = rows
    config.model.dtype = "bfloat16"
    if name in PRETRAINED:
        photos, photo_sizes, text, text_sizes = PRETRAINED[name]
        for section, fields in (
            (config.model.image, PHOTO_FAMILIES[photos] | photo_sizes),
            (config.model.recipe, TEXT_FAMILIES[text] | text_sizes),
        ):
            section.update({field: value for field, value in fields.items() if field in section})
    if "vocabulary" in config.model.recipe:
        path = Path(tempfile.mkdtemp()) / "tokenizer.json"
        path.write_text(train_tokenizer([RecipeText("salt sugar flour butter")], 300))
        config.model.recipe.vocabulary = str(path)
    return config


def _batch(config: Any, rows: int) -> dict[str, jax.ShapeDtypeStruct]:
    size = config.data.image_size
    fields = registry.recipe_fields(config.model)([EncodedRecipe()])
    shapes = {field: (array.shape[1:], array.dtype) for field, array in fields.items()}
    shapes |= {"image": ((size, size, 3), jnp.uint8), "has_image": ((), jnp.bool_)}
    shapes |= dict.fromkeys(("class_id", "image_class_id", "match"), ((), jnp.int32))
    return {field: jax.ShapeDtypeStruct((rows, *shape), dtype) for field, (shape, dtype) in shapes.items()}


def _loss(mesh: Mesh, rows: int, name: str) -> Any:
    """Lowers the loss of `configs/adamine.py`, or one by name, and its gradients; embeddings are sharded by rows."""
    split, dim = by_rows(mesh), preset("adamine").model.embedding_dim
    config = preset(name).loss if name == "adamine" else loss_registry.section(name)
    params = loss_registry.build(config).init(jax.random.key(0), embedding_dim=dim, num_classes=1048)

    def loss(image, recipe, class_id, image_class_id, match):
        return losses.total_loss(config, image, recipe, class_id, match, image_class_id=image_class_id, params=params)[
            0
        ]

    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)), out_shardings=(replicated(mesh), (split, split)))
    embeddings = jax.ShapeDtypeStruct((rows, dim), jnp.float32, sharding=split)
    numbers = jax.ShapeDtypeStruct((rows,), jnp.int32, sharding=split)
    return step.lower(embeddings, embeddings, numbers, numbers, numbers)


ENCODERS: Mapping[str, tuple[Any, dict[str, Any]]] = {
    "plain ViT": (PlainViT(), {}),
    "our ViT": (ViT(Form(Layers(768, 12, 12, 3072), 16), remat=True, dtype=jnp.bfloat16), {}),
    "plain ResNet": (PlainResNet(), {"use_running_average": False}),
    "our ResNet": (ResNet(101, dtype=jnp.bfloat16), {"use_running_average": False}),
}
"""Image encoders, ours and of Flax's own layers, and their arguments in training; the loss is a sum of squares."""


def _encoder(kind: str, mesh: Mesh, rows: int) -> Any:
    """Lowers the gradients of an image encoder."""
    model, inputs = ENCODERS[kind]
    images = jax.ShapeDtypeStruct((rows, 224, 224, 3), jnp.uint8, sharding=by_rows(mesh))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 224, 224, 3)), **inputs))
    variables = _abstract(shapes, replicated(mesh))

    def loss(params: Any, others: Any, images: jax.Array) -> tuple[jax.Array, Any]:
        features, updated = model.apply({"params": params, **others}, images / 128 - 1, mutable=True, **inputs)
        return jnp.square(features).sum(), updated.get("batch_stats", {})

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    return step.lower(variables.pop("params"), variables, images)
