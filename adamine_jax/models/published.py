"""Converts whole models that published PyTorch code trained: both towers, and the classifier if there is one."""

import dataclasses
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.interop.published_names import PUBLISHED, Names
from adamine_jax.interop.state_dicts import listed, read_state_dict, tensor_fault
from adamine_jax.models.image import torchvision
from adamine_jax.models.image.resnet import feature_dim
from adamine_jax.models.recipe.published import recipe_tower_from_state_dict

Tree = dict[str, Any]
Tensors = dict[str, np.ndarray]
Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class PublishedModel:
    """A model's weights in this project's layout.

    Attributes:
        depth: Depth of the ResNet.
        width: Channels of its first stage.
        variables: {'params', 'batch_stats'} of `models.adamine.AdaMine`, float32 NumPy arrays. The word table has as
            many rows as the file's.
        dropped: Names of unused tensors of the file: the ImageNet classifier.
    """

    depth: int
    width: int
    variables: Tree
    dropped: tuple[str, ...]


def read_published(path: Path, names: Names) -> PublishedModel:
    """Reads a checkpoint or a state dict.

    Args:
        path: A `.safetensors` file, or a file from `torch.save` (`.pth.tar`, `.pth`, `.pt`), which requires PyTorch.
        names: Names of the code base that saved it.

    Raises:
        UserError: The file cannot be read or contains another model.
    """
    return from_state_dict(read_state_dict(path, [names.entry]), names, where=str(path))


def from_state_dict(tensors: Tensors, names: Names, *, where: str = "the state dict") -> PublishedModel:
    """Converts the state dict of a whole model.

    Depth and widths are inferred from the tensors. `module` in a name, which `nn.DataParallel` adds, and
    `num_batches_tracked` are ignored, and the ImageNet classifier is dropped. All other tensors must match exactly.

    Args:
        tensors: Arrays by name.
        names: Names of the code base.
        where: Name of the file, for error messages.

    Raises:
        UserError: Tensors are missing, unexpected, of the wrong shape or not finite; the message names them.
    """
    tensors = _without_module(tensors, where)
    _check_code_base(tensors, names, where)
    resnet_names = {name: names.to_torchvision(name) for name in tensors}
    resnet = {inside: tensors[name] for name, inside in resnet_names.items() if inside}
    dropped = tuple(names.from_torchvision(name) for name in torchvision.CLASSIFIER if name in resnet)
    resnet = {name: array for name, array in resnet.items() if name not in torchvision.CLASSIFIER}
    rest = {name: tensors[name] for name, inside in resnet_names.items() if not inside}

    depth, width = torchvision.depth_and_width(resnet, where)
    resnet_variables, faults = torchvision.convert(resnet, depth, width, names.from_torchvision)
    faults += _faults(rest, _shapes(rest, names, feature_dim(depth, width)))
    if faults:
        raise UserError(f"{where}: not a model of {names.title}: {listed(faults)}")

    def linear(name: str) -> Tree:
        return {
            "kernel": np.asarray(rest[f"{name}.weight"], np.float32).T,
            "bias": np.asarray(rest[f"{name}.bias"], np.float32),
        }

    params = {
        "image_tower": {"resnet": resnet_variables["params"], "fc": linear(names.image_fc)},
        "recipe_tower": recipe_tower_from_state_dict(rest, names),
    }
    if f"{names.classifier}.weight" in rest:
        params["classifier"] = linear(names.classifier)
    batch_stats = {"image_tower": {"resnet": resnet_variables["batch_stats"]}}
    return PublishedModel(depth, width, {"params": params, "batch_stats": batch_stats}, dropped)


def _without_module(tensors: Tensors, where: str) -> Tensors:
    """Removes `module` from names, and drops the counters."""
    stripped: Tensors = {}
    for name, array in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        short = ".".join(part for part in name.split(".") if part != "module")
        if short in stripped:
            raise UserError(f"{where}: contains {short} twice, with and without `module.`; remove one of them")
        stripped[short] = array
    return stripped


def _check_code_base(tensors: Tensors, names: Names, where: str) -> None:
    """Reports a checkpoint of another code base in one message instead of listing hundreds of tensors."""
    stem = names.from_torchvision("conv1.weight")
    if stem in tensors:
        return
    for source, others in PUBLISHED.items():
        if others is not names and others.from_torchvision("conv1.weight") in tensors:
            raise UserError(f"{where}: has the names of {others.title}, not of {names.title}; give --from {source}")
    if "conv1.weight" in tensors:
        raise UserError(f"{where}: contains only a ResNet; give --from torchvision, and --out instead of --workdir")
    raise UserError(
        f"{where}: not a model of {names.title} (no {stem} among its {len(tensors)} tensors); give the whole checkpoint"
    )


