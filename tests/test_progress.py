"""Progress in a log: plain lines, none of them twice."""

from adamine_jax import progress


def test_what_the_last_line_said_is_not_said_again_at_the_end(capsys, monkeypatch):
    seconds = iter([0.0, 20.0, 20.0, 30.0, 30.0, 30.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    with progress.Progress("embedding", 4, "pair") as shown:
        shown.update(4)
    assert capsys.readouterr().err == "embedding: 4/4 pairs, 0.2 pairs/s, 20s so far\n"
