"""Comparisons of synthetic workdirs."""

import importlib
import json

import pytest

from adamine_jax.compare import main
from adamine_jax.config.presets import flatten
from adamine_jax.runs.history import describe_method
from configs import adamine


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
    loss = {"name": "triplet", "strategies": ["IRR", "SIRR"], "weights": [1.0, 0.1], "aggregation": "valid"}
    config = {"epochs": 80, "loss": {"margin": 0.3, **loss}}
    make_run(tmp_path / "a", config, [1.0, 30.25, 20.0], {"1k": results(10, 10), "full": results(20, 1)})
    config = {"epochs": 80, "loss": {"margin": 0.2, "weights": [1.0, 0.1], "block": 64}}
    make_run(tmp_path / "longer", config, [5.0], {"full": results(30, 1)})
    return tmp_path


def test_the_whole_text(runs, capsys):
    assert main(["longer", "a"]) == 0
    assert capsys.readouterr() == (
        """\
place     run     method                     R@1  best val R@1  in epoch  epochs
1      A  longer  -                         31.0           5.0         1    1/80
2      B  a       IRR + 0.1 SIRR, adaptive  21.0          30.2         2    3/80
ranked by the test's R@1 (full); in %, mean of both directions

test, full (recall in %, MedR from 1)
   i→r MedR  i→r R@1  i→r R@5  i→r R@10  r→i MedR  r→i R@1  r→i R@5  r→i R@10
A      30.0     31.0     32.0      33.0      30.0     31.0     32.0      33.0
B      20.0     21.0     22.0      23.0      20.0     21.0     22.0      23.0

test, 1k (recall in %, MedR from 1)
     i→r MedR     i→r R@1     i→r R@5    i→r R@10    r→i MedR     r→i R@1     r→i R@5    r→i R@10
A           -           -           -           -           -           -           -           -
B  10.0 ± 0.5  11.0 ± 0.5  12.0 ± 0.5  13.0 ± 0.5  10.0 ± 0.5  11.0 ± 0.5  12.0 ± 0.5  13.0 ± 0.5

no confidence interval for A: longer/ranks_test.npz: no such file; run `python -m adamine_jax.evaluate --workdir longer`
no confidence interval for B: a/ranks_test.npz: no such file; run `python -m adamine_jax.evaluate --workdir a`

differing configuration fields
loss.aggregation  A: -   B: "valid"
loss.block        A: 64   B: -
loss.margin       A: 0.2   B: 0.3
loss.name         A: -   B: "triplet"
loss.strategies   A: -   B: ["IRR", "SIRR"]

to draw the curves in one figure, add --out comparison.png (or .svg)
""",
        "",
    )


def test_identical_configurations(runs, capsys):
    assert main(["a", "a"]) == 0
    assert capsys.readouterr().out.splitlines()[-3] == "the configurations are identical"
    assert main(["a"]) == 0
    assert "config" not in capsys.readouterr().out


def places(text):
    """{run: place} of the first table."""
    rows = text.splitlines()[1 : text.splitlines().index("")]
    return {row.split()[2]: row.split()[0] for row in rows if not row.startswith("ranked")}


