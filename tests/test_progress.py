"""Progress in a log: plain lines without repetition."""

from adamine_jax.base import progress


def test_the_last_line_is_not_repeated_at_the_end(capsys, monkeypatch):
    seconds = iter([0.0, 20.0, 20.0, 30.0, 30.0, 30.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    with progress.Progress("embedding", 4, "pair") as shown:
        shown.update(4)
    assert capsys.readouterr().err == "embedding: 4/4 pairs, 0.2 pairs/s, 20s so far\n"


def test_time_before_the_first_step_does_not_count_for_the_time_left(capsys, monkeypatch):
    seconds = iter([0.0, 60.0, 61.0, 80.0, 80.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    with progress.Progress("training", 100, "step") as shown:
        shown.update()  # compiled first
        shown.update()
        shown.update(19)
    assert capsys.readouterr().err.splitlines() == [
        "training: 1/100 steps, 0.0 steps/s, 1m00s so far",
        "training: 21/100 steps, 0.3 steps/s, 1m20s so far, 1m19s left",
    ]
