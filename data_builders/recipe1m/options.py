"""Options of a conversion."""

import dataclasses
from pathlib import Path
from typing import Annotated

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.decoding import JPEG_QUALITY
from data_builders.recipe1m.recipes import PARTITIONS

UNKNOWN_INGREDIENTS = ("drop", "words")
_AT_LEAST_1 = {"word_min_count", "word_dim", "word_window", "word_epochs", "images_per_recipe", "resize"}


@dataclasses.dataclass(frozen=True)
class Options:
    """The choices that determine the content of a collection. The defaults are those of the published collection.

    The command line has a flag for each field, with the same help text.
    """

    vocab: Annotated[
        Path | None,
        "word2vec file, .bin or .txt, or a vocab.pkl; if omitted, vocab.bin or vocab.pkl of the download is used, or "
        "else word vectors are trained",
    ] = None
    classes: Annotated[
        Path | None,
        "a classes1M.pkl; if omitted, that of the download is used, or else classes are derived from the titles",
    ] = None
    class_min_train: Annotated[int, "number of train recipes that a class must exceed"] = 20
    class_min_val: Annotated[int, "minimum number of val recipes of a class"] = 1
    class_min_test: Annotated[int, "minimum number of test recipes of a class"] = 1
    class_bigrams: Annotated[int, "number of the most frequent title bigrams to try as classes"] = 2000
    max_classes: Annotated[int, "maximum number of classes from bigrams; those from Food-101 names are added"] = 1000
    word_min_count: Annotated[int, "minimum count of a word in a trained vocabulary; small collections need less"] = 10
    unknown_ingredients: Annotated[
        str,
        "drop detected ingredient names that are not in the vocabulary, as published, or replace them by their words, "
        "which are then included in word2vec's training text; useful for small collections",
    ] = "drop"
    word_dim: Annotated[int, "length of trained word vectors"] = 300
    word_window: Annotated[int, "number of words on each side that word2vec predicts"] = 10
    word_epochs: Annotated[int, "number of word2vec epochs"] = 10
    images_per_recipe: Annotated[int, "maximum number of photos per recipe; the first ones are used"] = 5
    resize: Annotated[int, "shorter side of stored photos in pixels; smaller photos are not enlarged"] = 256
    jpeg_quality: Annotated[int, "JPEG quality of stored photos, 1 to 100"] = JPEG_QUALITY
    max_instructions: Annotated[
        int, "drop recipes with more instructions; 0 keeps all, and a model reads as many as it can"
    ] = 19
    max_ingredients: Annotated[int, "drop recipes with more ingredients of the vocabulary; 0 keeps all"] = 18
    without_photos: Annotated[bool, "also keep recipes without usable photos, in a separate split named text"] = False
    partitions: Annotated[
        str,
        "comma-separated partitions to convert; words are always learned from train, and classes derived from titles "
        "need all three",
    ] = ",".join(PARTITIONS)
    limit: Annotated[int, "read only this many records from the start of layer1.json; 0 reads all"] = 0
    published_split: Annotated[
        bool, "keep the first recipe of remove1M.txt, as the published code does by accident"
    ] = True

    def __post_init__(self):
        if not 1 <= self.jpeg_quality <= 100:
            raise UserError(f"jpeg_quality is {self.jpeg_quality}; it must be between 1 and 100")
        for field in dataclasses.fields(self):
            value, minimum = getattr(self, field.name), int(field.name in _AT_LEAST_1)
            if type(field.default) is int and value < minimum:
                raise UserError(f"{field.name} is {value}; it must be at least {minimum}")
        if self.unknown_ingredients not in UNKNOWN_INGREDIENTS:
            raise UserError(f"unknown_ingredients is {self.unknown_ingredients!r}; it must be 'drop' or 'words'")
        if unknown := {*self.wanted_partitions} - {*PARTITIONS}:
            raise UserError(f"partitions contains {sorted(unknown)[0]!r}; use train, val and test, comma-separated")

    @property
    def wanted_partitions(self) -> tuple[str, ...]:
        """The partitions to convert."""
        return tuple(self.partitions.split(","))

    @property
    def splits_unknown_ingredients(self) -> bool:
        """Whether ingredient names that are not in the vocabulary are replaced by their words."""
        return self.unknown_ingredients == "words"
