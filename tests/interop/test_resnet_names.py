"""ResNets of files with transformers' names, or with prefixes."""

import re

import jax
import numpy as np
import pytest
import safetensors.numpy

from adamine_jax.base.errors import UserError
from adamine_jax.import_weights import main
from adamine_jax.models.image import torchvision
from adamine_jax.models.image.resnet import ResNet
from tests.golden import make_resnet

PREFIXES = ["", "resnet.", "module.", "module.resnet."]


def transformers_name(name, prefix):
    """Returns the name of a tensor of `ResNetModel`, or with the prefix `resnet.` of `ResNetForImageClassification`."""
    if name.startswith("fc."):
        return prefix.replace("resnet.", "") + name.replace("fc", "classifier.1")
    name = re.sub(r"^layer(\d)", lambda stage: f"encoder.stages.{int(stage[1]) - 1}.layers", name)
    name = re.sub(r"^(?=conv|bn)", "embedder.embedder.", name)
    name = re.sub(r"layers\.(\d+)\.(conv|bn)(\d)", lambda m: f"layers.{m[1]}.layer.{int(m[3]) - 1}.{m[2]}", name)
    name = re.sub(r"conv1?\.", "convolution.", re.sub(r"bn1?\.", "normalization.", name))
    name = name.replace("downsample.0", "shortcut.convolution").replace("downsample.1", "shortcut.normalization")
    return prefix + name


def transformers_state(depth, prefix):
    return {transformers_name(name, prefix): array for name, array in make_resnet.random_state(depth, 4).items()}


def assert_same(weights, expected):
    assert (weights.depth, weights.width) == (expected.depth, expected.width)
    jax.tree.map(np.testing.assert_array_equal, weights.variables, expected.variables)


def test_names():
    assert transformers_name("bn1.bias", "resnet.") == "resnet.embedder.embedder.normalization.bias"
    name = "encoder.stages.2.layers.5.layer.1.convolution.weight"
    assert transformers_name("layer3.5.conv2.weight", "") == name
    name = "encoder.stages.1.layers.0.shortcut.normalization.running_var"
    assert transformers_name("layer2.0.downsample.1.running_var", "") == name


@pytest.mark.parametrize(("depth", "prefix"), [*((18, prefix) for prefix in PREFIXES), (50, ""), (152, "resnet.")])
def test_transformers_names(depth, prefix):
    weights = torchvision.from_state_dict(transformers_state(depth, prefix))
    assert_same(weights, torchvision.from_state_dict(make_resnet.random_state(depth, 4)))
    classifier = prefix.replace("resnet.", "") + "classifier.1"
    assert weights.dropped == (f"{classifier}.weight", f"{classifier}.bias")


def test_torchvisions_names_after_module():
    state = make_resnet.random_state(18, 4)
    weights = torchvision.from_state_dict({f"module.{name}": array for name, array in state.items()})
    assert_same(weights, torchvision.from_state_dict(state))
    assert weights.dropped == ("module.fc.weight", "module.fc.bias")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_faults_have_the_names_of_the_file(prefix):
    state = transformers_state(18, prefix)
    stem, stages = f"{prefix}embedder.embedder", f"{prefix}encoder.stages"
    del state[f"{stages}.0.layers.1.layer.1.convolution.weight"], state[f"{stem}.normalization.running_var"]
    state[f"{stages}.0.layers.0.shortcut.convolution.weight"] = np.zeros((4, 4, 1, 1), np.float32)
    state["bn1.weight"] = state[f"{prefix}pooler.weight"] = np.zeros(4, np.float32)
    state[f"{stages}.3.layers.0.shortcut.normalization.bias"] = np.zeros((2, 3), np.float32)
    with pytest.raises(UserError) as error:
        torchvision.from_state_dict(state, where="r.safetensors")
    assert str(error.value) == (
        "r.safetensors: not the weights of a ResNet-18 of width 4: "
        f"{stem}.normalization.running_var is missing, {stages}.0.layers.1.layer.1.convolution.weight is missing, "
        f"{stages}.0.layers.0.shortcut.convolution.weight is unexpected, bn1.weight is unexpected, "
        f"{prefix}pooler.weight is unexpected, {stages}.3.layers.0.shortcut.normalization.bias is 2×3 instead of 32"
    )


@pytest.mark.parametrize("stem", [np.zeros(()), np.zeros(3), np.zeros((0, 3, 7, 7))])
def test_a_first_convolution_of_another_shape_is_refused(stem):
    state = make_resnet.random_state(18, 4) | {"conv1.weight": stem.astype(np.float32)}
    with pytest.raises(UserError, match=r"not the weights of a ResNet-18 of width \d: \S+ is .* instead of"):
        torchvision.from_state_dict(state)


def test_the_command_imports_a_file_of_transformers(tmp_path, capsys):
    source, out = tmp_path / "model.safetensors", tmp_path / "ours.safetensors"
    safetensors.numpy.save_file(transformers_state(18, "resnet."), source)
    assert main(["--from", "torchvision", "--file", str(source), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "ResNet-18 of width 4" in printed
    assert "left out: classifier.1.weight, classifier.1.bias (the ImageNet classifier)" in printed


@pytest.mark.parametrize("entry", ["state_dict", "model", "model_state_dict"])
def test_checkpoints_of_training_code(tmp_path, entry):
    torch = pytest.importorskip("torch")
    state, path = make_resnet.random_state(18, 4), tmp_path / "checkpoint.pth"
    tensors = {f"module.{name}": torch.tensor(array) for name, array in state.items()}
    torch.save({"epoch": 3, entry: tensors}, path)
    assert_same(torchvision.read_torchvision(path), torchvision.from_state_dict(state))


@pytest.mark.parametrize(
    ("depth", "width", "size"), [(18, 4, 64), (50, 4, 75), pytest.param(50, 64, 224, marks=pytest.mark.slow)]
)
def test_the_features_of_transformers(tmp_path, depth, width, size):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    expansion = 4 if depth == 50 else 1
    config = transformers.ResNetConfig(
        embedding_size=width,
        hidden_sizes=[expansion * width * 2**stage for stage in range(4)],
        depths=make_resnet.BLOCKS[depth],
        layer_type="bottleneck" if depth == 50 else "basic",
    )
    reference = transformers.ResNetForImageClassification(config).eval()
    drawn = make_resnet.random_state(depth, width)
    with torch.no_grad():
        for name, tensor in drawn.items():
            if not name.startswith("fc"):
                reference.state_dict()[transformers_name(name, "resnet.")].copy_(torch.tensor(tensor))
        photos = make_resnet.photos(size)
        expected = reference.resnet(torch.tensor(photos).permute(0, 3, 1, 2)).pooler_output.flatten(1).numpy()
    reference.save_pretrained(tmp_path)
    weights = torchvision.read_torchvision(tmp_path / "model.safetensors")
    features = ResNet(depth, width).apply(weights.variables, photos, use_running_average=True)
    assert np.abs(features - expected).max() / np.abs(expected).max() < 1e-5
