"""No line or event is lost, duplicated or read when truncated."""

import json
import resource

import pytest
import tensorflow as tf
from tensorboardX.proto.event_pb2 import Event, SessionLog

from adamine_jax.base.errors import UserError
from adamine_jax.runs.metrics_log import MetricsLog, read_metrics


def events(directory):
    """Returns the (step, tag, value) that TensorBoard shows: it reads files in the order of their names, and a START
    event discards earlier events from its step on."""
    shown = []
    for path in sorted(directory.glob("events.out.tfevents.*")):
        records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
        while True:
            try:
                event = Event.FromString(next(records))
            except (StopIteration, tf.errors.DataLossError):  # the latter at a truncated record
                break
            if event.session_log.status == SessionLog.START:
                shown = [row for row in shown if row[0] < event.step]
            shown += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
    return shown


def expected_events(directory):
    """Returns the same from `metrics.jsonl`."""
    return [
        (line["step"], f"{line['split']}/{name}", pytest.approx(value))
        for line in read_metrics(directory / "metrics.jsonl")
        for name, value in line.items()
        if name not in ("step", "epoch", "split")
    ]


def written(directory, step, lines):
    log = MetricsLog(directory, step)
    for line in lines:
        log.write(line, line // 10, "train", {"loss": 1.0 / line})
    log.close()
    assert events(directory) == expected_events(directory)
    return [line["step"] for line in read_metrics(directory / "metrics.jsonl")]


def test_lines_after_the_checkpoint_are_dropped_and_written_again(tmp_path):
    assert written(tmp_path, 0, [5, 10, 15]) == [5, 10, 15]
    assert written(tmp_path, 10, [15, 20]) == [5, 10, 15, 20]
    assert written(tmp_path, 10, [15, 17]) == [5, 10, 15, 17]
    assert written(tmp_path, 5, [10]) == [5, 10]  # two checkpoints back
    assert written(tmp_path, 0, [5]) == [5]


def test_each_line_and_event_is_written_immediately(tmp_path):
    log = MetricsLog(tmp_path, 0)
    for step in (5, 10):
        log.write(step, 0, "val", {"r1": 12.5, "medr": 3.0})
        assert events(tmp_path) == [(s, tag, v) for s in range(5, step + 1, 5) for tag, v in ROW]
        assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == list(range(5, step + 1, 5))
    again = MetricsLog(tmp_path, 5)  # as after a kill
    again.write(10, 0, "val", {"r1": 12.5, "medr": 3.0})
    assert events(tmp_path) == [(s, tag, v) for s in (5, 10) for tag, v in ROW]
    again.close()
    log.close()


ROW = [("val/r1", 12.5), ("val/medr", 3.0)]


@pytest.mark.parametrize("room", [0, 10, 100, 300])
def test_a_full_disk_is_an_error_that_names_the_file_and_the_run_can_resume(tmp_path, room):
    assert written(tmp_path, 0, [5]) == [5]
    log, metrics, step = MetricsLog(tmp_path, 5), tmp_path / "metrics.jsonl", 10

    def fill_the_disk():
        nonlocal step
        while True:
            log.write(step, step // 10, "train", {"loss": 1.0 / step})
            step += 5

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (metrics.stat().st_size + room, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            fill_the_disk()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.close()
    in_metrics = raised.value.filename == str(metrics)
    assert in_metrics or raised.value.filename.startswith(f"{tmp_path}/events.out.tfevents.")
    assert [line["step"] for line in read_metrics(metrics)] == list(range(5, step + 5 * (not in_metrics), 5))
    assert written(tmp_path, 5, [10, 15]) == [5, 10, 15]


def test_a_truncated_line_is_not_read_and_does_not_affect_the_next(tmp_path):
    written(tmp_path, 0, [5, 10])
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 15, "epo')
    assert [line["step"] for line in read_metrics(path)] == [5, 10]
    assert written(tmp_path, 10, [15]) == [5, 10, 15]


def test_a_malformed_line_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        json.dumps({"step": 1, "split": "train"}) + "\n??\n" + json.dumps({"step": 2, "split": "val"}) + "\n"
    )
    with pytest.raises(UserError, match=r"metrics.jsonl, line 2: malformed"):
        read_metrics(path)


def test_a_missing_file_has_no_lines(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []
