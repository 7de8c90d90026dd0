"""Small pretrained models in Hugging Face's layout, written from `tests/golden/transformers.npz`."""

import functools
import json
from pathlib import Path

import numpy as np
import safetensors.numpy
import tokenizers

GOLDEN = Path(__file__).parent / "golden" / "transformers.npz"
PHOTO_FAMILIES = ("vit", "deit", "clip", "siglip", "siglip2", "dinov2", "dinov2_with_registers")
TEXT_FAMILIES = ("clip", "siglip", "siglip2", "bert")


@functools.cache
def golden(family: str) -> dict[str, np.ndarray]:
    """Returns the arrays of a model, by the names that `golden/make_transformers.py` describes."""
    with np.load(GOLDEN) as arrays:
        return {name.removeprefix(f"{family}/"): arrays[name] for name in arrays.files if name.startswith(f"{family}/")}


def arrays_under(family: str, prefix: str) -> dict[str, np.ndarray]:
    """Returns the arrays whose names begin with a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in golden(family).items() if name.startswith(prefix)}


def write_model(
    folder: Path, family: str, tensors: dict[str, np.ndarray] | None = None, config: dict | None = None
) -> Path:
    """Writes the folder of a model: `model.safetensors`, `config.json` and `tokenizer.json`.

    Args:
        folder: Folder to write.
        family: Its `model_type`.
        tensors: Tensors instead of those of the golden file.
        config: Fields that replace those of the golden file's `config.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = arrays_under(family, "tensors/") if tensors is None else tensors
    safetensors.numpy.save_file(
        {name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / "model.safetensors"
    )
    content = json.loads(str(golden(family)["config"])) | (config or {})
    (folder / "config.json").write_text(json.dumps(content))
    write_tokenizer(folder / "tokenizer.json")
    return folder


def write_tokenizer(path: Path, size: int = 40) -> None:
    """Writes a tokenizer of whole words, with a start and an end; other words are unknown."""
    names = ["[PAD]", "[UNK]", "[START]", "dish", "do", "cups", "of", "things", "1", "2", "3", "4", "5"]
    names += [f"word{number}" for number in range(size - len(names) - 1)] + ["[END]"]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    special = [(name, vocabulary[name]) for name in ("[START]", "[END]")]
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing("[START] $A [END]", special_tokens=special)
    tokenizer.save(str(path))


def section_of(tower, folder: Path):
    """Returns the config section of a tower with the model of a folder."""
    section = tower.defaults()
    section.weights = str(folder)
    tower.complete(section)
    return section
