"""Output of builds, and reports of `check`."""

import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from data_builders.recipe1m.options import Options
from tests.data_builders.recipe1m.collection import read_records
from tests.data_builders.recipe1m.download import Download, photo_id, recipe_id
from tests.data_builders.recipe1m.planted import FEW_WORDS, planted, run

KEPT = {"train": [1, 2, 3, 4, 12], "val": [5], "test": [6]}
DROPPED = {
    7: "20 instructions",
    8: "20 ingredient ids",
    9: "no photo listed",
    10: "none of its",
    11: "listed in remove1M",
}


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


def test_a_record_contains_texts_ids_and_photos(built):
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


def test_the_folder_contains_the_files_of_the_records(built):
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
        *("report.png", "report.svg", "contact_sheet.jpg", "dataset_info.json", "features.json"),
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
    assert f"no photo listed in layer 2: {recipe_id(2)}" in printed
    assert "note: a conversion would fail: too few words (0) occur 10 times or more" in printed


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


def test_names_that_the_vocabulary_lacks_can_be_read_as_their_words(tmp_path):
    download = Download()
    for number, partition in enumerate(["train"] * 4 + ["val", "test"], start=1):
        download.add(number, partition, instructions=[{"text": "Shake the thing well."}])
        download.detect(recipe_id(number), ["lime juice", f"{number}th fresh lime"])
    # 12 names that appear once, of 24 words that appear twice: as words they are more than the filter lets pass.
    download.detect(recipe_id(1), [f"w{2 * n} w{2 * n + 1}" for n in range(12)])
    download.detect(recipe_id(2), [f"w{2 * n + 1} w{(2 * n + 2) % 24}" for n in range(12)])
    source = download.write(tmp_path / "source")
    ids = {}
    for choice in ("drop", "words"):
        out = tmp_path / choice
        flags = ("--word-min-count", "2", "--word-dim", "8", "--word-epochs", "1", "--unknown-ingredients", choice)
        assert run("--source", source, "--out", out, *flags) == 0
        folder = out / "recipe1m" / "1.0.0"
        words = ["", "</i>", *(folder / "words.txt").read_text().split("\n")[:-1]]
        records = read_records(folder, "train")
        assert len(records) == 4
        ids[choice] = {record["id"][0].decode(): [words[i] for i in record["ingredient_ids"]] for record in records}
    assert ids["drop"][recipe_id(3)] == ["lime_juice", "</i>"]
    assert ids["words"][recipe_id(3)] == ["lime_juice", "fresh", "lime", "</i>"]
    assert ids["drop"][recipe_id(1)] == ["</i>"]
    assert ids["words"][recipe_id(1)] == [*(f"w{n}" for n in range(24)), "</i>"]
