"""Builds from `data_lmdb`, and what `check` says of one."""

import io
import json
import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from adamine_jax.input import features, pipeline
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.record_index import load_index
from adamine_jax.recipes import decoding
from tests import tiny
from tests.data_builders.recipe1m.download import Download, photo_id, recipe_id
from tests.data_builders.recipe1m.lmdb_building import NAMES, build, records_of, write_vocabulary
from tests.data_builders.recipe1m.lmdb_layout import LENGTH, Database, picture, vector
from tests.data_builders.recipe1m.planted import run


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def both_forms(folder):
    """A download as JSON layers, and the same recipes as `data_lmdb`, in two folders."""
    download, database = Download(), Database()
    classes = {}
    for number, (partition, class_id) in enumerate([("train", 0), ("train", 2), ("val", 1), ("test", 2)], start=1):
        count = number % 3 + 1
        identity = download.add(number, partition, photos=count, title=f"Crème {number}")
        download.detect(identity, ["red onion", "salt"] if number == 2 else ["olive oil", "salt", "red onion"])
        for n in range(count):
            download.photos[partition, photo_id(number * 100 + n)] = png(picture(number * 100 + n))
        ingredients = (4, 2) if number == 2 else (3, 2, 4)
        database.add(number, partition, photos=count, class_id=class_id, ingredients=ingredients)
        classes[identity] = class_id
    source = write_vocabulary(download.write(folder / "json"))
    stored = write_vocabulary(folder / "lmdb")
    shutil.copy(source / "layer1.json", stored)
    for place in (source, stored):
        (place / "classes1M.pkl").write_bytes(pickle.dumps(classes, 2) + pickle.dumps(NAMES, 2))
    return source, stored, database


@pytest.fixture(scope="module")
def json_built(tmp_path_factory):
    """The records of the JSON form, and what `data_lmdb` needs beside it."""
    folder = tmp_path_factory.mktemp("both")
    source, stored, database = both_forms(folder)
    return records_of(build(source, folder / "out")), folder / "out" / "recipe1m" / "1.0.0", stored, database


@pytest.mark.parametrize(
    ("keys", "protocol", "form", "as_folder"),
    [
        (2, 2, "list", True),
        (3, 3, "rebuild", False),
        (4, 4, "bytes", True),
        (5, 5, "rebuild_v2", False),
    ],
)
def test_the_records_are_those_of_the_json_layers(json_built, tmp_path, keys, protocol, form, as_folder):
    expected, built, beside, database = json_built
    source = shutil.copytree(beside, tmp_path / "source")
    database.write(source, keys=keys, protocol=protocol, form=form, as_folder=as_folder)
    place = build(source, tmp_path / "out")
    found = records_of(place)
    assert found.keys() == expected.keys()
    for identity, record in found.items():
        wanted = dict(expected[identity])
        assert record.pop("word_ids") == []
        assert record.pop("sentence_lengths") == [0] * len(wanted.pop("sentence_lengths"))
        del wanted["word_ids"]
        assert record == wanted
    for name in ("classes.json", "words.txt", "word_vectors.npy", "features.json"):
        assert (place / name).read_bytes() == (built / name).read_bytes()


def test_every_form_of_numbers_and_texts_is_read(json_built, tmp_path):
    expected, _, beside, _ = json_built
    database = Database()
    several = [
        {"ids": recipe_id(1).encode(), "classes": np.int64(1), "ingrs": [3, 2, 4, 1], "rlens": np.uint8(2)},
        {"ids": np.bytes_(recipe_id(2).encode()), "classes": 3.0, "ingrs": (4, 2, 1), "rlens": np.array([2])},
    ]
    several[0] |= {"numims": np.float32(2), "impos": (1, 2), "rbps": [1]}
    several[1] |= {"numims": np.int32(3), "impos": [np.int64(3), 4, 5], "rbps": np.array(3)}
    for number, fields in enumerate(several, start=1):
        database.add(number, photos=number + 1, **fields)
    images = database.of["train"]["imnames"]
    images[0], images[1] = images[0].encode(), np.str_(images[1].rpartition("/")[2])
    source = database.write(shutil.copytree(beside, tmp_path / "source"))
    found = records_of(build(source, tmp_path / "out"))
    for number in (1, 2):
        for field in ("class_id", "ingredient_ids", "images", "image_ids", "id"):
            assert found[recipe_id(number)][field] == expected[recipe_id(number)][field], field


