"""Vectors of other encoders: each photo and sentence gets its own row, and unsuitable files are rejected."""

import numpy as np
import pytest
import safetensors.numpy

from adamine_jax.base.errors import UserError
from adamine_jax.config import set_tower
from adamine_jax.input import features, pipeline
from adamine_jax.input.plan import epoch_plan
from tests import tiny
from tests.input.batches import train_batches

FEATURES, SENTENCE_DIM = 5, 3


@pytest.fixture
def files(index, tmp_path):
    """Rows by photo id and the file with the matrix: all photos, shuffled, ids without `.jpg`, and two unused rows."""
    rng = np.random.default_rng(0)
    ids = [photo.decode().removesuffix(".jpg") for photo in index.photo_ids] + ["unused", "rows"]
    ids = [ids[place] for place in rng.permutation(len(ids))]
    values = rng.standard_normal((len(ids), FEATURES)).astype(np.float16)
    np.save(tmp_path / "photos.npy", values)
    (tmp_path / "photos.txt").write_text("\n".join(ids) + "\n")
    return dict(zip(ids, values.astype(np.float32), strict=True)), tmp_path / "photos.npy"


def config(**fields):
    settings = tiny.small_config("unused", model__recipe__sentence_dim=SENTENCE_DIM, **fields)
    if "data__image_features" in fields:
        set_tower(settings, "image", "features")
        settings.model.image.feature_dim = FEATURES
    if "data__sentence_vectors" in fields:
        settings.model.recipe.instructions = "vectors"
    return settings


def first_photos(index, records):
    return [index.photo_ids[index.first_photo[record]].decode().removesuffix(".jpg") for record in records]


def test_evaluation_reads_the_row_of_the_first_photo(index, files):
    by_id, path = files
    settings = config(data__image_features=str(path))
    vectors = features.open_vectors(settings, index)
    (batch,) = pipeline.evaluation_batches(
        index, np.arange(8), settings, batch_size=8, rows=slice(None), vectors=vectors
    )
    assert batch["image"].dtype == np.float32
    np.testing.assert_array_equal(batch["image"], [by_id[photo] for photo in first_photos(index, range(8))])


def test_training_reads_the_rows_of_all_photos_of_a_recipe(index, files):
    by_id, path = files
    settings = config(data__image_features=str(path))
    plan = np.concatenate([epoch_plan(index.class_id, 0, epoch, 8) for epoch in range(6)])
    batches = train_batches(index, plan, settings, vectors=features.open_vectors(settings, index))
    seen = {}
    for batch in batches:
        for record, row in zip(batch["record"], batch["image"], strict=True):
            seen.setdefault(record, set()).add(row.tobytes())
    all_rows = {
        record: {
            by_id[photo.decode().removesuffix(".jpg")].tobytes()
            for photo in index.photo_ids[index.first_photo[record] : index.first_photo[record + 1]]
        }
        for record in seen
    }
    assert all(seen[record] <= all_rows[record] for record in seen)
    assert sum(map(len, seen.values())) > 1.4 * len(seen)  # not only the first photos


def test_sentence_vectors_follow_the_order_of_the_recipes(index, tmp_path):
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 5, len(index))
    order = rng.permutation(len(index))
    ids = [index.ids[record].decode() for record in order for _ in range(counts[record])]
    values = rng.standard_normal((len(ids), SENTENCE_DIM)).astype(np.float32)
    safetensors.numpy.save_file({"anything": values}, tmp_path / "sentences.safetensors")
    (tmp_path / "sentences.txt").write_text("\n".join(ids))
    settings = config(data__sentence_vectors=str(tmp_path / "sentences.safetensors"), model__recipe__max_sentences=3)
    vectors = features.open_vectors(settings, index)
    batches = pipeline.evaluation_batches(
        index, np.arange(len(index)), settings, batch_size=8, rows=slice(None), vectors=vectors
    )
    for batch in batches:
        for row, record in enumerate(batch["record"]):
            own = values[np.array(ids) == index.ids[record].decode()][:3]
            assert batch["num_sentences"][row] == len(own)
            np.testing.assert_array_equal(batch["sentence_vectors"][row, : len(own)], own)
            np.testing.assert_array_equal(batch["sentence_vectors"][row, len(own) :], 0)


def write(path, values, ids):
    np.save(path, values)
    path.with_suffix(".txt").write_text("\n".join(ids))
    return str(path)


def test_unsuitable_files_are_one_line_errors(index, files, tmp_path):
    _, path = files
    ids = path.with_suffix(".txt").read_text().split()
    values = np.load(path)

    def assert_rejected(match, file, field="image_features"):
        with pytest.raises(UserError, match=match) as error:
            features.open_vectors(config(**{f"data__{field}": str(file)}), index)
        assert "\n" not in str(error.value)

    assert_rejected("must be a .npy or .safetensors file", tmp_path / "x.csv")
    assert_rejected("nothing.npy is missing", tmp_path / "nothing.npy")
    alone = tmp_path / "alone.npy"
    np.save(alone, values)
    assert_rejected("alone.txt is missing", alone)
    assert_rejected("ids for the", write(tmp_path / "short.npy", values, ids[1:]))
    assert_rejected("must be a floating-point matrix", write(tmp_path / "whole.npy", values.astype(int), ids))
    assert_rejected("occurs twice", write(tmp_path / "twice.npy", values, [ids[1], *ids[1:]]))
    kept = np.array(ids) != index.photo_ids[0].decode().removesuffix(".jpg")
    assert_rejected(
        f"no row for 1 of {len(index.photo_ids)} photos .*of recipe {index.ids[0].decode()}",
        write(tmp_path / "gone.npy", values[kept], np.array(ids)[kept]),
    )
    broken = tmp_path / "broken.npy"
    broken.write_bytes(path.read_bytes()[:90])
    broken.with_suffix(".txt").write_text("\n".join(ids))
    assert_rejected("cannot be read", broken)
    assert_rejected(
        "none of the 48 recipes",
        write(tmp_path / "foreign.npy", values[:, :SENTENCE_DIM], [f"x{name}" for name in ids]),
        "sentence_vectors",
    )


def test_a_row_that_is_not_finite_is_reported(index, files, tmp_path):
    _, path = files
    values = np.load(path)
    values[:] = np.nan
    np.save(path, values)
    vectors = features.open_vectors(config(data__image_features=str(path)), index)
    with pytest.raises(UserError, match=r"row \d+ .* not finite"):
        vectors.photos(np.arange(3), np.zeros(3))
