import os
import threading
import time

import pytest

from adamine_jax.recipes.decoding import reduced
from data_builders.recipe1m.passes import photos
from data_builders.recipe1m.passes.photo_places import find_photo
from data_builders.recipe1m.passes.photos import load_photo, map_in_order
from tests.data_builders.recipe1m.download import jpeg


def load(root, partition, name):
    return load_photo(find_photo(root, partition, name), 256)


def test_photos_are_found_by_their_first_four_characters(tmp_path):
    path = tmp_path / "val" / "6" / "b" / "d" / "c" / "6bdca6e490.jpg"
    path.parent.mkdir(parents=True)
    path.write_bytes(jpeg())
    assert load(tmp_path, "val", "6bdca6e490.jpg").jpeg == reduced(jpeg(), 256)[0]
    assert load(tmp_path, "train", "6bdca6e490.jpg").problem == "missing"
    path.write_bytes(b"")
    assert "not an image" in load(tmp_path, "val", "6bdca6e490.jpg").problem
    path.unlink()
    path.mkdir()
    assert load(tmp_path, "val", "6bdca6e490.jpg").problem == "missing"


@pytest.mark.parametrize(
    "name", ["../../../x.jpg", "/etc/passwd", "6bdca6e490", "6bdca6e490.png", "6bdca6e490.jpg\n", "", "None"]
)
def test_an_id_that_is_no_photo_id_never_becomes_a_path(tmp_path, name):
    assert "its id is not" in load(tmp_path, "val", name).problem


@pytest.mark.parametrize("workers", [1, 3])
def test_work_is_done_in_order_and_not_far_ahead(workers):
    taken = []

    def items():
        for n in range(200):
            taken.append(n)
            yield n

    done = []
    for item, result in map_in_order(lambda n: n * n, items(), workers):
        done.append((item, result))
        assert len(taken) - len(done) <= photos.AHEAD * photos.CHUNK * workers
    assert done == [(n, n * n) for n in range(200)]


def test_items_that_are_not_wanted_keep_their_place():
    done = map_in_order(lambda n: -n, range(90), 2, lambda n: n % 3 == 0)
    assert list(done) == [(n, None if n % 3 else -n) for n in range(90)]


def test_threads_work_at_the_same_time():
    barrier = threading.Barrier(2, timeout=20)  # passes only when two calls are under way at once
    n = 4 * photos.CHUNK
    assert len(list(map_in_order(lambda _: barrier.wait() or time.monotonic(), range(n), 2))) == n


def test_a_link_to_a_photo_elsewhere_is_not_followed(tmp_path):
    root, name = tmp_path / "images", "6bdca6e490.jpg"
    (tmp_path / "elsewhere.jpg").write_bytes(jpeg())
    folder = root / "val" / "6" / "b" / "d" / "c"
    folder.mkdir(parents=True)
    (folder / name).symlink_to(tmp_path / "elsewhere.jpg")
    assert load(root, "val", name).problem == "a symbolic link to a file outside the folder of the photos"
    (folder / name).unlink()
    folder.rmdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / name).write_bytes(jpeg())
    folder.symlink_to(tmp_path / "c")
    assert "outside" in load(root, "val", name).problem


def test_a_photo_may_be_a_link_to_one_of_another_partition(tmp_path):
    name = "6bdca6e490.jpg"
    photos = [tmp_path / partition / "6" / "b" / "d" / "c" / name for partition in ("train", "val")]
    for photo in photos:
        photo.parent.mkdir(parents=True)
    photos[0].write_bytes(jpeg())
    photos[1].symlink_to(photos[0])
    assert load(tmp_path, "val", name).jpeg == reduced(jpeg(), 256)[0]


@pytest.mark.parametrize("linked", ["images", "images/val"])
def test_the_folders_of_photos_may_be_links_and_so_may_photos_within_them(tmp_path, linked):
    name = "6bdca6e490.jpg"
    place = tmp_path / "disk" / "val" if linked == "images" else tmp_path / "disk"
    folder = place / "6" / "b" / "d" / "c"
    folder.mkdir(parents=True)
    (folder / "original.jpg").write_bytes(jpeg())
    (folder / name).symlink_to("original.jpg")
    (tmp_path / linked).parent.mkdir(exist_ok=True)
    (tmp_path / linked).symlink_to(tmp_path / "disk")
    assert load(tmp_path / "images", "val", name).jpeg == reduced(jpeg(), 256)[0]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink(path, path)])
def test_what_is_no_file_is_missing_and_nothing_waits_for_it(tmp_path, make):
    path = tmp_path / "val" / "6" / "b" / "d" / "c" / "6bdca6e490.jpg"
    path.parent.mkdir(parents=True)
    make(path)
    assert load(tmp_path, "val", path.name).problem == "missing"