def test_runs_are_ranked_by_the_most_common_protocol(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tests = {"both": {"1k": results(10, 10), "full": results(5, 1)}, "other": {"1k": results(30, 10)}}
    tests |= {"third": {"1k": results(10, 10)}, "untested": {}, "odd": {"1k": {"image_to_recipe": {"r1": "x"}}}}
    for name, test in tests.items():
        make_run(tmp_path / name, {"epochs": 1}, [50.0], test)
    assert main(list(tests)) == 0
    text = capsys.readouterr().out
    assert places(text) == {"other": "1", "both": "2", "third": "2", "untested": "-", "odd": "-"}
    assert list(places(text)) == ["other", "both", "third", "untested", "odd"]
    assert "ranked by the test's R@1 (1k)" in text


def test_runs_are_ranked_by_the_largest_of_several_common_protocols(runs, capsys):
    (runs / "longer" / "eval_test.json").write_text(
        json.dumps({"1k": results(5, 10), "full": results(30, 1) | {"pairs": 51_000}})
    )
    assert main(["a", "longer"]) == 0
    text = capsys.readouterr().out
    assert places(text) == {"longer": "1", "a": "2"}
    assert "not the same test: A among 51,000 pairs; B among 1,000 pairs" in text
    assert text.count("not the same test") == 1


def test_untested_runs_are_ranked_by_validation(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, recalls in {"worse": [1.0, 2.0], "none": [], "better": [3.0]}.items():
        make_run(tmp_path / name, {"epochs": 9}, recalls, {})
    assert main(["worse", "none", "better"]) == 0
    text = capsys.readouterr().out
    assert places(text) == {"better": "1", "worse": "2", "none": "-"}
    assert "ranked by the best validation R@1, as no run has been tested" in text
    assert main(["none"]) == 0
    assert "ranked by" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("preset", "words"),
    [
        ("adamine", "IRR + RII + 0.1 SIRR + 0.1 SRII, adaptive"),
        ("avg", "IRR + RII + 0.1 SIRR + 0.1 SRII, mean"),
        ("vse_pp", "IRR + RII, hardest, mean"),
        ("semi_hard", "IRR + RII, semi-hard, adaptive"),
        ("lifted_struct", "LIFT"),
        ("adamine_ins_cls", "IRR + RII, adaptive, 0.01 classifier"),
        ("pairwise", "pairwise, 0.01 classifier"),
        ("pairwise_plus", "pairwise_plus, 0.01 classifier"),
    ],
)
def test_methods_in_words(preset, words):
    config = importlib.import_module(f"configs.{preset}").get_config()
    assert describe_method(flatten(config)) == words


def test_random_negatives_are_counted():
    config = flatten(adamine.get_config()) | {"loss.sampling": "random", "loss.num_negatives": 3}
    assert describe_method(config) == "IRR + RII + 0.1 SIRR + 0.1 SRII, 3 random, adaptive"


def test_a_running_run_has_trained_some_of_its_epochs(runs, capsys):
    with (runs / "a" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 34, "epoch": 3, "split": "train", "loss": 0.1}\n{"step": 35, "epo')
    assert main(["a"]) == 0
    assert capsys.readouterr().out.splitlines()[1].endswith("  3.4/80")
    lines = [{"step": step, "epoch": (step - 1) // 10, "split": "train", "loss": 1} for step in (5, 10, 15)]
    for count, shown in ((3, "1.5/80"), (2, "≤1/80"), (1, "≤1/80"), (0, "-/80")):
        (runs / "a" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines[:count]))
        assert main(["a"]) == 0
        assert capsys.readouterr().out.splitlines()[1].split()[-1] == shown


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.jsonl", None, "metrics.jsonl: missing or empty"),
        ("eval_test.json", None, "eval_test.json: missing"),
        ("config.json", None, "config.json: missing"),
        ("metrics.jsonl", "{}\n", "metrics.jsonl, line 1"),
        ("metrics.jsonl", '{"step": 1, "split": "val", "r1": 2}\n', "metrics.jsonl, line 1: step or epoch is missing"),
        ("eval_test.json", "{", "eval_test.json: cannot be read"),
        ("eval_test.json", "[]", "eval_test.json: cannot be read (not a JSON object)"),
        ("config.json", "", "config.json: cannot be read"),
    ],
)
def test_a_missing_file_gives_dashes_and_a_warning(runs, capsys, file, content, message):
    path = runs / "longer" / file
    path.unlink() if content is None else path.write_text(content)
    assert main(["a", "longer"]) == 0
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert message in line
    (row,) = [row.split() for row in printed.out.splitlines() if "longer" in row.split()]
    assert any("-" in cell for cell in row)


def test_a_run_without_a_configuration_does_not_differ(runs, capsys):
    (runs / "longer" / "config.json").unlink()
    assert main(["a", "longer"]) == 0
    assert "differing configuration fields" not in capsys.readouterr().out


def test_malformed_results_are_dashes(runs, capsys):
    (runs / "longer" / "eval_test.json").write_text('{"full": 3, "1k": {"image_to_recipe": {"medr": 1}}}')
    assert main(["a", "longer"]) == 0
    rows = [row.split() for row in capsys.readouterr().out.splitlines() if row.startswith("B ")]
    assert rows == [["B", *"--------"]] * 2


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_figure(runs, capsys, suffix):
    assert main(["a", "longer", "--out", f"figures/both.{suffix}"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"figures/both.{suffix}"
    assert (runs / "figures" / f"both.{suffix}").stat().st_size > 10_000
    assert sorted(path.name for path in runs.iterdir()) == ["a", "figures", "longer"]


def test_errors_for_unsuitable_figures(runs, capsys):
    assert main(["a", "--out", "both.pdf"]) == 2
    assert capsys.readouterr().err == "error: --out both.pdf: must end in .png or .svg\n"
    assert main([*["a"] * 15, "--out", "both.png"]) == 2
    assert "15 runs are too many for one figure; give at most 14" in capsys.readouterr().err
    for name in ("a", "longer"):
        (runs / name / "metrics.jsonl").write_text("damaged\n")
    assert main(["a", "longer", "--out", "both.png"]) == 2
    printed = capsys.readouterr()
    assert "longer/metrics.jsonl, line 1" in printed.err
    assert printed.err.endswith("error: --out both.png: nothing to draw, none of the runs has any measurements yet\n")
    assert sorted(path.name for path in runs.iterdir()) == ["a", "longer"]


def test_no_such_folder(runs, capsys):
    assert main(["a", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere: no such folder")
    (runs / "empty").mkdir()
    assert main(["a", "empty"]) == 2
    assert capsys.readouterr().err.startswith("error: empty: not a workdir of")
