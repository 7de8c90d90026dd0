"""Conversion of torchvision state dicts, and errors for unsuitable files."""

import sys

import jax
import numpy as np
import pytest
import safetensors.numpy

from adamine_jax.base.errors import UserError
from adamine_jax.models.image import torchvision
from adamine_jax.models.image.resnet import ResNet
from tests.golden import make_resnet


@pytest.fixture
def state():
    return make_resnet.random_state(18, 4)


@pytest.mark.parametrize("depth", [10, 18, 34, 50, 101, 152])
def test_every_depth_is_recognised_and_fills_every_variable(depth):
    state = make_resnet.random_state(depth, 2)
    weights = torchvision.from_state_dict(state)
    assert (weights.depth, weights.width) == (depth, 2)
    assert weights.dropped == ("fc.weight", "fc.bias")
    expected = torchvision.abstract_variables(depth, 2)
    assert jax.tree.structure(weights.variables) == jax.tree.structure(expected)
    for ours, leaf in zip(jax.tree.leaves(weights.variables), jax.tree.leaves(expected), strict=True):
        assert (ours.shape, ours.dtype) == (leaf.shape, leaf.dtype)


def test_names_and_layout(state):
    variables = torchvision.from_state_dict(state).variables
    params, stats = variables["params"], variables["batch_stats"]
    kernel = state["layer2.0.conv1.weight"]
    np.testing.assert_array_equal(params["layer2_0"]["conv1"]["kernel"][0, 2, 1, 3], kernel[3, 1, 0, 2])
    np.testing.assert_array_equal(params["layer3_0"]["downsample_bn"]["scale"], state["layer3.0.downsample.1.weight"])
    np.testing.assert_array_equal(stats["layer4_1"]["bn2"]["var"], state["layer4.1.bn2.running_var"])
    np.testing.assert_array_equal(stats["bn1"]["mean"], state["bn1.running_mean"])


def test_faults_are_named(state):
    del state["layer1.0.conv2.weight"]
    state["layer5.weight"] = np.zeros(3)
    state["bn1.bias"] = np.zeros(5, np.float32)
    state["layer2.0.conv1.weight"] = state["layer2.0.conv1.weight"][:, :, :1]
    state["layer4.0.bn1.running_var"][0] = np.nan
    with pytest.raises(UserError) as error:
        torchvision.from_state_dict(state, where="r.pth")
    assert str(error.value) == (
        "r.pth: not the weights of a ResNet-18 of width 4: layer1.0.conv2.weight is missing, layer5.weight is "
        "unexpected, layer4.0.bn1.running_var has values that are not finite, bn1.bias is 5 instead of 4, "
        "layer2.0.conv1.weight is 8×4×1×3 instead of 8×4×3×3"
    )


def test_many_faults_are_counted(state):
    state = {name: array for name, array in state.items() if "bn2" not in name}
    with pytest.raises(UserError, match=r"(\S+ is missing, ){9}\S+ is missing and 22 more$"):
        torchvision.from_state_dict(state)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        (lambda name: name.startswith("fc"), r"no conv1\.weight or \S+ among its 2 tensors"),
        (lambda name: not name.startswith("layer4"), "blocks match none of ResNet-10, 18, 34, 50, 101 and 152"),
    ],
)
def test_other_networks_are_refused(state, keep, message):
    with pytest.raises(UserError, match=message):
        torchvision.from_state_dict({name: array for name, array in state.items() if keep(name)})


def test_safetensors_files(tmp_path, state):
    path = tmp_path / "resnet18.safetensors"
    safetensors.numpy.save_file(state, path)
    weights = torchvision.read_torchvision(path)
    jax.tree.map(np.testing.assert_array_equal, weights.variables, torchvision.from_state_dict(state).variables)


@pytest.mark.parametrize("content", [b"", b"nonsense" * 10, None])
def test_damaged_safetensors_files_are_one_line(tmp_path, state, content):
    path = tmp_path / "resnet18.safetensors"
    safetensors.numpy.save_file(state, path)
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    with pytest.raises(UserError, match=r"not a readable \.safetensors file"):
        torchvision.read_torchvision(path)


@pytest.mark.parametrize("name", ["no.safetensors", "no.pth"])
def test_missing_files_are_one_line(tmp_path, name):
    with pytest.raises(UserError, match="no such file"):
        torchvision.read_torchvision(tmp_path / name)


def test_without_pytorch_a_pth_file_names_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "resnet18.pth"
    path.write_bytes(b"PK")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"needs torch, which is not installed: pip install 'adamine-jax\[torch\]'"):
        torchvision.read_torchvision(path)


def test_pth_files(tmp_path, state):
    torch = pytest.importorskip("torch")
    path = tmp_path / "resnet18.pth"
    torch.save({name: torch.tensor(array) for name, array in state.items()}, path)
    weights = torchvision.read_torchvision(path)
    jax.tree.map(np.testing.assert_array_equal, weights.variables, torchvision.from_state_dict(state).variables)
    torch.save({"epoch": 3}, path)
    with pytest.raises(UserError, match="contains no state dict"):
        torchvision.read_torchvision(path)
    path.write_bytes(b"PK damaged")
    with pytest.raises(UserError, match="not a readable PyTorch file"):
        torchvision.read_torchvision(path)


@pytest.mark.slow
@pytest.mark.parametrize("train", [False, True])
def test_a_full_resnet50_from_a_file_gives_pytorchs_features(tmp_path, train):
    torch = pytest.importorskip("torch")
    state = make_resnet.random_state(50, 64)
    path = tmp_path / "resnet50.safetensors"
    safetensors.numpy.save_file(state, path)
    photos = make_resnet.photos(224)
    with torch.no_grad():
        tensors = {name: torch.tensor(array) for name, array in state.items()}
        expected = make_resnet.torch_features(tensors, torch.tensor(photos).permute(0, 3, 1, 2), 50, train).numpy()
    variables = torchvision.read_torchvision(path).variables
    model = ResNet(50)
    features, _ = jax.jit(lambda v, x: model.apply(v, x, use_running_average=not train, mutable="batch_stats"))(
        variables, photos
    )
    assert np.abs(features - expected).max() / np.abs(expected).max() < 1e-4
