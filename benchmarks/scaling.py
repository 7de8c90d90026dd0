"""Predicts the computation, the communication and the time of a training step on N devices.

    python -m benchmarks.scaling

prints the tables of docs/scaling.md. `tests/benchmarks/test_scaling.py` compares the formulas with compiled programs;
the times are predictions, and nothing is measured.
"""

import dataclasses
import functools

import jax

from adamine_jax.losses.blocks import LARGEST_KEPT
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.training.optimizer import split_groups
from benchmarks.workload import TABLE_ROWS, recipes, resnet_flops, text_flops
from configs import adamine

DIM = 1024
"""D of the paper's model."""
NEGLIGIBLE = 0.05
"""Share of a step below which the loss counts as negligible."""

BANDWIDTH_USED, LOSS_USED = 0.5, 0.5
"""Assumed fractions of the published bandwidth, and of the peak at the precision of the loss."""


def gathered_bytes(batch: int, dim: int) -> int:
    """Returns the bytes that a step gathers on every device, for the loss of `configs/adamine.py`.

    These are four (B, D) matrices (images and recipes for the positives; the recipes as negatives, forward and
    backward), a fifth one if the similarities are recomputed, and 22 numbers per pair.
    """
    return 4 * ((4 if batch <= LARGEST_KEPT else 5) * batch * dim + 22 * batch)


def reduced_bytes(batch: int, dim: int, params: int, channels: int, frozen: bool = False) -> int:
    """Returns the bytes that a step sums over the devices.

    These are the gradients of the trained parameters; three (B, D) matrices, gradients of embeddings on other devices;
    the sums of BatchNorm, two per channel forward and one backward; 10 numbers per pair, and 18 for the batch.

    Args:
        batch: B.
        dim: D.
        params: Number of trained parameters.
        channels: Number of channels of all BatchNorm layers.
        frozen: Whether the image backbone is frozen.
    """
    return 4 * (params + 3 * batch * dim + (2 if frozen else 3) * channels + 10 * batch + 18)


def loss_flops(batch: int, dim: int) -> int:
    """Returns the FLOP of the loss on all devices: three (B, B, D) products, or four with recomputed similarities."""
    return (6 if batch <= LARGEST_KEPT else 8) * batch**2 * dim


@dataclasses.dataclass(frozen=True)
class Machine:
    """A machine and the assumptions about it.

    Attributes:
        name: Name of the machine.
        devices: N.
        peak: Published FLOP/s of one device in bfloat16.
        utilisation: Assumed fraction of the peak that the towers reach.
        loss_peak: FLOP/s of float32 products at JAX's precision 'highest'.
        bandwidth: Published bytes/s that one device sends.
    """

    name: str
    devices: int
    peak: float
    utilisation: float
    loss_peak: float
    bandwidth: float


# A TPU multiplies float32 in six passes of bfloat16; an H100 does not use its tensor cores for it. The bandwidth of a
# TPU chip is its share of the pod's all-reduce bandwidth: 51.2 TB/s for 256 chips, 1.1 PB/s for 4,096. NVLink's
# 900 GB/s are for both directions together.
_V5E = {"peak": 197e12, "utilisation": 0.2, "loss_peak": 197e12 / 6, "bandwidth": 51.2e12 / 256}
_V4 = {"peak": 275e12, "utilisation": 0.2, "loss_peak": 275e12 / 6, "bandwidth": 1.1e15 / 4096}
_H100 = {"peak": 989e12, "utilisation": 0.075, "loss_peak": 67e12, "bandwidth": 450e9}
MACHINES = (
    Machine("TPU v5e-8", 8, **_V5E),
    Machine("TPU v5e-64", 64, **_V5E),
    Machine("TPU v4-32", 16, **_V4),  # its name counts TensorCores, two per chip
    Machine("8 × H100 SXM", 8, **_H100),
)
PAIRS_A_DEVICE = 64


@functools.cache
def paper_model() -> tuple[dict[str, int], int, dict[str, float]]:
    """Returns (parameters by group, BatchNorm channels, FLOP per pair by phase) of the paper's model."""
    config = adamine.get_config().model
    model = build_model(config, table_rows=TABLE_ROWS)
    shapes = jax.eval_shape(lambda: init_variables(model, jax.random.key(0), config, image_size=64))
    groups = split_groups(shapes["params"], model)
    params = {name: sum(leaf.size for leaf in jax.tree.leaves(group)) for name, group in groups.items()}
    channels = sum(leaf.size for leaf in jax.tree.leaves(shapes["batch_stats"])) // 2
    image, recipe = resnet_flops(config.image.depth), text_flops(config, recipes(2000)) / 2000
    return params, channels, {"full": 3 * image + recipe, "frozen": image + recipe, "cached": recipe}


