"""What a conversion can be told."""

import dataclasses
from pathlib import Path

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.decoding import JPEG_QUALITY
from data_builders.recipe1m.recipes import PARTITIONS

UNKNOWN_INGREDIENTS = ("drop", "words")


@dataclasses.dataclass(frozen=True)
class Options:
    """The choices that decide what the converted collection holds; the defaults are the published ones.

    Attributes:
        vocab: a word2vec file, `.bin` (binary) or `.txt`, or a `vocab.pkl`. None: the download's own `vocab.bin` or
            `vocab.pkl`, and without one the words and their vectors are trained from the train recipes.
        classes: a `classes1M.pkl`. None: the download's own, and without one classes are made from the titles.
        class_min_train: a class has *more* train recipes than this (the published rule says "more than 20").
        class_min_val: a class has at least this many validation recipes.
        class_min_test: a class has at least this many test recipes.
        class_bigrams: how many of the most frequent bigrams of the titles are tried as classes.
        max_classes: the bigrams stop after this many classes; the Food-101 names are tried beyond it.
        word_min_count: a trained vocabulary holds the words that appear at least this often.
        unknown_ingredients: what becomes of a detected name that the vocabulary lacks: "drop", as published, or
            "words": it is read as its single words, which the training of word vectors then sees as well. What a small
            collection needs, where most names appear once or twice.
        word_dim: length of a trained word vector.
        word_window: words on each side that a trained word vector is to predict.
        word_epochs: passes over the text when training word vectors.
        images_per_recipe: photos of a recipe that are used: the first ones listed.
        resize: shorter side of a stored photo in pixels; smaller photos are not enlarged.
        jpeg_quality: of a stored photo, 1 to 100 as libjpeg counts.
        without_photos: recipes without a photo that can be used are kept as well, in a split of their own, "text".
        partitions: those to convert, with commas. Words are learnt from train even so; classes that are made from the
            titles need all three.
        limit: read only so many records of layer 1, the first ones; 0: all.
        published_split: keep the first id of `remove1M.txt`, as the published code does by accident.
    """

    vocab: Path | None = None
    classes: Path | None = None
    class_min_train: int = 20
    class_min_val: int = 1
    class_min_test: int = 1
    class_bigrams: int = 2000
    max_classes: int = 1000
    word_min_count: int = 10
    unknown_ingredients: str = "drop"
    word_dim: int = 300
    word_window: int = 10
    word_epochs: int = 10
    images_per_recipe: int = 5
    resize: int = 256
    jpeg_quality: int = JPEG_QUALITY
    without_photos: bool = False
    partitions: str = ",".join(PARTITIONS)
    limit: int = 0
    published_split: bool = True

    def __post_init__(self):
        least = {"word_min_count": 1, "word_dim": 1, "word_window": 1, "word_epochs": 1, "images_per_recipe": 1}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if type(field.default) is int and value < least.get(field.name, 0):
                raise UserError(f"{field.name} is {value}; it takes {least.get(field.name, 0)} or more")
        if self.unknown_ingredients not in UNKNOWN_INGREDIENTS:
            raise UserError(f"unknown_ingredients is {self.unknown_ingredients!r}; it takes 'drop' or 'words'")
        if unknown := {*self.wanted_partitions} - {*PARTITIONS}:
            raise UserError(f"partitions names {sorted(unknown)[0]!r}; it takes train, val and test, with commas")
        if self.resize < 1:
            raise UserError(f"resize is {self.resize}; it takes a number of pixels, 1 or more")
        if not 1 <= self.jpeg_quality <= 100:
            raise UserError(f"jpeg_quality is {self.jpeg_quality}; it takes 1 to 100")

    @property
    def wanted_partitions(self) -> tuple[str, ...]:
        """The partitions to convert."""
        return tuple(self.partitions.split(","))
