"""How sure the order of two runs is said to be, of workdirs made by hand."""

import json
import re

import numpy as np
import pytest

from adamine_jax.compare import main
from adamine_jax.retrieval.protocols import DIRECTIONS, Ranked, score
from adamine_jax.retrieval.rank_files import RankFile, write_ranks


def make_run(folder, protocols, config=None):
    """A workdir whose test has these ranks: {protocol: (ids, ranks)} of both directions."""
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
    """Ranks of n recipes of which a share is first, the others fourth."""
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
    title = "B less A on the test, full (recall in %; MedR in places, fewer are better)"
    block = next(part for part in printed.out.split("\n\n") if part.startswith(title)).splitlines()
    assert block[1] == "400 recipes, 2,000 samples of the bootstrap; A after step 1, B after step 1"
    assert re.fullmatch(r" +difference +95 % interval +B better in", block[2])
    rows = [re.split(r"  +", line.strip()) for line in block[3:15]]
    assert [row[-4] for row in rows] == ["R@1", "R@5", "R@10", "MedR"] * 3
    assert [row[0] for row in rows[::4]] == ["image → recipe", "recipe → image", "mean of both"]
    for r1, r5, r10, medr in (rows[0:4], rows[4:8], rows[8:12]):
        assert r1[-3] == "-25.0"
        low, high = map(float, r1[-2].split(" to "))
        # The second never finds what the first does not: standard error √(0.25 · 0.75 / 400) = 2.2 points.
        assert (low, high) == pytest.approx((-25 - 4.2, -25 + 4.2), abs=0.5)
        assert r1[-1] == "0.0 %"
        assert r5[-3:] == r10[-3:] == ["0.0", "0.0 to 0.0", "50.0 %"]
        assert medr[-3] == "+1.5"
    assert block[15] == "A (b) finds more at R@1 than B (a): more than 99.9 % sure"
    assert (
        block[16] == "the intervals cover which recipes were tested, not the seeds of the trainings or other candidates"
    )


def test_a_small_lead_is_said_to_be_too_small(folder, capsys):
    ids, ranks = full(100, first=0.3)
    make_run(folder / "a", {"full": (ids, ranks)})
    make_run(folder / "b", {"full": (ids, [np.roll(ranks[0], 60)])})
    ranks[0][99] = 1
    make_run(folder / "c", {"full": (ids, ranks)})
    assert main(["c", "b", "--samples", "300"]) == 0
    out = capsys.readouterr().out
    assert re.search(
        r"^A \(c\) finds more at R@1 than B \(b\): 5\d(\.\d)? % sure; too little to tell them apart by these recipes$",
        out,
        re.MULTILINE,
    )
    assert "300 samples of the bootstrap" in out


def test_a_run_and_itself(folder, capsys):
    make_run(folder / "a", {"full": full(60, first=0.4)})
    assert main(["a", "a"]) == 0
    out = capsys.readouterr().out
    assert len(re.findall(r"0\.0  +0\.0 to 0\.0  +50\.0 %", out)) == 12
    assert "at R@1 nothing tells A (a) from B (a): 50 % sure" in out


def test_every_other_run_is_held_against_the_best_on_the_largest_protocol_of_both(folder, capsys):
    ids, ranks = full(50, first=0.5)
    draws = [ids[0][:20], ids[0][20:40]], [ranks[0][:20], ranks[0][20:40]]
    make_run(folder / "best", {"20x2": draws, "full": (ids, ranks)})
    make_run(folder / "other", {"full": full(50, first=0.1), "20x2": draws})
    make_run(folder / "third", {"20x2": (draws[0], [np.full(20, 4)] * 2)})
    assert main(["third", "other", "best"]) == 0
    out = capsys.readouterr().out
    assert re.findall(r"^(\w less \w on the test, \w+).*\n(.*),\d+ samples", out, re.MULTILINE) == [
        ("B less A on the test, full", "50 recipes, 2"),
        ("C less A on the test, 20x2", "40 recipes in 2 draws of 20 pairs, 2"),
    ]
    assert out.count("the intervals cover") == 1


def test_one_tested_run_has_nothing_beside_it(folder, capsys):
    make_run(folder / "a", {"full": full(first=0.5)})
    make_run(folder / "b", {"full": full(first=0.5)})
    (folder / "b" / "eval_test.json").unlink()
    for runs in (["a"], ["a", "b"]):
        assert main(runs) == 0
        out = capsys.readouterr().out
        assert "interval" not in out
        assert "bootstrap" not in out


def one_line(out):
    (line,) = (line for line in out.splitlines() if line.startswith("no interval"))
    assert "bootstrap" not in out
    return line


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:200]), "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: make_another(path), "of another evaluation than eval_test.json"),
        (lambda path: np.savez(path, seed=0, step=0), "of another evaluation than eval_test.json"),
    ],
)
def test_without_usable_ranks_a_line_says_what_to_run(folder, capsys, change, reason):
    make_run(folder / "a", {"full": full(first=0.5)})
    make_run(folder / "b", {"full": full(first=0.25)})
    change(folder / "b" / "ranks_test.npz")
    assert main(["a", "b"]) == 0
    line = one_line(capsys.readouterr().out)
    assert line.startswith(f"no interval for B: b/ranks_test.npz: {reason}")
    assert line.endswith("; `python -m adamine_jax.evaluate --workdir b` writes it")


def make_another(path):
    """Ranks of another test in the place of those of `eval_test.json`."""
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
def test_other_draws_are_not_compared(folder, capsys, other):
    make_run(folder / "a", {"full": full(first=0.5)})
    make_run(folder / "b", other)
    assert main(["a", "b"]) == 0
    assert re.match(
        r"no interval for \w less \w: they were tested on other draws; run `python -m",
        one_line(capsys.readouterr().out),
    )


def test_too_few_samples_are_refused(folder, capsys):
    make_run(folder / "a", {"full": full(first=0.5)})
    assert main(["a", "a", "--samples", "99"]) == 2
    assert capsys.readouterr().err == "error: --samples 99: takes a number from 100\n"