def step_seconds(machine: Machine, batch: int, dim: int = DIM) -> dict[str, float]:
    """Returns the predicted seconds of the parts of a step with nothing frozen, which run in sequence.

    A ring sends (N − 1)/N of the gathered bytes, and twice that of the reduced bytes.
    """
    params, channels, flops = paper_model()
    n = machine.devices
    rate = machine.bandwidth * BANDWIDTH_USED * n / (n - 1)
    reduced = reduced_bytes(batch, dim, sum(params.values()), channels)
    reduced_per_pair = reduced_bytes(batch, dim, 0, 0)
    return {
        "towers": batch * flops["full"] / (n * machine.peak * machine.utilisation),
        "loss": loss_flops(batch, dim) / (n * machine.loss_peak * LOSS_USED),
        "gradients": 2 * (reduced - reduced_per_pair) / rate,
        "embeddings": (gathered_bytes(batch, dim) + 2 * reduced_per_pair) / rate,
    }


def limits(machine: Machine, phase: str, dim: int = DIM) -> tuple[float, float]:
    """Returns the limits above which the computation and the communication of the loss are not negligible.

    Returns:
        The batch size at which the products take `NEGLIGIBLE` of their and the towers' time, for any number of devices;
        and the number of devices at which the transfer of embeddings does, for any batch size.
    """
    share = NEGLIGIBLE / (1 - NEGLIGIBLE)
    tower = paper_model()[2][phase] / (machine.peak * machine.utilisation)
    flops = share * tower * machine.loss_peak * LOSS_USED  # per pair
    batch = flops / (6 * dim)
    if batch > LARGEST_KEPT:
        batch = max(flops / (8 * dim), LARGEST_KEPT)
    sent = gathered_bytes(1, dim) + 2 * (reduced_bytes(1, dim, 0, 0) - reduced_bytes(0, dim, 0, 0))
    return batch, 1 + share * tower * machine.bandwidth * BANDWIDTH_USED / sent


def tables() -> list[str]:
    """Returns the blocks of docs/scaling.md, as Markdown."""
    params, channels, flops = paper_model()
    total = sum(params.values())
    head = (
        f"{total:,} parameters, {params['new']:,} of them outside the ResNet; {channels:,} BatchNorm channels; GFLOP "
        f"per pair: {', '.join(f'{phase} {value / 1e9:.1f}' for phase, value in flops.items())}"
    )
    lines = [
        "| B | gathered, MB | reduced, MB | gradients, MB | reduced while frozen, MB | loss, GFLOP | towers, GFLOP |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for batch in (128, 1024, 8192, 65536):
        reduced = reduced_bytes(batch, 1024, total, channels)
        frozen = reduced_bytes(batch, 1024, params["new"], channels, frozen=True)
        lines.append(
            f"| {batch:,} | {gathered_bytes(batch, 1024) / 1e6:,.1f} | {reduced / 1e6:,.1f} | {4 * total / 1e6:,.1f} "
            f"| {frozen / 1e6:,.1f} | {loss_flops(batch, 1024) / 1e9:,.1f} | {batch * flops['full'] / 1e9:,.0f} |"
        )
    parts = ("towers", "loss", "gradients", "embeddings")
    steps = [
        f"| | N | B | {', ms | '.join(parts)}, ms | step, ms | pairs/s | towers' share |",
        "|---|---:|---:|" + "---:|" * (len(parts) + 3),
    ]
    for machine in MACHINES:
        for batch in (128, PAIRS_A_DEVICE * machine.devices):
            seconds = step_seconds(machine, batch)
            step = sum(seconds.values())
            cells = " | ".join(f"{1000 * seconds[part]:.2f}" for part in parts)
            steps.append(
                f"| {machine.name} | {machine.devices} | {batch:,} | {cells} | {1000 * step:.1f} "
                f"| {_rounded(batch / step)} | {seconds['towers'] / step:.0%} |"
            )
    phases = " | ".join(flops)
    negligible = [f"| | B: {phases} | N: {phases} |", "|---|" + "---:|" * 2 * len(flops)]
    for machine, name in ((MACHINES[0], "TPU v5e"), (MACHINES[2], "TPU v4"), (MACHINES[3], "H100")):
        batches, devices = zip(*(limits(machine, phase) for phase in flops), strict=True)
        cells = map(_rounded, (*batches, *devices))
        negligible.append(f"| {name} | {' | '.join(cells)} |")
    return [head, *("\n".join(block) for block in (lines, steps, negligible))]


def _rounded(number: float) -> str:
    """Rounds to two digits; the assumptions are not more precise."""
    return f"{float(f'{number:.2g}'):,.0f}"


if __name__ == "__main__":
    print("\n\n".join(tables()))
