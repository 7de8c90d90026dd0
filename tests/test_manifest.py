"""Any change to a checkpoint's files is detected, and the file is named."""

import shutil
import zlib

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.checkpoints import manifest

FILES = {"model/d/0f": 5_000, "model/_METADATA": 300, "training/d/1a": 40, "training/empty": 0, "top": 1}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with a manifest, like that of a checkpoint."""
    folder = tmp_path_factory.mktemp("saved") / "12"
    rng = np.random.default_rng(0)
    for name, length in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.bytes(length))
    manifest.write(folder, 12, {"r1": 0.1 + 0.2})
    return folder


@pytest.fixture(scope="module")
def copies(saved, tmp_path_factory):
    """A function that makes a copy to damage."""
    parent, number = tmp_path_factory.mktemp("copies"), iter(range(10**6))
    return lambda: shutil.copytree(saved, parent / str(next(number)) / "12")


def test_it_lists_every_file_with_length_and_checksum(saved):
    listed = manifest.read(saved, 12)
    assert listed.step == 12
    assert listed.scores == {"r1": 0.30000000000000004}
    assert {file.file: file.bytes for file in listed.files} == FILES
    for file in listed.files:
        assert int(file.crc32, 16) == zlib.crc32((saved / file.file).read_bytes())
    manifest.verify(saved, 12)


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_flipped_bits_are_named(data, copies):
    folder = copies()
    name = data.draw(st.sampled_from([manifest.NAME, *(name for name, length in FILES.items() if length)]))
    content = bytearray((folder / name).read_bytes())
    place, bits = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    content[place] ^= bits
    (folder / name).write_bytes(content)
    with pytest.raises(manifest.DamagedCheckpoint, match=f"^{name}: wrong checksum$"):
        manifest.verify(folder, 12)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_a_file_of_another_length_is_named(data, copies):
    folder = copies()
    name, length = data.draw(st.sampled_from(list(FILES.items())))
    now = data.draw(st.integers(0, length + 10).filter(lambda n: n != length))
    content = (folder / name).read_bytes()
    (folder / name).write_bytes((content + bytes(10))[:now])
    with pytest.raises(manifest.DamagedCheckpoint, match=f"^{name}: {now:,} bytes instead of {length:,}$"):
        manifest.verify(folder, 12)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_a_truncated_manifest_is_rejected(data, copies):
    folder = copies()
    content = (folder / manifest.NAME).read_bytes()
    (folder / manifest.NAME).write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(manifest.DamagedCheckpoint, match=r"^manifest.jsonl: wrong checksum$"):
        manifest.read(folder, 12)


@pytest.mark.parametrize("name", [manifest.NAME, *FILES])
def test_a_missing_file_is_named(copies, name):
    folder = copies()
    (folder / name).unlink()
    with pytest.raises(manifest.DamagedCheckpoint, match=f"^{name}: missing"):
        manifest.verify(folder, 12)
    (folder / name).mkdir()
    with pytest.raises(manifest.DamagedCheckpoint, match=rf"^{name}: cannot be read \(Is a directory\)$"):
        manifest.verify(folder, 12)


def test_the_checkpoint_of_another_step_is_rejected(saved):
    with pytest.raises(manifest.DamagedCheckpoint, match=r"^manifest.jsonl: belongs to step 12$"):
        manifest.read(saved, 18)


def test_files_that_end_with_their_own_crc32c_have_checksums_that_differ(tmp_path):
    """Most of Orbax's files do; their CRC-32C is a constant, so that swapped files would not be detected."""
    for name in ("a", "b"):
        content = np.random.default_rng(ord(name)).bytes(1_000)
        trailer = google_crc32c.value(content).to_bytes(4, "little")
        (tmp_path / name).write_bytes(content + trailer)
    manifest.write(tmp_path, 1, {})
    one, other = manifest.read(tmp_path, 1).files
    assert google_crc32c.value((tmp_path / "a").read_bytes()) == google_crc32c.value((tmp_path / "b").read_bytes())
    assert one.crc32 != other.crc32


def test_scores_can_be_replaced_and_nothing_else_changes(copies):
    folder = copies()
    before = manifest.read(folder, 12)
    manifest.rewrite(folder, 12, {"r1": 9.0})
    manifest.verify(folder, 12)
    after = manifest.read(folder, 12)
    assert (after.scores, after.files) == ({"r1": 9.0}, before.files)
