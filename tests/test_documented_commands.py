"""The commands and the code of README, CONTRIBUTING and docs/ run in a folder that has the files which they name."""

import json
import os
import re
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

import adamine_jax
from adamine_jax.config import preset
from adamine_jax.train import train
from tests import tiny
from tests.databases import at
from tests.documents import PAGES, ROOT, TUTORIALS, blocks, name_of
from tests.golden import make_resnet
from tests.servers import serving
from tests.small_collection import photo_file, recipes

pytestmark = pytest.mark.slow

TOKEN = "0123456789abcdef"
NOT_RUN = {
    "make quickstart ": "takes minutes; continuous integration runs `make test`",
    "jax.export.deserialize": "tests/test_export_weights.py runs it",
    "image_encoder=encode": "the encoder of the page before; tests/queries/test_encoder.py has another",
    "docker build": "Docker; tests/test_packaging.py runs the steps of the Dockerfile",
    "kill -HUP": "tests/serving/test_serve.py replaces a gallery",
    "import_weights --from adamine": "PyTorch; tests/test_import_model.py runs it",
    "import torch": "PyTorch, and weights of CLIP",
}
"""Part of a block that is not run here, and why."""

EXAMPLES = [
    {
        "id": "005701b6cd",
        "title": "Lemon tart",
        "class": "soup",
        "cuisine": "Thai",
        "ingredients": ["2 lemons", "1 leek", "100 g rice", "2 eggs", "a bunch of basil"],
        "instructions": ["Stir the eggs with the juice of the lemons.", "Bake everything for an hour, then serve it."],
        "images": ["dinner.jpg"],
    },
    {
        "id": "0a1b2c3d4e",
        "title": "Soup",
        "ingredients": ["1 broccoli", "salt"],
        "instructions": ["Boil the broccoli."],
        "images": ["tart.jpg"],
    },
]
"""Recipes with the ids and the words of the documentation."""

MODULE = r"^`(kitchen_lab/\w+\.py)`:\n\n```python\n(.*?)^```"
"""A module of CONTRIBUTING.md, with its path."""

PROGRAMS = {
    "python": f'exec "{sys.executable}" "{ROOT}/tests/documented_python.py" "$@"',
    "adamine": 'exec python -m adamine_jax.cli "$@"',
    "pip": 'exec python pip "$@"',
    "git": "mkdir opendrinks && cp -r own opendrinks/src",
    # The last argument of `ssh` is a command for all workers. After it the run is complete.
    "gcloud": """case "$*" in
        *describe*) echo ACTIVE;;
        *ssh*) bash -ec "${@: -1}" && touch shared/runs/a/eval_test.json;;
    esac""",
    "srun": 'exec "$@"',
}
"""Programs that a block starts."""

REPLACEMENTS = (
    ("api=http://127.0.0.1:8000/api/v1", ""),
    ("curl ", "curl -sS --fail-with-body "),
    ("/shared/", "shared/"),
    ("63fe2227.pth", "63fe2227.safetensors"),
    # An abbreviated command needs a folder, and one of Recipe1M's size the size of this one.
    (" ...\n", " --workdir runs/short --config.data.dir=data\n"),
    ("--unknown-ingredients words --workdir runs/short --config.data.dir=data", "--unknown-ingredients words"),
    ("--protocols 1k,10k,full", "--protocols full"),
    ("--split text", "--split val"),
    ("--without broccoli", "--without salt"),  # which the model of the test knows
    ('--ingredients "mushrooms, strawberries" --within "pan pizza"', "--ingredients dill"),
)


