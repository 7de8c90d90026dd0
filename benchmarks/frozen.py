"""Times a training step of the paper's model with a frozen backbone, with and without cached image features.

    python -m benchmarks.frozen

Figures are medians of several steps on a batch in memory.
"""

import argparse
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp

from adamine_jax.distributed import mesh as devices
from adamine_jax.losses import registry
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.models.image.resnet import feature_dim
from adamine_jax.training.optimizer import learning_rate
from adamine_jax.training.state import create_state
from adamine_jax.training.step import make_train_step
from benchmarks.harness import describe_machine, processes_in_turns, results_parser, serve, write_page
from benchmarks.tower_runs import MATMUL
from benchmarks.workload import TABLE_ROWS, pairs, recipes, text_flops
from configs import adamine


def frozen_step(size: int, instructions: str, is_cached: bool) -> Callable[[], None]:
    """Returns a training step that computes the image features or reads them from the batch."""
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
    if is_cached:
        batch["image"] = jnp.ones((size, feature_dim(config.model.image.depth)))

    def run() -> None:
        nonlocal state
        state = jax.block_until_ready(step(state, batch, frozen=True))

    return run


def main() -> None:
    """Measures and writes the page."""
    parser = results_parser("frozen", __doc__)
    parser.add_argument("--batch", type=int, default=100, help="pairs per batch; default: 100")
    parser.add_argument("--repeats", type=int, default=5, help="measured steps; default: 5")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.serve:
        instructions, features = flags.serve
        serve(frozen_step(flags.batch, instructions, features == "cached"))
        return
    rows = []
    for instructions, goal in (("words", 4), ("vectors", 20)):
        command = [sys.executable, "-m", "benchmarks.frozen", f"--batch={flags.batch}", "--serve", instructions]
        commands = {features: [*command, features] for features in ("computed", "cached")}
        commands["product"] = [sys.executable, "-m", "benchmarks.tower_runs", "--run=product"]
        seconds = processes_in_turns(commands, flags.repeats)
        computed, cached = seconds["computed"], seconds["cached"]
        config = adamine.get_config().model
        config.recipe.instructions = instructions
        products = text_flops(config, recipes(flags.batch)) * seconds["product"] / (2 * MATMUL**3)
        rows.append(
            f"| {instructions} | {goal} | {flags.batch / computed:.1f} | {flags.batch / cached:.1f} "
            f"| {computed / cached:.1f} | {cached:.2f} | {products:.2f} |"
        )
    lines = [
        "# The frozen phase with and without cached features",
        "",
        f"`python -m benchmarks.frozen`: ResNet-101 at 224 px, batch {flags.batch}, float32; medians of "
        f"{flags.repeats} steps. {describe_machine()}",
        "",
        "| instructions | goal | pairs/s, features computed | pairs/s, features cached | ratio | cached step, s "
        "| its matrix products alone, s |",
        "|---|---:|---:|---:|---:|---:|---:|",
        *rows,
        "",
        "Only the steps are timed; with cached features, no photos need to be decoded either. The matrix products of a "
        "step are those of its real words, sentences and ingredients without padding, at the rate of a product of "
        f"{MATMUL} × {MATMUL} matrices in the same run.",
    ]
    write_page(flags.page, lines)


if __name__ == "__main__":
    main()
