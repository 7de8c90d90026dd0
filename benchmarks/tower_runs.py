"""Steps and inference of the whole model in JAX and PyTorch: contenders of `benchmarks.towers` and `benchmarks.frozen`.

    python -m benchmarks.tower_runs --run our_step --batch 8

serves one of them to `harness.processes_in_turns`.
"""

import argparse
import functools
import os
import sys
from collections.abc import Callable

# Set before JAX starts: PyTorch needs a part of the GPU's memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.errors import one_line_errors
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.losses import registry
from adamine_jax.models.adamine import AdaMine, build_model, init_variables
from adamine_jax.models.image.resnet import feature_dim
from adamine_jax.training.state import create_state
from adamine_jax.training.step import make_train_step
from benchmarks.harness import serve
from benchmarks.workload import SIZE, TABLE_ROWS, pairs
from configs import adamine

TEXT_SIZES = ("word_dim", "ingredient_hidden", "sentence_hidden", "instruction_hidden")
ON_GPU = jax.default_backend() == "gpu"
MATMUL = 8192 if ON_GPU else 2048
CORES = len(os.sched_getaffinity(0))  # XLA's number of threads


def model_of(depth: int, instructions: str = "words") -> tuple[AdaMine, object, dict]:
    """Returns our model, its configuration and variables: the paper's preset, in bfloat16 on a GPU."""
    config = adamine.get_config()
    config.model.image.depth, config.model.recipe.instructions = depth, instructions
    config.model.dtype = "bfloat16" if ON_GPU else "float32"
    model = build_model(config.model, table_rows=TABLE_ROWS)
    variables = init_variables(model, jax.random.key(0), config.model, image_size=SIZE)
    return model, config, variables


def torch_model(depth: int):
    """Returns the same model in PyTorch, on the GPU if there is one."""
    import torch

    from benchmarks.peers import torch_towers

    torch.manual_seed(0)
    config = adamine.get_config().model
    text = torch_towers.TextTower(
        TABLE_ROWS, embedding_dim=config.embedding_dim, **{name: config.recipe[name] for name in TEXT_SIZES}
    )
    return torch_towers.AdaMine(depth, text).to("cuda" if ON_GPU else "cpu")


def torch_batch(batch: dict[str, np.ndarray]) -> tuple[dict, tuple]:
    """Returns a batch as tensors, and the arguments of PyTorch's text tower."""
    import torch

    from benchmarks.peers.torch_towers import Lengths

    tensors = {name: torch.tensor(array, device="cuda" if ON_GPU else "cpu") for name, array in batch.items()}
    fields = [tensors[name] for name in ("ingredients", "words", "num_sentences")]
    return tensors, (*fields, Lengths(*fields))


def our_step(
    size: int, depth: int, instructions: str = "words", frozen: bool = False, cached: bool = False
) -> Callable[[], None]:
    """A training step, optionally with a frozen ResNet whose features are in the batch."""
    model, config, variables = model_of(depth, instructions)
    mesh = make_mesh(jax.devices()[:1])
    loss = registry.build(config.loss)
    step = make_train_step(model, loss, config, mesh, 100)
    batch = jax.tree.map(jnp.asarray, pairs(size))
    if instructions == "vectors":
        batch["sentence_vectors"] = jax.random.normal(jax.random.key(1), (size, 20, config.model.recipe.sentence_dim))
    if cached:
        batch["image"] = jnp.ones((size, feature_dim(depth)))
    state = create_state(model, loss, variables, mesh)

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(step(state, batch, frozen=frozen))

    return run


def torch_step(size: int, depth: int, compiled: bool = False) -> Callable[[], None]:
    """A training step in PyTorch, with autocast to bfloat16 on a GPU, optionally with a compiled image tower."""
    import torch

    from benchmarks.peers import torch_criterion

    model = torch_model(depth)
    embed_images = torch.compile(model.embed_images) if compiled else model.embed_images
    batch, fields = torch_batch(pairs(size))
    adam = torch.optim.Adam(model.parameters(), lr=1e-4, fused=ON_GPU)

    def run() -> None:
        with torch.autocast("cuda", torch.bfloat16, enabled=ON_GPU):
            image, recipe = embed_images(batch["image"]), model.embed_recipes(*fields)
        loss = torch_criterion.adamine(image.float(), recipe.float(), batch["class_id"].long())
        adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 8.0)
        adam.step()
        if ON_GPU:
            torch.cuda.synchronize()

    return run


def our_inference(size: int, depth: int) -> Callable[[], None]:
    """The image tower, with stored BatchNorm statistics."""
    model, _, variables = model_of(depth)
    images = jnp.asarray(pairs(size)["image"])
    embed = jax.jit(lambda v, x: model.apply(v, x, train=False, method="embed_images"))
    return lambda: jax.block_until_ready(embed(variables, images))


def torch_inference(size: int, depth: int) -> Callable[[], None]:
    """The same in PyTorch."""
    import torch

    model, images = torch_model(depth).eval(), torch.tensor(pairs(size)["image"])

    @torch.inference_mode()
    def run() -> None:
        model.embed_images(images)

    return run


def product(size: int = 0, depth: int = 0) -> Callable[[], None]:
    """A product of two matrices, whose rate is the limit for the others."""
    matrix = jnp.ones((MATMUL, MATMUL), jnp.bfloat16 if ON_GPU else jnp.float32)
    multiply = jax.jit(lambda x: x @ x)
    return lambda: jax.block_until_ready(multiply(matrix))


RUNS = {
    "our_step": our_step,
    "torch_step": torch_step,
    "compiled_torch_step": functools.partial(torch_step, compiled=True),
    "our_inference": our_inference,
    "torch_inference": torch_inference,
    "product": product,
}
RUNS |= {
    f"{instructions}_{features}": functools.partial(our_step, instructions=instructions, frozen=True, cached=cached)
    for instructions in ("words", "vectors")
    for features, cached in (("computed", False), ("cached", True))
}


@one_line_errors
def main() -> None:
    """Serves one of the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", choices=RUNS, required=True, help="contender to serve")
    parser.add_argument("--batch", type=int, default=8, help="pairs per batch; default: 8")
    parser.add_argument("--depth", type=int, default=101, help="depth of the ResNet; default: 101")
    flags = parser.parse_args()
    if "torch" in flags.run and not ON_GPU:
        import torch

        torch.set_num_threads(CORES)
    serve(RUNS[flags.run](flags.batch, flags.depth))


if __name__ == "__main__":
    sys.exit(main())
