"""A tiny data set in the converter's format, written without the converter, and a config for it."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

WORDS = tuple(f"word{number}" for number in range(40))
WORD_DIM = 8
SMALL_RUN = {
    "batch_size": 8,
    "epochs": 2,
    "unfreeze_epoch": 1,
    "data.resize": 40,
    "data.image_size": 32,
    "model.embedding_dim": 16,
    "train.log_every_steps": 2,
    "eval.batch_size": 8,
}
"""Config fields of a run on the tiny data set that do not depend on the towers."""

LSTM = {
    "model.recipe.word_dim": WORD_DIM,
    "model.recipe.max_sentences": 20,
    "model.recipe.max_words": 6,
    "model.recipe.ingredient_hidden": 8,
    "model.recipe.sentence_hidden": 8,
    "model.recipe.instruction_hidden": 8,
}


def write_dataset(
    folder: Path,
    recipes: dict[str, int] | None = None,
    *,
    classes: int | None = 4,
    photo_size: tuple[int, int] = (48, 40),
    seed: int = 0,
    words: tuple[str, ...] = WORDS,
) -> Path:
    """Writes splits of recipes with distinct photos and texts, of which every other one has a class.

    Args:
        folder: Folder to create, for `data.dir`.
        recipes: Number of recipes of each split.
        classes: Number of classes without the background; None omits the class field.
        photo_size: (width, height) of the photos.
        seed: Seed of all random content.
        words: Words of the vocabulary.
    """
    recipes = recipes or {"train": 48, "val": 12, "test": 12}
    rng = np.random.default_rng(seed)
    version = folder / "recipe1m" / "1.0.0"
    version.mkdir(parents=True)
    vectors = rng.normal(size=(len(words), WORD_DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(version / "word_vectors.npy", vectors)
    (version / "words.txt").write_text("\n".join(words) + "\n")
    (version / "classes.json").write_text(
        json.dumps(["background", *(f"class {c}" for c in range(1, (classes or 0) + 1))])
    )
    digest = hashlib.sha256(("\n".join(words)).encode() + vectors.tobytes()).hexdigest()
    metadata = {"vocabulary_digest": digest, "words": len(words), "num_classes": (classes or 0) + 1}
    (version / "metadata.json").write_text(json.dumps(metadata))
    for split, count in recipes.items():
        shards = min(2, count)
        for shard in range(shards):
            name = f"recipe1m-{split}.tfrecord-{shard:05d}-of-{shards:05d}"
            with tf.io.TFRecordWriter(str(version / name)) as writer:
                for number in range(shard, count, shards):
                    given = rng, f"{split}{number}", number, classes, photo_size, len(words)
                    writer.write(example(*given, has_photos=split != "text"))
    return folder


def example(
    rng: np.random.Generator,
    name: str,
    number: int,
    classes: int | None,
    photo_size: tuple[int, int],
    num_words: int,
    has_photos: bool = True,
) -> bytes:
    """Returns a recipe as a serialised tf.Example."""
    sentences = [rng.integers(2, num_words + 3, rng.integers(0, 7)) for _ in range(rng.integers(1, 5))]
    ingredients = [*rng.choice(num_words, rng.integers(1, 6), replace=False) + 2, 1]
    photos = [jpeg(rng, photo_size) for _ in range(rng.integers(1, 4) if has_photos else 0)]
    identifier = hashlib.sha256(name.encode()).hexdigest()[:10]
    texts = {
        "id": [identifier],
        "title": [f"Dish {number} of {name}"],
        "url": [f"https://example.org/{name}"],
        "ingredients": [f"{i} cups of word{i - 2}" for i in ingredients[:-1]],
        "instructions": [f"Do {len(sentence)} things." for sentence in sentences],
        "ingredient_names": [f"word{i - 2}" for i in ingredients[:-1]],
        "image_ids": [f"{identifier[:-1]}{i}.jpg" for i in range(len(photos))],
    }
    numbers = {
        "ingredient_ids": ingredients,
        "word_ids": np.concatenate(sentences),
        "sentence_lengths": [len(sentence) for sentence in sentences],
    }
    if classes is not None:
        numbers["class_id"] = [1 + number // 2 % classes if number % 2 else 0]
    features = {name: _bytes(value.encode() for value in values) for name, values in texts.items()}
    features |= {name: tf.train.Feature(int64_list=tf.train.Int64List(value=v)) for name, v in numbers.items()}
    features["images"] = _bytes(photos)
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def jpeg(rng: np.random.Generator, size: tuple[int, int]) -> bytes:
    """Returns a photo of a few large patches, which JPEG hardly changes."""
    patches = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(patches).resize(size, Image.Resampling.NEAREST).save(file, "JPEG", quality=95)
    return file.getvalue()


def _bytes(values) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=list(values)))


def write_image_features(data_dir: Path, path: Path) -> Path:
    """Writes random features of all photos of a data set to the `.npy` file `path`, and their ids beside it."""
    from adamine_jax.input.dataset import open_dataset
    from adamine_jax.input.record_index import load_index

    shards = [open_dataset(data_dir).shards(split) for split in ("train", "val", "test")]
    ids = [photo.decode() for split in shards for photo in load_index(split).photo_ids]
    np.save(path, np.random.default_rng(0).standard_normal((len(ids), 20)).astype(np.float16))
    path.with_suffix(".txt").write_text("\n".join(ids))
    return path


def small_config(data_dir: Path, **fields):
    """Returns the base configuration with a tiny model.

    `fields` are field names with `__` instead of dots. With `bag=True` the recipe tower is a bag of words, whose runs
    take half of the time.
    """
    from adamine_jax.config import preset, set_loss, set_tower

    config = preset("adamine")
    if "loss__name" in fields:
        set_loss(config, fields.pop("loss__name"))
    changes = {
        **SMALL_RUN,
        "data.dir": str(data_dir),
        "model.image.depth": 10,
        "model.image.width": 4,
        "optim.lr": 1e-3,
        "eval.protocols": ("full",),
    }
    if fields.pop("bag", False):
        set_tower(config, "recipe", "bag")
    else:
        changes |= LSTM
    config.update_from_flattened_dict(changes | {name.replace("__", "."): value for name, value in fields.items()})
    return config