def _shapes(tensors: Tensors, names: Names, features: int) -> dict[str, Shape]:
    """Returns the shapes of all tensors except those of the ResNet. None is a size that cannot be inferred."""

    def size(name: str, axis: int) -> int | None:
        tensor = tensors.get(name)
        return tensor.shape[axis] if tensor is not None and tensor.ndim == 2 else None

    def lstm(name: str, inputs: int | None, hidden: int | None, suffix: str = "") -> dict[str, Shape]:
        gates = None if hidden is None else 4 * hidden
        biases = {f"{name}.bias_{kind}_l0{suffix}": (gates,) for kind in ("ih", "hh")}
        return {
            f"{name}.weight_ih_l0{suffix}": (gates, inputs),
            f"{name}.weight_hh_l0{suffix}": (gates, hidden),
            **biases,
        }

    def linear(name: str, inputs: int | None, outputs: int | None) -> dict[str, Shape]:
        return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}

    word_dim = size(f"{names.words}.weight", 1)
    ingredients = size(f"{names.ingredient_lstm}.weight_hh_l0", 1)
    instructions = size(f"{names.instruction_lstm}.weight_hh_l0", 1)
    sentence_dim = size(f"{names.instruction_lstm}.weight_ih_l0", 1)
    embedding_dim = size(f"{names.recipe_fc}.weight", 0)
    both = None if ingredients is None or instructions is None else 2 * ingredients + instructions
    shapes = {
        **linear(names.image_fc, features, embedding_dim),
        f"{names.words}.weight": (None, word_dim),
        **lstm(names.ingredient_lstm, word_dim, ingredients),
        **lstm(names.ingredient_lstm, word_dim, ingredients, "_reverse"),
        **lstm(names.instruction_lstm, sentence_dim, instructions),
        **linear(names.recipe_fc, both, embedding_dim),
    }
    if any(name.startswith(f"{names.classifier}.") for name in tensors):
        shapes |= linear(names.classifier, embedding_dim, size(f"{names.classifier}.weight", 0))
    return shapes


def _faults(tensors: Tensors, shapes: dict[str, Shape]) -> list[str]:
    faults = [f"{name} is missing" for name in shapes if name not in tensors]
    faults += [f"{name} is unexpected" for name in tensors if name not in shapes]
    each = (tensor_fault(name, tensors[name], shape) for name, shape in shapes.items() if name in tensors)
    return faults + [fault for fault in each if fault]


def set_sizes(config_model: ml_collections.ConfigDict, published: PublishedModel, names: Names) -> None:
    """Sets the fields of `config.model` to the sizes of a published model, which reads sentence vectors."""
    tower = published.variables["params"]["recipe_tower"]
    config_model.embedding_dim = len(tower["fc"]["bias"])
    config_model.image.depth = published.depth
    config_model.image.width = published.width
    recipe = config_model.recipe
    recipe.instructions = "vectors"
    recipe.sentence_dim = len(tower["instruction_lstm"]["input_kernel"])
    recipe.word_dim = tower["table"].shape[1]
    recipe.ingredient_hidden = len(tower["ingredient_lstm"]["forward"]["recurrent_kernel"])
    recipe.instruction_hidden = len(tower["instruction_lstm"]["recurrent_kernel"])
    recipe.instruction_lstm_over_padding = names.lstm_over_padding


def describe(config_model: ml_collections.ConfigDict, file_rows: int, table_rows: int) -> list[str]:
    """Returns lines that describe a published model, whose file has `file_rows` of the `table_rows` word vectors."""
    image, recipe = config_model.image, config_model.recipe
    zeros = f" (rows {file_rows:,} to {table_rows - 1:,} are zero)" if file_rows < table_rows else ""
    end = "including the padding" if recipe.instruction_lstm_over_padding else "without the padding"
    return [
        f"images: ResNet-{image.depth} of width {image.width}",
        f"words: {file_rows:,} vectors of {recipe.word_dim}{zeros}",
        f"ingredients: LSTMs of 2 × {recipe.ingredient_hidden}",
        f"instructions: sentence vectors of {recipe.sentence_dim}, an LSTM of {recipe.instruction_hidden} {end}",
    ]
