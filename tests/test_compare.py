"""Comparisons of workdirs made by hand."""

import json

import pytest

from adamine_jax.compare import main


def spread(mean, std=0.5):
    return {"mean": mean, "std": std}


def results(base, draws):
    numbers = {key: spread(base + i) for i, key in enumerate(("medr", "r1", "r5", "r10"))}
    return {"image_to_recipe": numbers, "recipe_to_image": numbers, "draws": draws, "pairs": 1000}


def make_run(folder, config, recalls, test):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    lines = [
        {"step": 10 * (epoch + 1), "epoch": epoch, "split": split, "r1": recall, "loss": 0.1}
        for epoch, recall in enumerate(recalls)
        for split in ("train", "val")
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "eval_test.json").write_text(json.dumps(test))


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"epochs": 80, "loss": {"margin": 0.3, "weights": [1.0, 0.1]}}
    make_run(tmp_path / "a", config, [1.0, 30.25, 20.0], {"1k": results(10, 10), "full": results(20, 1)})
    config = {"epochs": 80, "loss": {"margin": 0.2, "weights": [1.0, 0.1], "block": 64}}
    make_run(tmp_path / "longer", config, [5.0], {"full": results(30, 1)})
    return tmp_path


def test_the_whole_text(runs, capsys):
    assert main(["a", "longer"]) == 0
    assert capsys.readouterr() == (
        """\
run     epochs  best val R@1  in epoch
a         3/80          30.2         2
longer    1/80           5.0         1

test, 1k (recall in %, MedR from 1)
run       i→r MedR     i→r R@1     i→r R@5    i→r R@10    r→i MedR     r→i R@1     r→i R@5    r→i R@10
a       10.0 ± 0.5  11.0 ± 0.5  12.0 ± 0.5  13.0 ± 0.5  10.0 ± 0.5  11.0 ± 0.5  12.0 ± 0.5  13.0 ± 0.5
longer           -           -           -           -           -           -           -           -

test, full (recall in %, MedR from 1)
run     i→r MedR  i→r R@1  i→r R@5  i→r R@10  r→i MedR  r→i R@1  r→i R@5  r→i R@10
a           20.0     21.0     22.0      23.0      20.0     21.0     22.0      23.0
longer      30.0     31.0     32.0      33.0      30.0     31.0     32.0      33.0

config field    a  longer
loss.block      -      64
loss.margin   0.3     0.2
""",
        "",
    )


def test_equal_configurations_are_said_to_be_the_same(runs, capsys):
    assert main(["a", "a"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "the configurations are the same"
    assert main(["a"]) == 0
    assert "config" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.jsonl", None, "metrics.jsonl: absent or empty"),
        ("eval_test.json", None, "eval_test.json: absent"),
        ("config.json", None, "config.json: absent"),
        ("metrics.jsonl", "{}\n", "metrics.jsonl, line 1"),
        ("eval_test.json", "{", "eval_test.json: cannot be read"),
        ("eval_test.json", "[]", "eval_test.json: cannot be read (not a JSON object)"),
        ("config.json", "", "config.json: cannot be read"),
    ],
)
def test_a_file_that_is_missing_leaves_dashes_and_a_line(runs, capsys, file, content, message):
    path = runs / "longer" / file
    path.unlink() if content is None else path.write_text(content)
    assert main(["a", "longer"]) == 0
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert message in line
    rows = [row.split() for row in printed.out.splitlines() if row.startswith("longer")]
    assert any("-" in cell for row in rows for cell in row)
    assert rows, "the run keeps its row"


def test_results_of_another_shape_are_dashes(runs, capsys):
    (runs / "longer" / "eval_test.json").write_text('{"full": 3, "1k": {"image_to_recipe": {"medr": 1}}}')
    assert main(["a", "longer"]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines() if row.startswith("longer")]
    assert rows[1] == rows[2] == ["longer", *"--------"]


def test_no_such_folder(runs, capsys):
    assert main(["a", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere: no such folder")
