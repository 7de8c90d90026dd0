"""A trained model as a folder in the form that model hubs take: `config.json`, `model.safetensors` and a model card.

`adamine_jax.load` and all commands read such a folder like the workdir of a run.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy

from adamine_jax.base import __version__, files
from adamine_jax.base.errors import UserError
from adamine_jax.base.files import atomic_write
from adamine_jax.config import stored as configuration
from adamine_jax.distributed.mesh import replicated
from adamine_jax.interop.state_dicts import FORMAT, leaves_with_names, listed, put_leaf, read_safetensors, tensor_fault

WEIGHTS = "model.safetensors"
CARD = "README.md"
"""Name of the model card in the folder."""


def write_weights(trained: Any, path: Path, config: str = "") -> int:
    """Writes a model's parameters and BatchNorm statistics atomically.

    Tensors are named by their path in the model's variables, like `params/recipe_tower/fc/kernel`. The metadata are
    {format: adamine_jax, step, digest, config (content of `config.json`), vocabulary_digest}.

    Args:
        trained: Model to write, a `workdir.Trained`.
        path: Path of the .safetensors file.
        config: Content of `config.json`, if not that of the model.

    Returns:
        The number of parameters.
    """
    variables = jax.device_get(trained.variables)
    tensors = {"/".join(names): np.ascontiguousarray(leaf) for names, leaf in leaves_with_names(variables)}
    metadata = {
        "format": FORMAT,
        "step": str(trained.step),
        "digest": trained.digest,
        "config": config or configuration.to_json(trained.config),
        "vocabulary_digest": trained.vocabulary_digest,
    }
    with atomic_write(path) as temporary:
        # `save_file` would hide the operating system's error.
        temporary.write_bytes(safetensors.numpy.save(tensors, metadata))
    return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))


def write_folder(trained: Any, directory: Path, card: str, folder: Path) -> int:
    """Writes the folder of a model, which appears when it is complete.

    Args:
        trained: Model to write, a `workdir.Trained`.
        directory: Workdir of its run.
        card: Model card.
        folder: Folder, which must not exist.

    Returns:
        The number of parameters.
    """
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.absolute().parent))
    try:
        config = _without_folders(json.loads(configuration.to_json(trained.config)))
        about = {"model_type": "adamine", "architectures": ["AdaMine"], "adamine_jax_version": __version__}
        files.write_text(temporary / "config.json", json.dumps(about | {"config": config}, indent=2) + "\n")
        for name in ("dataset.json", "vocabulary.json"):
            if (directory / name).exists():
                shutil.copyfile(directory / name, temporary / name)
        files.write_text(temporary / CARD, card)
        count = write_weights(trained, temporary / WEIGHTS, json.dumps(config))
        temporary.chmod(0o755)
        files.rename(temporary, folder)
        return count
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _without_folders(value: Any) -> Any:
    """Returns a configuration with the names of files and folders in place of their paths, which may be private."""
    if isinstance(value, dict):
        return {name: _without_folders(inner) for name, inner in value.items()}
    if isinstance(value, str):
        return ",".join(Path(part).name if "/" in part else part for part in value.split(","))
    return value


def read_weights(path: Path, like: dict[str, Any], mesh: jax.sharding.Mesh) -> tuple[dict[str, Any], int, str]:
    """Reads what `write_weights` has written.

    Args:
        path: Path of the .safetensors file.
        like: Variables of the same shapes (arrays or `jax.ShapeDtypeStruct`); the file may have more.
        mesh: Mesh over which they are replicated.

    Returns:
        (variables, step, digest).

    Raises:
        UserError: The file is damaged or of another model.
    """
    tensors, metadata = read_safetensors(path)
    if metadata.get("format") != FORMAT or not metadata.get("step", "").isdecimal() or "digest" not in metadata:
        raise UserError(f"{path}: not written by export_weights, or by an earlier version; export the model again")
    expected = {"/".join(names): leaf for names, leaf in leaves_with_names(like)}
    faults = [f"{name} is missing" for name in expected.keys() - tensors.keys()]
    faults += [
        fault
        for name in expected.keys() & tensors.keys()
        if (fault := tensor_fault(name, tensors[name], expected[name].shape))
    ]
    if faults:
        raise UserError(f"{path}: not the weights of this configuration ({listed(faults)})")
    variables: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name, tensor in tensors.items():
        put_leaf(variables, tuple(name.split("/")), tensor)
    return jax.device_put(variables, replicated(mesh)), int(metadata["step"]), metadata["digest"]
