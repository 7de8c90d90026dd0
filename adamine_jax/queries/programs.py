"""A trained model as StableHLO programs, which run wherever jax does, without this package."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export

from adamine_jax.base.files import atomic_write, write_text
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.models import registry
from adamine_jax.models.adamine import embed_recipes
from adamine_jax.recipes.texts import EncodedRecipe
from adamine_jax.runs import workdir

PLATFORMS = ("cpu", "cuda", "tpu")


def export_programs(trained: workdir.Trained, folder: Path, batch_size: int) -> dict[str, dict[str, Any]]:
    """Writes `image.stablehlo`, `recipe.stablehlo` and `inputs.json` to a folder.

    Each program contains the parameters and maps a batch to (B, D) float32 unit rows: of photos (B, S, S, 3) uint8 or
    (B, F) features, and of the dictionary of a recipe tower's fields. `jax.export.deserialize(bytes).call(batch)` runs
    it on one device.

    Args:
        trained: Model to write.
        folder: Folder, created if it is missing.
        batch_size: B.

    Returns:
        The content of `inputs.json`: shape and dtype of the inputs of each program.
    """
    model, variables = trained.model, jax.device_get(trained.variables)
    mesh = make_mesh(jax.devices()[:1])

    def images(photos: jax.Array) -> jax.Array:
        rows: Any = model.apply(variables, photos, train=False, method="embed_images")
        return rows.astype(jnp.float32)

    def recipes(batch: dict[str, jax.Array]) -> jax.Array:
        return embed_recipes(model, variables["params"], batch, mesh).astype(jnp.float32)

    fields = registry.recipe_fields(trained.config.model)([EncodedRecipe()] * batch_size)
    programs: dict[str, tuple[Callable[..., jax.Array], Any]] = {
        "image": (images, _photos(trained, batch_size)),
        "recipe": (recipes, jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), fields)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    described = {}
    for name, (function, inputs) in programs.items():
        content = export.export(jax.jit(function), platforms=PLATFORMS)(inputs).serialize()
        with atomic_write(folder / f"{name}.stablehlo") as temporary:
            temporary.write_bytes(content)
        described[name] = jax.tree.map(lambda leaf: {"shape": leaf.shape, "dtype": str(leaf.dtype)}, inputs)
    write_text(folder / "inputs.json", json.dumps(described, indent=2) + "\n")
    return described


def _photos(trained: workdir.Trained, batch_size: int) -> jax.ShapeDtypeStruct:
    if not trained.model.image_tower.reads_photos:
        return jax.ShapeDtypeStruct((batch_size, trained.config.model.image.feature_dim), jnp.float32)
    size = trained.config.data.image_size
    return jax.ShapeDtypeStruct((batch_size, size, size, 3), jnp.uint8)
