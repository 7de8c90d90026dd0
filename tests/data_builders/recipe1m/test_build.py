import fcntl
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_builders.recipe1m.__main__ import main
from data_builders.recipe1m.conversion import Conversion
from data_builders.recipe1m.options import Options
from tests.data_builders.recipe1m.collection import read_records
from tests.data_builders.recipe1m.download import Download, photo_id, recipe_id

# Small word vectors, so that a build takes no time.
FEW_WORDS = ("--word-min-count", "1", "--word-dim", "8", "--word-epochs", "1")
KEPT = {"train": [1, 2, 3, 4, 12], "val": [5], "test": [6]}
DROPPED = {
    7: "20 instructions",
    8: "20 ingredient ids",
    9: "no photo listed",
    10: "none of its",
    11: "listed in remove1M",
}


def planted() -> Download:
    """Recipes on the right and on the wrong side of each rule."""
    download = Download()
    download.add(1, title="Apple pie", photos=3)
    download.add(2, title="Apple pie again", instructions=[{"text": "Stir."}] * 19)
    download.add(3, title="Plain 'pie'")
    download.add(4, photos=7)
    download.add(5, "val", title="My apple pie")
    download.add(6, "test", title="Apple pies", instructions=[])
    download.add(7, instructions=[{"text": "Stir."}] * 20)
    download.add(8)
    download.add(9, photos=0)
    download.add(10, photos=2)
    download.add(11)
    download.add(12, title="  crème \t brûlée ☕ ")
    many = [f"thing {n}" for n in range(19)]
    download.detect(recipe_id(4), [*many[:18], many[0]])  # 18 ingredients and the end mark: kept
    download.detect(recipe_id(8), many)
    download.detect(recipe_id(12), [])
    download.removed = [recipe_id(12), recipe_id(11)]
    download.photos["train", photo_id(1000)] = b"<html>"
    del download.photos["train", photo_id(1001)]
    download.photos["train", photo_id(101)] = download.photos["train", photo_id(101)][:200]
    download.layer1.append(download.layer1[0] | {"title": "again"})
    download.layer1.append({"id": "../../etc/", "title": "escape"})
    return download


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return planted().write(tmp_path_factory.mktemp("download"))


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def built(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert run("--source", source, "--out", out, "--class-min-train", "1", *FEW_WORDS) == 0
    return out / "recipe1m" / "1.0.0"


def test_the_rules_keep_what_they_keep_and_name_the_rest(built):
    for partition, numbers in KEPT.items():
        ids = {record["id"][0].decode() for record in read_records(built, partition)}
        assert ids == {recipe_id(number) for number in numbers}
    rows = [line.split("\t") for line in (built / "dropped.tsv").read_text().splitlines()]
    reasons = {row[2]: row[3] for row in rows if row[0] == "recipe"}
    for number, reason in DROPPED.items():
        assert reasons[recipe_id(number)].startswith(reason)
    report = json.loads((built / "report.json").read_text())
    assert report["records"]["all"] == 14
    assert report["kept"] == {"all": 7, "train": 5, "val": 1, "test": 1}
    assert report["kept"]["all"] + sum(group["count"] for group in report["dropped"].values()) == 14
    assert report["dropped"]["id appears a second time"]["count"] == 1
    assert report["dropped"]["id is not 10 hex digits"]["unknown"] == 1
    assert report["photos"]["problems"]["missing"]["count"] == 1
    assert report["photos"]["problems"]["unreadable"]["count"] == 2
    assert report["photos"]["beyond_the_first"] == 2


def test_a_record_holds_texts_ids_and_photos(built):
    records = {record["id"][0].decode(): record for kept in KEPT for record in read_records(built, kept)}
    words = (built / "words.txt").read_text(encoding="utf-8").split("\n")[:-1]
    ids = {word: row + 2 for row, word in enumerate(words)}
    record = records[recipe_id(1)]
    assert record["title"] == [b"Apple pie"]
    assert record["url"] == [b"https://example.org/1"]
    assert record["ingredients"] == [b"some olive oil", b"some salt", b"some red onion"]
    assert record["instructions"] == [b"Heat the olive oil.", b"Fry the red onion, add salt!"]
    assert record["ingredient_names"] == [b"olive oil", b"salt", b"red onion"]
    assert record["ingredient_ids"] == [ids["olive_oil"], ids["salt"], ids["red_onion"], 1]
    sentences = [words[word_id - 2] for word_id in record["word_ids"]]
    assert " ".join(sentences) == "Heat the olive_oil . Fry the red_onion , add salt !"
    assert record["sentence_lengths"] == [4, 7]
    assert record["image_ids"] == [photo_id(100).encode(), photo_id(102).encode()]
    assert len(records[recipe_id(4)]["images"]) == 5
    assert len(records[recipe_id(4)]["ingredient_ids"]) == 19
    for record in records.values():
        assert len(record["images"]) == len(record["image_ids"])
        for data in record["images"]:
            assert Image.open(io.BytesIO(data)).size == (64, 48)
        assert sum(record["sentence_lengths"]) == len(record["word_ids"])
    assert records[recipe_id(12)]["title"] == ["  crème \t brûlée ☕ ".encode()]
    assert records[recipe_id(12)]["ingredient_ids"] == [1]
    assert (records[recipe_id(6)]["word_ids"], records[recipe_id(6)]["sentence_lengths"]) == ([], [])


def test_classes_are_those_of_the_titles(built):
    assert json.loads((built / "classes.json").read_text()) == ["background", "apple pie"]
    classed = {r["id"][0].decode() for kept in KEPT for r in read_records(built, kept) if r["class_id"] == [1]}
    assert classed == {recipe_id(number) for number in (1, 2, 5, 6)}


def test_the_folder_holds_what_belongs_to_the_records(built):
    metadata = json.loads((built / "metadata.json").read_text())
    words = (built / "words.txt").read_text(encoding="utf-8").split("\n")[:-1]
    vectors = np.load(built / "word_vectors.npy")
    assert vectors.shape == (metadata["words"], 8) == (len(words), 8)
    assert vectors.dtype == np.float32
    assert metadata["num_classes"] == 2
    assert metadata["options"]["class_min_train"] == 1
    assert {path.name for path in built.iterdir()} == {
        *(f"recipe1m-{kept}.tfrecord-00000-of-00001" for kept in KEPT),
        *("words.txt", "word_vectors.npy", "classes.json", "metadata.json", "report.md", "report.json", "dropped.tsv"),
        *("dataset_info.json", "features.json"),
    }


def test_tfds_reads_it(built):
    import tensorflow_datasets as tfds

    dataset = tfds.builder_from_directory(built).as_dataset(split="train")
    numbers = {example["id"].numpy().decode(): len(example["images"]) for example in dataset}
    assert numbers == {recipe_id(1): 2, recipe_id(2): 1, recipe_id(3): 1, recipe_id(4): 5, recipe_id(12): 1}


def test_the_builder_of_tfds_gives_the_same_records(source, tmp_path):
    import tensorflow_datasets as tfds

    from data_builders.recipe1m.recipe1m_dataset_builder import Builder

    assert run("--source", source, "--out", tmp_path / "command", *FEW_WORDS) == 0
    options = Options(word_min_count=1, word_dim=8, word_epochs=1)
    builder = Builder(data_dir=tmp_path / "tfds", options=options)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=source))
    for path in (tmp_path / "command" / "recipe1m" / "1.0.0").iterdir():
        assert path.read_bytes() == (tmp_path / "tfds" / "recipe1m" / "1.0.0" / path.name).read_bytes(), path.name


def test_two_builds_give_the_same_bytes(source, built, tmp_path):
    # In another process, where hashes and addresses differ.
    command = [sys.executable, "-m", "data_builders.recipe1m", "--source", source, "--out", tmp_path]
    command += ["--class-min-train", "1", "--workers", "1", *FEW_WORDS]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[3], capture_output=True)
    again = tmp_path / "recipe1m" / "1.0.0"
    for path in built.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_built_again_it_is_left_alone(source, built, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in built.iterdir()}
    assert run("--source", source, "--out", built.parents[1], "--class-min-train", "1", *FEW_WORDS) == 0
    assert capsys.readouterr().out == f"{built}: already built\n"
    assert {path.name: path.stat().st_mtime_ns for path in built.iterdir()} == before


def test_another_collection_is_replaced_only_when_told(source, built, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(built.parents[1], out)
    same = ("--source", source, "--out", out, *FEW_WORDS)
    assert run(*same, "--class-min-train", "2") == 2
    error = capsys.readouterr().err
    assert "class_min_train was 1, is now 2" in error
    assert "--overwrite" in error
    assert len(error.splitlines()) == 1
    changed = planted()
    changed.layer1[0]["title"] = "Pear pie"
    assert run("--source", changed.write(tmp_path / "changed"), *same[2:], "--class-min-train", "1") == 2
    assert "layer1.json is another file" in capsys.readouterr().err
    assert run(*same, "--class-min-train", "2", "--overwrite", "--resize", "24") == 0
    place = out / "recipe1m" / "1.0.0"
    assert json.loads((place / "metadata.json").read_text())["options"]["resize"] == 24
    assert Image.open(io.BytesIO(read_records(place, "val")[0]["images"][0])).size == (32, 24)
    assert [path.name for path in out.iterdir()] == ["recipe1m"]


def test_a_folder_of_someone_else_is_not_touched(source, tmp_path, capsys):
    (tmp_path / "recipe1m" / "1.0.0").mkdir(parents=True)
    assert run("--source", source, "--out", tmp_path) == 2
    assert "is no collection of this command" in capsys.readouterr().err


def test_a_build_that_fails_leaves_what_was_there(source, built, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(built.parents[1], out)
    before = (out / "recipe1m" / "1.0.0" / "dataset_info.json").read_bytes()
    examples = Conversion.examples

    def fails(self, partition):
        for number, example in enumerate(examples(self, partition)):
            if number == 2:
                raise RuntimeError("in the middle")
            yield example

    monkeypatch.setattr(Conversion, "examples", fails)
    with pytest.raises(RuntimeError, match="in the middle"):
        run("--source", source, "--out", out, "--overwrite", *FEW_WORDS)
    assert [path.name for path in out.iterdir()] == ["recipe1m"]
    assert (out / "recipe1m" / "1.0.0" / "dataset_info.json").read_bytes() == before


def test_a_killed_build_is_not_taken_for_a_collection(tmp_path, source):
    out = tmp_path / "out"
    # Stops in the middle of the photos, and waits there to be killed.
    program = (
        "import sys, threading\n"
        "from data_builders.recipe1m import photos\n"
        "from data_builders.recipe1m.__main__ import main\n"
        "load, calls = photos.load_photo, []\n"
        "def slow(*args):\n"
        "    calls.append(args)\n"
        "    if len(calls) == 6:\n"
        "        print('half way', file=sys.__stdout__, flush=True)\n"
        "        threading.Event().wait()\n"
        "    return load(*args)\n"
        "photos.load_photo = slow\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ["--source", source, "--out", out, "--workers", "1", *FEW_WORDS]
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout.readline() == b"half way\n"
        process.send_signal(signal.SIGKILL)
    assert not (out / "recipe1m").exists()
    assert (out / ".recipe1m.incomplete").is_dir()
    assert run(*arguments) == 0
    assert [path.name for path in out.iterdir()] == ["recipe1m"]


def test_two_builds_in_one_place_do_not_meet(source, tmp_path, capsys):
    workplace = tmp_path / ".recipe1m.incomplete"
    workplace.mkdir()
    handle = os.open(workplace, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert run("--source", source, "--out", tmp_path, *FEW_WORDS) == 2
    assert "another build is writing" in capsys.readouterr().err
    os.close(handle)


def test_check_reports_and_writes_nothing(source, built, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("check", "--source", source, "--class-min-train", "1", *FEW_WORDS) == 0
    printed = capsys.readouterr().out
    assert "kept" in printed
    report = json.loads((built / "report.json").read_text())
    for reason, group in report["dropped"].items():
        assert f"{reason}: {group['first'][0]}" in printed
    assert not list(tmp_path.iterdir())


def test_check_reports_on_a_collection_too_small_to_be_converted(tmp_path, capsys):
    download = Download()
    download.add(1)
    download.add(2, photos=0)
    source = download.write(tmp_path / "source")
    assert run("check", "--source", source) == 0
    printed = capsys.readouterr().out
    assert f"no photo listed in layer2.json: {recipe_id(2)}" in printed
    assert "note: it cannot be converted like this: too few words (0) appear 10 times or more" in printed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "there is no such folder"),
        (lambda folder: (folder / "layer2.json").unlink(), "layer2.json is missing"),
        (lambda folder: (folder / "layer1.json").write_text('[{"id": "a", '), "broken JSON at byte 13"),
        (lambda folder: shutil.rmtree(folder / "images"), "no photo can be read"),
        (lambda folder: (folder / "layer2.json").write_text("[]"), "no recipe of"),
        (lambda folder: (folder / "vocab.bin").write_text("no"), "vocab.bin: a word2vec file starts"),
    ],
)
def test_a_download_that_cannot_be_used_is_one_line(tmp_path, capsys, change, message):
    folder = planted().write(tmp_path / "download")
    change(folder)
    assert run("--source", folder, "--out", tmp_path / "out", *FEW_WORDS) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out" / "recipe1m").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--word-min-count", "1000"), "a small collection needs a smaller --word-min-count"),
        (("--resize", "0"), "resize is 0"),
        (("--images-per-recipe", "0"), "images_per_recipe is 0"),
        (("--workers", "0"), "--workers is 0"),
        (("--vocab", "absent.bin"), "there is no such file"),
    ],
)
def test_options_that_make_no_sense_are_one_line(source, tmp_path, capsys, flags, message):
    assert run("--source", source, "--out", tmp_path / "out", *FEW_WORDS, *flags) == 2
    assert message in capsys.readouterr().err
    assert run("--source", source) == 2
    assert "--out is missing" in capsys.readouterr().err


