"""No line is lost, doubled or read when it is cut in half."""

import json

import pytest

from adamine_jax.errors import UserError
from adamine_jax.metrics_log import MetricsLog, read_metrics


def written(directory, step, lines):
    log = MetricsLog(directory, step)
    for line in lines:
        log.write(line, line // 10, "train", {"loss": 1.0 / line})
    log.close()
    return [line["step"] for line in read_metrics(directory / "metrics.jsonl")]


def test_lines_after_the_checkpoint_are_dropped_and_written_again(tmp_path):
    assert written(tmp_path, 0, [5, 10, 15]) == [5, 10, 15]
    assert written(tmp_path, 10, [15, 20]) == [5, 10, 15, 20]
    assert written(tmp_path, 0, [5]) == [5]


def test_a_line_cut_in_half_is_not_read_and_does_not_spoil_the_next(tmp_path):
    written(tmp_path, 0, [5, 10])
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 15, "epo')
    assert [line["step"] for line in read_metrics(path)] == [5, 10]
    assert written(tmp_path, 10, [15]) == [5, 10, 15]


def test_damage_in_the_middle_is_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        json.dumps({"step": 1, "split": "train"}) + "\n??\n" + json.dumps({"step": 2, "split": "val"}) + "\n"
    )
    with pytest.raises(UserError, match=r"metrics.jsonl, line 2: not a line of metrics"):
        read_metrics(path)


def test_no_file_is_no_lines(tmp_path):
    assert read_metrics(tmp_path / "metrics.jsonl") == []
