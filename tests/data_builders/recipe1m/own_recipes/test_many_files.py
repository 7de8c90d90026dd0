"""Folders of many files: several processes read them, an interrupted import continues; languages."""

import gzip
import json
import os
import signal
import subprocess
import sys

import pytest

from adamine_jax.recipes.languages import language_of
from data_builders.recipe1m.own_recipes import importing, journal
from tests.data_builders.recipe1m.own_recipes.own import (
    Imported,
    linked,
    page,
    recipe,
    run_import,
    write_lines,
    write_photos,
)

FILES = ("layer1.json", "layer2.json", "det_ingrs.json", "dropped.tsv", "imported.tsv")


def write_mixed(folder, count):
    """Pages and other files with a record each, some of them broken."""
    write_photos(folder, *range(count))
    for number in range(count):
        text = page(linked(recipe(number)))
        (folder / f"{number:03}.html").write_text("<html>" if number % 10 == 3 else text, encoding="utf-8")
    write_lines(folder / "more.jsonl", [recipe(200), recipe(201, title=None)])
    (folder / "broken.json").write_text("{", encoding="utf-8")


def contents(folder):
    return [(folder / name).read_bytes() for name in FILES]


def test_processes_read_a_folder_like_one_process(tmp_path, monkeypatch, capsys):
    write_mixed(tmp_path / "own", 12)
    assert run_import(tmp_path / "own", tmp_path / "one", "--workers", 1) == 0
    monkeypatch.setattr(journal, "_MANY", 5)
    assert run_import(tmp_path / "own", tmp_path / "several", "--workers", 2) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "several")
    assert len(Imported(tmp_path / "one").layer("layer1")) == 11 + 1
    capsys.readouterr()
    assert run_import(tmp_path / "own", tmp_path / "strict", "--workers", 2, "--strict") == 2
    assert "error: broken.json: " in capsys.readouterr().err


def test_of_equal_files_the_one_with_the_shorter_name_is_kept(tmp_path):
    source = tmp_path / "own"
    write_photos(source, 1, 2)
    for name in ("Soup (copy).json", "Soup.json", "Soup-2.json"):
        (source / name).write_text(json.dumps(recipe(1)), encoding="utf-8")
    for name in ("Cake (copy).json.gz", "Cake.json.gz"):
        (source / name).write_bytes(gzip.compress(json.dumps(recipe(2)).encode()))
    assert run_import(source, tmp_path / "out") == 0
    dropped = Imported(tmp_path / "out").dropped()
    assert sorted(row[1] for row in dropped) == ["Cake (copy).json.gz", "Soup (copy).json", "Soup-2.json"]


@pytest.fixture
def read(monkeypatch):
    """The names of the pages and photos that are read, in this process."""
    names = []

    def digest(path):
        names.append(os.path.basename(path))
        return photo_digest(path)

    original, photo_digest = importing.read_source, importing.photo_digest

    def read_source(source, report, format_name, map_files):
        def counted(function, files):
            def named(path):
                names.append(path.name)
                return function(path)

            return map_files(named, files)

        return original(source, report, format_name, counted)

    monkeypatch.setattr(importing, "read_source", read_source)
    monkeypatch.setattr(importing, "photo_digest", digest)
    return names


def interrupt(*_):
    raise KeyboardInterrupt


def test_an_interrupted_import_continues(tmp_path, monkeypatch, read):
    write_mixed(tmp_path / "own", 12)
    with monkeypatch.context() as patched:
        patched.setattr(importing, "_placed", interrupt)
        options = importing.ImportOptions(tmp_path / "own", tmp_path / "out", workers=1)
        with pytest.raises(KeyboardInterrupt):
            importing.import_recipes(options)
    assert len(read) == 12 + 2 + 11  # one page has no recipe
    left = tmp_path / ".out.journal"
    left.write_bytes(left.read_bytes()[:-5])  # as if it was killed while it wrote the last photo
    (tmp_path / "own" / "000.html").write_text(page(linked(recipe(0, title="Changed"))), encoding="utf-8")
    read.clear()
    importing.import_recipes(options)
    assert sorted(read) == ["000.html", "11.jpg", "broken.json", "more.jsonl"]
    assert not left.exists()
    assert "Changed" in Imported(tmp_path / "out").recipes
    importing.import_recipes(importing.ImportOptions(tmp_path / "own", tmp_path / "again", workers=1))
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


def test_a_failed_import_leaves_no_journal(tmp_path):
    write_lines(tmp_path / "own" / "a.jsonl", [recipe(1)])
    assert run_import(tmp_path / "own", tmp_path / "out") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["own"]


def test_ctrl_c_ends_all_processes(tmp_path):
    write_mixed(tmp_path / "own", 300)
    command = [sys.executable, "-m", "data_builders.recipe1m", "import", "--from", "own", "--out", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE, text=True)
    journal_file = tmp_path / ".out.journal"
    while process.poll() is None and not (journal_file.exists() and journal_file.stat().st_size):
        pass
    os.killpg(process.pid, signal.SIGINT)
    # All processes have the pipe of stderr, which ends when the last one does.
    assert "continues" in process.communicate(timeout=60)[1]


TEXTS = {
    "en": "Mix the flour with the butter, then bake the cake in a hot oven for half an hour.",
    "de": "Das Mehl mit der Butter verrühren und den Kuchen eine halbe Stunde im Ofen backen.",
    "pl": "Wymieszaj mąkę z masłem, a potem piecz ciasto w gorącym piekarniku przez pół godziny.",
    "ja": "小麦粉とバターを混ぜ、オーブンで三十分焼きます。",
}


@pytest.mark.parametrize("language", TEXTS)
def test_languages_are_recognised(language):
    assert language_of([], [TEXTS[language]]) == language_of([TEXTS[language]], []) == language


def test_ingredient_names_are_uncertain_in_a_language_without_rules(tmp_path, capsys):
    write_photos(tmp_path, 0)
    records = [
        recipe(0, title="Ciasto", ingredients=["2 szklanki mąki", "Na sos:"], instructions=[TEXTS["pl"]]),
        recipe(1, title="Zupa", ingredients=["1 łyżka masła"], instructions=[TEXTS["pl"]]),
        recipe(2, title="Krem", ingredients=["2 jajka"], instructions=["OK"]),
        recipe(3, title="Kuchen", ingredients=["2 EL Öl"], instructions=[TEXTS["de"]]),
        recipe(4, title="Cake", ingredients=["2 cups flour"], instructions=[TEXTS["en"]]),
    ]
    assert run_import(write_lines(tmp_path / "own.jsonl", records), tmp_path / "out") == 0
    found = Imported(tmp_path / "out")
    names = {title: found.names[record["id"]] for title, record in found.recipes.items()}
    assert names["Ciasto"] == [("2 szklanki mąki", False)]
    assert names["Zupa"] == [("1 łyżka masła", False)]
    assert names["Krem"] == [("2 jajka", False)]  # too short to tell, as most others
    assert names["Kuchen"] == [("öl", True)]
    assert names["Cake"] == [("flour", True)]
    assert "languages: pl (3), " in capsys.readouterr().out