@pytest.fixture(scope="module")
def world(kitchen, tmp_path_factory):
    """A folder with the files that the documentation names."""
    folder = tmp_path_factory.mktemp("world")
    links = {
        ROOT / "configs": ["configs"],
        ROOT / "docs": ["docs"],
        kitchen / "download": ["DIR", "DOWNLOAD", "recipe1m", "drinks"],
        kitchen / "data": ["data"],
        kitchen / "own": ["own"],
        folder: ["shared/adamine"],
    }
    (folder / "shared" / "runs" / "a").mkdir(parents=True)
    for target, names in links.items():
        for name in names:
            (folder / name).symlink_to(target)
    train(tiny.small_config(kitchen / "data", epochs=2, model__recipe__max_words=12), folder / "quickstart" / "run")
    for name in ("runs/a", "runs/b", "runs/mine", "runs/drinks"):
        shutil.copytree(kitchen / "run", folder / name)
        shutil.copy(folder / "quickstart" / "run" / "metrics.jsonl", folder / name)
    shutil.copy(kitchen / "download" / "classes1M.pkl", folder)
    for name, some in (("recipes", [*recipes(48), *EXAMPLES]), ("new", list(recipes(2))), ("changed", EXAMPLES)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(recipe) + "\n" for recipe in some))
    for name, source in re.findall(MODULE, (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(source)
    (folder / "my_package").mkdir()
    (folder / "my_package" / "vit.py").write_text("from kitchen_lab.patches import PatchTower as ViT\n")
    (folder / "my_package" / "losses.py").write_text("from kitchen_lab.contrastive import ContrastiveLoss as Clip\n")
    (folder / "clip_features.py").write_text("def encode(images):\n    return [[0.1, 0.2, 0.3] for _ in images]\n")
    for name in ("soup", "tart"):
        (folder / f"{name}.json").write_text(json.dumps(EXAMPLES[0]))
    (folder / "my_photos").mkdir()
    for name in ("dinner.jpg", "tart.jpg", "my_photos/a.png"):
        (folder / name).write_bytes(photo_file(3))
    (folder / "token").write_text(TOKEN)
    (folder / "vocab.bin").write_bytes(b"2 2\nsalt " + bytes(8) + b"\neggs " + bytes(8) + b"\n")
    save_file(make_resnet.random_state(101, 4), folder / "resnet101-63fe2227.safetensors")
    np.save(folder / "features.npy", np.ones((2, 3), np.float32))
    return folder


@pytest.fixture(scope="module")
def environment(world, database):
    """Variables with which the programs of blocks are those of this module."""
    folder = world / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name, content in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/bash\n{content}\n")
        (folder / name).chmod(0o755)
    (folder / "activate").touch()
    variables = {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": f"{ROOT}:{world}", "JAX_PLATFORMS": "cpu"}
    return os.environ | variables


@pytest.fixture(scope="module")
def gallery(world, environment, model):
    """A gallery with the documented items."""
    folder = world / "runs" / "a" / "gallery" / "test"
    shutil.copytree(folder, world / "galleries" / "val")
    for name in ("a", "b"):
        command = (
            f"adamine gallery add --workdir runs/{name} --gallery runs/{name}/gallery/test --recipes changed.jsonl"
        )
        run(command, environment, world)
    return adamine_jax.open_gallery(folder, model.digest)


def code(page):
    return [(language, source) for language, source in blocks(page) if language in ("sh", "python")]


NAMES = {
    # What a page calls before it says where it comes from.
    "image": jnp.eye(8),
    "recipe": jnp.eye(8),
    "class_id": jnp.zeros(8, jnp.int32),
    "match": jnp.ones(8),
    "config": preset("adamine"),
}
CASES = [page for page in PAGES if page not in TUTORIALS and "reference" not in page.parts and code(page)]


@pytest.mark.parametrize("page", CASES, ids=name_of)
def test_the_blocks_of_a_page_run(page, world, environment, database, model, gallery, monkeypatch):
    monkeypatch.chdir(world)
    names, result = dict(NAMES), world / "shared" / "runs" / "a" / "eval_test.json"
    result.unlink(missing_ok=True)
    with serving(model, gallery, token=TOKEN) as (address, _, _):
        for number, (language, source) in enumerate(code(page)):
            if any(part in source for part in NOT_RUN):
                continue
            if language == "python":
                exec(compile(source, name_of(page), "exec"), names)
                continue
            for documented, here in REPLACEMENTS:
                source = source.replace(documented, here)
            source = re.sub(r"postgresql://[^']+", at(database, "documented"), source)
            # Each conversion and each import writes a new folder.
            for name in re.findall(r"recipe1m (?:import )?-\S+ \S+ --out (\w+)", source):
                source = re.sub(rf"(--out|--source) {name}\b", rf"\1 {page.stem}{number}_{name}", source)
            run(f"api={address}/api/v1\n{source}", environment, world)
            assert result.exists() == ("gcloud" in source)
            result.unlink(missing_ok=True)


def test_what_is_not_run_is_in_the_documentation():
    sources = [source for page in CASES for _, source in code(page)]
    assert [part for part in NOT_RUN if not any(part in source for source in sources)] == []


def run(script, environment, folder):
    command = ["bash", "-ec", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=folder, timeout=400)
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
