"""Significance of the difference between runs, on synthetic workdirs."""

import json
import re

import numpy as np
import pytest

from adamine_jax.compare import main
from adamine_jax.retrieval.protocols import DIRECTIONS, Ranked, score
from adamine_jax.retrieval.rank_files import RankFile, write_ranks


def make_run(folder, protocols, config=None):
    """Writes a workdir whose test has these ranks in both directions: {protocol: (ids, ranks)}."""
    folder.mkdir(exist_ok=True)
    ranked = {
        name: Ranked(np.asarray(ids), dict.fromkeys(DIRECTIONS, np.asarray(ranks, np.float32)))
        for name, (ids, ranks) in protocols.items()
    }
    (folder / "config.json").write_text(json.dumps(config or {"epochs": 1}))
    (folder / "metrics.jsonl").write_text('{"step": 1, "epoch": 0, "split": "val", "r1": 1}\n')
    (folder / "eval_test.json").write_text(json.dumps(score(ranked)))
    write_ranks(folder / "ranks_test.npz", RankFile(ranked, seed=0, step=1))


def full(n=400, first=0.0):
    """Ids and ranks of n recipes: the share `first` ranks first, the others rank fourth."""
    ids = [[f"{number:010x}".encode() for number in range(n)]]
    return ids, [np.where(np.arange(n) < first * n, 1, 4)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_table_and_the_sentence(folder, capsys):
    make_run(folder / "a", {"full": full(first=0.25)})
    make_run(folder / "b", {"full": full(first=0.5)})
    assert main(["a", "b"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    title = "B minus A on the test set, full (recall in %; MedR: lower is better)"
    block = next(part for part in printed.out.split("\n\n") if part.startswith(title)).splitlines()
    assert block[1] == "400 recipes, 2,000 bootstrap samples; A at step 1, B at step 1"
    assert re.fullmatch(r" +difference +95 % interval +B better in", block[2])
    rows = [re.split(r"  +", line.strip()) for line in block[3:15]]
    assert [row[-4] for row in rows] == ["R@1", "R@5", "R@10", "MedR"] * 3
    assert [row[0] for row in rows[::4]] == ["image → recipe", "recipe → image", "mean of both"]
    for r1, r5, r10, medr in (rows[0:4], rows[4:8], rows[8:12]):
        assert r1[-3] == "-25.0"
        low, high = map(float, r1[-2].split(" to "))
        # B never ranks first what A does not, so the standard error is √(0.25 · 0.75 / 400) = 2.2 points.
        assert (low, high) == pytest.approx((-25 - 4.2, -25 + 4.2), abs=0.5)
        assert r1[-1] == "0.0 %"
        assert r5[-3:] == r10[-3:] == ["0.0", "0.0 to 0.0", "50.0 %"]
        assert medr[-3] == "+1.5"
    assert block[15] == "A (b) has a higher R@1 than B (a) in 100 % of the samples"
    assert block[16] == "the intervals cover the choice of test recipes, not training seeds or other candidates"


def test_a_small_difference_is_not_significant(folder, capsys):
    ids, ranks = full(100, first=0.3)
    make_run(folder / "a", {"full": (ids, ranks)})
    make_run(folder / "b", {"full": (ids, [np.roll(ranks[0], 60)])})
    ranks[0][99] = 1
    make_run(folder / "c", {"full": (ids, ranks)})
    assert main(["c", "b", "--samples", "300"]) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"^A \(c\) has a higher R@1 than B \(b\) in 5\d(\.\d)? % of the samples; the difference is not significant",
        out,
        re.MULTILINE,
    )
    assert "300 bootstrap samples" in out


def test_a_run_and_itself(folder, capsys):
    make_run(folder / "a", {"full": full(60, first=0.4)})
    assert main(["a", "a"]) == 0
    out = capsys.readouterr().out
    assert len(re.findall(r"0\.0  +0\.0 to 0\.0  +50\.0 %", out)) == 12
    assert "R@1 does not distinguish A (a) from B (a)" in out


def test_every_run_is_compared_with_the_best_on_the_largest_shared_protocol(folder, capsys):
    ids, ranks = full(50, first=0.5)
    draws = [ids[0][:20], ids[0][20:40]], [ranks[0][:20], ranks[0][20:40]]
    make_run(folder / "best", {"20x2": draws, "full": (ids, ranks)})
    make_run(folder / "other", {"full": full(50, first=0.1), "20x2": draws})
    make_run(folder / "third", {"20x2": (draws[0], [np.full(20, 4)] * 2)})
    assert main(["third", "other", "best"]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^(\w minus \w on the test set, \w+).*\n(.*),\d+ bootstrap samples", out, re.MULTILINE) == [
        ("B minus A on the test set, full", "50 recipes, 2"),
        ("C minus A on the test set, 20x2", "40 recipes in 2 draws of 20 pairs, 2"),
    ]
    assert out.count("the intervals cover") == 1


def test_a_single_tested_run_is_not_compared(folder, capsys):
    make_run(folder / "a", {"full": full(first=0.5)})
    make_run(folder / "b", {"full": full(first=0.5)})
    (folder / "b" / "eval_test.json").unlink()
    for runs in (["a"], ["a", "b"]):
        assert main(runs) == 0
        out = capsys.readouterr().out
        assert "interval" not in out
        assert "bootstrap" not in out


def one_line(out):
    (line,) = (line for line in out.splitlines() if line.startswith("no confidence interval"))
    assert "bootstrap" not in out
    return line


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: make_another(path), "from another evaluation than eval_test.json"),
        (lambda path: np.savez(path, seed=0, step=0), "from another evaluation than eval_test.json"),
    ],
)
def test_unusable_ranks_are_reported_with_the_command_to_run(folder, capsys, change, reason):
    make_run(folder / "a", {"full": full(first=0.5)})
    make_run(folder / "b", {"full": full(first=0.25)})
    change(folder / "b" / "ranks_test.npz")
    assert main(["a", "b"]) == 0
    line = one_line(capsys.readouterr().out)
    assert line.startswith(f"no confidence interval for B: b/ranks_test.npz: {reason}")
    assert line.endswith("; run `python -m adamine_jax.evaluate --workdir b`")


def make_another(path):
    """Replaces the ranks behind `eval_test.json` with those of another test."""
    scores = (path.parent / "eval_test.json").read_text()
    make_run(path.parent, {"full": full(first=0.2)})
    (path.parent / "eval_test.json").write_text(scores)


@pytest.mark.parametrize(
    "other",
    [
        {"full": full(399, first=0.25)},
        {"full": ([full()[0][0][::-1]], full(first=0.25)[1])},
        {"400x1": full(first=0.25)},
    ],
)
def test_different_draws_are_not_compared(folder, capsys, other):
    make_run(folder / "a", {"full": full(first=0.5)})
    make_run(folder / "b", other)
    assert main(["a", "b"]) == 0
    assert re.match(
        r"no confidence interval for \w minus \w: they were tested on different draws; run `python -m",
        one_line(capsys.readouterr().out),
    )


def test_too_few_samples_are_refused(folder, capsys):
    make_run(folder / "a", {"full": full(first=0.5)})
    assert main(["a", "a", "--samples", "99"]) == 2
    assert capsys.readouterr().err == "error: --samples 99: must be at least 100\n"
