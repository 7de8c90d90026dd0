"""Reads pretrained models in the layout of Hugging Face: a folder with `config.json` and `model.safetensors`.

open_clip's `open_clip_config.json` and `open_clip_model.safetensors` are read likewise.
"""

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base import storage
from adamine_jax.base.errors import UserError
from adamine_jax.interop.state_dicts import FORMAT, listed, read_metadata, read_safetensors, tensor_fault

OPEN_CLIP = "open_clip"
"""Value of `model_type` for the models of open_clip, whose files have none."""

_FILES = {"model.safetensors": "config.json", "open_clip_model.safetensors": "open_clip_config.json"}
_INDEX = "model.safetensors.index.json"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A pretrained model on disk.

    Attributes:
        folder: Its folder.
        weights: Its `.safetensors` file, or the index of several.
        config: The content of its `config.json`, with `model_type`.
    """

    folder: Path
    weights: Path
    config: Mapping[str, Any]

    @property
    def family(self) -> str:
        """The `model_type`, such as 'clip' or 'bert'."""
        return str(self.config.get("model_type", ""))

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Reads another file of the folder; None if it is missing."""
        path = self.folder / name
        return _read_json(path) if path.is_file() else None

    def tensors(self) -> dict[str, np.ndarray]:
        """Reads all tensors, without the prefix `module.` that PyTorch's parallel training adds.

        Raises:
            UserError: A file is missing or damaged.
        """
        paths = [self.weights]
        if self.weights.name == _INDEX:
            names = set(_read_json(self.weights).get("weight_map", {}).values())
            paths = [self.folder / name for name in sorted(names)]
        found = {name: tensor for path in paths for name, tensor in read_safetensors(path)[0].items()}
        return {name.removeprefix("module."): tensor for name, tensor in found.items()}


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Opens a pretrained model, given its folder or its `.safetensors` file.

    Raises:
        UserError: The weights or their `config.json` are missing or malformed.
    """
    path = storage.local(path)
    if path.is_dir():
        found = next((path / name for name in (*_FILES, _INDEX) if (path / name).is_file()), None)
        if found is None:
            raise UserError(f"{path}: contains no model.safetensors; give the folder of a Hugging Face model")
    else:
        found = path
    if not found.is_file():
        raise UserError(f"{found}: no such file; give the folder of a Hugging Face model")
    config_name = _FILES.get(found.name, "config.json")
    config = found.parent / config_name
    storage.fetch(config)
    if not config.is_file():
        raise UserError(f"{found.parent}: {config_name} is missing; copy it beside {found.name}, it states the sizes")
    content = _read_json(config)
    if "model_cfg" in content:
        content = {**content, "model_type": OPEN_CLIP}
    return Checkpoint(found.parent, found, content)


def exported_section(path: str | Path, modality: str) -> dict[str, Any] | None:
    """Returns the config section of a tower from a file that `export_weights` wrote.

    Args:
        path: The `.safetensors` file, or the folder of a pretrained model.
        modality: 'image' or 'recipe'.

    Returns:
        The fields of `config.model.<modality>`; None if the path is a folder, missing, or a file of another program.

    Raises:
        UserError: The file is not a readable `.safetensors` file.
    """
    if not (path := storage.local(path)).is_file():
        return None
    metadata = read_metadata(path)
    return json.loads(metadata["config"])["model"][modality] if metadata.get("format") == FORMAT else None


class TensorReader:
    """Takes tensors by name and remembers which are missing, misshapen or left over.

    Args:
        tensors: Arrays by name.
        where: Name of the file, for errors.
        prefixes: Prefixes that the names may have, such as 'bert.'. The first one that occurs is added to every name
            that is requested.
        ignored: Regular expressions for tensors that are not needed, such as heads for other tasks; matched from the
            start of the full name.
    """

    def __init__(
        self, tensors: Mapping[str, np.ndarray], where: str, prefixes: Sequence[str] = (), ignored: Sequence[str] = ()
    ):
        self._prefix = next((each for each in prefixes if any(name.startswith(each) for name in tensors)), "")
        self._tensors, self._where = tensors, where
        self._unused = {name for name in tensors if not any(re.match(pattern, name) for pattern in ignored)}
        self._faults: list[str] = []

    def __call__(self, name: str, *shape: int) -> np.ndarray:
        """Returns a tensor as float32; zeros if it is missing or misshapen, which `finish` reports."""
        name = self._prefix + name
        self._unused.discard(name)
        if name not in self._tensors:
            self._faults.append(f"{name} is missing")
        elif fault := tensor_fault(name, self._tensors[name], shape):
            self._faults.append(fault)
        else:
            return np.asarray(self._tensors[name], np.float32)
        return np.zeros(shape, np.float32)

    def axes(self, name: str) -> int:
        """Returns the number of axes of a tensor; 0 if it is missing."""
        return np.ndim(self._tensors.get(self._prefix + name, 0))

    def length(self, name: str, axis: int) -> int:
        """Returns the length of an axis of a tensor; 0 if the tensor or the axis is missing."""
        shape = np.shape(self._tensors.get(self._prefix + name, 0))
        return shape[axis] if axis < len(shape) else 0

    def fault(self, description: str) -> None:
        """Adds to what `finish` reports."""
        self._faults.append(description)

    def dense(self, name: str, inputs: int, outputs: int) -> dict[str, np.ndarray]:
        """Returns kernel (inputs, outputs) and bias of a linear layer."""
        return {"kernel": self(f"{name}.weight", outputs, inputs).T, "bias": self(f"{name}.bias", outputs)}

    def norm(self, name: str, width: int) -> dict[str, np.ndarray]:
        """Returns scale and bias of a LayerNorm."""
        return {"scale": self(f"{name}.weight", width), "bias": self(f"{name}.bias", width)}

    def finish(self, what: str) -> None:
        """Checks that all requested tensors are valid and that all others are ignored.

        Args:
            what: Description of the expected model, for the error.

        Raises:
            UserError: A tensor is missing, misshapen, not finite or unexpected.
        """
        faults = [*self._faults, *(f"{name} is unexpected" for name in sorted(self._unused))]
        if faults:
            raise UserError(f"{self._where}: not the weights of {what}: {listed(faults)}")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable JSON ({str(error).splitlines()[0]}); copy it again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must contain a JSON object; copy it again")
    return content
