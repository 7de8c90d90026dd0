from collections import Counter

import numpy as np

from data_builders.recipe1m.layers.formatting import shown
from data_builders.recipe1m.passes.photos import Photo
from data_builders.recipe1m.recipes import Recipe, Unusable
from data_builders.recipe1m.report.dataset_report import Report
from data_builders.recipe1m.report.writing import page


def recipe(number=1, partition="train", title="Pie"):
    return Recipe(f"{number:010x}", title, "", partition, [], [], [], [], [])


def filled(path=None):
    report = Report(path)
    for number in range(30):
        report.drop(recipe(number, "train" if number % 3 else "val"), "too long")
    report.drop(Unusable("record 7 (byte 9)", "unknown", "no id"), "no id")
    report.keep(recipe(40), 2)
    report.keep(recipe(41, "test"), 1)
    report.photo_problem(recipe(40), Photo("aa.jpg", problem="missing"))
    report.photo_problem(recipe(41), Photo("ab.jpg", problem="not a whole image (x)"))
    report.count_unknown(10, 3, 4, 1)
    report.set_classes(["background", "apple pie"], np.array([1, 0]), ["train", "test"])
    report.set_vocabulary("trained", 77)
    report.close()
    return report


def test_the_numbers_add_up():
    values = filled().as_json()
    assert values["records"] == {"all": 33, "train": 21, "val": 10, "test": 1, "unknown": 1}
    assert values["kept"]["all"] + sum(group["count"] for group in values["dropped"].values()) == 33
    assert values["dropped"]["too long"]["train"] == 20
    assert values["photos"]["used"] == 3
    assert values["photos"]["recipes_by_number_of_photos"] == {"1": 1, "2": 1}
    assert values["words"]["unknown"] == 3
    assert values["classes"]["apple pie"] == {"train": 1, "val": 0, "test": 0}


def test_a_record_that_was_forgotten_is_noticed():
    report = filled()
    assert report.adds_up()
    report.records["val"] += 1
    assert not report.adds_up()


def test_the_first_are_named_in_the_report_and_all_in_the_file(tmp_path):
    report = filled(tmp_path / "dropped.tsv")
    assert len(report.as_json()["dropped"]["too long"]["first"]) == 10
    rows = [line.split("\t") for line in (tmp_path / "dropped.tsv").read_text().splitlines()]
    assert Counter(row[0] for row in rows) == {"recipe": 31, "photo": 2}
    assert rows[0] == ["recipe", "val", "0000000000", "too long", "Pie"]
    assert {row[2] for row in rows if row[0] == "photo"} == {"aa.jpg", "ab.jpg"}


def test_the_page_and_the_summary_name_reasons_photos_and_classes():
    report = filled()
    for text in (page(report), report.summary()):
        for part in ("too long", "no id", "aa.jpg", "ab.jpg", "30.0 %", "25.0 %", "77"):
            assert part in text
    assert "| apple pie | 1 | 1 |" in page(report)


def test_titles_cannot_break_the_report():
    title = "a\tb\nc \x1b[31m\u202e`|" + "x" * 100
    report = Report()
    report.drop(recipe(title=title), "reason")
    report.keep(recipe(2), 1)
    line = shown(title)
    assert line.startswith("a b c [31m`|xxx")
    assert len(line) == 60
    assert line.isprintable()
    assert "a b c \\[31m\\`\\|" in page(report)
