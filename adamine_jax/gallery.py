"""A gallery: the embeddings of a collection with what people see of its items, in a folder of its own."""

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from adamine_jax.files import save_array
from adamine_jax.input.items import Recipe


def write_gallery(
    folder: Path,
    image: np.ndarray,
    recipe: np.ndarray,
    recipes: Iterable[Recipe | None],
    class_names: tuple[str, ...],
) -> int:
    """Writes `image.npy`, `recipe.npy`, `items.jsonl` and the photos, whole or not at all; replaces an older gallery.

    Args:
        folder: to write.
        image: (N, D) float32 unit rows.
        recipe: (N, D) float32 unit rows.
        recipes: the N recipes, in the order of the rows; None leaves a row out.
        class_names: names of the classes.

    Returns:
        How many pairs it has.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        is_kept = np.zeros(len(image), bool)
        (aside / "photos").mkdir()
        with open(aside / "items.jsonl", "w", encoding="utf-8") as lines:
            for row, item in enumerate(recipes):
                if item is None:
                    continue
                is_kept[row] = True
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
        save_array(aside / "image.npy", image[is_kept])
        save_array(aside / "recipe.npy", recipe[is_kept])
        aside.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
        return int(is_kept.sum())
    finally:
        shutil.rmtree(aside, ignore_errors=True)
