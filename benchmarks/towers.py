"""Compares the whole model, its towers and its first step with PyTorch.

    pip install -e '.[bench]'
    python -m benchmarks.towers                     # two cores, float32; writes benchmarks/results/towers.md
    python -m benchmarks.towers --batches 100,400 --out benchmarks/results/towers_gpu.md    # on a GPU, bfloat16

On a CPU, the benchmark measures the training step, inference with the image tower, training of the recipe tower, the
time to the first step, and the inefficiencies of the compiler. On a GPU, it measures the training step, also compared
with `torch.compile` under autocast. Times are medians of several runs in turns.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.errors import one_line_errors
from adamine_jax.base.extras import require
from benchmarks import thunks
from benchmarks.harness import describe_machine, in_turns, own_process, processes_in_turns, results_parser, write_page
from benchmarks.peers import padded_lstm
from benchmarks.tower_runs import CORES, MATMUL, ON_GPU, model_of, our_step, product, torch_batch, torch_model
from benchmarks.workload import SIZE, recipes, resnet_flops, text_flops
from configs import adamine

PRODUCT = "matrix product"
OURS, PACKED, SCAN = "ours", "PyTorch, packed", "JAX, `lax.scan` over all positions"
PADDED_REPEATS = 3


def training(flags: argparse.Namespace, size: int) -> list[str]:
    """Section on the training step of the whole model."""
    runs = {"ours": "our_step", "PyTorch": "torch_step", PRODUCT: "product"}
    if ON_GPU:
        runs["PyTorch, torch.compile"] = "compiled_torch_step"
    title = f"Training step: ResNet-{flags.depth} at {SIZE} px, recipe tower, loss, clipping, Adam; batch {size}"
    flops = 3 * size * resnet_flops(flags.depth) + text_flops(adamine.get_config().model, recipes(size))
    return compare(title, runs, flags, size, flops, goal=None if ON_GPU else 0.6)


def inference(flags: argparse.Namespace, size: int) -> list[str]:
    """Section on the image tower, with stored BatchNorm statistics."""
    runs = {"ours": "our_inference", "PyTorch": "torch_inference", PRODUCT: "product"}
    title = f"Inference: ResNet-{flags.depth} at {SIZE} px; batch {size}"
    return compare(title, runs, flags, size, size * resnet_flops(flags.depth), goal=0.9)


def compare(
    title: str, runs: dict[str, str], flags: argparse.Namespace, size: int, flops: float, goal: float | None
) -> list[str]:
    """Returns a section: times, throughput relative to PyTorch, and the fraction of the limit."""
    command = [sys.executable, "-m", "benchmarks.tower_runs", f"--batch={size}", f"--depth={flags.depth}"]
    commands = {name: [*command, f"--run={run}"] for name, run in runs.items()}
    seconds = processes_in_turns(commands, flags.repeats, together=not ON_GPU)  # a GPU's memory fits one process
    rate = 2 * MATMUL**3 / seconds.pop(PRODUCT)
    theirs, limit = seconds["PyTorch"], flops / rate
    rows = [
        f"| {name} | {value:.3f} | {size / value:,.2f} | {theirs / value:.2f} | {limit / value:.0%} |"
        for name, value in seconds.items()
    ]
    return [
        f"### {title}",
        "",
        "| | s | pairs/s | throughput, PyTorch = 1 | fraction of the limit |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
        f"The limit is the time of the matrix products: {flops / 1e9:,.0f} GFLOP at {rate / 1e9:,.0f} GFLOP/s, the "
        f"rate of a product of {MATMUL} × {MATMUL} matrices in the same run, take {limit:.3f} s."
        f"{f' Goal: a throughput of {goal}.' if goal else ''}",
        "",
    ]


def text(flags: argparse.Namespace) -> list[str]:
    """Section on the recipe tower, forward and backward."""
    model, config, variables = model_of(flags.depth)
    size, small = flags.text_batch, flags.padded_batch
    batch = recipes(size, config.model.recipe.max_words)
    params = variables["params"]["recipe_tower"]
    cotangent = np.random.default_rng(2).normal(size=(size, config.model.embedding_dim)).astype(np.float32)

    def in_jax(embed, rows) -> Callable[[], tuple]:
        fields = {name: jnp.asarray(array[:rows]) for name, array in batch.items()}
        compute = jax.jit(jax.value_and_grad(lambda p: jnp.sum(embed(p, fields) * cotangent[:rows])))
        return lambda: jax.block_until_ready(compute(params))

    def ours(params, fields):
        return model.recipe_tower.apply({"params": params}, fields)

    tower = torch_model(flags.depth).text
    _, fields = torch_batch(batch)

    def in_torch() -> None:
        import torch

        tower.zero_grad()
        (tower(*fields) * torch.tensor(cotangent)).sum().backward()

    seconds = in_turns({OURS: in_jax(ours, size), PACKED: in_torch, PRODUCT: product()}, flags.repeats)
    padded_runs = {OURS: in_jax(ours, small), SCAN: in_jax(padded_lstm.embed_recipes, small)}
    np.testing.assert_allclose(padded_runs[OURS]()[0], padded_runs[SCAN]()[0], rtol=1e-3)
    padded = in_turns(padded_runs, PADDED_REPEATS)

    flops = text_flops(config.model, batch)
    rate = 2 * MATMUL**3 / seconds[PRODUCT]
    real = int((batch["words"] != 0).sum())
    return [
        f"### Recipe tower, forward and backward; batch {size}",
        "",
        f"On average, a recipe has {batch['num_sentences'].mean():.1f} sentences of "
        f"{real / batch['num_sentences'].sum():.1f} words, and {(batch['ingredients'] != 0).sum(1).mean():.1f} "
        f"ingredients: {real / batch['words'].size:.0%} of the word positions are not padding.",
        "",
        "| | batch | s | speed-up of ours | goal |",
        "|---|---:|---:|---:|---:|",
        f"| {OURS} | {size} | {seconds[OURS]:.2f} | | |",
        f"| {PACKED} | {size} | {seconds[PACKED]:.2f} | {seconds[PACKED] / seconds[OURS]:.2f} × | 1.0 |",
        f"| {OURS} | {small} | {padded[OURS]:.2f} | | |",
        f"| {SCAN} | {small} | {padded[SCAN]:.2f} | {padded[SCAN] / padded[OURS]:.2f} × | 3.0 |",
        "",
        f"The matrix products of the words and ingredients, without padding, are {flops / 1e9:,.0f} GFLOP. At "
        f"{rate / 1e9:,.0f} GFLOP/s, the rate of a product of {MATMUL} × {MATMUL} matrices in the same run, they take "
        f"{flops / rate:.2f} s. Ours reaches {flops / rate / seconds[OURS]:.0%} of this limit, PyTorch "
        f"{flops / rate / seconds[PACKED]:.0%}.",
        "",
    ]


def first_step(size: int, flags: argparse.Namespace) -> list[str]:
    """Section on the time from the start of a process to the end of its first two steps."""
    rows = []
    command = [sys.executable, "-m", "benchmarks.towers", *map(str, arguments("steps", flags))]
    with tempfile.TemporaryDirectory() as cache:
        for name, goal in (("cold, nothing compiled before", 60), ("warm, with the compilation cache", 20)):
            environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache}
            start = time.perf_counter()
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
            process.stdout.readline()
            first = time.perf_counter() - start
            process.stdout.readline()
            second = time.perf_counter() - start - first
            if process.wait():
                raise SystemExit(f"the run of the first step failed with exit status {process.returncode}")
            rows.append(f"| {name} | {first:.0f} | {goal} | {second:.1f} |")
    return [
        f"### Time to the first step: the whole model, batch {size}",
        "",
        "From the start of Python, including imports and initial weights, to the end of the first training step.",
        "",
        "| | s | goal | second step, s |",
        "|---|---:|---:|---:|",
        *rows,
        "",
    ]


def steps(size: int, flags: argparse.Namespace) -> None:
    """Performs two training steps and prints a line after each."""
    run = our_step(size, flags.depth)
    for number in range(2):
        run()
        print(number, flush=True)


def arguments(part: str, flags: argparse.Namespace) -> list[object]:
    """Returns the arguments of a process that runs one part."""
    names = ("batches", "depth", "repeats", "text_batch", "padded_batch")
    return ["--part", part, *(f"--{name.replace('_', '-')}={getattr(flags, name)}" for name in names)]


def section(part: str, flags: argparse.Namespace) -> list[str]:
    """Returns one section of the page."""
    import torch

    if not ON_GPU:
        torch.set_num_threads(CORES)
    sizes = [int(size) for size in flags.batches.split(",")]
    match part:
        case "training" | "inference":
            measure = {"training": training, "inference": inference}[part]
            return [line for size in sizes for line in measure(flags, size)]
        case "text":
            return text(flags)
        case "thunks":
            return ["### Inefficiencies of the compiler", "", *thunks.page(flags.depth, SIZE, sizes[0])]
        case "first_step":
            return first_step(sizes[0], flags)
    raise SystemExit(f"--parts: there is no part {part!r}; choose from training, inference, text, first_step, thunks")


@one_line_errors
def main() -> None:
    """Measures and writes the page."""
    parser = results_parser("towers", __doc__)
    parser.add_argument("--batches", default="8", help="comma-separated batch sizes of step and inference; default: 8")
    parser.add_argument("--depth", type=int, default=101, choices=(50, 101, 152), help="depth of the ResNet")
    parser.add_argument("--repeats", type=int, default=5, help="measured runs; default: 5")
    parser.add_argument("--text-batch", type=int, default=100, help="recipes per batch of the recipe tower")
    parser.add_argument("--padded-batch", type=int, default=100, help="recipes per batch of the scan; 100 need 5 GB")
    parts = "training" if ON_GPU else "training,inference,text,first_step,thunks"
    parser.add_argument("--parts", default=parts, help=f"comma-separated sections; default: {parts}")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.part == "steps":
        steps(int(flags.batches.split(",")[0]), flags)
        return
    if flags.part:
        print("\n".join(section(flags.part, flags)))
        return
    require("torch")
    import torch

    load = os.getloadavg()[0]
    sections = []
    for part in flags.parts.split(","):
        xla_flags = f"{os.environ.get('XLA_FLAGS', '')} {thunks.FLAG if part == 'thunks' else ''}".strip()
        sections.append(
            own_process("towers", *arguments(part, flags), environment=os.environ | {"XLA_FLAGS": xla_flags})
        )
    precision = "bfloat16" if ON_GPU else f"float32 on {CORES} threads"
    lines = [
        "# The model, its towers and its first step",
        "",
        f"{describe_machine()} torch {torch.__version__}; {precision}. Medians of {flags.repeats} runs in turns. Other "
        f"programs used {load:.1f} cores at the start. `python -m benchmarks.towers`.",
        "",
        "\n\n".join(sections),
    ]
    write_page(flags.page, lines)


if __name__ == "__main__":
    sys.exit(main())
