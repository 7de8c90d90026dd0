"""Training batches of damaged shards against those of whole ones whose plan was changed by hand."""

import itertools
import shutil

import numpy as np
import pytest
import tensorflow as tf

from adamine_jax.base.errors import UserError
from adamine_jax.input import features, pipeline
from adamine_jax.input.damage import Damage
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.plan import epoch_plan
from adamine_jax.input.records import load_index
from adamine_jax.input.substitutes import candidates, substitute
from adamine_jax.models import registry
from tests import damaging, tiny
from tests.input.test_pipeline import examples_of

FIELDS = registry.recipe_fields(
    tiny.small_config("unused", model__recipe__max_sentences=3, model__recipe__max_words=5).model
)
PAYLOADS, PHOTOS = (1, 4, 6, 29), (12, 33)  # 4 and 6 are neighbours in the background, 1 and 33 of two classes
DAMAGED = {*PAYLOADS, *PHOTOS}


@pytest.fixture(scope="module")
def index(tiny_data):
    return load_index(open_dataset(tiny_data).shards("train"))


@pytest.fixture(scope="module")
def damaged(index, tiny_data, tmp_path_factory):
    """The index of a copy in which some records are damaged, and of others all photos; it was made before."""
    folder = tmp_path_factory.mktemp("damaged") / "data"
    shutil.copytree(tiny_data, folder)
    copy = load_index(open_dataset(folder).shards("train"))
    for number in PAYLOADS:
        damaging.damage_payload(copy, number)
    for number in PHOTOS:
        for photo in range(copy.first_photo[number + 1] - copy.first_photo[number]):
            damaging.damage_photo(copy, number, photo)
    return copy


@pytest.fixture(scope="module")
def plan(index):
    return np.concatenate([epoch_plan(index.class_id, 0, epoch, 8) for epoch in range(4)])


@pytest.fixture(scope="module")
def windows(index):
    """Of each crop that there can be, whose it is: (record, number of its photo)."""
    found = {}
    for number, example in enumerate(examples_of(index)):
        for photo, jpeg in enumerate(example["images"].bytes_list.value):
            pixels = tf.io.decode_jpeg(jpeg, dct_method="INTEGER_ACCURATE").numpy()  # 40 × 48: it is only cut
            for top, left in itertools.product(range(9), range(17)):
                found[pixels[top : top + 32, left : left + 32].tobytes()] = number, photo
    return found


def batches_of(index, plan, *, first_step=0, rows=slice(None), data=None, **arguments):
    data = tiny.small_config("unused", **{f"data__{name}": value for name, value in (data or {}).items()}).data
    arguments = {"first_step": first_step, "rows": rows, "seed": 7, "data": data, "recipe_fields": FIELDS} | arguments
    return list(pipeline.train_batches(index, plan, **arguments))


def first_free(number, labels, taken):
    """The rule in plain words: round the records from this one on, first for its class, then for any."""
    count = len(labels)
    following = [(number + step) % count for step in range(1, count)]
    free = [other for other in following if other not in taken]
    return ([other for other in free if labels[other] == labels[number]] + free)[0]


def by_hand(plan, labels):
    """The plan without the damaged records."""
    changed = plan.tolist()
    for batch, planned in zip(changed, plan.tolist(), strict=True):
        for row, number in enumerate(planned):
            if number in DAMAGED:
                batch[row] = first_free(number, labels, {*planned, *batch[:row], *DAMAGED})
    return np.array(changed)


def assert_same(batches, expected):
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name], err_msg=name)


def test_a_damaged_record_gives_its_place_to_the_next_of_its_class(index, damaged, plan, capsys):
    changed = by_hand(plan, index.class_id.tolist())
    damage = Damage()
    batches = batches_of(damaged, plan, damage=damage)
    assert_same(batches, batches_of(index, changed))
    assert (changed != plan).sum() >= 8
    np.testing.assert_array_equal(index.class_id[changed], index.class_id[plan])
    assert all(len(set(batch)) == 8 for batch in changed.tolist())
    # Each was met in several epochs, and is named once.
    assert damage.count == len(DAMAGED & set(plan.ravel().tolist())) == len(DAMAGED)
    lines = capsys.readouterr().err.splitlines()
    named = [line for number in DAMAGED for line in lines if f"recipe {index.ids[number].decode()}: " in line]
    assert len(lines) == len(named) == len(DAMAGED)
    assert sum("record with a wrong checksum; skipped" in line for line in lines) == len(PAYLOADS)
    assert sum("cannot be decoded; skipped" in line for line in lines) == len(PHOTOS)


