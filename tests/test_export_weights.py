"""Export of a workdir's model as one file, and loading its ResNet into another model."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import adamine_jax
from adamine_jax.base.errors import UserError
from adamine_jax.config import stored as configuration
from adamine_jax.config.presets import flatten
from adamine_jax.export_weights import main
from adamine_jax.import_weights import main as import_main
from adamine_jax.models import registry
from adamine_jax.models.image.resnet_weights import load_image_weights, read_image_weights
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.runs import workdir
from tests.interop.published_code import STATES


@pytest.fixture(scope="module")
def run(tiny_data, tmp_path_factory):
    """Workdir of an imported model, which is equal to that of a trained one."""
    folder = tmp_path_factory.mktemp("export")
    safetensors.numpy.save_file(STATES["im2recipe"](), folder / "m.safetensors")
    arguments = ["--file", folder / "m.safetensors", "--data", tiny_data, "--workdir", folder / "run"]
    assert import_main(["--from", "im2recipe", *map(str, arguments)]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def exported(run):
    """The exported model of `run`."""
    out = run.parent / "out" / "model.safetensors"
    out.parent.mkdir()
    assert main(["--workdir", str(run), "--out", str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["model.safetensors"]
    return out


def test_every_array_is_stored_under_its_path(run, exported):
    trained = workdir.load(run)
    tensors = safetensors.numpy.load_file(exported)
    variables = jax.device_get(trained.variables)
    assert len(tensors) == len(jax.tree.leaves(variables))
    for path, leaf in jax.tree.leaves_with_path(variables):
        np.testing.assert_array_equal(tensors["/".join(entry.key for entry in path)], leaf)
    assert "batch_stats/image_tower/resnet/layer4_1/bn2/var" in tensors


def test_the_metadata_describe_the_model(run, exported):
    with safetensors.safe_open(exported, framework="np") as file:
        metadata = file.metadata()
    stored = json.loads((run / "dataset.json").read_text())
    assert metadata.keys() == {"format", "step", "digest", "config", "vocabulary_digest"}
    assert (metadata["format"], metadata["step"]) == ("adamine_jax", "0")
    assert metadata["vocabulary_digest"] == stored["vocabulary_digest"]
    config = configuration.from_dict(json.loads(metadata["config"]))
    assert flatten(config) == flatten(workdir.load_config(run))


def test_a_model_loads_the_resnet_of_the_file(run, exported):
    before = jax.device_get(workdir.load(run).variables)
    zeros = jax.tree.map(np.zeros_like, before)
    loaded = load_image_weights(exported, zeros)
    for collection in ("params", "batch_stats"):
        resnets = (variables[collection]["image_tower"]["resnet"] for variables in (loaded, before))
        jax.tree.map(np.testing.assert_array_equal, *resnets)
    assert not loaded["params"]["image_tower"]["fc"]["kernel"].any()
    assert loaded["params"]["recipe_tower"] is zeros["params"]["recipe_tower"]


@pytest.mark.parametrize("without", ["resnet", "conv1"])
def test_a_file_without_a_whole_resnet_is_refused(exported, tmp_path, without):
    tensors = {name: array for name, array in safetensors.numpy.load_file(exported).items() if without not in name}
    safetensors.numpy.save_file(tensors, tmp_path / "m.safetensors", {"format": "adamine_jax"})
    with pytest.raises(UserError, match="contains no complete ResNet"):
        read_image_weights(tmp_path / "m.safetensors")


def test_what_it_prints(run, exported, capsys):
    assert main(["--workdir", str(run), "--out", str(exported), "--checkpoint", "last"]) == 0
    printed = capsys.readouterr().out
    assert f"{exported}: model of {run} at step 0, " in printed
    assert (
        f"--config.model.image.depth=18 --config.model.image.width=2 --config.model.image.weights={exported}" in printed
    )


@pytest.mark.parametrize(
    ("workdir_name", "out", "message"),
    [
        ("run", "model.pth", "the name must end in .safetensors"),
        ("run", "no/m.safetensors", "does not exist; create it first"),
        ("elsewhere", "m.safetensors", "is not a workdir"),
    ],
)
def test_errors_are_one_line(run, tmp_path, workdir_name, out, message, capsys):
    assert main(["--workdir", str(run.parent / workdir_name), "--out", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


LOADER = """
import sys
from pathlib import Path
import jax.export, numpy as np
inputs = dict(np.load(sys.argv[2]))
program = jax.export.deserialize(bytearray(Path(sys.argv[1]).read_bytes()))
assert program.platforms == ("cpu", "cuda", "tpu")
np.save(sys.argv[3], program.call(inputs.get("photos", inputs)))
assert not {"adamine_jax", "flax"} & sys.modules.keys()
"""


@pytest.mark.parametrize("tower", ["image", "recipe"])
def test_a_program_needs_jax_alone_and_embeds_like_the_model(kitchen, tmp_path, tower, capsys):
    run, size = kitchen / "run", 3
    command = ["--workdir", str(run), "--out", str(tmp_path / "model"), "--format", "stablehlo", "--batch-size", "3"]
    assert main(command) == 0
    model = adamine_jax.load(run, batch_sizes=(8,))
    rng, trained = np.random.default_rng(0), model.trained
    if tower == "image":
        side = trained.config.data.image_size
        arrays = {"photos": rng.integers(0, 256, (size, side, side, 3), dtype=np.uint8)}
        padded = np.concatenate([arrays["photos"], np.zeros((5, side, side, 3), np.uint8)])
        expected = model._embed_images(trained.variables, padded)[:size]
    else:
        texts = [RecipeText(instructions=("Mix salt and rice.",)), RecipeText(ingredients=("salt",)), RecipeText()]
        encoded = [model.texts.encode(text) for text in texts]
        arrays = registry.recipe_fields(trained.config.model)(encoded)
        expected = model.embed_recipes(texts[:2])
    np.savez(tmp_path / "inputs.npz", **arrays)
    files = [tmp_path / "model" / f"{tower}.stablehlo", tmp_path / "inputs.npz", tmp_path / "out.npy"]
    subprocess.run([sys.executable, "-c", LOADER, *map(str, files)], check=True, cwd=tmp_path)
    found = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(found[: len(expected)], expected, atol=1e-5)
    described = json.loads((tmp_path / "model" / "inputs.json").read_text())[tower]
    shapes = {
        name: tuple(of["shape"]) for name, of in ({"photos": described} if tower == "image" else described).items()
    }
    assert shapes == {name: array.shape for name, array in arrays.items()}
    assert f"model/{tower}.stablehlo: maps " in capsys.readouterr().out
