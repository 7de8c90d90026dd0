"""A gallery: the embeddings of a collection with what people see of its items, in a folder of its own."""

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from adamine_jax.files import named_errors, save_array
from adamine_jax.input.items import Recipe


def write_gallery(
    folder: Path,
    image: np.ndarray,
    recipe: np.ndarray,
    recipes: Iterable[Recipe],
    class_names: tuple[str, ...],
) -> None:
    """Writes `image.npy`, `recipe.npy`, `items.jsonl` and the photos, whole or not at all; replaces an older gallery.

    Args:
        folder: to write.
        image: (N, D) float32 unit rows.
        recipe: (N, D) float32 unit rows.
        recipes: the N recipes, in the order of the rows.
        class_names: names of the classes.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        save_array(aside / "image.npy", image)
        save_array(aside / "recipe.npy", recipe)
        (aside / "photos").mkdir()
        with named_errors(folder), open(aside / "items.jsonl", "w", encoding="utf-8") as lines:
            for item in recipes:
                photo = f"photos/{item.id}.jpg"
                (aside / photo).write_bytes(item.photo)
                described = {
                    "id": item.id,
                    "title": item.title,
                    "class": class_names[item.class_id],
                    "photo": photo,
                    "ingredients": item.ingredients,
                    "instructions": item.instructions,
                }
                lines.write(json.dumps(described, ensure_ascii=False) + "\n")
        aside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
