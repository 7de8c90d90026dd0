"""The AdaMine loss, forward and backward, beside its bare matrix products and two PyTorch criteria.

    pip install -e '.[bench]'
    python -m benchmarks.losses                       # two cores; writes benchmarks/results/losses.md
    python -m benchmarks.losses --batches 65536 --large 0 --out results/losses_gpu.md    # on a GPU

Every figure is the median of several runs, taken in turns in one process, so that noise meets all of them alike.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.errors import one_line_errors
from adamine_jax.base.extras import require
from adamine_jax.losses import total_loss
from benchmarks.machine import describe_machine
from configs import adamine

RESULTS = Path(__file__).parent / "results" / "losses.md"
DIM = 1024


def batch(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(image (B, D), recipe (B, D), class_id (B,)): half in same-class pairs, matches closer than other pairs."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(size, DIM)).astype(np.float32)
    recipe = (image + 2 * rng.normal(size=(size, DIM))).astype(np.float32)
    class_id = np.zeros(size, np.int32)
    paired = np.repeat(rng.integers(1, 1048, size // 4), 2)
    class_id[: len(paired)] = paired
    return image, recipe, class_id


def products(size: int) -> Callable[[], None]:
    """The three bare matrix products: the similarities, and a gradient to each side."""
    image, recipe, _ = map(jnp.asarray, batch(size))
    coefficients = jnp.asarray(np.random.default_rng(1).normal(size=(size, size)).astype(np.float32))

    @jax.jit
    def compute(image, recipe, coefficients):
        def times(x, y):
            return jnp.matmul(x, y, precision="highest")

        return times(image, recipe.T), times(coefficients, recipe), times(coefficients.T, image)

    return lambda: jax.block_until_ready(compute(image, recipe, coefficients))


def similarities(size: int) -> Callable[[], None]:
    """The first of these products alone."""
    image, recipe, _ = map(jnp.asarray, batch(size))
    compute = jax.jit(lambda image, recipe: jnp.matmul(image, recipe.T, precision="highest"))
    return lambda: jax.block_until_ready(compute(image, recipe))


def ours(size: int, *, backward: bool = True, **fields) -> Callable[[], float]:
    """This project's loss and both gradients, or the loss alone; returns the loss."""
    config = adamine.get_config().loss
    config.update(fields)
    image, recipe, class_id = map(jnp.asarray, batch(size))
    match = jnp.ones(size)

    @jax.jit
    def compute(image, recipe, class_id, match):
        def loss(image, recipe):
            return total_loss(config, image, recipe, class_id, match)[0]

        return jax.value_and_grad(loss, argnums=(0, 1))(image, recipe) if backward else (loss(image, recipe),)

    return lambda: float(jax.block_until_ready(compute(image, recipe, class_id, match))[0])


