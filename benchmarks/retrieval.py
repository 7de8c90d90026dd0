"""Ranks of a draw in both directions beside the bare matrix product, and the published metric's steps.

    python -m benchmarks.retrieval                    # two cores, some ten minutes; writes results/retrieval.md
    python -m benchmarks.retrieval --published 0 --out FILE.md     # on a GPU

Times are medians of several runs, taken in turns in one process, so that noise meets all of them alike. Memory is that
of a process of its own, which does one thing once.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.retrieval import ranks
from benchmarks.machine import describe_machine

RESULTS = Path(__file__).parent / "results" / "retrieval.md"
DIM = 1024
FULL = 51_304
"""Test pairs of Recipe1M."""

OURS, BARE, NUMPY = "`pair_ranks`, both directions", "`jnp.matmul`, jitted, highest precision", "NumPy's product"
TILES, PUBLISHED = "the product alone, in the tiles of `pair_ranks`", "published steps (argsort of each row) in NumPy"
GOAL_TIMES, GOAL_MB = 1.3, 500


def pairs(number: int) -> tuple[np.ndarray, np.ndarray]:
    """(image (N, D), recipe (N, D)): unit rows, matches closer than other pairs."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((number, DIM), np.float32)
    recipe = rng.standard_normal((number, DIM), np.float32)
    recipe *= 6
    recipe += image
    for side in (image, recipe):
        side /= np.sqrt(np.einsum("nd,nd->n", side, side))[:, None]
    return image, recipe


def bare(image: np.ndarray, recipe: np.ndarray) -> Callable[[], jax.Array]:
    """The matrix product of all pairs, embeddings on the device beforehand."""
    on_device = jnp.asarray(image), jnp.asarray(recipe)
    product = jax.jit(lambda image, recipe: jnp.matmul(image, recipe.T, precision="highest"))
    return lambda: product(*on_device).block_until_ready()


def tiles_alone(image: np.ndarray, recipe: np.ndarray) -> None:
    """The products of all tiles, each thrown away."""
    tile = ranks._tile_size(len(image))
    recipe_tiles = list(ranks._tiles(recipe, tile))
    for _, _, images in ranks._tiles(image, tile):
        for _, _, recipes in recipe_tiles:
            ranks._similarities(images, recipes).block_until_ready()


