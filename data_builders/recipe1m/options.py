"""Options of a conversion."""

import dataclasses
from pathlib import Path

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.decoding import JPEG_QUALITY
from data_builders.recipe1m.recipes import PARTITIONS

UNKNOWN_INGREDIENTS = ("drop", "words")
_AT_LEAST_1 = {"word_min_count", "word_dim", "word_window", "word_epochs", "images_per_recipe", "resize"}


@dataclasses.dataclass(frozen=True)
class Options:
    """The choices that determine the content of a collection. The defaults are those of the published collection.

    Attributes:
        vocab: Word2vec file, `.bin` (binary) or `.txt`, or a `vocab.pkl`. None selects the download's `vocab.bin` or
            `vocab.pkl`; without one, word vectors are trained on the train recipes.
        classes: A `classes1M.pkl`. None selects the download's; without one, classes are derived from the titles.
        class_min_train: Number of train recipes that a class must exceed (the paper says "more than 20").
        class_min_val: Minimum number of val recipes of a class.
        class_min_test: Minimum number of test recipes of a class.
        class_bigrams: Number of the most frequent bigrams of the titles that are candidates for classes.
        max_classes: Maximum number of classes from bigrams; those from the Food-101 names are added to them.
        word_min_count: Minimum count of a word in a trained vocabulary.
        unknown_ingredients: Treatment of detected ingredient names that are not in the vocabulary. "drop" ignores them,
            as in the published collection. "words" replaces a name by its words, which are also added to the training
            text of the word vectors; a small collection, where most names occur once or twice, needs this.
        word_dim: Length of trained word vectors.
        word_window: Number of words on each side that a trained word vector predicts.
        word_epochs: Number of epochs of word vector training.
        images_per_recipe: Maximum number of photos per recipe; the first ones listed are used.
        resize: Length of the shorter side of a stored photo, in pixels. Smaller photos are not enlarged.
        jpeg_quality: JPEG quality of stored photos, 1 to 100 on libjpeg's scale.
        without_photos: Whether to keep recipes without usable photos, in a separate split, "text".
        partitions: Comma-separated partitions to convert. Words are always learned from train. Classes derived from the
            titles need all three.
        limit: Number of records to read, from the start of layer 1; 0 reads all.
        published_split: Whether to keep the first recipe of `remove1M.txt`, as the published code does by accident.
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