def test_without_layer_1_and_classes_texts_are_empty_and_names_are_numbers(tmp_path):
    database = Database()
    database.add(1, class_id=2, ingredients=(3, 6, 2), sentences=3)
    database.add(2, "test", photos=5)
    database.add(3, class_id=10**12)
    source = database.write(write_vocabulary(tmp_path / "source"))
    place = build(source, tmp_path / "out", "--images-per-recipe", "2", "--resize", "24")
    record = records_of(place)[recipe_id(1)]
    assert {name: record[name] for name in ("title", "url")} == {"title": [b""], "url": [b""]}
    assert record["ingredients"] == record["instructions"] == record["word_ids"] == []
    assert record["ingredient_names"] == [b"olive oil", b"salt"]
    assert record["ingredient_ids"] == [3, 6, 2, 1]
    assert record["sentence_lengths"] == [0, 0, 0]
    assert Image.open(io.BytesIO(record["images"][0])).size == (32, 24)
    assert records_of(place)[recipe_id(2)]["image_ids"] == [photo_id(200).encode(), photo_id(201).encode()]
    assert json.loads((place / "classes.json").read_text()) == ["background", "class 1", "class 2"]
    report = json.loads((place / "report.json").read_text())
    assert report["photos"]["beyond_the_first"] == 3
    assert report["dropped"]["class without a name"]["first"] == [recipe_id(3)]
    assert report["words"]["unknown_ingredient_names"] == 1
    assert "layer1.json is missing: the recipes have neither titles nor texts" in report["notes"]
    assert "no recipe of val is kept" in report["notes"]
    assert "records in data_lmdb" in (place / "report.md").read_text()


def test_adamines_own_place_of_the_texts_is_known(tmp_path):
    download, database = Download(), Database()
    download.add(1, title="Soup")
    download.add(2, title=None, url=5)
    for number in (1, 2, 3):
        database.add(number)
    source = database.write(write_vocabulary(tmp_path / "source"))
    (source / "recipe1M").mkdir()
    (source / "recipe1M" / "layer1.json").write_text(json.dumps(download.layer1))
    place = build(source, tmp_path / "out")
    found = records_of(place)
    assert [found[recipe_id(number)]["title"] for number in (1, 2, 3)] == [[b"Soup"], [b""], [b""]]
    assert "2 recipes have no usable texts in" in (place / "report.md").read_text()


def test_two_builds_give_the_same_bytes(json_built, tmp_path):
    _, _, beside, database = json_built
    source = database.write(shutil.copytree(beside, tmp_path / "source"))
    place = build(source, tmp_path / "a", "--workers", "1")
    again = build(source, tmp_path / "b", "--workers", "3")
    for path in place.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name


def test_a_changed_database_is_another_file(tmp_path, capsys):
    database = Database()
    database.add(1)
    source = database.write(write_vocabulary(tmp_path / "source"))
    build(source, tmp_path / "out")
    build(source, tmp_path / "out")
    assert "already built" in capsys.readouterr().out
    database.of["train"]["classes"][0] = 2
    database.write(source)
    assert run("--source", source, "--out", tmp_path / "out") == 2
    assert "data_lmdb/train/classes.lmdb is another file" in capsys.readouterr().err
    shutil.rmtree(source / "data_lmdb")
    assert run("--source", source, "--out", tmp_path / "out") == 2
    assert "layer1.json is missing" in capsys.readouterr().err


def test_the_json_layers_are_read_where_both_forms_are_complete(json_built, tmp_path):
    _, _, beside, database = json_built
    download = Download()
    download.add(77)
    source = download.write(database.write(shutil.copytree(beside, tmp_path / "source")))
    place = build(source, tmp_path / "out")
    assert set(records_of(place)) == {recipe_id(77)}
    assert "data_lmdb, which also exists, was not" in (place / "report.md").read_text()
    (source / "det_ingrs.json").unlink()
    assert recipe_id(77) not in records_of(build(source, tmp_path / "other"))


def test_photos_are_encoded_as_all_others(tmp_path):
    database = Database()
    database.add(1)
    database.of["train"]["ims"][0] = grey = picture(5, (300, 200)).convert("L")
    source = database.write(write_vocabulary(tmp_path / "source"))
    (record,) = records_of(build(source, tmp_path / "out", "--resize", "100")).values()
    assert record["images"] == [decoding.reduced(png(grey), 100)[0]]


def test_training_reads_the_vectors_and_empty_sentences_as_words(tmp_path):
    database = Database()
    counts = {1: 3, 2: 0, 3: 25}
    for number, sentences in counts.items():
        database.add(number, sentences=min(sentences, 19), ingredients=(3, 2))
    source = database.write(write_vocabulary(tmp_path / "source"))
    index = load_index(open_dataset(build(source, tmp_path / "out")).shards("train"))
    assert run("vectors", "--source", source, "--out", tmp_path / "sentences.npy") == 0
    for fields in ({"data__sentence_vectors": str(tmp_path / "sentences.npy")}, {}):
        instructions = "vectors" if fields else "words"
        sizes = {"model__recipe__sentence_dim": LENGTH, "model__recipe__instructions": instructions}
        config = tiny.small_config("unused", **sizes, **fields)
        (batch,) = pipeline.evaluation_batches(
            index,
            np.arange(3),
            config,
            batch_size=3,
            rows=slice(None),
            vectors=features.open_vectors(config, index),
        )
        for row, record in enumerate(batch["record"]):
            number = int(index.ids[record], 16)
            count = min(counts[number], 19)
            assert batch["num_sentences"][row] == min(count, config.model.recipe.max_sentences)
            assert fields or not batch["words"][row].any()
            assert batch["ingredients"][row][:4].tolist() == [3, 2, 1, 0]
            if fields:
                own = [vector(number, n) for n in range(count)][: config.model.recipe.max_sentences]
                np.testing.assert_array_equal(batch["sentence_vectors"][row, : len(own)], np.reshape(own, (-1, LENGTH)))
