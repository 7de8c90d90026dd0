"""Apache Beam writes the same collection as a build without it."""

import pickle
from pathlib import Path

import pytest

pytest.importorskip("apache_beam", reason="takes pip install '.[beam]'")

import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions

from adamine_jax.base.errors import UserError
from data_builders.recipe1m import cluster
from data_builders.recipe1m.cluster import Cluster
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.passes.photo_pass import LoadPhotos
from data_builders.recipe1m.passes.text_pass import Dropped
from data_builders.recipe1m.recipe1m_dataset_builder import Builder
from tests.data_builders.recipe1m.collection import read_records
from tests.data_builders.recipe1m.lmdb_building import write_vocabulary
from tests.data_builders.recipe1m.lmdb_layout import Database
from tests.data_builders.recipe1m.messy import messy
from tests.data_builders.recipe1m.planted import FEW_WORDS, planted, run
from tests.data_builders.recipe1m.test_recipe1m_plus import as_plus

THREADS = "--runner=FnApiRunner --direct_num_workers=2 --direct_running_mode=multi_threading"
PROCESSES = "--runner=FnApiRunner --direct_num_workers=2 --direct_running_mode=multi_processing"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(cluster, "BATCH", 7)


def files(source, out, *flags):
    """Builds a collection and returns the content of its files."""
    assert run("--source", source, "--out", out, "--class-min-train", "0", *FEW_WORDS, *flags) == 0
    assert [path.name for path in out.iterdir()] == ["recipe1m"]
    return {path.name: path.read_bytes() for path in (out / "recipe1m" / "1.0.0").iterdir()}


def assert_the_same(source, tmp_path, beam, *flags):
    plain = files(source, tmp_path / "plain", *flags)
    made = files(source, tmp_path / "beam", f"--beam-options={beam}", *flags)
    assert sorted(made) == sorted(plain)
    for name in plain:
        assert made[name] == plain[name], name


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--without-photos",)])
def test_two_workers_write_the_same_files(tmp_path, flags):
    assert_the_same(messy().write(tmp_path / "download"), tmp_path, PROCESSES, *flags)


def test_two_threads_write_the_same_files(tmp_path):
    assert_the_same(messy().write(tmp_path / "download"), tmp_path, THREADS, "--without-photos")


def test_records_that_are_no_recipes_and_the_layout_of_recipe1m_plus_make_no_difference(tmp_path):
    source = as_plus(planted().write(tmp_path / "download"))
    assert_the_same(source, tmp_path, THREADS, "--limit", "13", "--images-per-recipe", "2", "--resize", "24")


def test_several_shards_contain_the_same_records_in_the_same_order(tmp_path):
    source = messy().write(tmp_path / "download")
    options = Options(word_min_count=1, word_dim=8, word_epochs=1)
    folders = []
    for name, beam in (("plain", None), ("beam", PipelineOptions(THREADS.split()))):
        config = tfds.download.DownloadConfig(manual_dir=source, num_shards=4, beam_options=beam)
        builder = Builder(data_dir=tmp_path / name, options=options)
        builder.download_and_prepare(download_config=config)
        folders.append(Path(builder.data_dir))
    for split in ("train", "val", "test"):
        assert len(list(folders[1].glob(f"recipe1m-{split}.tfrecord-*"))) > 1
        assert read_records(folders[0], split) == read_records(folders[1], split)


def test_a_batch_that_is_done_twice_keeps_its_first_result(tmp_path):
    source = planted().write(tmp_path / "download")
    outcomes = [Dropped("00000000aa", "", "train", "why")]
    folder = tmp_path / "batch"
    folder.mkdir()
    (folder / "recipes.pickle").write_bytes(pickle.dumps(outcomes))
    (folder / "killed").mkdir()
    task = cluster._LoadBatch(LoadPhotos(256), source / "images", without_photos=False)
    task(str(folder))
    first = (folder / "done" / "photos.pickle").stat().st_mtime_ns
    task(str(folder))
    assert (folder / "done" / "photos.pickle").stat().st_mtime_ns == first
    assert sorted(path.name for path in folder.iterdir()) == ["done", "killed", "recipes.pickle"]


def test_a_worker_without_the_photos_stops_the_build(tmp_path):
    outcomes = iter([Dropped("00000000aa", "", "train", "why")])
    beam = Cluster(tmp_path / "batches", options=PipelineOptions(["--runner=FnApiRunner"]))
    with (
        pytest.raises(
            UserError, match=r"^the Beam pipeline failed: .*: /nowhere is missing; all workers must mount it$"
        ),
        cluster.failures(),
    ):
        list(beam.load(LoadPhotos(256), Path("/nowhere"), outcomes, without_photos=False))


def test_a_build_that_fails_leaves_nothing(tmp_path, monkeypatch, capsys):
    source = planted().write(tmp_path / "download")
    monkeypatch.setattr(cluster, "_read_batch", _fails)
    flags = ("--source", source, "--out", tmp_path / "out", *FEW_WORDS, "--beam-options=--runner=FnApiRunner")
    assert run(*flags) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: the Beam pipeline failed: in the middle"
    assert list((tmp_path / "out").iterdir()) == []


def _fails(part, split):
    raise RuntimeError("in the middle")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("", "names no runner"),
        ("--runer=FlinkRunner", "names no runner"),
        ("--runner=FlunkRunner", "Unexpected pipeline runner: FlunkRunner"),
        ("--runner=FnApiRunner --direct_num_workers=two", "invalid int value: 'two'"),
        ("--runner='FnApiRunner", "No closing quotation"),
    ],
)
def test_options_that_beam_does_not_have_are_refused(tmp_path, capsys, flags, message):
    source = planted().write(tmp_path / "download")
    assert run("--source", source, "--out", tmp_path / "out", f"--beam-options={flags}") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --beam-options: ")
    assert message in line
    assert not (tmp_path / "out").exists()


def test_data_lmdb_is_refused(tmp_path, capsys):
    database = Database()
    database.add(1)
    database.write(tmp_path)
    write_vocabulary(tmp_path)
    assert run("--source", tmp_path, "--out", tmp_path / "out", "--beam-options=--runner=FnApiRunner") == 2
    assert "data_lmdb is converted on one machine" in capsys.readouterr().err


def test_check_does_without(tmp_path, capsys):
    assert run("check", "--source", planted().write(tmp_path), "--beam-options=--runner=FnApiRunner") == 2
    assert "remove --beam-options" in capsys.readouterr().err
