"""The tiny run as a configuration file: `--config tests/faults/tiny_run.py --config.data.dir=…`."""

from tests import tiny

FIELDS = {"bag": True, "epochs": 2, "checkpoint__every_steps": 4}
"""Two epochs of six steps, with a checkpoint in the middle of each."""


def get_config():
    return tiny.small_config("", **FIELDS)
