"""The frozen phase with and without cached features: one training step of the paper's model, two kinds of instructions.

    python -m benchmarks.frozen

Every figure is the median of several steps on a batch that is there already; the contenders take turns.
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax import devices
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.models.resnet import feature_dim
from adamine_jax.state import create_state, learning_rate, make_train_step
from benchmarks.batches import TABLE_ROWS, pairs
from benchmarks.machine import describe_machine
from configs import adamine

RESULTS = Path(__file__).parent / "results" / "frozen.md"


def seconds(size: int, instructions: str, repeats: int) -> tuple[float, float]:
    """Median seconds of a step that computes the features, and of one that is given them."""
    config = adamine.get_config()
    config.model.instructions = instructions
    mesh = devices.make_mesh()
    model = build_model(config.model, table_rows=TABLE_ROWS)
    variables = init_variables(model, jax.random.key(0), image_size=64, max_words=config.model.max_words)
    step = make_train_step(model, config, mesh, learning_rate(config, 100))
    state = create_state(config, variables, mesh)
    photos = jax.tree.map(jnp.asarray, pairs(size))
    photos["sentence_vectors"] = jax.random.normal(jax.random.key(1), (size, 20, config.model.sentence_dim))
    features = photos | {"image": jnp.ones((size, feature_dim(config.model.image.depth)))}
    times: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(repeats + 1):
        for number, given in enumerate((photos, features)):
            start = time.perf_counter()
            state = jax.block_until_ready(step(state, given, frozen=True))
            times[number].append(time.perf_counter() - start)
    return tuple(float(np.median(values[1:])) for values in times.values())


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    flags = parser.parse_args()
    lines = [
        "# The frozen phase, with and without cached features",
        "",
        f"`python -m benchmarks.frozen`, ResNet-101 at 224 px, batch {flags.batch}, float32. {describe_machine()}",
        "",
        "| instructions | pairs/s, features computed | pairs/s, cached | ratio |",
        "|---|---|---|---|",
    ]
    for instructions in ("words", "vectors"):
        computed, cached = seconds(flags.batch, instructions, flags.repeats)
        lines.append(
            f"| {instructions} | {flags.batch / computed:.1f} | {flags.batch / cached:.1f} | {computed / cached:.1f} |"
        )
        print(lines[-1], flush=True)
    lines += ["", "Steps alone: the cached phase also spares the decoding of photos."]
    flags.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
