"""Runs whose data set, workdir and galleries are in object stores, compared with runs on a disk, and killed."""

import itertools
import logging
import re
from pathlib import Path

import fsspec
import jax
import moto.server
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from adamine_jax import embed, evaluate, figures, search
from adamine_jax.base import storage
from adamine_jax.base.errors import UserError
from adamine_jax.checkpoints.manager import Checkpoints
from adamine_jax.runs.metrics_log import read_metrics
from adamine_jax.train import train
from tests import several, tiny
from tests.faults import runs
from tests.test_checkpoints import ONE_DEVICE, assert_is, state_of


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    """Returns a function after which nothing is known of stores, as in a new process."""

    def forget() -> None:
        for name in ("_copies", "_remote"):
            monkeypatch.setattr(storage, name, {})
        monkeypatch.setattr(storage, "_seen", set())

    forget()
    MemoryFileSystem.store.clear()
    MemoryFileSystem.pseudo_dirs[:] = [""]
    return forget


@pytest.fixture(scope="module")
def on_disk(tiny_data, tmp_path_factory):
    """An undisturbed run on a disk."""
    directory = tmp_path_factory.mktemp("on_disk") / "run"
    train(config_for(tiny_data), directory)
    return directory


def config_for(data) -> object:
    config = tiny.small_config("", bag=True, checkpoint__every_steps=4)
    config.data.dir = str(data)
    return config


def upload(folder: Path, url: str) -> str:
    files, key = fsspec.core.url_to_fs(url)
    files.put(str(folder), key, recursive=True)
    return url


def names(url: str) -> list[str]:
    files, key = fsspec.core.url_to_fs(url)
    return sorted(name.removeprefix(key).strip("/") for name in files.find(key))


@pytest.fixture(scope="module")
def s3():
    """A server of S3's protocol on this machine, with an empty bucket."""
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = moto.server.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        fsspec.filesystem("s3").mkdir("bucket")
        yield "s3://bucket"
        fsspec.filesystem("s3").clear_instance_cache()
    server.stop()


@pytest.mark.parametrize("protocol", ["memory", pytest.param("s3", marks=pytest.mark.slow)])
def test_a_run_in_a_store_equals_one_on_a_disk(protocol, tiny_data, on_disk, new_process, request):
    bucket = request.getfixturevalue("s3") if protocol == "s3" else "memory://bucket"
    data = upload(tiny_data, f"{bucket}/data")
    train(config_for(data), f"{bucket}/runs/a")
    new_process()
    copy = storage.local(f"{bucket}/runs/a")
    runs.assert_same_run(copy, on_disk, tiny_data)
    stored = names(f"{bucket}/runs/a")
    assert {path.split("/")[1] for path in stored if path.startswith("checkpoints/")} == {
        path.name for path in (on_disk / "checkpoints").iterdir()
    }
    assert "gallery/test/gallery.json" in stored
    assert not any(".unfinished" in path or ".superseded" in path for path in stored)
    # The index is stored beside the shards, and the shards are not copied.
    assert ".recipe1m-train.index.npz" in {name.rsplit("/")[-1] for name in names(data)}
    assert not [path for path in copy.parents[1].rglob("*") if ".tfrecord-" in path.name and path.suffix != ".npz"]


@pytest.mark.slow
def test_two_processes_share_a_workdir_in_a_store(tiny_data, on_disk, s3, new_process, tmp_path):
    data = upload(tiny_data, f"{s3}/data")
    config = several.write_config(tmp_path / "config.py", data, checkpoint__every_steps=4)
    for kill in (("adamine_jax.checkpoints.manager:Checkpoints.save", 3, "after"), None):
        command = several.main_command(config, f"{s3}/runs/two", kill=kill)
        ended = several.finish(several.start([command] * 2))
        assert all((status == 0) == (kill is None) for status, _, _ in ended), ended
    assert "resuming from step 6 of s3://bucket/runs/two" in ended[0][1]
    lines, expected = (
        [line["loss"] for line in read_metrics(path / "metrics.jsonl") if line["split"] == "train"]
        for path in (storage.local(f"{s3}/runs/two"), on_disk)
    )
    np.testing.assert_allclose(lines, expected, rtol=1e-4)


