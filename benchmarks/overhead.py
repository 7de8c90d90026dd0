"""Measures how much input, metrics and other work of the host add to the time of a training step.

    python -m data_builders.kitchen --out DIR/download --recipes 1000 --photo-size 512 --splits 0.9,0.05,0.05 --seed 1
    python -m data_builders.recipe1m --source DIR/download --out DIR/data \\
        --class-min-train 1 --class-min-val 0 --class-min-test 0
    python -m benchmarks.overhead --data DIR/data --scratch DIR

The benchmark runs `adamine_jax.train` with the paper's model and nothing frozen. A wrapper around the compiled step
pauses the loop at regular intervals and runs the same step alone, on a copy of the state and a batch in memory. Each
turn, of the loop or of the step alone, starts with one step that is not measured and ends when its last result is
ready. The first steps of the run compute nothing, which measures the cost of the loop itself.
"""

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
from benchmarks.harness import describe_machine, results_parser, write_page
from configs import adamine

GOAL = 1.05
EMPTY_STEPS = 40


class Cost(NamedTuple):
    """Cost of one step, or the mean of several."""

    seconds: float
    cpu_seconds: float  # of all threads of the process


class Measured(Exception):
    """Raised after the last turn to end the training run."""


class Turns:
    """A training step that counts its calls and measures between them.

    Args:
        step: Compiled step, step(state, batch, frozen) → state.
        steps: Number of measured steps per turn.
        turns: Number of turns of the loop, and of the step alone.
    """

    def __init__(self, step: Callable, steps: int, turns: int):
        self._step, self._steps, self._turns = step, steps, turns
        self._calls = 0
        self._start = _now()
        self._alone: Any = None  # state and batch of the step alone
        self.empty: Cost | None = None
        self.loop: list[Cost] = []
        self.alone: list[Cost] = []

    def __call__(self, state, batch, frozen: bool):
        call, self._calls = self._calls, self._calls + 1
        if call < EMPTY_STEPS:
            if call == EMPTY_STEPS // 2:
                self._start = _now()  # excludes the start of the input
            if call == EMPTY_STEPS - 1:
                self.empty = _mean_cost(self._start, call - EMPTY_STEPS // 2)
            return state
        position = (call - EMPTY_STEPS) % (self._steps + 1)
        if position == 0:
            jax.block_until_ready(state)
            if call > EMPTY_STEPS:
                self.loop.append(_mean_cost(self._start, self._steps))
            if len(self.loop) == self._turns:
                raise Measured
            self._run_alone(state, batch, frozen)
        elif position == 1:
            jax.block_until_ready(state)
            self._start = _now()
        return self._step(state, batch, frozen=frozen)

    def _run_alone(self, state, batch, frozen: bool) -> None:
        if self._alone is None:
            self._alone = jax.tree.map(jnp.copy, state), batch
        own, batch = self._alone
        own = jax.block_until_ready(self._step(own, batch, frozen=frozen))
        start = _now()
        for _ in range(self._steps):
            own = self._step(own, batch, frozen=frozen)
        jax.block_until_ready(own)
        self.alone.append(_mean_cost(start, self._steps))
        self._alone = own, batch


def _now() -> Cost:
    return Cost(time.perf_counter(), time.process_time())


def _mean_cost(start: Cost, steps: int) -> Cost:
    """Returns the mean cost of the `steps` steps since `start`."""
    return Cost(*((now - then) / steps for now, then in zip(_now(), start, strict=True)))


def measure(config, scratch: Path, steps: int, turns: int) -> Turns:
    """Trains until all turns are measured, then removes the run.

    Args:
        config: Configuration of the run.
        scratch: Folder for the run.
        steps: Number of measured steps per turn.
        turns: Number of turns of the loop, and of the step alone.

    Raises:
        SystemExit: An epoch has too few steps.
    """
    index = open_dataset(config.data.dir, config.data.name).index("train")
    available, needed = len(epoch_plan(index.class_id, config.seed, 0, config.batch_size)), needed_steps(steps, turns)
    if available < needed:
        raise SystemExit(
            f"--data {config.data.dir}: an epoch has {available} steps, but {needed} are needed; use more recipes"
        )
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
    raise SystemExit("the run ended before all turns were measured")


def needed_steps(steps: int, turns: int) -> int:
    """Returns the number of calls of the step until all turns are measured."""
    return EMPTY_STEPS + turns * (steps + 1) + 1


def page(measured: Turns, batch: int, steps: int, load: float) -> list[str]:
    """Returns the results page."""
    loop, alone = (Cost(*np.median(costs, axis=0)) for costs in (measured.loop, measured.alone))
    ratio = loop.seconds / alone.seconds
    ratios = [one.seconds / other.seconds for one, other in zip(measured.loop, measured.alone, strict=True)]
    cores = len(os.sched_getaffinity(0))
    empty = measured.empty
    share = empty.cpu_seconds / (cores * alone.seconds)
    return [
        "# The training loop compared with its step alone",
        "",
        f"`python -m benchmarks.overhead --batch {batch} --steps {steps} --turns {len(measured.loop)}`: ResNet-101 at "
        "224 px, nothing frozen, photos of a kitchen; the loop logs metrics once per turn. "
        f"{describe_machine()} Medians of {len(measured.loop)} turns of {steps} steps. Other programs used {load:.1f} "
        "cores at the start.",
        "",
        "| per step | s | CPU s, all threads |",
        "|---|---:|---:|",
        f"| in the loop: input, step, metrics | {loop.seconds:.3f} | {loop.cpu_seconds:.2f} |",
        f"| the step alone, batch in memory | {alone.seconds:.3f} | {alone.cpu_seconds:.2f} |",
        f"| the loop alone, without computation | {empty.seconds:.3f} | {empty.cpu_seconds:.3f} |",
        "",
        f"The loop takes **{ratio:.3f}** times as long as the step alone ({min(ratios):.3f} to {max(ratios):.3f} in "
        f"single turns). Goal: less than {GOAL}, {'met' if ratio < GOAL else 'not met'}.",
        "",
        "The loop's own work, mostly reading, decoding and cropping photos, takes "
        f"{1000 * empty.cpu_seconds / batch:.1f} ms of a core per pair. With an accelerator it overlaps with the step. "
        f"Here, the step keeps all {cores} cores busy, so the ratio cannot be lower than {1 + share:.3f}.",
    ]


def main() -> None:
    """Measures and writes the page."""
    parser = results_parser("overhead", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="converted kitchen")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the run")
    parser.add_argument("--batch", type=int, default=8, help="pairs per batch; default: 8")
    parser.add_argument("--steps", type=int, default=6, help="measured steps per turn; default: 6")
    parser.add_argument("--turns", type=int, default=5, help="turns of the loop; default: 5")
    flags = parser.parse_args()
    load = os.getloadavg()[0]
    config = adamine.get_config()
    config.data.dir, config.batch_size = str(flags.data), flags.batch
    config.unfreeze_epoch = 0
    config.train.log_every_steps = flags.steps + 1
    flags.scratch.mkdir(parents=True, exist_ok=True)
    measured = measure(config, flags.scratch, flags.steps, flags.turns)
    write_page(flags.page, page(measured, flags.batch, flags.steps, load))


if __name__ == "__main__":
    main()