def test_every_number_of_processes_and_every_start_finds_the_same(damaged, plan):
    whole = batches_of(damaged, plan)
    parts = [batches_of(damaged, plan, rows=slice(2 * p, 2 * p + 2)) for p in range(4)]
    steps = zip(*parts, strict=True)
    assert_same([{name: np.concatenate([part[name] for part in step]) for name in step[0]} for step in steps], whole)
    assert_same(batches_of(damaged, plan[9:], first_step=9), whole[9:])


def test_only_the_draw_of_a_damaged_photo_is_replaced(index, tiny_data, tmp_path, plan, windows):
    shutil.copytree(tiny_data, tmp_path / "data")
    copy = load_index(open_dataset(tmp_path / "data").shards("train"))
    number = int(np.argmax(np.diff(index.first_photo) == 3))
    damaging.damage_photo(copy, number, 1)
    kept = replaced = 0
    long_plan = np.concatenate([plan, plan[::-1]])
    for batch, clean in zip(batches_of(copy, long_plan), batches_of(index, long_plan), strict=True):
        for row in np.flatnonzero(clean["record"] == number):
            _, photo = windows[clean["image"][row].tobytes()]
            expected = first_free(number, index.class_id.tolist(), {*clean["record"].tolist()})
            assert batch["record"][row] == (expected if photo == 1 else number)
            kept, replaced = kept + (photo != 1), replaced + (photo == 1)
            if photo != 1:
                np.testing.assert_array_equal(batch["image"][row], clean["image"][row])
    assert kept
    assert replaced


def test_a_damaged_lender_gives_its_place_to_the_next_of_its_own_class(index, damaged, plan, windows):
    labels = index.class_id.tolist()
    lender_of = np.random.default_rng([7, len(index)]).permutation(len(index))
    # A record whose photos alone are damaged stays, if it gets those of another one.
    unusable = {*PAYLOADS, *(number for number in PHOTOS if lender_of[number] == number)}
    seen = 0
    batches = batches_of(damaged, plan, data={"shuffle_photos": True})
    for batch, planned in zip(batches, plan.tolist(), strict=True):
        taken = {*planned}
        for row, number in enumerate(planned):
            if number in unusable:
                number = first_free(number, labels, taken | unusable)
                taken.add(number)
            lender = lender_of[number]
            if lender in DAMAGED:
                lender = first_free(lender, labels, taken | DAMAGED | {number})
                seen += 1
            assert batch["record"][row] == number
            assert windows[batch["image"][row].tobytes()][0] == lender
    assert seen > 8


def test_mismatched_pairs_are_whole_and_the_others_are_what_they_were(index, damaged, plan, windows):
    data = {"mismatch": 0.5}
    changed = 0
    for batch, clean in zip(batches_of(damaged, plan, data=data), batches_of(index, plan, data=data), strict=True):
        np.testing.assert_array_equal(batch["class_id"], clean["class_id"])
        np.testing.assert_array_equal(batch["class_id"], index.class_id[batch["record"]])
        np.testing.assert_array_equal(batch["match"], clean["match"])
        for row, number in enumerate(batch["record"]):
            lender, _ = windows[batch["image"][row].tobytes()]
            assert number not in PAYLOADS
            assert lender not in DAMAGED
            assert (number == lender) == (batch["match"][row] > 0)
            assert batch["image_class_id"][row] == index.class_id[lender]
            if windows[clean["image"][row].tobytes()][0] not in DAMAGED and clean["record"][row] not in DAMAGED:
                np.testing.assert_array_equal(batch["image"][row], clean["image"][row])
            else:
                changed += 1
    assert 8 < changed < plan.size / 2


