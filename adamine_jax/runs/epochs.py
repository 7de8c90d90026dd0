"""Lines of `metrics.jsonl` as what a figure plots: epochs trained, and a field's values over them."""

import numpy as np

POINTS = 240
"""More than a panel can show apart."""


def series(
    records: list[dict], key: str, knots: np.ndarray, limit: int | None = POINTS
) -> tuple[np.ndarray, np.ndarray]:
    """(epochs, values) of one field; at most `limit` points, neighbours averaged.

    Where a line has no number in the field the value is NaN, a gap in the curve.
    """
    x = epochs_trained(records, knots)
    y = np.array([_number(record.get(key)) for record in records])
    if limit is None or len(x) <= limit:
        return x, y
    groups = np.array_split(np.arange(len(x)), limit)
    return np.array([x[group].mean() for group in groups]), np.array([y[group].mean() for group in groups])


def epoch_knots(train: list[dict], val: list[dict]) -> np.ndarray:
    """Pairs (step, epochs trained by then), from (0, 0): an epoch ends at its validation.

    Without validations it ends at its last line; the last epoch, which may not be over, counts only where there is no
    other one.
    """
    ends = {record["epoch"] + 1: record["step"] for record in val or train}
    if not val and len(ends) > 1:
        del ends[max(ends)]
    knots = {0: 0.0} | {step: epoch for epoch, step in ends.items() if step > 0}
    return np.array(sorted(knots.items()), float)


def epochs_trained(records: list[dict], knots: np.ndarray) -> np.ndarray:
    """Epochs trained at each line's step; behind the last knot the last epoch's pace goes on."""
    steps = np.array([record["step"] for record in records], float)
    if len(knots) == 1:
        return steps
    (step, epoch), (last_step, last_epoch) = knots[-2], knots[-1]
    beyond = last_epoch + (steps - last_step) * (last_epoch - epoch) / (last_step - step)
    return np.where(steps > last_step, beyond, np.interp(steps, knots[:, 0], knots[:, 1]))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else np.nan
