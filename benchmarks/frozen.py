"""The frozen phase with and without cached features: one training step of the paper's model, two kinds of instructions.

    python -m benchmarks.frozen

Every figure is the median of several steps on a batch that is there already; the contenders take turns.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from adamine_jax.base.errors import one_line_errors
from adamine_jax.distributed import mesh as devices
from adamine_jax.losses import registry
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.models.image.resnet import feature_dim
from adamine_jax.training.optimizer import learning_rate
from adamine_jax.training.state import create_state
from adamine_jax.training.step import make_train_step
from benchmarks import contenders
from benchmarks.batches import TABLE_ROWS, pairs, recipes
from benchmarks.flops import text_flops
from benchmarks.machine import describe_machine
from benchmarks.tower_runs import MATMUL
from configs import adamine

RESULTS = Path(__file__).parent / "results" / "frozen.md"


def frozen_step(size: int, instructions: str, cached: bool) -> Callable[[], None]:
    """A training step that computes the features of the photos, or is given them."""
    config = adamine.get_config()
    config.model.recipe.instructions = instructions
    mesh = devices.make_mesh()
    model = build_model(config.model, table_rows=TABLE_ROWS)
    variables = init_variables(model, jax.random.key(0), config.model, image_size=64)
    loss = registry.build(config.loss)
    step = make_train_step(model, loss, config, mesh, learning_rate(config, 100))
    state = create_state(model, loss, variables, mesh)
    batch = jax.tree.map(jnp.asarray, pairs(size))
    batch["sentence_vectors"] = jax.random.normal(jax.random.key(1), (size, 20, config.model.recipe.sentence_dim))
    if cached:
        batch["image"] = jnp.ones((size, feature_dim(config.model.image.depth)))

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(step(state, batch, frozen=True))

    return run


@one_line_errors
def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.serve:
        instructions, source = flags.serve
        contenders.serve(frozen_step(flags.batch, instructions, source == "cached"))
        return
    lines = [
        "# The frozen phase, with and without cached features",
        "",
        f"`python -m benchmarks.frozen`, ResNet-101 at 224 px, batch {flags.batch}, float32; medians of "
        f"{flags.repeats} steps. {describe_machine()}",
        "",
        "| instructions | goal | pairs/s, features computed | pairs/s, cached | ratio | a cached step, s "
        "| its products alone, s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for instructions, goal in (("words", 4), ("vectors", 20)):
        line = [sys.executable, "-m", "benchmarks.frozen", f"--batch={flags.batch}", "--serve", instructions]
        commands = {source: [*line, source] for source in ("computed", "cached")}
        commands["product"] = [sys.executable, "-m", "benchmarks.tower_runs", "--run=product"]
        seconds = contenders.medians(commands, flags.repeats)
        computed, cached = seconds["computed"], seconds["cached"]
        config = adamine.get_config().model
        config.instructions = instructions
        limit = text_flops(config, recipes(flags.batch)) * seconds["product"] / (2 * MATMUL**3)
        lines.append(
            f"| {instructions} | {goal} | {flags.batch / computed:.1f} | {flags.batch / cached:.1f} "
            f"| {computed / cached:.1f} | {cached:.2f} | {limit:.2f} |"
        )
        print(lines[-1], flush=True)
    lines += [
        "",
        "Steps alone: the cached phase also spares the decoding of photos. A step's products are those of real words, "
        f"sentences and ingredients, at the rate of one of {MATMUL} × {MATMUL} matrices in the same run.",
    ]
    flags.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
