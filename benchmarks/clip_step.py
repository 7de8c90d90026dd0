"""Compares the training step of `configs/clip_vitb16.py` with PyTorch, compiled by `torch.compile`, on a GPU.

    python -m benchmarks.clip_step --batch 256 --out benchmarks/results/clip_step_gpu.md

Both compute ViT-B/16, CLIP's text encoder on recipes of realistic lengths, InfoNCE and AdamW, with bfloat16 arithmetic
on a GPU. Ours encodes recipes in groups of similar length; PyTorch encodes their segments padded to the longest.
"""

import os

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # before JAX starts: PyTorch needs memory, too

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.cores import available_cores
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.losses import registry
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.models.recipe.segments import pad_segments
from adamine_jax.recipes.tokens import Tokens
from adamine_jax.training.state import create_state
from adamine_jax.training.step import make_train_step
from benchmarks.harness import describe_machine, in_turns, results_parser, write_page
from benchmarks.tpu_programs import config_of

ON_GPU = jax.default_backend() == "gpu"
LENGTH, MOST = 77, 9
"""Tokens of a segment, and segments of a recipe."""


def main() -> None:
    """Times both and writes the page."""
    parser = results_parser("clip_step", __doc__)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    flags = parser.parse_args()
    recipes = draw_recipes(flags.batch)
    images = np.random.default_rng(1).integers(0, 256, (flags.batch, 224, 224, 3), dtype=np.uint8)
    runs = {"ours": our_step(images, recipes), "PyTorch": torch_step(images, recipes, False)}
    if ON_GPU:
        runs["PyTorch, compiled"] = torch_step(images, recipes, True)
    seconds = in_turns(runs, flags.repeats)
    lines = ["# Training step of CLIP ViT-B/16", "", f"`python -m benchmarks.clip_step`. {describe_machine()}"]
    lines[-1] += (
        f" Batch {flags.batch}, {'bfloat16' if ON_GPU else 'float32'}; medians of {flags.repeats} runs in turns."
    )
    lines += ["", "| | s | pairs/s | throughput, PyTorch = 1 |", "|---|---:|---:|---:|"]
    lines += [
        f"| {name} | {taken:.3f} | {flags.batch / taken:.1f} | {seconds['PyTorch'] / taken:.2f} |"
        for name, taken in seconds.items()
    ]
    write_page(flags.page, lines)


def draw_recipes(count: int) -> list[Tokens]:
    """Draws recipes of a title, ingredients and instructions, whose text is split into segments."""
    rng = np.random.default_rng(0)
    recipes = []
    for _ in range(count):
        segments = []
        for part, (median, log_std) in enumerate(((8, 0.3), (59, 0.5), (162, 0.6))):
            total = min(int(median * np.exp(rng.normal(0, log_std))), 300)
            for start in range(0, total, LENGTH):
                segments.append((part, rng.integers(1, 49_000, min(LENGTH, total - start)).tolist()))
        recipes.append(Tokens.of(segments[:MOST]))
    return recipes


def our_step(images: np.ndarray, recipes: list[Tokens]) -> Callable[[], None]:
    """Returns our step."""
    rows = len(recipes)
    config = config_of("clip_vitb16", rows)
    config.model.dtype, config.model.remat = ("bfloat16" if ON_GPU else "float32"), False
    mesh, model, loss = (
        make_mesh(jax.devices()[:1]),
        build_model(config.model, table_rows=2),
        registry.build(config.loss),
    )
    state = create_state(model, loss, init_variables(model, jax.random.key(0), config.model, image_size=224), mesh)
    step = make_train_step(model, loss, config, mesh, 100)
    labels = {name: np.zeros(rows, np.int32) for name in ("class_id", "image_class_id")} | {
        "match": np.ones(rows, np.int32)
    }
    batch = {"image": images, **pad_segments(recipes, [0, 1, 2], 512, MOST), **labels}
    batch = jax.tree.map(jnp.asarray, batch)

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(step(state, batch, frozen=False))

    return run


def torch_step(images: np.ndarray, recipes: list[Tokens], is_compiled: bool) -> Callable[[], None]:
    """Returns PyTorch's step."""
    import torch

    from benchmarks.peers.torch_clip import ImageEncoder, TextEncoder, infonce

    torch.set_num_threads(available_cores())
    device = "cuda" if ON_GPU else "cpu"
    torch.manual_seed(0)
    photos, text = ImageEncoder().to(device, memory_format=torch.channels_last), TextEncoder().to(device)
    params = [*photos.parameters(), *text.parameters()]
    adam = torch.optim.AdamW(params, lr=1e-5, weight_decay=0.05, fused=ON_GPU)
    ids, last = padded(recipes)
    pixels = torch.tensor(images, device=device).permute(0, 3, 1, 2)
    ids, last = torch.tensor(ids, device=device), torch.tensor(last, device=device)

    def loss() -> torch.Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=ON_GPU):
            embedded = photos(pixels.float() / 128 - 1), text(ids, last)
        return infonce(*(x.float() for x in embedded))

    compute = torch.compile(loss) if is_compiled else loss

    def run() -> None:
        adam.zero_grad()
        compute().backward()
        torch.nn.utils.clip_grad_norm_(params, 8.0)
        adam.step()
        if ON_GPU:
            torch.cuda.synchronize()

    return run


def padded(recipes: list[Tokens]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ids (B, S, T) of the segments and the place (B, S) of the last token of each, -1 for none."""
    segments = max(len(recipe.lengths) for recipe in recipes)
    ids, last = np.zeros((len(recipes), segments, LENGTH), np.int64), np.full((len(recipes), segments), -1, np.int64)
    for row, recipe in enumerate(recipes):
        for place, tokens in enumerate(np.split(recipe.ids, np.cumsum(recipe.lengths)[:-1])):
            ids[row, place, : len(tokens)], last[row, place] = tokens, len(tokens) - 1
    return ids, last


if __name__ == "__main__":
    main()
