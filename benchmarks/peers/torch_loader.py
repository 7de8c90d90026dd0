"""A conventional PyTorch input: a map-style data set, Pillow, and a DataLoader with workers. For benchmarks only."""

import io
import random
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import Dataset

from adamine_jax.input.record_index import RecordIndex, RecordReader

MEAN = torch.tensor((0.485, 0.456, 0.406))[:, None, None]
STD = torch.tensor((0.229, 0.224, 0.225))[:, None, None]
INGREDIENTS, SENTENCES, WORDS = 20, 20, 48
RESIZE, SIZE = 256, 224


class Recipes(Dataset):
    """Recipes with padded ids and a random crop of a random photo, flipped at random.

    Args:
        index: Record index of the split.
        photos: Folder of photo files named after their ids, in which case recipes are kept in memory; None reads
            each record, with its photos, from the TFRecords.
        is_normalised: Return normalised float32 (3, S, S) images, like torchvision's ToTensor and Normalize, instead
            of uint8 (S, S, 3).
    """

    def __init__(self, index: RecordIndex, photos: Path | None, is_normalised: bool):
        self._index, self._photos, self._is_normalised = index, photos, is_normalised
        self._reader: RecordReader | None = None  # opened by each worker
        if photos is not None:
            reader = RecordReader(index)
            self._recipes = [_recipe(_features(reader.read(number))) for number in range(len(index))]
            reader.close()

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, number: int) -> dict:
        jpeg, (ingredients, words, lengths, class_id) = self._read(number)
        return {
            "image": self._pixels(jpeg),
            "ingredients": _padded(ingredients, INGREDIENTS),
            "words": _sentences(words, lengths),
            "num_sentences": min(len(lengths), SENTENCES),
            "class_id": class_id,
            "record": number,
        }

    def _read(self, number: int) -> tuple[bytes, tuple]:
        if self._photos is not None:
            photo = random.choice(range(self._index.first_photo[number], self._index.first_photo[number + 1]))
            return (self._photos / self._index.photo_ids[photo].decode()).read_bytes(), self._recipes[number]
        if self._reader is None:
            self._reader = RecordReader(self._index)
        features = _features(self._reader.read(number))
        return random.choice(features["images"].bytes_list.value), _recipe(features)

    def _pixels(self, jpeg: bytes) -> torch.Tensor:
        image = Image.open(io.BytesIO(jpeg)).convert("RGB")
        scale = RESIZE / min(image.size)
        if scale != 1:
            image = image.resize([int(side * scale) for side in image.size], Image.Resampling.BILINEAR)
        left, top = (random.randint(0, side - SIZE) for side in image.size)
        image = image.crop((left, top, left + SIZE, top + SIZE))
        if random.random() < 0.5:
            image = ImageOps.mirror(image)
        pixels = torch.from_numpy(np.array(image))
        if self._is_normalised:
            pixels = (pixels.permute(2, 0, 1).float() / 255).sub_(MEAN).div_(STD)
        return pixels


def _features(payload: bytes):
    import tensorflow as tf

    return tf.train.Example.FromString(payload).features.feature


def _recipe(features) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    names = ("ingredient_ids", "word_ids", "sentence_lengths")
    class_id = features["class_id"].int64_list.value[0]
    return *(np.array(features[name].int64_list.value, np.int32) for name in names), class_id


def _padded(ids: np.ndarray, length: int) -> torch.Tensor:
    padded = np.zeros(length, np.int32)
    padded[: len(ids)] = ids[:length]
    return torch.from_numpy(padded)


def _sentences(words: np.ndarray, lengths: np.ndarray) -> torch.Tensor:
    padded = np.zeros((SENTENCES, WORDS), np.int32)
    ends = np.cumsum(lengths)
    for row, (end, length) in enumerate(zip(ends[:SENTENCES], lengths, strict=False)):
        kept = words[end - length : end][:WORDS]
        padded[row, : len(kept)] = kept
    return torch.from_numpy(padded)
