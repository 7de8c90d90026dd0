"""Values of `metrics.jsonl` as functions of the epoch, for figures."""

import numpy as np

POINTS = 240
"""Default maximum number of points of a curve; a panel cannot resolve more."""


def series(
    records: list[dict], key: str, knots: np.ndarray, limit: int | None = POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the (epochs, values) of a field, averaged to at most `limit` points; a missing number is NaN."""
    x = epochs_trained(records, knots)
    y = np.array([_number(record.get(key)) for record in records])
    if limit is None or len(x) <= limit:
        return x, y
    groups = np.array_split(np.arange(len(x)), limit)
    return np.array([x[group].mean() for group in groups]), np.array([y[group].mean() for group in groups])


def epoch_knots(train: list[dict], val: list[dict]) -> np.ndarray:
    """Returns rows (step, epochs trained by then), starting with (0, 0); an epoch ends at its validation.

    Without validations an epoch ends at its last line; the last epoch, which may be incomplete, is left out unless it
    is the only one.
    """
    ends = {record["epoch"] + 1: record["step"] for record in val or train}
    if not val and len(ends) > 1:
        del ends[max(ends)]
    knots = {0: 0.0} | {step: epoch for epoch, step in ends.items() if step > 0}
    return np.array(sorted(knots.items()), float)


def epochs_trained(records: list[dict], knots: np.ndarray) -> np.ndarray:
    """Returns the epochs trained at the step of each line, interpolated; extrapolated from the last epoch."""
    steps = np.array([record["step"] for record in records], float)
    if len(knots) == 1:
        return steps
    (step, epoch), (last_step, last_epoch) = knots[-2], knots[-1]
    beyond = last_epoch + (steps - last_step) * (last_epoch - epoch) / (last_step - step)
    return np.where(steps > last_step, beyond, np.interp(steps, knots[:, 0], knots[:, 1]))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else np.nan