def test_a_given_vocabulary_is_used(tmp_path):
    folder = planted().write(tmp_path / "download")
    rows = [(b"salt", (3.0, 4.0)), (b"the", (0.0, 2.0))]
    data = b"".join(word + b" " + np.array(row, "<f4").tobytes() for word, row in rows)
    (folder / "vocab.bin").write_bytes(b"2 2\n" + data)
    assert run("--source", folder, "--out", tmp_path / "out") == 0
    place = tmp_path / "out" / "recipe1m" / "1.0.0"
    assert (place / "words.txt").read_text() == "salt\nthe\n"
    np.testing.assert_allclose(np.load(place / "word_vectors.npy"), [[0.6, 0.8], [0, 1]], rtol=1e-6)
    records = {record["id"][0].decode(): record for record in read_records(place, "train")}
    assert records[recipe_id(1)]["ingredient_ids"] == [2, 1]
    assert records[recipe_id(1)]["word_ids"] == [4, 3, 4, 4, 4, 3, 4, 4, 4, 2, 4]
    # Its 19 things are unknown now, so this recipe is short enough.
    assert recipe_id(8) in records


def test_given_classes_are_used(tmp_path):
    folder = planted().write(tmp_path / "download")
    classes = {recipe_id(1): 2, recipe_id(5): 1, recipe_id(11): 1}
    names = {0: "background", 1: "cake", 2: "pie"}
    (folder / "classes1M.pkl").write_bytes(pickle.dumps(classes, 2) + pickle.dumps(names, 2))
    assert run("--source", folder, "--out", tmp_path / "out", *FEW_WORDS) == 0
    place = tmp_path / "out" / "recipe1m" / "1.0.0"
    assert json.loads((place / "classes.json").read_text()) == ["background", "cake", "pie"]
    found = {r["id"][0].decode(): r["class_id"][0] for kept in KEPT for r in read_records(place, kept)}
    assert {identity for identity, class_id in found.items() if class_id} == {recipe_id(1), recipe_id(5)}
    assert (found[recipe_id(1)], found[recipe_id(5)]) == (2, 1)
