"""Setup of all tests: one process with eight devices, a compilation cache, and a tiny data set."""

import collections
import os
import sqlite3  # noqa: F401 – before TensorFlow, whose own SQLite would take its place and lacks full-text search

from tests import xla

# Must be set before JAX and TensorFlow are imported. Tests use one device or all eight.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["XLA_FLAGS"] = xla.flags(8)

from pathlib import Path

import jax
import pytest

from tests import tiny

jax.config.update("jax_compilation_cache_dir", str(Path(__file__).parents[1] / ".jax_cache"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(scope="session", autouse=True)
def without_figures():
    """Keeps `train` from drawing figures, which takes half of the time of a tiny run. Subprocesses still draw them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("adamine_jax.train.run_figures", lambda directory: None)
        yield


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory):
    """The `--out` folder of a tiny converted data set: 48 train, 12 val and 12 test recipes, four classes."""
    return tiny.write_dataset(tmp_path_factory.mktemp("tiny") / "data")


@pytest.fixture(scope="session")
def kitchen(tmp_path_factory):
    """A folder with a small collection, its conversion and an untrained run; see `small_collection.write`."""
    from tests import small_collection

    return small_collection.write(tmp_path_factory.mktemp("kitchen"))


@pytest.fixture(scope="session")
def model(kitchen):
    """The untrained model of `kitchen`."""
    import adamine_jax

    return adamine_jax.load(kitchen / "run", batch_sizes=(8,))


@pytest.fixture(scope="session")
def database():
    """The URL of a database with pgvector, of which tests use schemas of their own."""
    from tests import databases

    with databases.postgresql() as url:
        yield url


def pytest_addoption(parser):
    parser.addoption("--group-durations", action="store_true", help="print the time of each folder and top-level file")


def pytest_terminal_summary(terminalreporter, config):
    if not config.getoption("--group-durations"):
        return
    seconds, tests = collections.Counter(), collections.Counter()
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        if isinstance(report, pytest.TestReport):
            group = "/".join(report.nodeid.partition("::")[0].split("/")[:2])
            seconds[group] += report.duration
            tests[group] += report.when == "call"
    terminalreporter.section("time of each group, all workers together")
    for group, total in seconds.most_common():
        terminalreporter.write_line(f"{total:8.1f} s {tests[group]:5} tests  {group}")
