"""Dependencies, the packages of the wheel, and the `adamine` command."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest

import adamine_jax
from adamine_jax.cli import COMMANDS

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_requirements_list_the_dependencies_and_four_extras():
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    extras = PROJECT["project"]["optional-dependencies"]
    declared = [*PROJECT["project"]["dependencies"], *extras["convert"], *extras["figures"]]
    declared += [*extras["pages"], *extras["search"]]
    assert sorted(filter(None, lines)) == sorted(name for name in declared if not name.startswith("adamine-jax["))


def test_all_extras_require_the_same_versions_of_a_package():
    extras = PROJECT["project"]["optional-dependencies"].values()
    lines = {line for extra in [PROJECT["project"]["dependencies"], *extras] for line in extra if "[" not in line}
    assert len({re.split("[<>=]", line)[0] for line in lines}) == len(lines)


def test_the_wheel_contains_every_package_but_no_top_level_configs():
    folders = (path.parent for root in ("adamine_jax", "data_builders") for path in (ROOT / root).rglob("__init__.py"))
    packages = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == packages | {"adamine_jax.presets"}


def adamine(*arguments):
    command = [sys.executable, "-m", "adamine_jax.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_adamine_lists_its_commands():
    listed = adamine()
    assert listed.returncode == 0
    assert all(f"  {name}" in listed.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serch"], "error: adamine serch: no such command; did you mean search?\n"),
        (["train", "--config", "quickstart"], "error: --workdir is missing"),
        (["evaluate", "--workdir", "nowhere"], "error: nowhere/config.json: no such file"),
    ],
)
def test_adamine_reports_errors_like_the_module_commands(arguments, message):
    done = adamine(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_adamine_import_is_the_import_command_of_the_converter():
    assert "data_builders.recipe1m import" in adamine("import", "--help").stdout


def test_the_licence_of_every_dependency_is_listed():
    declared = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    names = {re.split(r"[<>=;\[ ]", each)[0] for lines in declared for each in lines} - {"adamine-jax"}
    rows = re.findall(r"^\| ([\w-]+) \| .+ \| (\S.*) \|$", (ROOT / "docs" / "licences.md").read_text(), re.MULTILINE)
    assert {name for name, _ in rows[1:]} == names


def test_all_files_state_the_same_version():
    changelog = re.search(r"^## (\S+) – (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = (ROOT / "CITATION.cff").read_text()
    assert changelog[1] == adamine_jax.__version__
    assert f'\nversion: {changelog[1]}\ndate-released: "{changelog[2]}"\n' in citation
    assert adamine("--version").stdout == f"adamine-jax {changelog[1]}\n"


@pytest.mark.slow
def test_the_steps_of_the_dockerfile_make_a_server(kitchen, tmp_path):
    """Runs them in a fresh virtual environment, without Docker."""
    steps = [line.split(maxsplit=1) for line in (ROOT / "Dockerfile").read_text().splitlines() if line[:1].isupper()]
    app, bin_ = tmp_path / "app", tmp_path / "venv" / "bin"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    environment = os.environ | {"PATH": f"{bin_}:{os.environ['PATH']}", "JAX_PLATFORMS": "cpu"}
    patterns = shutil.ignore_patterns(*(ROOT / ".dockerignore").read_text().split(), "*.egg-info")
    command = []
    for name, argument in steps:
        if name == "COPY":
            assert argument == ". /app"
            # The patterns are about the names in the context alone, not in its folders.
            shutil.copytree(ROOT, app, ignore=lambda at, names: patterns(at, names) if Path(at) == ROOT else [])
        elif name == "RUN":
            subprocess.run(argument, shell=True, cwd=app, env=environment, check=True)
        elif name in ("ENTRYPOINT", "CMD"):
            command += json.loads(argument)
    run = kitchen / "run"
    folders = {"/model": run, "/gallery": run / "gallery" / "test", "0.0.0.0": "127.0.0.1", "adamine": bin_ / "adamine"}
    command = [str(folders.get(word, word)) for word in command] + ["--port", "0"]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = next(line.split()[1] for line in server.stdout if line.startswith("ready: "))
            with urllib.request.urlopen(f"{address}/api/v1/ready") as answer:
                assert json.load(answer) == {"status": "ready"}
        finally:
            server.terminate()
