"""Without an extra, what needs it says in one line which one that is."""

import shutil
import subprocess
import sys

import pytest

from adamine_jax import train
from adamine_jax.base.errors import UserError
from adamine_jax.gallery import index
from adamine_jax.input.damage import Damage
from adamine_jax.plots import space

BLOCKED = """
import runpy, sys
names, module, *sys.argv[1:] = sys.argv[1:]
class Blocker:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in names.split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""
CONVERT = ["data_builders.recipe1m", "--source", ".", "--out", "out"]


@pytest.mark.parametrize(
    ("blocked", "command", "said"),
    [
        ("matplotlib", ["adamine_jax.figures", "--workdir", "."], "figures need matplotlib|figures"),
        ("uvicorn", ["adamine_jax.serve", "--workdir", "."], "serving needs uvicorn|serve"),
        ("msgspec,gensim", CONVERT, "the converter needs msgspec|convert"),
        ("msgspec", ["data_builders.recipe1m", "check", "--source", "."], "the converter needs msgspec|convert"),
        ("msgspec", ["data_builders.recipe1m", "import", "--from", "."], "the converter needs msgspec|convert"),
        ("tensorflow,gensim", CONVERT, "the converter needs tensorflow, gensim|convert"),
        ("apache_beam", [*CONVERT, "--beam-options="], "--beam-options needs apache_beam|beam"),
        ("matplotlib", [*CONVERT, "check"], "the converter needs matplotlib|convert"),
        (
            "matplotlib",
            ["data_builders.kitchen", "--out", ".", "--contact-sheet", "a.png"],
            "a contact sheet needs matplotlib|figures",
        ),
        ("torch,pytorch_metric_learning", ["benchmarks.losses"], "the peers need torch, pytorch_metric_learning|bench"),
    ],
)
def test_a_command_says_which_extra_it_needs(blocked, command, said, tmp_path, pytestconfig):
    for name in ("layer1.json", "layer2.json", "det_ingrs.json"):
        (tmp_path / name).write_text("[]")
    program = f"import sys\nsys.path.insert(0, {str(pytestconfig.rootpath)!r}){BLOCKED}"
    line = [sys.executable, "-c", program, blocked, *command]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    need, extra = said.split("|")
    assert (done.returncode, done.stderr) == (2, f"error: {need}: pip install 'adamine-jax[{extra}]'\n")


@pytest.mark.parametrize(
    ("module", "call", "extra"),
    [("faiss", index._faiss, "search"), ("sklearn", lambda: space.project(None, 0), "figures")],
)
def test_a_function_says_which_extra_it_needs(module, call, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"needs {module}: pip install 'adamine-jax\[{extra}\]'"):
        call()


def test_a_run_without_matplotlib_is_tested_and_says_how_to_draw_it(kitchen, tmp_path, monkeypatch, capsys):
    shutil.copytree(kitchen / "run", tmp_path / "run")
    for name in [name for name in sys.modules if name.startswith("adamine_jax.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("adamine_jax.plots")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert train.run_test(tmp_path / "run", Damage(0))
    said = capsys.readouterr().out
    assert "figures need matplotlib: pip install 'adamine-jax[figures]'; then draw them: python -m" in said
