"""The whole model, its towers and its first step, beside PyTorch.

    pip install -e '.[bench]'
    python -m benchmarks.towers                     # two cores, float32; writes benchmarks/results/towers.md
    python -m benchmarks.towers --batches 100,400 --out benchmarks/results/towers_gpu.md    # on a GPU, bfloat16

On a CPU: training step, image tower in inference, text tower in training, time to the first step, and what the
compiler loses. On a GPU the training step alone, beside `torch.compile` under autocast. Times are medians of several
runs, taken in turns in one process, so that noise meets all of them alike.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

# Before JAX starts: PyTorch needs its part of a GPU's memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.devices import make_mesh
from adamine_jax.models.adamine import AdaMine, build_model, init_variables
from adamine_jax.state import create_state, learning_rate, make_train_step
from benchmarks import thunks
from benchmarks.batches import SIZE, TABLE_ROWS, pairs, recipes
from benchmarks.losses import medians
from benchmarks.machine import describe_machine
from configs import adamine

RESULTS = Path(__file__).parent / "results" / "towers.md"
MATMUL = 2048
TEXT_SIZES = ("word_dim", "ingredient_hidden", "sentence_hidden", "instruction_hidden", "embedding_dim")
ON_GPU = jax.default_backend() == "gpu"
CORES = len(os.sched_getaffinity(0))  # XLA takes as many threads


def model_of(options: argparse.Namespace) -> tuple[AdaMine, object, dict]:
    """Our model, the configuration and initial variables: the paper's preset, in bfloat16 on a GPU."""
    config = adamine.get_config()
    config.model.image.depth = options.depth
    config.model.dtype = "bfloat16" if ON_GPU else "float32"
    model = build_model(config.model, table_rows=TABLE_ROWS)
    variables = init_variables(model, jax.random.key(0), image_size=SIZE, max_words=config.model.max_words)
    return model, config, variables


def torch_model(options: argparse.Namespace):
    """The same model in PyTorch, on the GPU if there is one."""
    import torch

    from benchmarks.peers import torch_towers

    torch.manual_seed(0)
    config = adamine.get_config().model
    text = torch_towers.TextTower(TABLE_ROWS, **{name: config[name] for name in TEXT_SIZES})
    return torch_towers.AdaMine(options.depth, text).to("cuda" if ON_GPU else "cpu")


def torch_batch(batch: dict[str, np.ndarray]) -> tuple[dict, tuple]:
    """A batch as tensors, and what the PyTorch text tower takes of it."""
    import torch

    from benchmarks.peers.torch_towers import Lengths

    tensors = {name: torch.tensor(array, device="cuda" if ON_GPU else "cpu") for name, array in batch.items()}
    fields = [tensors[name] for name in ("ingredients", "words", "num_sentences")]
    return tensors, (*fields, Lengths(*fields))


def our_step(size: int, options: argparse.Namespace) -> Callable[[], None]:
    """A training step with nothing frozen."""
    model, config, variables = model_of(options)
    mesh = make_mesh(jax.devices()[:1])
    step = make_train_step(model, config, mesh, learning_rate(config, 100))
    batch = jax.tree.map(jnp.asarray, pairs(size))
    state = create_state(config, variables, mesh)

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(step(state, batch, frozen=False))

    return run


def torch_step(size: int, options: argparse.Namespace, compiled: bool = False) -> Callable[[], None]:
    """The same in PyTorch, under autocast to bfloat16 on a GPU."""
    import torch

    from benchmarks.peers import torch_criterion

    model = torch_model(options)
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


def training(options: argparse.Namespace, size: int) -> list[str]:
    """Section: the step of the whole model."""
    runs = {"ours": our_step(size, options), "PyTorch": torch_step(size, options)}
    if ON_GPU:
        runs["PyTorch, torch.compile"] = torch_step(size, options, compiled=True)
    seconds = medians(runs, options.repeats)
    title = f"Training step: ResNet-{options.depth} at {SIZE} px, text tower, loss, clipping, Adam; batch {size}"
    return table(title, size, seconds, goal=None if ON_GPU else 0.6)


def inference(options: argparse.Namespace, size: int) -> list[str]:
    """Section: the image tower, BatchNorm with stored statistics."""
    import torch

    model, _, variables = model_of(options)
    photos = pairs(size)["image"]
    embed = jax.jit(lambda v, x: model.apply(v, x, train=False, method="embed_images"))
    ours_photos = jnp.asarray(photos)
    theirs, theirs_photos = torch_model(options).eval(), torch.tensor(photos)

    @torch.inference_mode()
    def in_torch() -> None:
        theirs.embed_images(theirs_photos)

    runs = {"ours": lambda: jax.block_until_ready(embed(variables, ours_photos)), "PyTorch": in_torch}
    title = f"Inference: ResNet-{options.depth} at {SIZE} px; batch {size}"
    return table(title, size, medians(runs, options.repeats), goal=0.9)


def table(title: str, size: int, seconds: dict[str, float], goal: float | None) -> list[str]:
    """Seconds and pairs per second, and ours as a multiple of PyTorch's throughput."""
    lines = [f"### {title}", "", "| | s | pairs/s | throughput, PyTorch = 1 |", "|---|---:|---:|---:|"]
    for name, value in seconds.items():
        lines.append(f"| {name} | {value:.3f} | {size / value:,.2f} | {seconds['PyTorch'] / value:.2f} |")
    return [*lines, "", *([f"Goal: {goal}.", ""] if goal else [])]


def text(options: argparse.Namespace) -> list[str]:
    """Section: the text tower, forward and backward."""
    from benchmarks.peers import padded_lstm

    model, config, variables = model_of(options)
    size, small = options.text_batch, options.padded_batch
    batch = recipes(size, config.model.max_words)
    params = variables["params"]["recipe_tower"]
    cotangent = np.random.default_rng(2).normal(size=(size, config.model.embedding_dim)).astype(np.float32)

    def of_jax(embed, rows) -> Callable[[], tuple]:
        fields = {name: jnp.asarray(array[:rows]) for name, array in batch.items()}
        compute = jax.jit(jax.value_and_grad(lambda p: jnp.sum(embed(p, fields) * cotangent[:rows])))
        return lambda: jax.block_until_ready(compute(params))

    def ours(params, fields):
        return model.recipe_tower.apply({"params": params}, fields)

    tower = torch_model(options).text
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


def text_flops(config, batch: dict[str, np.ndarray]) -> float:
    """Multiplications and additions of the products of real steps, the two gradients included."""

    def lstm(steps, inputs, hidden):
        return steps * 2 * (inputs + hidden) * 4 * hidden

    return 3 * float(
        2 * lstm((batch["ingredients"] != 0).sum(), config.word_dim, config.ingredient_hidden)
        + lstm((batch["words"] != 0).sum(), config.word_dim, config.sentence_hidden)
        + lstm(batch["num_sentences"].sum(), config.sentence_hidden, config.instruction_hidden)
        + len(batch["words"]) * 2 * (2 * config.ingredient_hidden + config.instruction_hidden) * config.embedding_dim
    )


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
    run = our_step(size, options)
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
    main()