def of_torch(size: int, criterion: Callable, compiled: bool = False) -> Callable[[], float]:
    """A PyTorch criterion of (image, recipe, class_id) and both gradients; returns the loss."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    image, recipe, class_id = (torch.tensor(array, device=device) for array in batch(size))
    criterion = torch.compile(criterion) if compiled else criterion

    def compute() -> float:
        leaves = [tensor.detach().requires_grad_() for tensor in (image, recipe)]
        loss = criterion(*leaves, class_id.long())
        loss.backward()
        return float(loss.detach())

    return compute


def medians(runs: dict[str, Callable], repeats: int) -> dict[str, float]:
    """Seconds of each, the median of repeats taken in turns."""
    times = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(measured)) for name, measured in times.items()}


def compare(size: int, repeats: int) -> list[str]:
    """One table: seconds, and as multiples of the bare products."""
    from benchmarks.peers import metric_learning, torch_criterion

    on_gpu = jax.default_backend() == "gpu"
    runs = {"three bare products (the limit)": products(size), "the first of them": similarities(size)}
    # What is kept for the backward pass is B²; beyond this, `ours` goes blockwise by itself.
    whole, blockwise = ours(size), ours(size, block=size // 4)
    runs |= {"ours": whole, "ours, forward alone": ours(size, backward=False)}
    runs |= {f"ours, blockwise (`loss.block={size // 4}`)": blockwise}
    if size <= 8192:
        faithful = of_torch(size, torch_criterion.adamine)
        runs["published steps in PyTorch (sort, masked selection)"] = faithful
        np.testing.assert_allclose(faithful(), whole(), rtol=1e-4)
        instance = ours(size, strategies=("IRR", "RII"), weights=(2.0, 2.0))
        instance_loss = metric_learning.make_instance_loss()
        theirs = of_torch(size, lambda image, recipe, _: instance_loss(image, recipe))
        runs |= {"ours, instance part": instance, "pytorch-metric-learning, instance part": theirs}
        np.testing.assert_allclose(theirs(), instance(), rtol=1e-4)
    if on_gpu:
        runs["published steps, torch.compile"] = of_torch(size, torch_criterion.adamine, compiled=True)
    np.testing.assert_allclose(blockwise(), whole(), rtol=1e-4)
    seconds = medians(runs, repeats)
    bare = seconds["three bare products (the limit)"]
    rate = 6 * size**2 * DIM / bare / 1e9
    lines = [
        f"### B = {size:,}",
        "",
        f"The bare products run at {rate:,.0f} GFLOP/s. Median of {repeats} runs.",
        "",
        "| | ms | × bare products |",
        "|---|---:|---:|",
    ]
    lines += [f"| {name} | {1e3 * value:,.0f} | {value / bare:.2f} |" for name, value in seconds.items()]
    forward, first = seconds["ours, forward alone"], seconds["the first of them"]
    rest = (seconds["ours"] - forward) - (bare - first)
    return [
        *lines,
        "",
        f"Beyond the products, {1e3 * (forward - first):.0f} ms go into comparing and summing in the forward pass, "
        f"{1e9 * (forward - first) / size**2:.1f} ns for each entry of the matrix and its four strategies; "
        f"{1e3 * rest:.0f} ms (below 0: lost in the noise) into the gradient's coefficients, the normalisation and the "
        "positives of the classes.",
        "",
    ]


def large(size: int, reference: int, repeats: int) -> list[str]:
    """Blockwise at a size whose similarities would not fit: cost per entry of the matrix, and memory."""
    seconds = medians({"large": ours(size)}, repeats)["large"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    small = medians({"small": ours(reference, block=1024)}, 5)["small"]
    per_entry = seconds / size**2 / (small / reference**2)
    return [
        f"### B = {size:,}",
        "",
        f"{seconds:.1f} s, {1e9 * seconds / size**2:.1f} ns for each entry of the matrix, {per_entry:.2f} × that of "
        f"the blockwise form at B = {reference:,} in the same process. Peak resident memory of the process "
        f"{peak:.2f} GiB, of which the embeddings, their normalised copies and their gradients are "
        f"{6 * size * DIM * 4 / 2**30:.2f}; the similarities alone would be {size**2 * 4 / 2**30:.0f} GiB.",
        "",
    ]


@one_line_errors
def main() -> int:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="1024,4096", help="sizes to compare at")
    parser.add_argument("--large", type=int, default=32768, help="size of the blockwise run; 0 = none")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--part", help=argparse.SUPPRESS)  # one size, in a process of its own
    options = parser.parse_args()
    if options.part:
        size = int(options.part)
        lines = large(size, 4096, 3) if size == options.large else compare(size, options.repeats)
        print("\n".join(lines))
        return 0
    require("pytorch_metric_learning", "torch")
    parts = []
    for size in [*options.batches.split(","), *([options.large] if options.large else [])]:
        command = [sys.executable, "-m", "benchmarks.losses", "--part", str(size), "--large", str(options.large)]
        command += ["--repeats", str(options.repeats)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            return done.returncode  # it has said why
        parts.append(done.stdout)
        print(parts[-1], flush=True)
    head = (
        "# The AdaMine loss, forward and backward\n\n"
        f"{describe_machine()} float32, D = {DIM}, half of the batch in same-class pairs, embeddings at random "
        "around their matches. `python -m benchmarks.losses`.\n\n"
    )
    options.out.write_text(head + "\n".join(parts), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
