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
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adamine_jax import losses
from adamine_jax.base.extras import require
from adamine_jax.config import preset
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.input.damage import Damage
from adamine_jax.losses import registry as loss_registry
from adamine_jax.models import registry
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.models.image.resnet import ResNet
from adamine_jax.models.image.vit_weights import FAMILIES as PHOTO_FAMILIES
from adamine_jax.models.recipe.text_weights import FAMILIES as TEXT_FAMILIES
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText
from adamine_jax.recipes.tokens import train_tokenizer
from adamine_jax.runs.embedding import Embedder
from adamine_jax.training.optimizer import learning_rate
from adamine_jax.training.state import create_state
from adamine_jax.training.step import make_train_step
from benchmarks.peers.flax_resnet import PlainResNet
from benchmarks.peers.flax_vit import PlainViT
from benchmarks.workload import TABLE_ROWS

MINILM = {"width": 384, "depth": 6, "mlp": 1536}
PRETRAINED: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "clip_vitb16": ("clip", "clip", {}),
    "siglip2_base": ("siglip2", "siglip2", {"words": 256_000}),
    "dinov2_minilm": ("dinov2", "bert", MINILM),
}
"""For presets with pretrained models the families of both, and the sizes of the text encoder that differ."""


@dataclasses.dataclass(frozen=True)
class Program:
    """A program to compile.

    Attributes:
        kind: 'train', 'frozen' (the image backbone is), 'evaluate', 'loss', or a peer: 'plain ViT', 'plain ResNet' and
            'our ResNet', whose loss is a sum of squares.
        preset: Name of the preset; '' for a peer.
        topology: Name of the TPU topology, such as 'v5e:2x4'.
        rows: Rows of the batch on each chip.
    """

    kind: str
    preset: str
    topology: str
    rows: int

    @property
    def name(self) -> str:
        """Identifies the program."""
        return f"{self.preset or 'peer'} {self.kind} {self.topology} {self.rows}"

    def lower(self) -> Any:
        """Lowers the program for its topology; `compile()` compiles it."""
        mesh = make_mesh(topologies.get_topology_desc(topology_name=self.topology, platform="tpu").devices)
        rows = self.rows * mesh.size
        if self.kind == "loss":
            return _loss(mesh, rows)
        if not self.preset:
            return _peer(self.kind, mesh, rows)
        return _step(self.kind, self.preset, mesh, rows)


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


def _shardings(mesh: Mesh) -> tuple[NamedSharding, NamedSharding]:
    """Returns the shardings of parameters and of batches."""
    return NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))


def _step(kind: str, name: str, mesh: Mesh, rows: int) -> Any:
    """Lowers a training or an evaluation step of a preset, with bfloat16 arithmetic."""
    replicated, split = _shardings(mesh)
    config = config_of(name, rows)
    model, loss = build_model(config.model, table_rows=TABLE_ROWS), loss_registry.build(config.loss)
    cpu = make_mesh(jax.devices("cpu")[:1])
    size = config.data.image_size
    create = functools.partial(init_variables, model, jax.random.key(0), config.model, image_size=size)
    state = _abstract(jax.eval_shape(lambda: create_state(model, loss, create(), cpu)), replicated)
    batch = _abstract(_batch(config, rows), split)
    if kind == "evaluate":
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        batch["readable"] = jax.ShapeDtypeStruct((rows,), jnp.bool_, sharding=split)
        return Embedder(model, config, mesh, Damage(0))._step.lower(variables, batch)
    step = make_train_step(model, loss, config, mesh, learning_rate(config, 1000))
    return step.lower(state, batch, frozen=kind == "frozen")


def config_of(name: str, rows: int) -> Any:
    """Returns a preset with the sizes of its pretrained models."""
    config = preset(name)
    config.batch_size = rows
    config.model.dtype = "bfloat16"
    if name in PRETRAINED:
        photos, text, sizes = PRETRAINED[name]
        patch = config.model.image.patch
        for section, fields in (
            (config.model.image, PHOTO_FAMILIES[photos] | {"patch": patch}),
            (config.model.recipe, TEXT_FAMILIES[text] | sizes),
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


def _loss(mesh: Mesh, rows: int) -> Any:
    """Lowers the loss of `configs/adamine.py` and the gradients of the embeddings, sharded like the batch."""
    replicated, split = _shardings(mesh)
    config, dim = preset("adamine").loss, preset("adamine").model.embedding_dim

    def loss(image, recipe, class_id, image_class_id, match):
        return losses.total_loss(config, image, recipe, class_id, match, image_class_id=image_class_id)[0]

    step = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)), out_shardings=(replicated, (split, split)))
    embeddings = jax.ShapeDtypeStruct((rows, dim), jnp.float32, sharding=split)
    numbers = jax.ShapeDtypeStruct((rows,), jnp.int32, sharding=split)
    return step.lower(embeddings, embeddings, numbers, numbers, numbers)


def _peer(kind: str, mesh: Mesh, rows: int) -> Any:
    """Lowers the gradients of an image encoder."""
    replicated, split = _shardings(mesh)
    if kind == "plain ViT":
        model: Any = PlainViT()
        inputs: dict[str, Any] = {}
    else:
        model = PlainResNet() if kind == "plain ResNet" else ResNet(101, dtype=jnp.bfloat16)
        inputs = {"use_running_average": False}
    images = jax.ShapeDtypeStruct((rows, 224, 224, 3), jnp.uint8, sharding=split)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 224, 224, 3)), **inputs))
    variables = _abstract(shapes, replicated)

    def loss(params: Any, others: Any, images: jax.Array) -> tuple[jax.Array, Any]:
        features, updated = model.apply({"params": params, **others}, images / 128 - 1, mutable=True, **inputs)
        return jnp.square(features).sum(), updated.get("batch_stats", {})

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    return step.lower(variables.pop("params"), variables, images)