def published_steps(image: np.ndarray, recipe: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the published metric does for each query: its row of similarities sorted, the right answer looked up."""
    similarities = image @ recipe.T

    def look_up(table: np.ndarray) -> np.ndarray:
        places = [1 + np.flatnonzero(np.argsort(-row) == number)[0] for number, row in enumerate(table)]
        return np.array(places, np.float32)

    return look_up(similarities), look_up(similarities.T)


def in_turns(runs: dict[str, Callable], repeats: int) -> dict[str, float]:
    """Seconds of each, the median of repeats taken in turns."""
    for run in runs.values():
        run()
    times = {name: [] for name in runs}
    for repeat in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
            print(f"{repeat + 1}/{repeats} {name}: {times[name][-1]:.2f} s", file=sys.stderr, flush=True)
    return {name: float(np.median(measured)) for name, measured in times.items()}


def times_of_a_draw(number: int, repeats: int, published: bool) -> list[str]:
    """The table of seconds, and as multiples of both bare products."""
    image, recipe = pairs(number)
    runs = {BARE: bare(image, recipe), NUMPY: lambda: image @ recipe.T, TILES: lambda: tiles_alone(image, recipe)}
    runs |= {OURS: lambda: ranks.pair_ranks(image, recipe)}
    if published:
        runs[PUBLISHED] = lambda: published_steps(image, recipe)
        for ours, theirs in zip(ranks.pair_ranks(image, recipe), published_steps(image, recipe), strict=True):
            # Another product rounds otherwise: a near tie may fall the other way.
            assert np.mean(ours == theirs) > 0.99, "they must do the same"
            assert np.abs(ours - theirs).max() <= 2, "they must do the same"
    seconds = in_turns(runs, repeats)
    rows = [
        f"| {name} | {value:.2f} | {value / seconds[BARE]:.2f} | {value / seconds[NUMPY]:.2f} |"
        for name, value in seconds.items()
    ]
    head = ["| | s | × `jnp.matmul` | × NumPy |", "|---|---:|---:|---:|"]
    rate = 2 * number**2 * DIM / seconds[TILES] / 1e9
    return [*head, *rows, "", f"Median of {repeats} runs in turns; the tiles' products run at {rate:,.0f} GFLOP/s."]


def once(number: int, name: str) -> tuple[float, float]:
    """Seconds of one run, and MB by which it raises the peak of this process above what it holds with the embeddings.

    What compilation and JAX's threads take is part of it.
    """
    image, recipe = pairs(number)
    prepared = {TILES: lambda: tiles_alone(image, recipe), OURS: lambda: ranks.pair_ranks(image, recipe)}
    prepared |= {NUMPY: lambda: image @ recipe.T, PUBLISHED: lambda: published_steps(image, recipe)}
    run = prepared[name] if name in prepared else bare(image, recipe)
    before, start = _memory("VmRSS"), time.perf_counter()
    run()
    return time.perf_counter() - start, _memory("VmHWM") - before


def _memory(field: str) -> float:
    """A field of /proc/self/status, in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def of_its_own(part: str, *arguments: str) -> str:
    """What a part of this benchmark prints in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.retrieval", "--part", part, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.rstrip("\n")


def memory_table(number: int, names: list[str]) -> list[str]:
    """Seconds and memory of single runs."""
    rows = []
    for name in names:
        seconds, megabytes = map(float, of_its_own("once", "--pairs", str(number), "--name", name).split())
        rows.append(f"| {name} | {seconds:.1f} | {megabytes:,.0f} |")
        print(rows[-1], file=sys.stderr, flush=True)
    return ["| | s | MB beyond the embeddings |", "|---|---:|---:|", *rows]


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10_000, help="pairs of the draw")
    parser.add_argument("--full", type=int, default=FULL, help="pairs of the whole split; 0 = leave out")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--published", type=int, default=1, help="0 leaves out the published metric's steps")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--part", choices=("times", "once"), help=argparse.SUPPRESS)
    parser.add_argument("--name", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "times":
        print("\n".join(times_of_a_draw(options.pairs, options.repeats, bool(options.published))))
        return
    if options.part == "once":
        print(*once(options.pairs, options.name))
        return
    draw = ["--pairs", str(options.pairs), "--repeats", str(options.repeats), "--published", str(options.published)]
    names = [BARE, NUMPY, OURS, *([PUBLISHED] if options.published else [])]
    lines = [
        "# Ranks of a draw, both directions",
        "",
        f"{describe_machine()} float32, D = {DIM}. `python -m benchmarks.retrieval`.",
        "",
        f"## {options.pairs:,} pairs",
        "",
        of_its_own("times", *draw),
        "",
        "Once in a process of its own, compilation included:",
        "",
        *memory_table(options.pairs, names),
        "",
        f"Goals: at most {GOAL_TIMES} × the product, less than {GOAL_MB} MB. The similarities alone are "
        f"{options.pairs**2 * 4 / 1e6:,.0f} MB, the embeddings of both sides {2 * options.pairs * DIM * 4 / 1e6:,.0f}.",
        "",
    ]
    if options.full:
        lines += [
            f"## {options.full:,} pairs",
            "",
            "Once each, in a process of its own:",
            "",
            *memory_table(options.full, [TILES, OURS]),
            "",
            f"The similarities alone would be {options.full**2 * 4 / 1e9:.1f} GB; the embeddings of both sides are "
            f"{2 * options.full * DIM * 4 / 1e6:,.0f} MB; both lines copy those of one side to the device.",
            "",
        ]
    options.out.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
