"""The training loop beside its bare step: what input, metrics and the rest of the host's work add to a step's time.

    python -m data_builders.kitchen --out DIR/download --recipes 1000 --photo-size 512 --splits 0.9,0.05,0.05 --seed 1
    python -m data_builders.recipe1m --source DIR/download --out DIR/data \
        --class-min-train 1 --class-min-val 0 --class-min-test 0
    python -m benchmarks.overhead --data DIR/data --scratch DIR

The loop is `adamine_jax.train`'s, with the paper's model and nothing frozen. Its compiled step is wrapped: every so
many steps the loop is held up and the same step runs alone, on a copy of the state and a batch that is there already.
Loop and step take turns in one process; each turn begins with a step that does not count and ends when its last result
is there. In the first steps of all nothing is computed, which leaves what the loop itself costs.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax import train
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.plan import epoch_plan
from adamine_jax.input.records import load_index
from benchmarks.machine import describe_machine
from configs import adamine

RESULTS = Path(__file__).parent / "results" / "overhead.md"
GOAL = 1.05
EMPTY_STEPS = 40


class Cost(NamedTuple):
    """Of one step, or the mean of several."""

    seconds: float
    cpu_seconds: float  # of all threads of the process


class Measured(Exception):
    """Ends the training run: all turns are over."""


class Turns:
    """A training step that counts its calls, and measures between them.

    Args:
        step: the compiled one, step(state, batch, frozen) → state.
        steps: of a turn that count.
        turns: of the loop, and as many of the step alone.
    """

    def __init__(self, step: Callable, steps: int, turns: int):
        self._step, self._steps, self._turns = step, steps, turns
        self._calls = 0
        self._watch = _Watch()
        self._alone: Any = None  # the state and the batch of the step alone
        self.empty: Cost | None = None
        self.loop: list[Cost] = []
        self.alone: list[Cost] = []

    def __call__(self, state, batch, frozen: bool):
        """A step of the loop."""
        call, self._calls = self._calls, self._calls + 1
        if call < EMPTY_STEPS:
            if call == EMPTY_STEPS // 2:
                self._watch = _Watch()  # the input's first batches are behind
            if call == EMPTY_STEPS - 1:
                self.empty = self._watch.cost(call - EMPTY_STEPS // 2)
            return state
        place = (call - EMPTY_STEPS) % (self._steps + 1)
        if place == 0:
            jax.block_until_ready(state)
            if call > EMPTY_STEPS:
                self.loop.append(self._watch.cost(self._steps))
            if len(self.loop) == self._turns:
                raise Measured
            self._run_alone(state, batch, frozen)
        elif place == 1:
            jax.block_until_ready(state)
            self._watch = _Watch()
        return self._step(state, batch, frozen=frozen)

    def _run_alone(self, state, batch, frozen: bool) -> None:
        if self._alone is None:
            self._alone = jax.tree.map(jnp.copy, state), batch
        own, batch = self._alone
        own = jax.block_until_ready(self._step(own, batch, frozen=frozen))
        watch = _Watch()
        for _ in range(self._steps):
            own = self._step(own, batch, frozen=frozen)
        jax.block_until_ready(own)
        self.alone.append(watch.cost(self._steps))
        self._alone = own, batch


class _Watch:
    """Reads two clocks, of the wall and of the process."""

    def __init__(self):
        self._start = time.perf_counter(), time.process_time()

    def cost(self, steps: int) -> Cost:
        """The mean of these steps, since this watch was made."""
        return Cost((time.perf_counter() - self._start[0]) / steps, (time.process_time() - self._start[1]) / steps)


def measure(config, scratch: Path, steps: int, turns: int) -> Turns:
    """Trains until all turns are over; the run's folder is removed.

    Args:
        config: of the run.
        scratch: folder for it.
        steps: of a turn that count.
        turns: of the loop, and as many of the step alone.

    Raises:
        SystemExit: the data has too few recipes for so many steps in one epoch.
    """
    index = load_index(open_dataset(config.data.dir, config.data.name).shards("train"))
    there, needed = len(epoch_plan(index.class_id, config.seed, 0, config.batch_size)), needed_steps(steps, turns)
    if there < needed:
        raise SystemExit(f"--data {config.data.dir}: an epoch has {there} steps, {needed} are needed; more recipes")
    measured: list[Turns] = []
    make_train_step = train.make_train_step

    def make(*args):
        measured.append(Turns(make_train_step(*args), steps, turns))
        return measured[0]

    with tempfile.TemporaryDirectory(dir=scratch) as folder, mock.patch.object(train, "make_train_step", make):
        try:
            train.train(config, Path(folder) / "run")
        except Measured:
            return measured[0]
    raise SystemExit("the run ended before all turns were over")


def needed_steps(steps: int, turns: int) -> int:
    """Calls of the step until all turns are over."""
    return EMPTY_STEPS + turns * (steps + 1) + 1


def page(measured: Turns, batch: int, steps: int, load: float) -> str:
    """The results page."""
    loop, alone = (Cost(*np.median(costs, axis=0)) for costs in (measured.loop, measured.alone))
    ratio = loop.seconds / alone.seconds
    ratios = [one.seconds / other.seconds for one, other in zip(measured.loop, measured.alone, strict=True)]
    cores = len(os.sched_getaffinity(0))
    empty = measured.empty
    share = empty.cpu_seconds / (cores * alone.seconds)
    met = "met" if ratio < GOAL else "not met"
    lines = [
        "# The training loop beside its bare step",
        "",
        f"`python -m benchmarks.overhead --batch {batch} --steps {steps} --turns {len(measured.loop)}`: ResNet-101 at "
        "224 px, nothing frozen, photos of a kitchen; a line of metrics in each turn of the loop. "
        f"{describe_machine()} Medians of {len(measured.loop)} turns of {steps} steps; other programs kept {load:.1f} "
        "cores busy when it began.",
        "",
        "| a step | s | CPU s, all threads |",
        "|---|---:|---:|",
        f"| in the loop: input, step, metrics | {loop.seconds:.3f} | {loop.cpu_seconds:.2f} |",
        f"| the step alone, its batch there already | {alone.seconds:.3f} | {alone.cpu_seconds:.2f} |",
        f"| the loop alone, nothing computed | {empty.seconds:.3f} | {empty.cpu_seconds:.3f} |",
        "",
        f"**{ratio:.3f}** times the step alone (turn by turn {min(ratios):.3f} to {max(ratios):.3f}). "
        f"Goal: under {GOAL}, {met}.",
        "",
        "What the loop does beside the step, most of it reading, decoding and cropping photos, takes "
        f"{1000 * empty.cpu_seconds / batch:.1f} ms of a core for each pair. With an accelerator it runs beside the "
        f"step; here a step that keeps all {cores} cores busy leaves it none, and {1 + share:.3f} would be the least.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a converted kitchen")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the run")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=6, help="of a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    flags = parser.parse_args()
    load = os.getloadavg()[0]
    config = adamine.get_config()
    config.data.dir, config.batch_size = str(flags.data), flags.batch
    config.unfreeze_epoch = 0
    config.train.log_every_steps = flags.steps + 1
    flags.scratch.mkdir(parents=True, exist_ok=True)
    measured = measure(config, flags.scratch, flags.steps, flags.turns)
    flags.out.write_text(page(measured, flags.batch, flags.steps, load), encoding="utf-8")
    print(flags.out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
