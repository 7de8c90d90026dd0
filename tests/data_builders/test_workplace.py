import pytest

from adamine_jax.base.errors import UserError
from data_builders.workplace import move_into_place, workplace


def make(tmp_path, text, **failure):
    place, folder = tmp_path / "out" / "data", tmp_path / "out" / ".work"
    with workplace(folder, place, out=tmp_path / "out", busy="busy") as work:
        assert list(work.iterdir()) == []
        (work / "new").mkdir()
        (work / "new" / "file").write_text(text)
        if failure:
            raise failure["error"]
        move_into_place(work / "new", place, work)
    assert not folder.exists()
    return (place / "file").read_text()


def test_what_is_made_takes_the_place_of_what_was_there(tmp_path):
    assert make(tmp_path, "one") == "one"
    assert make(tmp_path, "two") == "two"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["data"]


def test_an_error_leaves_what_was_there(tmp_path):
    make(tmp_path, "one")
    with pytest.raises(ZeroDivisionError):
        make(tmp_path, "two", error=ZeroDivisionError())
    assert (tmp_path / "out" / "data" / "file").read_text() == "one"
    assert not (tmp_path / "out" / ".work").exists()


def test_a_rename_that_fails_puts_back_what_was_there(tmp_path):
    make(tmp_path, "one")
    place = tmp_path / "out" / "data"
    with pytest.raises(FileNotFoundError):
        move_into_place(tmp_path / "absent", place, tmp_path)
    assert (place / "file").read_text() == "one"


def test_killed_between_the_two_renames_nothing_is_lost(tmp_path):
    make(tmp_path, "one")
    folder = tmp_path / "out" / ".work"  # as the killed one leaves it
    (folder / "new").mkdir(parents=True)
    (tmp_path / "out" / "data").rename(folder / "replaced")
    with pytest.raises(ZeroDivisionError):
        make(tmp_path, "two", error=ZeroDivisionError())
    assert (tmp_path / "out" / "data" / "file").read_text() == "one"


def test_two_at_a_time_are_refused(tmp_path):
    arguments = (tmp_path / "work", tmp_path / "data")
    with (
        workplace(*arguments, out=tmp_path, busy="busy"),
        pytest.raises(UserError, match="busy"),
        workplace(*arguments, out=tmp_path, busy="busy"),
    ):
        pass
