"""What a training step computes and sends on N devices, by formula, and the step times that follow under assumptions.

    python -m benchmarks.scaling

prints the tables of docs/scaling.md. `tests/benchmarks/test_scaling.py` holds the formulas against compiled programs;
the times are predictions, and nothing here measures.
"""

import dataclasses
import functools

import jax

from adamine_jax.losses.triplet import LARGEST_KEPT
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.training.optimizer import split_groups
from benchmarks.batches import TABLE_ROWS, recipes
from benchmarks.flops import resnet_flops, text_flops
from configs import adamine

NEGLIGIBLE = 0.05
"""Share of a step below which the loss is called negligible."""

BANDWIDTH_USED, LOSS_USED = 0.5, 0.5
"""Assumed shares of the published bandwidth, and of the peak at the loss's precision."""


def gathered_bytes(batch: int, dim: int) -> int:
    """Bytes of all that a step gathers on every device, for the loss of `configs/adamine.py`.

    Four times a matrix (B, D): images and recipes for the positives, the recipes as negatives forward and backward;
    once more where the similarities are computed again. And 22 numbers a pair.
    """
    return 4 * ((4 if batch <= LARGEST_KEPT else 5) * batch * dim + 22 * batch)


def reduced_bytes(batch: int, dim: int, params: int, channels: int, frozen: bool = False) -> int:
    """Bytes of all that a step adds up over the devices.

    Gradients of the parameters that are trained; three matrices (B, D), gradients of embeddings that other devices
    hold; BatchNorm's sums, two a channel forward and one backward; 10 numbers a pair and 18 of the whole batch.

    Args:
        batch: B.
        dim: D.
        params: those that are trained.
        channels: of all BatchNorms.
        frozen: whether the ResNet stands still.
    """
    return 4 * (params + 3 * batch * dim + (2 if frozen else 3) * channels + 10 * batch + 18)


def loss_flops(batch: int, dim: int) -> int:
    """Of the loss's products, over all devices: three (B, B, D), one more where similarities are computed again."""
    return (6 if batch <= LARGEST_KEPT else 8) * batch**2 * dim


@dataclasses.dataclass(frozen=True)
class Machine:
    """Devices, and what is assumed of them.

    Attributes:
        name: of the whole.
        devices: N.
        peak: of one, FLOP/s in bfloat16, published.
        utilisation: share of the peak that the towers reach, assumed.
        loss_peak: FLOP/s of products in float32 at JAX's precision 'highest'.
        bandwidth: bytes/s that one can send, published.
    """

    name: str
    devices: int
    peak: float
    utilisation: float
    loss_peak: float
    bandwidth: float


# A TPU multiplies float32 in six passes of bfloat16; an H100 leaves its tensor cores. A chip's share of a pod's
# all-reduce bandwidth: 51.2 TB/s over 256 chips, 1.1 PB/s over 4,096. Half of NVLink's 900 GB/s is in either direction.
_V5E = {"peak": 197e12, "utilisation": 0.2, "loss_peak": 197e12 / 6, "bandwidth": 51.2e12 / 256}
_V4 = {"peak": 275e12, "utilisation": 0.2, "loss_peak": 275e12 / 6, "bandwidth": 1.1e15 / 4096}
_H100 = {"peak": 989e12, "utilisation": 0.075, "loss_peak": 67e12, "bandwidth": 450e9}
MACHINES = (
    Machine("TPU v5e-8", 8, **_V5E),
    Machine("TPU v5e-64", 64, **_V5E),
    Machine("TPU v4-32", 16, **_V4),  # counts TensorCores, two a chip
    Machine("8 × H100 SXM", 8, **_H100),
)
PAIRS_A_DEVICE = 64


@functools.cache
def paper_model() -> tuple[dict[str, int], int, dict[str, float]]:
    """Of the paper's model: parameters of each group, channels of all BatchNorms, FLOP of a pair in each phase."""
    config = adamine.get_config().model
    model = build_model(config, table_rows=TABLE_ROWS)
    shapes = jax.eval_shape(lambda: init_variables(model, jax.random.key(0), config, image_size=64))
    groups = split_groups(shapes["params"], model)
    params = {name: sum(leaf.size for leaf in jax.tree.leaves(group)) for name, group in groups.items()}
    channels = sum(leaf.size for leaf in jax.tree.leaves(shapes["batch_stats"])) // 2
    photo, texts = resnet_flops(config.image.depth), recipes(2000)
    text = text_flops(config, texts) / len(texts["words"])
    return params, channels, {"full": 3 * photo + text, "frozen": photo + text, "cached": text}


def step_seconds(machine: Machine, batch: int, dim: int = 1024) -> dict[str, float]:
    """Predicted seconds of the parts of a step with nothing frozen, one after the other.

    A ring sends (N − 1)/N of what is gathered, and twice as much of what is added up.
    """
    params, channels, flops = paper_model()
    n = machine.devices
    rate = machine.bandwidth * BANDWIDTH_USED * n / (n - 1)
    whole = reduced_bytes(batch, dim, sum(params.values()), channels)
    of_batch = reduced_bytes(batch, dim, 0, 0)
    return {
        "towers": batch * flops["full"] / (n * machine.peak * machine.utilisation),
        "loss": loss_flops(batch, dim) / (n * machine.loss_peak * LOSS_USED),
        "gradients": 2 * (whole - of_batch) / rate,
        "embeddings": (gathered_bytes(batch, dim) + 2 * of_batch) / rate,
    }


def limits(machine: Machine, phase: str, dim: int = 1024) -> tuple[float, float]:
    """From where on the loss is not negligible beside the towers: in its products, and in what it sends.

    Returns:
        The batch at which the products take `NEGLIGIBLE` of their and the towers' time, on any number of devices; and
        the number of devices at which the transfers of embeddings do, with any batch.
    """
    share = NEGLIGIBLE / (1 - NEGLIGIBLE)
    tower = paper_model()[2][phase] / (machine.peak * machine.utilisation)
    flops = share * tower * machine.loss_peak * LOSS_USED  # for each pair
    batch = flops / (6 * dim)
    if batch > LARGEST_KEPT:
        batch = max(flops / (8 * dim), LARGEST_KEPT)
    sent = gathered_bytes(1, dim) + 2 * (reduced_bytes(1, dim, 0, 0) - reduced_bytes(0, dim, 0, 0))
    return batch, 1 + share * tower * machine.bandwidth * BANDWIDTH_USED / sent


def tables() -> list[str]:
    """The tables, as Markdown."""
    params, channels, flops = paper_model()
    total = sum(params.values())
    head = (
        f"{total:,} parameters, {params['new']:,} of them outside the ResNet; {channels:,} channels of BatchNorm; "
        f"GFLOP a pair: {', '.join(f'{phase} {value / 1e9:.1f}' for phase, value in flops.items())}"
    )
    lines = [
        "| B | gathered, MB | reduced, MB | of it gradients | reduced while frozen, MB | loss, GFLOP | towers, GFLOP |",
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
    """Two digits, which is more than the assumptions are good for."""
    return f"{float(f'{number:.2g}'):,.0f}"


def main() -> None:
    """Prints the tables."""
    print("\n\n".join(tables()))


if __name__ == "__main__":
    main()
