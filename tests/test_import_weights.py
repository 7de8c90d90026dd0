"""The command, the file that it writes, and loading that file into a model."""

import jax
import numpy as np
import pytest
import safetensors.numpy

from adamine_jax.base.errors import UserError
from adamine_jax.import_weights import main
from adamine_jax.models.image import torchvision
from adamine_jax.models.image.resnet_weights import load_image_weights, read_image_weights, write_image_weights
from tests.golden import make_resnet


def zero_variables(depth, width):
    resnet = torchvision.abstract_variables(depth, width)
    resnet = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), resnet)
    return {
        "params": {"image_tower": {"resnet": resnet["params"], "fc": {"kernel": np.ones(2)}}, "recipe_tower": {}},
        "batch_stats": {"image_tower": {"resnet": resnet["batch_stats"]}},
    }


@pytest.fixture
def state():
    return make_resnet.random_state(18, 4)


@pytest.fixture
def source(tmp_path, state):
    path = tmp_path / "resnet18.safetensors"
    safetensors.numpy.save_file(state, path)
    return path


def test_the_command_writes_a_file_that_a_model_loads(tmp_path, source, state, capsys):
    out = tmp_path / "ours.safetensors"
    assert main(["--from", "torchvision", "--file", str(source), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    parameters = sum(state[name].size for name in state if name.endswith(("weight", "bias")) and name[:2] != "fc")
    assert f"ResNet-18 of width 4, {parameters:,} parameters" in printed
    assert "left out: fc.weight, fc.bias (the ImageNet classifier)" in printed
    assert f"--config.model.image.depth=18 --config.model.image.width=4 --config.model.image.weights={out}" in printed
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ours.safetensors", "resnet18.safetensors"]
    names = safetensors.numpy.load_file(out)
    np.testing.assert_array_equal(names["params/image_tower/resnet/bn1/scale"], state["bn1.weight"])

    before = zero_variables(18, 4)
    loaded = load_image_weights(out, before)
    assert jax.tree.structure(loaded) == jax.tree.structure(before)
    expected = torchvision.from_state_dict(state).variables
    for collection in ("params", "batch_stats"):
        ours = loaded[collection]["image_tower"]["resnet"]
        jax.tree.map(np.testing.assert_array_equal, ours, expected[collection])
    assert loaded["params"]["image_tower"]["fc"] is before["params"]["image_tower"]["fc"]
    assert not before["params"]["image_tower"]["resnet"]["conv1"]["kernel"].any()


def test_torchvision_files_are_loaded_directly(source, state):
    loaded = load_image_weights(source, zero_variables(18, 4))
    np.testing.assert_array_equal(
        loaded["batch_stats"]["image_tower"]["resnet"]["bn1"]["var"], state["bn1.running_var"]
    )


@pytest.mark.parametrize(("depth", "width"), [(34, 4), (18, 8), (50, 4)])
def test_another_resnet_is_refused_with_the_fields_to_set(source, depth, width):
    with pytest.raises(UserError) as error:
        load_image_weights(source, zero_variables(depth, width))
    assert str(error.value) == (
        f"{source}: contains a ResNet-18 of width 4, the model has a ResNet-{depth} of width {width}; set "
        "config.model.image.depth = 18 and config.model.image.width = 4, or give other weights"
    )


def test_an_imported_file_with_a_missing_tensor_is_refused(tmp_path, source):
    weights = read_image_weights(source)
    del weights.variables["params"]["layer2_0"]["conv1"]
    out = tmp_path / "ours.safetensors"
    write_image_weights(out, weights)
    with pytest.raises(UserError, match=r"of the wrong shape: params/layer2_0/conv1/kernel; import the file again$"):
        load_image_weights(out, zero_variables(18, 4))


@pytest.mark.parametrize("cut", [0, 7, -50])
def test_a_damaged_file_is_one_line_and_leaves_nothing_behind(tmp_path, source, cut, capsys):
    source.write_bytes(source.read_bytes()[:cut])
    out = tmp_path / "ours.safetensors"
    assert main(["--from", "torchvision", "--file", str(source), "--out", str(out)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"error: {source}: not a readable .safetensors file")
    assert message.count("\n") == 1
    assert not out.exists()


def test_a_missing_folder_is_one_line(tmp_path, source, capsys):
    out = tmp_path / "no" / "ours.safetensors"
    assert main(["--from", "torchvision", "--file", str(source), "--out", str(out)]) == 2
    assert "no such folder; create it before ours.safetensors is written" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("source", "flags", "message"),
    [
        ("torchvision", ["--workdir", "w"], "--workdir: not valid with --from torchvision; give --out"),
        ("torchvision", ["--out", "o", "--data", "d"], "--data: not valid with --from torchvision; give --out"),
        ("torchvision", [], "--out is missing: --from torchvision requires it (.safetensors file to write)"),
        ("adamine", ["--out", "o"], "--out: not valid with --from adamine; give --data and --workdir"),
        ("adamine", ["--workdir", "w"], "--data is missing: --from adamine requires it (data set converted with"),
        ("im2recipe", ["--data", "d"], "--workdir is missing: --from im2recipe requires it (folder to create)"),
    ],
)
def test_each_source_has_its_own_flags(source, flags, message, capsys):
    assert main(["--from", source, "--file", "f.safetensors", *flags]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
