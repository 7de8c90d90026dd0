"""The commands and the code of the README and of docs/ run, in a folder that has what they name."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import adamine_jax
from adamine_jax.config import preset
from tests.databases import at
from tests.documents import PAGES, ROOT, TUTORIALS, blocks, name_of
from tests.servers import serving
from tests.small_collection import photo_file, recipes

pytestmark = pytest.mark.slow

NOT_RUN = {
    "make quickstart ": "takes minutes; CI runs `make test`, and the tests of runs the rest",
    "pip install -r requirements.txt '.[cuda]'": "a GPU, Recipe1M and torchvision's file",
    "config.loss=pairwise ...": "",
    "image=features,loss=pairwise ...": "an abbreviated command",
    "word-min-count 1 --unknown-ingredients words ...": "an abbreviated command",
    "import_weights --from adamine": "a checkpoint of the published code; tests/test_import_model.py has such files",
    "gcloud": "a TPU pod",
    "#SBATCH": "a cluster with Slurm",
    "--vocab vocab.bin": "files of Recipe1M",
    "adamine serve --workdir current/run": "tests/serving/test_serve.py replaces a gallery",
    "python3 -m venv": "an installation; tests/test_packaging.py makes one",
    "git clone": "the network",
    "clip-vit-base-patch16 --config.model.recipe.part_embeddings": "weights of CLIP",
    "kitchen_lab": "tests/test_contributing.py runs these",
    "if __name__": "weights of CLIP",
    "jax.export.deserialize": "tests/test_export_weights.py runs this program",
    "encode)\n": "an encoder of the reader's own",
}
"""Part of a block that is not run, and what it needs."""
LAST = {"item": "005701b6cd"}  # of which the examples are


@pytest.fixture(scope="module")
def world(kitchen, tmp_path_factory):
    """A folder with the files that the documentation names."""
    folder = tmp_path_factory.mktemp("world")
    for name in ("configs", "docs"):
        (folder / name).symlink_to(ROOT / name)
    for name in ("runs/a", "runs/b", "runs/mine", "runs/drinks", "quickstart/run"):
        shutil.copytree(kitchen / "run", folder / name)
    for name in ("DIR", "recipe1m", "drinks"):
        (folder / name).symlink_to(kitchen / "download")
    (folder / "data").symlink_to(kitchen / "data")
    lines = [json.dumps(recipe) for recipe in recipes(48)]
    for name, some in (("recipes", lines), ("new", lines[:2]), ("changed", lines[2:4])):
        (folder / f"{name}.jsonl").write_text("\n".join(some) + "\n")
    for path in (kitchen / "own").iterdir():
        if path.suffix != ".jsonl":
            shutil.copy(path, folder)
    (folder / "my_photos").mkdir()
    for name in ("dinner.jpg", "tart.jpg", "my_photos/a.png"):
        (folder / name).write_bytes(photo_file(3))
    for name in ("soup", "tart"):
        (folder / f"{name}.json").write_text(lines[5])
    (folder / "token").write_text("0123456789abcdef")
    np.save(folder / "features.npy", np.ones((2, 3), np.float32))
    return folder


@pytest.fixture(scope="module")
def environment(world, database, tmp_path_factory):
    """An environment in which `python` is `documented_python`."""
    folder = tmp_path_factory.mktemp("bin")
    python = f'exec "{sys.executable}" "{ROOT}/tests/documented_python.py"'
    scripts = {
        "python": f'{python} "$@"',
        "adamine": f'{python} -m adamine_jax.cli "$@"',
        "pip": "true",
        ".": "true",
    }
    for name, content in scripts.items():
        if name != ".":
            (folder / name).write_text(f"#!/bin/bash\n{content}\n")
            (folder / name).chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}


def adapted(source, world, database, number):
    """A block with the names, ids and addresses of this folder."""
    gallery = adamine_jax.open_gallery(world / "runs/a/gallery/test", json_digest(world))
    item = gallery.item(gallery.rows[0])
    line = item.ingredients[0].split(" cups ")[1].split(",")[0]
    source = source.replace(". .venv/bin/activate", "true")
    source = source.replace("postgresql://cook@db.example.org/recipes?schema=dinner", at(database, "documented"))
    source = source.replace("0a1b2c3d4e --without broccoli", f"{item.id} --without '{line}'")
    source = source.replace('--ingredients "mushrooms, strawberries" --within "pan pizza"', f"--ingredients '{line}'")
    source = source.replace("--class soup --language en --tag cuisine=Thai", "")
    source = source.replace("--include basil", "--include salt").replace("&class=soup", "")
    source = source.replace("--only top5 --against runs/b --queries 6", "--only top5 --against runs/b --queries 2")
    source = source.replace(LAST["item"], item.id).replace("--protocols 1k,10k,full", "--protocols full")
    if "adamine_jax.serve" in source:
        source = source.replace("--gallery galleries/mine", "--gallery runs/b/gallery/test")
    source = source.replace("adamine_ins avg vse vse_pp lifted_struct pairwise_plus", "adamine_ins")
    source = source.replace("compare runs/*", "compare runs/a runs/b")
    # Every conversion and every gallery is a new one.
    source = re.sub(r"(data_builders\.recipe1m --source \S+ --out )data", rf"\g<1>data{number}", source)
    source = re.sub(r"(import --from \S+ --out )\w+", rf"\g<1>imported{number}", source)
    return source.replace("galleries/text", "galleries/r").replace("--split text", "--recipes recipes.jsonl")


def code(page):
    return [(language, source) for language, source in blocks(page) if language in ("sh", "python")]


def json_digest(world):
    return json.loads((world / "runs/a/gallery/test/gallery.json").read_text())["model"]


NAMES = {
    "image": jnp.eye(8),
    "recipe": jnp.eye(8),
    "class_id": jnp.zeros(8, jnp.int32),
    "match": jnp.ones(8),
    "config": preset("adamine"),
    "hits": None,
}
CASES = [page for page in PAGES if page not in TUTORIALS and "reference" not in page.parts and code(page)]


@pytest.mark.parametrize("page", CASES, ids=name_of)
def test_the_blocks_of_a_page_run(page, world, environment, database, model, monkeypatch):
    monkeypatch.chdir(world)
    names, folder = dict(NAMES), shutil.copytree(world / "runs/a/gallery/test", world / f"gallery-{page.stem}")
    gallery = adamine_jax.open_gallery(folder, model.digest)
    with serving(model, gallery, token="0123456789abcdef") as (address, _, _):
        for number, (language, source) in enumerate(code(page)):
            if any(part in source for part in NOT_RUN):
                continue
            if language == "python":
                if "quickstart/run/metrics.jsonl" in source:
                    write_metrics(Path("quickstart/run/metrics.jsonl"))
                exec(compile(source, name_of(page), "exec"), names)
            else:
                script = adapted(source, world, database, f"{page.stem}{number}")
                script = script.replace("api=http://127.0.0.1:8000/api/v1", "")
                script = script.replace("curl ", "curl -sS --fail-with-body ")
                run(f"api={address}/api/v1\n{script}", environment)


def run(script, environment):
    done = subprocess.run(["bash", "-ec", script], capture_output=True, text=True, env=environment, timeout=400)
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def write_metrics(path):
    lines = []
    for epoch in range(3):
        shares = {f"bad_pairs_{name}": epoch / 4 for name in ("IRR", "RII", "SIRR", "SRII")}
        lines.append(json.dumps({"split": "train", "epoch": epoch} | shares))
    path.write_text("\n".join(lines))
