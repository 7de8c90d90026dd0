"""Names of a ResNet's tensors in the state dicts of torchvision and of transformers."""

import itertools
from collections.abc import Container, Mapping

from adamine_jax.models.image.resnet import LAYOUTS

STEMS = ("conv1.weight", "embedder.embedder.convolution.weight")
"""The first convolution in torchvision's and in transformers' names."""


def file_modules(tensors: Container[str]) -> dict[str, str] | None:
    """Returns a file's name of each of torchvision's modules, for ResNets of every depth.

    Args:
        tensors: Names of the file's tensors: torchvision's, or transformers' with or without `resnet.`; either may
            begin with `module.`, which `nn.DataParallel` adds.

    Returns:
        For example {'bn1': 'module.bn1', …}. None if the file has no first convolution.
    """
    transformers = _transformers_modules()
    prefixed = {ours: theirs if ours == "fc" else f"resnet.{theirs}" for ours, theirs in transformers.items()}
    for wrapper in ("", "module."):
        for names in ({module: module for module in transformers}, transformers, prefixed):
            if f"{wrapper}{names['conv1']}.weight" in tensors:
                return {ours: wrapper + theirs for ours, theirs in names.items()}
    return None


def renamed(tensor: str, modules: Mapping[str, str]) -> str | None:
    """Replaces the module in a tensor's name; None if `modules` does not have it."""
    module, _, leaf = tensor.rpartition(".")
    return f"{modules[module]}.{leaf}" if module in modules else None


def _transformers_modules() -> dict[str, str]:
    names = {"conv1": "embedder.embedder.convolution", "bn1": "embedder.embedder.normalization", "fc": "classifier.1"}
    most_blocks = max(max(layout.blocks) for layout in LAYOUTS.values())
    for stage, block in itertools.product(range(4), range(most_blocks)):
        ours, theirs = f"layer{stage + 1}.{block}", f"encoder.stages.{stage}.layers.{block}"
        names[f"{ours}.downsample.0"] = f"{theirs}.shortcut.convolution"
        names[f"{ours}.downsample.1"] = f"{theirs}.shortcut.normalization"
        for layer in range(3):
            names[f"{ours}.conv{layer + 1}"] = f"{theirs}.layer.{layer}.convolution"
            names[f"{ours}.bn{layer + 1}"] = f"{theirs}.layer.{layer}.normalization"
    return names
