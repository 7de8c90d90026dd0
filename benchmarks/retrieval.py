"""Measures ranking in both directions, compared with the matrix product alone and the steps of the published metric.

    python -m benchmarks.retrieval                    # two cores, about ten minutes
    python -m benchmarks.retrieval --published 0 --out FILE.md     # on a GPU

Times are medians of several runs. Memory is measured in a separate process that performs one run.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.retrieval import ranks
from benchmarks.harness import describe_machine, in_turns, memory_bytes, own_process, results_parser, write_page

DIM = 1024
FULL = 51_304
"""Test pairs of Recipe1M."""

OURS, BARE, NUMPY = "`pair_ranks`, both directions", "`jnp.matmul`, jitted, highest precision", "NumPy's product"
TILES, PUBLISHED = "the product alone, in the tiles of `pair_ranks`", "published steps (argsort per row) in NumPy"
GOAL_RATIO, GOAL_MB = 1.3, 500


def pairs(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns (image, recipe), (N, D) unit rows each; matches are closer than other pairs."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((number, DIM), np.float32)
    recipe = rng.standard_normal((number, DIM), np.float32)
    recipe *= 6
    recipe += image
    for rows in (image, recipe):
        rows /= np.sqrt(np.einsum("nd,nd->n", rows, rows))[:, None]
    return image, recipe


def tiles_alone(image: np.ndarray, recipe: np.ndarray) -> None:
    """Computes the products of all tiles and discards them."""
    tile = ranks._tile_size(len(image))
    recipe_tiles = list(ranks._tiles(recipe, tile))
    for _, _, images in ranks._tiles(image, tile):
        for _, _, recipes in recipe_tiles:
            ranks._similarities(images, recipes).block_until_ready()


def published_steps(image: np.ndarray, recipe: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ranks as the published metric does: sorts each query's similarities and looks up the match."""
    similarities = image @ recipe.T

    def look_up(table: np.ndarray) -> np.ndarray:
        places = [1 + np.flatnonzero(np.argsort(-row) == number)[0] for number, row in enumerate(table)]
        return np.array(places, np.float32)

    return look_up(similarities), look_up(similarities.T)


def prepare(name: str, image: np.ndarray, recipe: np.ndarray) -> Callable[[], object]:
    """Returns a run. The product alone starts with the embeddings on the device."""
    if name == BARE:
        on_device = jnp.asarray(image), jnp.asarray(recipe)
        product = jax.jit(lambda image, recipe: jnp.matmul(image, recipe.T, precision="highest"))
        return lambda: product(*on_device).block_until_ready()
    run = {NUMPY: lambda x, y: x @ y.T, TILES: tiles_alone, OURS: ranks.pair_ranks, PUBLISHED: published_steps}[name]
    return lambda: run(image, recipe)


def times(number: int, repeats: int, published: bool) -> list[str]:
    """Returns the table of seconds, also relative to the products alone."""
    image, recipe = pairs(number)
    names = (BARE, NUMPY, TILES, OURS, *((PUBLISHED,) if published else ()))
    runs = {name: prepare(name, image, recipe) for name in names}
    if published:
        for ours, theirs in zip(runs[OURS](), runs[PUBLISHED](), strict=True):
            # The two products round differently, which can swap candidates that are nearly tied.
            assert np.mean(ours == theirs) > 0.99, "the ranks differ"
            assert np.abs(ours - theirs).max() <= 2, "the ranks differ"
    seconds = in_turns(runs, repeats)
    rows = [
        f"| {name} | {value:.2f} | {value / seconds[BARE]:.2f} | {value / seconds[NUMPY]:.2f} |"
        for name, value in seconds.items()
    ]
    rate = 2 * number**2 * DIM / seconds[TILES] / 1e9
    head = ["| | s | × `jnp.matmul` | × NumPy |", "|---|---:|---:|---:|"]
    return [*head, *rows, "", f"Medians of {repeats} runs in turns; the tiles' products run at {rate:,.0f} GFLOP/s."]


def once(number: int, name: str) -> tuple[float, float]:
    """Runs once. Returns the seconds and the MB by which the peak memory exceeds that before the run.

    Both include compilation and JAX's threads.
    """
    run = prepare(name, *pairs(number))
    before, start = memory_bytes("VmRSS"), time.perf_counter()
    run()
    return time.perf_counter() - start, (memory_bytes("VmHWM") - before) / 1e6


def memory_table(number: int, names: list[str]) -> list[str]:
    """Returns the table of seconds and memory of single runs."""
    rows = ["| | s | MB in addition to the embeddings |", "|---|---:|---:|"]
    for name in names:
        output = own_process("retrieval", "--part", "once", "--pairs", number, "--name", name)
        seconds, megabytes = map(float, output.split())
        rows.append(f"| {name} | {seconds:.1f} | {megabytes:,.0f} |")
    return rows


def main() -> None:
    """Measures and writes the page."""
    parser = results_parser("retrieval", __doc__)
    parser.add_argument("--pairs", type=int, default=10_000, help="number of pairs; default: 10000")
    parser.add_argument("--full", type=int, default=FULL, help="number of pairs of the whole split; 0 skips it")
    parser.add_argument("--repeats", type=int, default=5, help="measured runs; default: 5")
    parser.add_argument("--published", type=int, default=1, help="0 skips the steps of the published metric")
    parser.add_argument("--part", choices=("times", "once"), help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.part == "times":
        print("\n".join(times(flags.pairs, flags.repeats, bool(flags.published))))
        return
    if flags.part == "once":
        print(*once(flags.pairs, flags.name))
        return
    arguments = ("--pairs", flags.pairs, "--repeats", flags.repeats, "--published", flags.published)
    names = [BARE, NUMPY, OURS, *([PUBLISHED] if flags.published else [])]
    lines = [
        "# Ranks in both directions",
        "",
        f"{describe_machine()} float32, D = {DIM}. `python -m benchmarks.retrieval`.",
        "",
        f"## {flags.pairs:,} pairs",
        "",
        own_process("retrieval", "--part", "times", *arguments),
        "",
        "Single runs in separate processes, including compilation:",
        "",
        *memory_table(flags.pairs, names),
        "",
        f"Goals: at most {GOAL_RATIO} × the product, and less than {GOAL_MB} MB. The matrix of similarities takes "
        f"{flags.pairs**2 * 4 / 1e6:,.0f} MB, the embeddings of both modalities "
        f"{2 * flags.pairs * DIM * 4 / 1e6:,.0f} MB.",
    ]
    if flags.full:
        lines += [
            "",
            f"## {flags.full:,} pairs",
            "",
            "Single runs in separate processes:",
            "",
            *memory_table(flags.full, [TILES, OURS]),
            "",
            f"The matrix of similarities would take {flags.full**2 * 4 / 1e9:.1f} GB. The embeddings of both "
            f"modalities take {2 * flags.full * DIM * 4 / 1e6:,.0f} MB; both runs copy those of one "
            "modality to the device.",
        ]
    write_page(flags.page, lines)


if __name__ == "__main__":
    main()