def test_features_in_place_of_photos_follow_the_substitute(index, damaged, plan):
    count = len(index.photo_ids)
    values = np.random.default_rng(0).standard_normal((count, 5)).astype(np.float32)
    photos = features.PhotoFeatures(values, np.arange(count)[:, None], "x.npy")
    unread = {number for number in DAMAGED if number in PAYLOADS}  # broken photos are not looked at
    changed = plan.tolist()
    for batch, planned in zip(changed, plan.tolist(), strict=True):
        for row, number in enumerate(planned):
            if number in unread:
                batch[row] = first_free(number, index.class_id.tolist(), {*planned, *batch[:row], *unread})
    vectors = features.Vectors(photos=photos)
    assert_same(batches_of(damaged, plan, vectors=vectors), batches_of(index, np.array(changed), vectors=vectors))
    # A photo that was damaged when the features were made is a gap.
    rows = [row for number in PHOTOS for row in range(index.first_photo[number], index.first_photo[number + 1])]
    values = values.copy()
    values[rows] = np.nan
    gaps = features.Vectors(photos=features.PhotoFeatures(values, np.arange(count)[:, None], "x.npy", has_gaps=True))
    assert_same(
        batches_of(damaged, plan, vectors=gaps),
        batches_of(index, by_hand(plan, index.class_id.tolist()), vectors=vectors),
    )


def test_evaluation_marks_what_it_cannot_read(index, damaged):
    data = tiny.small_config("unused").data
    arguments = {"batch_size": 16, "rows": slice(None), "data": data, "recipe_fields": FIELDS}
    numbers = index.sorted_by_id()
    damage = Damage()
    read = list(pipeline.evaluation_batches(damaged, numbers, **arguments, times=2, damage=damage))
    clean = list(pipeline.evaluation_batches(index, numbers, **arguments, times=2))
    readable = np.concatenate([batch["readable"] for batch in read])
    np.testing.assert_array_equal(readable, np.tile([number not in DAMAGED for number in numbers], 2))
    assert all(batch["readable"].all() for batch in clean)
    assert damage.count == len(DAMAGED)
    for batch, expected in zip(read, clean, strict=True):
        for name in batch:
            rows = batch["readable"]
            np.testing.assert_array_equal(batch[name][rows], expected[name][rows], err_msg=name)
            assert name in ("record", "readable") or not batch["image"][~rows].any()


def test_photos_that_cannot_be_read_are_marked(damaged, index):
    photos = np.arange(len(index.photo_ids))
    owners = np.searchsorted(index.first_photo, photos, side="right") - 1
    data = tiny.small_config("unused").data
    for draws in (None, np.random.default_rng(0).random((len(photos), 3), np.float32)):
        batches = pipeline.photo_batches(damaged, photos, draws, batch_size=30, rows=slice(None), data=data)
        readable = np.concatenate([batch["readable"] for batch in batches])[: len(photos)]
        np.testing.assert_array_equal(readable, [owner not in DAMAGED for owner in owners])


@pytest.mark.parametrize("limit", [0, 3])
def test_one_too_many_stops_in_one_line(damaged, plan, limit, capsys):
    with pytest.raises(UserError) as error:
        batches_of(damaged, plan, damage=Damage(limit))
    assert "\n" not in str(error.value)
    assert "recipe " in str(error.value)
    assert ("3 other damaged records were skipped before" in str(error.value)) == (limit == 3)
    assert len(capsys.readouterr().err.splitlines()) == limit


def test_candidates_go_round_within_the_class_first():
    labels = np.array([1, 2, 1, 2, 1, 0, 2])
    assert list(candidates(2, labels, {2})) == [4, 0, 3, 5, 6, 1]
    assert list(candidates(6, labels, {6, 1})) == [3, 0, 2, 4, 5]
    for number, taken in itertools.product(range(7), ({1}, {0, 5}, set())):
        assert next(candidates(number, labels, taken)) == first_free(number, labels.tolist(), taken)


def test_a_class_that_is_used_up_lends_from_the_others_and_then_gives_up():
    labels = np.array([1, 1, 0, 2, 0])

    def replaced(numbers, damaged):
        rows = np.flatnonzero(np.isin(numbers, list(damaged)))

        def can_be_read(row, number, lender):
            return number not in damaged, lender not in damaged

        return substitute(numbers, numbers, labels, rows, lambda row, number: number, can_be_read)[0].tolist()

    assert replaced(np.array([0, 1]), {0}) == [2, 1]
    assert replaced(np.array([0, 1]), {0, 1, 2}) == [3, 4]
    with pytest.raises(UserError, match="a batch of 3 has a damaged record, and no other of the 5 records is left"):
        replaced(np.array([0, 1, 2]), {0, 3, 4})
