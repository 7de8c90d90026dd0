"""Compiles training steps for a TPU topology, without a TPU: the memory of a chip, FLOPs, bytes and collectives.

    pip install --no-deps --target libtpu 'libtpu==0.0.42.*'      # the version of jax's extra `tpu`
    python -m benchmarks.tpu_programs --libtpu libtpu/libtpu/libtpu.so

Each row is a preset, with bfloat16 arithmetic and everything trained, and a plain ViT-B/16 of Flax's layers with a sum
of squares as its loss. Numbers are the compiler's; nothing is run. Minutes of CPU for each row.
"""

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adamine_jax.config import preset
from adamine_jax.losses import registry as losses
from adamine_jax.models import registry
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.models.image.vit_weights import FAMILIES as PHOTO_FAMILIES
from adamine_jax.models.recipe.text_weights import FAMILIES as TEXT_FAMILIES
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText
from adamine_jax.recipes.tokens import train_tokenizer
from adamine_jax.training.optimizer import learning_rate
from adamine_jax.training.state import create_state
from adamine_jax.training.step import make_train_step
from benchmarks.harness import describe_machine, results_parser, write_page
from benchmarks.peers.flax_vit import PlainViT

PRESETS = {"clip_vitb16": "clip", "ht_resnet50": ""}
"""Presets and the family of their pretrained models."""
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "collective-permute")


def main() -> None:
    """Compiles every program and writes the page."""
    parser = results_parser("tpu_programs", __doc__)
    parser.add_argument("--libtpu", type=Path, required=True, help="libtpu.so")
    parser.add_argument("--topology", default="v5e:2x4")
    parser.add_argument("--batch", type=int, default=1024, help="rows of the global batch")
    parser.add_argument("--presets", default=",".join(PRESETS))
    flags = parser.parse_args()
    os.environ |= {"TPU_LIBRARY_PATH": str(flags.libtpu.resolve()), "TPU_WORKER_HOSTNAMES": "localhost"}
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    devices = topologies.get_topology_desc(topology_name=flags.topology, platform="tpu").devices
    mesh = Mesh(np.array(devices), ("data",))
    rows = [measured("plain Flax ViT-B/16", lambda: plain_vit(mesh, flags.batch))]
    for name in flags.presets.split(","):
        rows.append(measured(f"`configs/{name}.py`", lambda name=name: preset_step(name, mesh, flags.batch)))
    lines = ["# Training steps compiled for TPU", "", f"`python -m benchmarks.tpu_programs`. {describe_machine()}"]
    lines[-1] += f" {flags.topology}, {mesh.size} chips, {flags.batch} rows, bfloat16."
    lines += ["", "| program | GiB of a chip | FLOPs of a chip | bytes of a chip | collectives | compiled in, s |"]
    write_page(flags.page, [*lines, "|---|---:|---:|---:|---|---:|", *rows])


def measured(name: str, lower: Callable[[], Any]) -> str:
    """Compiles a program; returns its row of the table."""
    start = time.time()
    compiled = lower().compile()
    memory, cost, text = compiled.memory_analysis(), compiled.cost_analysis(), compiled.as_text()
    found = ", ".join(
        f"{count} {kind}" for kind in COLLECTIVES if (count := text.count(f" {kind}(") + text.count(f" {kind}-start("))
    )
    peak, flops, moved = memory.peak_memory_in_bytes / 2**30, cost["flops"], cost["bytes accessed"]
    row = f"| {name} | {peak:.2f} | {flops:.2e} | {moved:.2e} | {found} | {time.time() - start:.0f} |"
    print(row, flush=True)
    return row


def plain_vit(mesh: Mesh, batch: int) -> Any:
    """Lowers the gradients of a plain ViT."""
    replicated, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    model = PlainViT()
    images = jax.ShapeDtypeStruct((batch, 224, 224, 3), jnp.uint8, sharding=split)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 224, 224, 3))))
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated), params)
    step = jax.jit(jax.grad(lambda params, images: jnp.square(model.apply(params, images / 128 - 1)).sum()))
    return step.lower(params, images)


def preset_step(name: str, mesh: Mesh, batch_size: int) -> Any:
    """Lowers the training step of a preset."""
    replicated, split = NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))
    config = preset(name)
    config.batch_size, family = batch_size, PRESETS.get(name, "")
    for section, families in ((config.model.image, PHOTO_FAMILIES), (config.model.recipe, TEXT_FAMILIES)):
        if family and "weights" in section:
            section.update({field: value for field, value in families[family].items() if field in section})
    if family:
        config.model.image.patch = 16
    if "vocabulary" in config.model.recipe:
        config.model.recipe.vocabulary = str(tokenizer_file())
    model, loss = build_model(config.model, table_rows=30_000), losses.build(config.loss)
    cpu = Mesh(np.array(jax.devices("cpu")[:1]), ("data",))
    size = config.data.image_size
    shapes = jax.eval_shape(
        lambda: create_state(model, loss, init_variables(model, jax.random.key(0), config.model, image_size=size), cpu)
    )
    state = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated), shapes)
    fields = registry.recipe_fields(config.model)([EncodedRecipe()])
    shapes = {field: (array.shape[1:], array.dtype) for field, array in fields.items()}
    shapes |= {"image": ((size, size, 3), jnp.uint8), "has_image": ((), jnp.bool_)}
    shapes |= dict.fromkeys(("class_id", "image_class_id", "match"), ((), jnp.int32))
    batch = {
        field: jax.ShapeDtypeStruct((batch_size, *shape), dtype, sharding=split)
        for field, (shape, dtype) in shapes.items()
    }
    step = make_train_step(model, loss, config, mesh, learning_rate(config, 1000))
    return step.lower(state, batch, frozen=False)


def tokenizer_file() -> Path:
    """Writes a small tokenizer; its size hardly matters."""
    path = Path(tempfile.mkdtemp()) / "tokenizer.json"
    path.write_text(train_tokenizer([RecipeText("salt sugar flour butter")], 300))
    return path


if __name__ == "__main__":
    main()
