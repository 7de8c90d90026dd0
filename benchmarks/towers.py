"""The whole model, its towers and its first step, beside PyTorch.

    pip install -e '.[bench]'
    python -m benchmarks.towers                     # two cores, float32; writes benchmarks/results/towers.md
    python -m benchmarks.towers --batches 100,400 --out benchmarks/results/towers_gpu.md    # on a GPU, bfloat16

On a CPU: training step, image tower in inference, text tower in training, time to the first step, and what the
compiler loses. On a GPU the training step alone, beside `torch.compile` under autocast. Times are medians of several
runs, taken in turns, so that noise meets all of them alike.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.errors import one_line_errors
from adamine_jax.base.extras import require
from benchmarks import contenders, thunks
from benchmarks.batches import SIZE, recipes
from benchmarks.flops import resnet_flops, text_flops
from benchmarks.losses import medians
from benchmarks.machine import describe_machine
from benchmarks.tower_runs import CORES, MATMUL, ON_GPU, model_of, our_step, torch_batch, torch_model
from configs import adamine

RESULTS = Path(__file__).parent / "results" / "towers.md"
LIMIT = "one product of matrices"


def training(options: argparse.Namespace, size: int) -> list[str]:
    """Section: the step of the whole model."""
    runs = {"ours": "our_step", "PyTorch": "torch_step", LIMIT: "product"}
    if ON_GPU:
        runs["PyTorch, torch.compile"] = "compiled_torch_step"
    title = f"Training step: ResNet-{options.depth} at {SIZE} px, text tower, loss, clipping, Adam; batch {size}"
    text = text_flops(adamine.get_config().model, recipes(size))
    flops = 3 * size * resnet_flops(options.depth) + text
    return table(title, size, in_turns(runs, options, size), flops, goal=None if ON_GPU else 0.6)


def inference(options: argparse.Namespace, size: int) -> list[str]:
    """Section: the image tower, BatchNorm with stored statistics."""
    seconds = in_turns({"ours": "our_inference", "PyTorch": "torch_inference", LIMIT: "product"}, options, size)
    title = f"Inference: ResNet-{options.depth} at {SIZE} px; batch {size}"
    return table(title, size, seconds, size * resnet_flops(options.depth), goal=0.9)


def in_turns(runs: dict[str, str], options: argparse.Namespace, size: int) -> dict[str, float]:
    """Median seconds of runs of `benchmarks.tower_runs`."""
    line = [sys.executable, "-m", "benchmarks.tower_runs", f"--batch={size}", f"--depth={options.depth}"]
    commands = {name: [*line, f"--run={run}"] for name, run in runs.items()}
    return contenders.medians(commands, options.repeats, together=not ON_GPU)  # one at a time has a GPU's memory


def table(title: str, size: int, seconds: dict[str, float], flops: float, goal: float | None) -> list[str]:
    """Seconds and pairs per second, ours as a multiple of PyTorch's throughput, and how near the limit each is."""
    rate = 2 * MATMUL**3 / seconds[LIMIT]
    lines = [
        f"### {title}",
        "",
        "| | s | pairs/s | throughput, PyTorch = 1 | of the limit |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, value in seconds.items():
        if name != LIMIT:
            ratio = f"{seconds['PyTorch'] / value:.2f}"
            lines.append(f"| {name} | {value:.3f} | {size / value:,.2f} | {ratio} | {flops / rate / value:.0%} |")
    return [
        *lines,
        "",
        f"The limit: the products are {flops / 1e9:,.0f} GFLOP, and one of {MATMUL} × {MATMUL} matrices runs at "
        f"{rate / 1e9:,.0f} GFLOP/s in the same run, {flops / rate:.3f} s.{f' Goal: {goal}.' if goal else ''}",
        "",
    ]


def text(options: argparse.Namespace) -> list[str]:
    """Section: the text tower, forward and backward."""
    from benchmarks.peers import padded_lstm

    model, config, variables = model_of(options.depth)
    size, small = options.text_batch, options.padded_batch
    batch = recipes(size, config.model.recipe.max_words)
    params = variables["params"]["recipe_tower"]
    cotangent = np.random.default_rng(2).normal(size=(size, config.model.embedding_dim)).astype(np.float32)

    def of_jax(embed, rows) -> Callable[[], tuple]:
        fields = {name: jnp.asarray(array[:rows]) for name, array in batch.items()}
        compute = jax.jit(jax.value_and_grad(lambda p: jnp.sum(embed(p, fields) * cotangent[:rows])))
        return lambda: jax.block_until_ready(compute(params))

    def ours(params, fields):
        return model.recipe_tower.apply({"params": params}, fields)

    tower = torch_model(options.depth).text
    _, fields = torch_batch(batch)

    def in_torch() -> None:
        import torch

        tower.zero_grad()
        (tower(*fields) * torch.tensor(cotangent)).sum().backward()

    matrix = jnp.ones((MATMUL, MATMUL))
    product = jax.jit(lambda x: x @ x)
    product_name = f"one product of {MATMUL} × {MATMUL} matrices"
    runs = {"ours": of_jax(ours, size), "PyTorch, packed": in_torch}
    runs[product_name] = lambda: jax.block_until_ready(product(matrix))
    seconds = medians(runs, options.repeats)
    few = {"ours": of_jax(ours, small), "scan over all positions": of_jax(padded_lstm.embed_recipes, small)}
    one, other = (run() for run in few.values())
    np.testing.assert_allclose(one[0], other[0], rtol=1e-3)
    few = medians(few, options.padded_repeats)

    flops = text_flops(config.model, batch)
    rate = 2 * MATMUL**3 / seconds[product_name]
    ratios = {"PyTorch, packed": seconds["PyTorch, packed"] / seconds["ours"]}
    ratios["scan over all positions"] = few["scan over all positions"] / few["ours"]
    real = int((batch["words"] != 0).sum())
    return [
        f"### Text tower, forward and backward; batch {size}",
        "",
        f"{batch['num_sentences'].mean():.1f} sentences of {real / batch['num_sentences'].sum():.1f} words and "
        f"{(batch['ingredients'] != 0).sum(1).mean():.1f} ingredients on average: {real / batch['words'].size:.0%} of "
        "the word positions are real.",
        "",
        "| | batch | s | ours is faster by | goal |",
        "|---|---:|---:|---:|---:|",
        f"| ours | {size} | {seconds['ours']:.2f} | | |",
        f"| PyTorch, packed | {size} | {seconds['PyTorch, packed']:.2f} | {ratios['PyTorch, packed']:.2f} × | 1.0 |",
        f"| ours | {small} | {few['ours']:.2f} | | |",
        f"| JAX, `lax.scan` over all positions | {small} | {few['scan over all positions']:.2f} "
        f"| {ratios['scan over all positions']:.2f} × | 3.0 |",
        "",
        f"The products of the real words and ingredients are {flops / 1e9:,.0f} GFLOP; a product of {MATMUL} × "
        f"{MATMUL} matrices runs at {rate / 1e9:,.0f} GFLOP/s in the same run. That bounds the tower at "
        f"{flops / rate:.2f} s, of which ours reaches {flops / rate / seconds['ours']:.0%} and PyTorch "
        f"{flops / rate / seconds['PyTorch, packed']:.0%}.",
        "",
    ]


def first_step(size: int, options: argparse.Namespace) -> list[str]:
    """Section: seconds from the start of a process to the end of its first step, and of its second."""
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for name, goal in (("cold: nothing compiled before", 60), ("warm: the compilation cache filled", 20)):
            environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
            start = time.perf_counter()
            process = subprocess.Popen(command("steps", options), stdout=subprocess.PIPE, text=True, env=environment)
            process.stdout.readline()
            first = time.perf_counter() - start
            process.stdout.readline()
            second = time.perf_counter() - start - first
            if process.wait():
                raise SystemExit(f"the run of the first step failed with {process.returncode}")
            rows.append(f"| {name} | {first:.0f} | {goal} | {second:.1f} |")
    return [
        f"### Time to the first step: the whole model, batch {size}",
        "",
        "From the start of Python, imports and initial weights included, to the end of the first training step.",
        "",
        "| | s | goal | second step, s |",
        "|---|---:|---:|---:|",
        *rows,
        "",
    ]


def steps(size: int, options: argparse.Namespace) -> None:
    """Two training steps, with a line after each."""
    run = our_step(size, options.depth)
    for number in range(2):
        run()
        print(number, flush=True)


def command(part: str, options: argparse.Namespace) -> list[str]:
    """One part in a process of its own."""
    line = [sys.executable, "-m", "benchmarks.towers", "--part", part]
    for name in ("batches", "depth", "repeats", "text_batch", "padded_batch", "padded_repeats"):
        line += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
    return line


def section(part: str, options: argparse.Namespace) -> list[str]:
    """One section of the page; those that compare run in this process."""
    import torch

    if not ON_GPU:
        torch.set_num_threads(CORES)
    sizes = [int(size) for size in options.batches.split(",")]
    match part:
        case "training" | "inference":
            measure = {"training": training, "inference": inference}[part]
            return [line for size in sizes for line in measure(options, size)]
        case "text":
            return text(options)
        case "thunks":
            return ["### What the compiler still loses", "", *thunks.page(options.depth, SIZE, sizes[0])]
        case "first_step":
            return first_step(sizes[0], options)
    raise ValueError(f"no part {part!r}")


@one_line_errors
def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", default="8", help="pairs in a batch of the step and of inference")
    parser.add_argument("--depth", type=int, default=101, choices=(50, 101, 152))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--text-batch", type=int, default=100, help="recipes in a batch of the text tower")
    parser.add_argument("--padded-batch", type=int, default=100, help="of them beside the scan; it needs 5 GB for 100")
    parser.add_argument("--padded-repeats", type=int, default=3)
    parser.add_argument("--parts", default="training" if ON_GPU else "training,inference,text,first_step,thunks")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "steps":
        steps(int(options.batches.split(",")[0]), options)
        return
    if options.part:
        print("\n".join(section(options.part, options)))
        return
    require("torch")
    load = os.getloadavg()[0]
    parts = []
    for part in options.parts.split(","):
        flags = f"{os.environ.get('XLA_FLAGS', '')} {thunks.FLAG if part == 'thunks' else ''}".strip()
        environment = os.environ | {"XLA_FLAGS": flags}
        run = subprocess.run(command(part, options), check=True, stdout=subprocess.PIPE, text=True, env=environment)
        parts.append(run.stdout)
        print(parts[-1], flush=True)
    import torch

    precision = "bfloat16" if ON_GPU else f"float32 on {CORES} threads"
    head = (
        "# The model, its towers and its first step\n\n"
        f"{describe_machine()} torch {torch.__version__}; {precision}. Medians of {options.repeats} runs, "
        f"the contenders in turns; other programs kept {load:.1f} cores busy when it began. "
        "`python -m benchmarks.towers`.\n\n"
    )
    options.out.write_text(head + "\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
