"""Measures the losses over all pairs and their gradients, compared with the matrix products alone and with PyTorch.

    pip install -e '.[bench]'
    python -m benchmarks.losses                       # two cores; writes benchmarks/results/losses.md
    python -m benchmarks.losses --batches 65536 --large 0 --out results/losses_gpu.md    # on a GPU

Figures are medians of several runs that alternate in one process.
"""

import argparse
import functools
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.errors import one_line_errors
from adamine_jax.base.extras import require
from adamine_jax.losses import registry, total_loss
from benchmarks.harness import describe_machine, in_turns, memory_bytes, own_process, results_parser, write_page

DIM = 1024
PRODUCTS, SIMILARITIES = "three matrix products (the limit)", "the first of them"
OURS, FORWARD = "ours", "ours, forward only"


def batch(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (image (B, D), recipe (B, D), class_id (B,)).

    Matches are closer than other pairs; half of the pairs share their class with another pair.
    """
    rng = np.random.default_rng(0)
    image = rng.normal(size=(size, DIM)).astype(np.float32)
    recipe = (image + 2 * rng.normal(size=(size, DIM))).astype(np.float32)
    class_id = np.zeros(size, np.int32)
    paired = np.repeat(rng.integers(1, 1048, size // 4), 2)
    class_id[: len(paired)] = paired
    return image, recipe, class_id


def products(size: int) -> tuple[Callable[[], object], Callable[[], object]]:
    """Returns a run of the three matrix products (similarities, a gradient per modality) and a run of the first."""
    image, recipe, _ = map(jnp.asarray, batch(size))
    coefficients = jnp.asarray(np.random.default_rng(1).normal(size=(size, size)).astype(np.float32))
    times = functools.partial(jnp.matmul, precision="highest")
    three = jax.jit(lambda x, y, c: (times(x, y.T), times(c, y), times(c.T, x)))
    first = jax.jit(lambda x, y: times(x, y.T))
    return (
        lambda: jax.block_until_ready(three(image, recipe, coefficients)),
        lambda: jax.block_until_ready(first(image, recipe)),
    )


def ours(size: int, *, name: str = "triplet", backward: bool = True, **fields) -> Callable[[], float]:
    """Returns a run of a loss of this project, with both gradients or without, that returns the loss."""
    config = registry.section(name)
    config.update(fields)
    params = registry.build(config).init(jax.random.key(0), embedding_dim=DIM, num_classes=1048)
    image, recipe, class_id = map(jnp.asarray, batch(size))
    match = jnp.ones(size)

    @jax.jit
    def compute(image, recipe, class_id, match):
        def loss(image, recipe):
            return total_loss(config, image, recipe, class_id, match, params=params)[0]

        return jax.value_and_grad(loss, argnums=(0, 1))(image, recipe) if backward else (loss(image, recipe),)

    return lambda: float(jax.block_until_ready(compute(image, recipe, class_id, match))[0])


def torch_loss(size: int, criterion: Callable) -> Callable[[], float]:
    """Returns a run of a PyTorch criterion of (image, recipe, class_id), with both gradients, that returns the loss."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    image, recipe, class_id = (torch.tensor(array, device=device) for array in batch(size))

    def compute() -> float:
        leaves = [tensor.detach().requires_grad_() for tensor in (image, recipe)]
        loss = criterion(*leaves, class_id.long())
        loss.backward()
        return float(loss.detach())

    return compute


def compare(size: int, repeats: int) -> list[str]:
    """Returns a section: milliseconds, also relative to the products."""
    import torch

    from benchmarks.peers import metric_learning, torch_contrastive, torch_criterion

    blockwise = f"ours, blockwise (`loss.block={size // 4}`)"
    runs = dict(zip((PRODUCTS, SIMILARITIES), products(size), strict=True))
    # The forward pass keeps B² entries for the backward pass; for larger batches, `ours` is blockwise by default.
    runs |= {OURS: ours(size), FORWARD: ours(size, backward=False), blockwise: ours(size, block=size // 4)}
    np.testing.assert_allclose(runs[blockwise](), runs[OURS](), rtol=1e-4)
    for name, peer in (("infonce", torch_contrastive.infonce), ("siglip", torch_contrastive.siglip)):
        runs[f"`{name}`"] = ours(size, name=name)
        runs[f"`{name}`, blockwise"] = ours(size, name=name, block=size // 4)
        runs[f"`{name}` in PyTorch"] = torch_loss(size, peer)
        np.testing.assert_allclose(runs[f"`{name}`, blockwise"](), runs[f"`{name}`"](), rtol=1e-4)
        np.testing.assert_allclose(runs[f"`{name}` in PyTorch"](), runs[f"`{name}`"](), rtol=1e-4)
    if size <= 8192:
        published = "published steps in PyTorch (sort, masked selection)"
        theirs, ours_instance = "pytorch-metric-learning, instance part", "ours, instance part"
        instance_loss = metric_learning.make_instance_loss()
        runs[published] = torch_loss(size, torch_criterion.adamine)
        runs[ours_instance] = ours(size, strategies=("IRR", "RII"), weights=(2.0, 2.0))
        runs[theirs] = torch_loss(size, lambda image, recipe, _: instance_loss(image, recipe))
        np.testing.assert_allclose(runs[published](), runs[OURS](), rtol=1e-4)
        np.testing.assert_allclose(runs[theirs](), runs[ours_instance](), rtol=1e-4)
    if jax.default_backend() == "gpu":
        runs["published steps, torch.compile"] = torch_loss(size, torch.compile(torch_criterion.adamine))
    seconds = in_turns(runs, repeats)
    rate = 6 * size**2 * DIM / seconds[PRODUCTS] / 1e9
    forward = seconds[FORWARD] - seconds[SIMILARITIES]
    backward = seconds[OURS] - seconds[PRODUCTS] - forward
    return [
        f"### B = {size:,}",
        "",
        f"The three matrix products run at {rate:,.0f} GFLOP/s. Medians of {repeats} runs.",
        "",
        "| | ms | relative to the products |",
        "|---|---:|---:|",
        *(f"| {name} | {1e3 * value:,.0f} | {value / seconds[PRODUCTS]:.2f} |" for name, value in seconds.items()),
        "",
        f"In addition to the products, the forward pass spends {1e3 * forward:.0f} ms on comparisons and sums, "
        f"{1e9 * forward / size**2:.1f} ns per entry of the matrix for all four strategies. The coefficients of the "
        f"gradient, the normalisation and the positives of the classes take {1e3 * backward:.0f} ms (a negative "
        "difference is within the noise).",
        "",
    ]


def large(size: int, reference: int = 4096) -> list[str]:
    """Returns a section on the blockwise form for a batch whose similarities do not fit in memory."""
    seconds = in_turns({f"B = {size}": ours(size)}, 3)[f"B = {size}"]
    peak = memory_bytes("VmHWM") / 2**30
    contrastive = in_turns({name: ours(size, name=name) for name in ("infonce", "siglip")}, 1)
    peak_of_all = memory_bytes("VmHWM") / 2**30
    small = in_turns({f"B = {reference}": ours(reference, block=1024)}, 5)[f"B = {reference}"]
    ratio = seconds / size**2 / (small / reference**2)
    return [
        f"### B = {size:,}",
        "",
        f"{seconds:.1f} s, {1e9 * seconds / size**2:.1f} ns per entry of the matrix, {ratio:.2f} × that of the "
        f"blockwise form with B = {reference:,} in the same process. The peak memory of the process is {peak:.2f} GiB, "
        f"of which the embeddings, their normalised copies and their gradients take {6 * size * DIM * 4 / 2**30:.2f} "
        f"GiB; the matrix of similarities would take {size**2 * 4 / 2**30:.0f} GiB.",
        "",
        f"`infonce` takes {contrastive['infonce']:.1f} s, `siglip` {contrastive['siglip']:.1f} s, in one run each; the "
        f"peak memory of the process is {peak_of_all:.2f} GiB after them.",
        "",
    ]


@one_line_errors
def main() -> None:
    """Measures and writes the page."""
    parser = results_parser("losses", __doc__)
    parser.add_argument("--batches", default="1024,4096", help="comma-separated batch sizes; default: 1024,4096")
    parser.add_argument("--large", type=int, default=32768, help="batch size of the blockwise run; 0 skips it")
    parser.add_argument("--repeats", type=int, default=9, help="measured runs; default: 9")
    parser.add_argument("--part", type=int, help=argparse.SUPPRESS)  # one size, in a separate process
    flags = parser.parse_args()
    if flags.part:
        print("\n".join(large(flags.part) if flags.part == flags.large else compare(flags.part, flags.repeats)))
        return
    require("pytorch_metric_learning", "torch")
    sizes = [*flags.batches.split(","), *([flags.large] if flags.large else [])]
    sections = [
        own_process("losses", "--part", size, "--large", flags.large, "--repeats", flags.repeats) for size in sizes
    ]
    lines = [
        "# Losses over all pairs, forward and backward",
        "",
        f"{describe_machine()} float32, D = {DIM}; half of the pairs share their class with another pair, and matches "
        "are closer than other pairs. `python -m benchmarks.losses`.",
        "",
        "\n\n".join(sections),
    ]
    write_page(flags.page, lines)


if __name__ == "__main__":
    sys.exit(main())
