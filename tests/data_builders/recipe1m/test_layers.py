import contextlib

import pytest

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.layers import fields as layer_fields
from data_builders.recipe1m.layers.reading import Layers, SeenIds
from data_builders.recipe1m.recipes import Recipe, Unusable
from tests.data_builders.recipe1m.download import INGREDIENTS, INSTRUCTIONS, Download, photo_id, recipe_id


def read_all(folder):
    with contextlib.closing(Layers(folder)) as layers:
        seen = SeenIds()
        found = [record for block in layers.blocks for record in seen.mark_repeats(layers.read(block), block.number)]
        return found, layers.notes


def records(download, folder):
    return read_all(download.write(folder))


def test_layers_are_joined_by_id_in_any_order(tmp_path):
    download = Download()
    for number in (3, 1, 2):
        download.add(number, photos=number)
    download.layer2.reverse()
    download.detected.sort(key=lambda record: record["id"])
    found, notes = records(download, tmp_path)
    assert [recipe.id for recipe in found] == [recipe_id(3), recipe_id(1), recipe_id(2)]
    assert [len(recipe.images) for recipe in found] == [3, 1, 2]
    assert found[1] == Recipe(
        id=recipe_id(1),
        title="Dish 1",
        url="https://example.org/1",
        partition="train",
        ingredients=[f"some {name}" for name in INGREDIENTS],
        instructions=list(INSTRUCTIONS),
        names=list(INGREDIENTS),
        valid=[True] * 3,
        images=[photo_id(100)],
    )
    assert notes == []


def test_what_the_other_layers_do_not_know_is_empty(tmp_path):
    download = Download()
    download.add(1, photos=0)
    download.detected.clear()
    found, _ = records(download, tmp_path)
    assert (found[0].names, found[0].valid, found[0].images) == ([], [], [])


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("id", None, "id is not"),
        ("id", 5, "id is not"),
        ("id", "00000000a", "id is not"),
        ("id", "00000000aa\n", "id is not"),
        ("id", "../../etc/", "id is not"),
        ("id", "00000000ag", "id is not"),
        ("id", "٠٠٠٠٠٠٠٠٠٠", "id is not"),
        ("partition", "validation", "partition"),
        ("partition", None, "partition"),
        ("partition", ["train"], "partition"),
        ("title", None, "title"),
        ("title", ["Soup"], "title"),
        ("url", None, "url"),
        ("ingredients", None, "ingredients"),
        ("ingredients", "salt", "ingredients"),
        ("ingredients", ["salt"], "ingredients"),
        ("ingredients", [{"text": None}], "ingredients"),
        ("instructions", {"text": "Stir."}, "instructions"),
        ("instructions", [{"text": "Stir."}, {}], "instructions"),
    ],
)
def test_an_unusable_record_is_reported_and_the_next_one_read(tmp_path, field, value, reason):
    download = Download()
    download.add(1)
    download.layer1[0][field] = value
    download.add(2)
    found, _ = records(download, tmp_path)
    assert isinstance(found[0], Unusable)
    assert found[0].reason.startswith(reason)
    assert found[0].name.startswith("record 1 (byte 1)")
    assert found[1].id == recipe_id(2)


@pytest.mark.parametrize("value", [None, 5, "text", [1], True])
def test_a_record_that_is_no_object_is_unusable(tmp_path, value):
    download = Download()
    download.layer1.append(value)
    found, _ = records(download, tmp_path)
    assert found == [Unusable("record 1 (byte 1)", "unknown", "the record is not an object")]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ingredients": None}, "det_ingrs.json: ingredients"),
        ({"valid": None}, "det_ingrs.json: valid is not"),
        ({"valid": [1, 1, 1]}, "det_ingrs.json: valid is not"),
        ({"valid": [True]}, "det_ingrs.json: valid and"),
    ],
)
def test_an_unusable_detection_makes_its_recipe_unusable(tmp_path, change, reason):
    download = Download()
    download.add(1)
    download.detected[0].update(change)
    found, _ = records(download, tmp_path)
    assert found[0].reason.startswith(reason)


def test_photos_that_are_no_list_make_their_recipe_unusable(tmp_path):
    download = Download()
    download.add(1)
    download.layer2[0]["images"] = None
    found, _ = records(download, tmp_path)
    assert found[0].reason == "layer2.json: images are not a list"


def test_the_first_of_two_records_with_one_id_is_used(tmp_path):
    download = Download()
    download.add(1, title="first")
    download.layer1.append(download.layer1[0] | {"title": "second"})
    download.layer2.append({"id": recipe_id(1), "images": []})
    download.layer2.append({"id": 7})
    found, notes = records(download, tmp_path)
    assert (found[0].title, len(found[0].images)) == ("first", 1)
    assert found[1].reason == "id appears a second time"
    assert len(notes) == 2


def test_a_link_may_be_absent(tmp_path):
    download = Download()
    download.add(1)
    del download.layer1[0]["url"]
    found, _ = records(download, tmp_path)
    assert found[0].url == ""


def test_half_a_surrogate_pair_becomes_a_mark_that_can_be_stored(tmp_path):
    download = Download()
    download.add(1, title="cake \ud83c!")
    found, _ = records(download, tmp_path)
    assert found[0].title == "cake \ufffd!"


def test_a_file_that_changes_after_it_was_indexed_is_reported(tmp_path):
    download = Download()
    download.add(1)
    download.add(2)
    download.write(tmp_path)
    with contextlib.closing(Layers(tmp_path)) as layers:
        text = (tmp_path / "det_ingrs.json").read_text()
        (tmp_path / "det_ingrs.json").write_text("1, " * (len(text) // 3))
        with pytest.raises(UserError, match=r"det_ingrs\.json was changed while it was being read; run again"):
            layers.read(layers.blocks[0])


def test_a_missing_folder_or_file_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        Layers(tmp_path / "nowhere")
    download = Download()
    download.add(1)
    download.write(tmp_path)
    (tmp_path / "det_ingrs.json").unlink()
    with pytest.raises(UserError, match=r"det_ingrs\.json is missing"):
        Layers(tmp_path)


def test_broken_json_is_named_wherever_it_is(tmp_path):
    download = Download()
    download.add(1)
    for name in Layers.FILES:
        download.write(tmp_path)
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text[:-10])
        with pytest.raises(UserError, match=f"{name}: broken JSON at byte"):
            read_all(tmp_path)


def test_an_empty_layer_1_is_an_error(tmp_path):
    Download().write(tmp_path)
    with pytest.raises(UserError, match="list of recipes is empty"):
        read_all(tmp_path)


def test_a_layer_1_that_changes_while_it_is_read_is_reported(tmp_path):
    download = Download()
    download.add(1)
    download.write(tmp_path)
    with contextlib.closing(Layers(tmp_path)) as layers:
        (tmp_path / "layer1.json").write_text("something else")
        with pytest.raises(UserError, match=r"layer1\.json was changed while it was being read; run again"):
            layers.read(layers.blocks[0])


def test_a_text_that_contains_two_records_is_read_as_one():
    texts = [b'{"images": []}, {"images": []}', b'{"images": []}']
    found = layer_fields.decoded(texts, layer_fields.LISTED, lambda text: f"plain {len(text)}")
    assert found == ["plain 30", "plain 14"]