def test_a_state_sharded_over_processes_is_refused(tiny_data, new_process, monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    with pytest.raises(UserError, match=r"config.mesh.fsdp = 2\) cannot be saved in an object store"):
        train(tiny.small_config(tiny_data, mesh__fsdp=2), "memory://bucket/run")


class Killed(BaseException):
    """Ends everything that writes to the store, as a kill would."""


def kill_before(monkeypatch, write: int) -> None:
    """Lets a write to the memory store and all that follow it fail; counts from 0."""
    counter = itertools.count()

    def failing(name):
        original = getattr(MemoryFileSystem, name)

        def call(self, *arguments, **options):
            if next(counter) >= write:
                raise Killed
            return original(self, *arguments, **options)

        monkeypatch.setattr(MemoryFileSystem, name, call)

    for name in ("put_file", "rm"):
        failing(name)


BEFORE = {1: 9.0, 2: 5.0, 3: 6.0}
"""Scores of the earlier checkpoints: the best and the last two. The next save keeps 1 and 3 and deletes 2."""


def test_a_checkpoint_is_complete_or_absent_wherever_a_kill_comes(new_process, monkeypatch):
    def opened(**options) -> Checkpoints:
        new_process()
        return Checkpoints(storage.local("memory://bucket/run"), **options)

    checkpoints = opened()
    for step, score in BEFORE.items():
        checkpoints.save(state_of(step, mesh=ONE_DEVICE), {"r1": score})
    checkpoints.close()
    before, last = dict(MemoryFileSystem.store), None
    for write in itertools.count():
        MemoryFileSystem.store.clear()
        MemoryFileSystem.store.update(before)
        with monkeypatch.context() as patch:
            kill_before(patch, write)
            checkpoints = opened()
            checkpoints.save(state_of(4, mesh=ONE_DEVICE), {"r1": 7.0})
            try:
                checkpoints.close()
                completed = True
            except Killed:
                completed = False
        read_only = opened(read_only=True)
        assert read_only.best_step() == 1
        last = read_only.latest_step()
        assert last in ((4,) if completed else (3, 4))
        checkpoints = opened()
        for step in {1, 3, last}:
            assert_is(checkpoints.restore(step, jax.eval_shape(lambda: state_of(0)), ONE_DEVICE), step)
        checkpoints.save(state_of(5, mesh=ONE_DEVICE), {"r1": 1.0})
        checkpoints.close()
        kept = {name.split("/")[0] for name in names("memory://bucket/run/checkpoints")}
        assert kept == {"1", str(last), "5"}
        if completed:
            break
    assert write > 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "write",
    [2, *(pytest.param(n, marks=pytest.mark.slow) for n in (0, 1, 3, 20, 50, 100))],
)
def test_a_killed_run_resumes_bit_for_bit(write, tiny_data, on_disk, new_process, monkeypatch):
    data = upload(tiny_data, "memory://bucket/data")
    with monkeypatch.context() as patch:
        kill_before(patch, write)
        with pytest.raises(Killed):
            train(config_for(data), "memory://bucket/run")
    new_process()
    train(config_for(data), "memory://bucket/run")
    new_process()
    runs.assert_same_run(storage.local("memory://bucket/run"), on_disk, tiny_data)


def test_commands_read_and_write_stores(tiny_data, on_disk, new_process, capsys, monkeypatch):
    run, gallery = upload(on_disk, "memory://bucket/run"), "memory://bucket/galleries/val"
    new_process()
    monkeypatch.setattr("sys.argv", ["evaluate", f"--workdir={run}", "--split=val"])
    assert evaluate.main() == 0
    assert "eval_val.json" in names(run)
    figures.main([f"--workdir={run}", "--queries=2"])
    printed = capsys.readouterr()
    assert {"figures/top5_photo_to_recipe.png", "figures/ranks.png"} <= set(names(run))
    assert "/tmp" not in printed.out + printed.err
    monkeypatch.setattr("sys.argv", ["embed", f"--workdir={run}", "--split=val", f"--out={gallery}"])
    assert embed.main() == 0
    assert gallery in capsys.readouterr().out
    new_process()
    photo = next(path for path in names(gallery) if path.startswith("photos/"))
    local = storage.local(f"{gallery}/{photo}")
    arguments = ["search", f"--workdir={run}", f"--gallery={gallery}", f"--image={local}", "--top=3"]
    monkeypatch.setattr("sys.argv", arguments)
    assert search.main() == 0
    assert gallery in capsys.readouterr().out


@pytest.mark.slow
def test_files_given_in_the_configuration(tiny_data, tmp_path, new_process):
    (tmp_path / "given").mkdir()
    features = tiny.write_image_features(tiny_data, tmp_path / "given" / "features.npy")
    upload(features.parent, "memory://bucket/given")
    results = []
    for number, source in enumerate((features, "memory://bucket/given/features.npy")):
        config = tiny.small_config(tiny_data, epochs=1, data__image_features=str(source))
        results.append(train(config, tmp_path / str(number)))
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("memory://bucket/absent", "no such folder"),
        ("nosuch://bucket/data", "cannot be read (ValueError: Protocol not known: nosuch"),
    ],
)
def test_bad_locations_are_one_line(location, message, new_process):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        train(config_for(location), "memory://bucket/run")
    assert "\n" not in str(caught.value)
