"""Links, code and commands of the documentation are right, and its site is built without a warning."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import PAGES, ROOT, TUTORIALS, blocks, name_of

PYTHON = Path(sys.executable).parent
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_KERNEL = "---\njupyter:\n  kernelspec:\n    name: python3\n    language: python\n    display_name: Python\n---\n"


def anchors(page):
    """The anchors of a page's headings, as GitHub and MkDocs make them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    wrong = []
    for link in _LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
        path, _, anchor = link.partition("#")
        if ":" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        is_found = target.exists()
        if anchor and is_found:
            is_found = anchor in anchors(target)
        if not is_found:
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_code_can_be_parsed(page):
    for language, source in blocks(page):
        if language == "python":
            ast.parse(re.sub(r"^%%.*$", "", source, flags=re.MULTILINE))
        elif language in ("sh", "bash"):
            subprocess.run(["bash", "-n"], input=source, text=True, check=True)
        elif language == "json":
            json.loads(source)


def test_every_field_of_the_configuration_is_described():
    from adamine_jax.config.presets import flatten, preset
    from docs import site_pages

    rows = list(site_pages.fields((ROOT / "configs" / "adamine.py").read_text()))
    assert all(comment for _, _, comment in rows)
    sections = ("model.image.", "model.recipe.", "loss.")
    known = {name for name in flatten(preset("adamine")) if not name.startswith(sections)}
    assert {name for name, _, _ in rows} == known
    text = "\n".join(site_pages.configuration())
    undescribed = re.findall(r"^\| (`\w+`) \| .* \| +\|$", text, re.MULTILINE)
    assert undescribed == []


@pytest.mark.slow
def test_the_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    site = tmp_path / "site"
    index = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    for word, page in (("MedR", "explanation/ranks/"), ("unfreeze", "reference/config/"), ("resume", "checkpoints/")):
        found = [entry["location"].partition("#")[0] for entry in index if word.lower() in entry["text"].lower()]
        assert page in found, word
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not re.findall(r'(?:src|href)="(?:https?:)?//[^"]+\.(?:js|css|woff2?)"', text), path  # works offline


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=name_of)
def test_tutorials_run(page, tmp_path, monkeypatch):
    import jupytext
    import nbclient

    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    notebook = jupytext.reads(_KERNEL + page.read_text(encoding="utf-8"), fmt="md")
    notebook.cells = [cell for cell in notebook.cells if not cell.source.startswith("%%sh")]  # for a terminal
    environment = {"PATH": f"{PYTHON}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}:.", "JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = ""  # one device, as readers have
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    printed = [
        out["text"] for cell in notebook.cells for out in cell.get("outputs", ()) if out["output_type"] == "stream"
    ]
    assert "Traceback" not in "".join(printed)
