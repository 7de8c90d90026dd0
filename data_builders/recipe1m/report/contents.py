"""What the kept recipes hold: lengths, words nobody knows, sizes of photos, duplicates, and a sample to look at."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import msgspec

from adamine_jax.plots.gallery_items import Item
from data_builders.recipe1m.duplicates import Duplicates, Shared
from data_builders.recipe1m.passes.photos import Photo
from data_builders.recipe1m.passes.text_pass import Encoded
from data_builders.recipe1m.report.frequent import FrequentTexts
from data_builders.recipe1m.report.lengths import Distribution
from data_builders.recipe1m.report.sample import Sample, Sampled

# What the model reads of a recipe: 20 ingredient ids, the end mark counted, and by default 20 sentences of 48 words.
MAX_INGREDIENTS = 20
MAX_SENTENCES = 20  # `max_sentences` and `max_words` of the recipe tower 'lstm'
MAX_WORDS = 48
MOST_FREQUENT = 20


class Contents:
    """Collects what a report says about the kept recipes, in bounded memory; they are added one by one.

    Attributes:
        lengths: what is counted -> its distribution.
        recipes_with_long_sentences: recipes with a sentence of more than `MAX_WORDS` words.
        words, names: those that the vocabulary lacks.
        photo_sides: "width", "height" and "shorter side" in pixels, before a photo was made small -> distribution.
        formats: of the photos' files.
        photos, texts: what may be there twice, see `duplicates`.
        sample: some of them.
    """

    def __init__(self):
        self.lengths = {
            "ingredient lines per recipe": Distribution(),
            "known ingredients per recipe": Distribution(),
            "instructions per recipe": Distribution(),
            "words per instruction": Distribution(),
            "words per recipe": Distribution(),
        }
        self.recipes_with_long_sentences = 0
        self.words, self.names = FrequentTexts(), FrequentTexts()
        self.photo_sides = {"width": Distribution(), "height": Distribution(), "shorter side": Distribution()}
        self.formats: Counter[str] = Counter()
        self.photos, self.texts = Duplicates(".jpg"), Duplicates()
        self.sample = Sample()

    def add(self, recipe: Encoded, photos: Sequence[Photo]) -> None:
        """Adds a kept recipe with its readable photos; one without any is not shown."""
        lines, known, instructions, words, all_words = self.lengths.values()
        sentence_lengths = recipe.sentence_lengths
        lines.add(recipe.ingredient_lines)
        known.add(recipe.known_ingredients)
        instructions.add(len(sentence_lengths))
        words.counts.update(sentence_lengths)
        all_words.add(sum(sentence_lengths))
        self.recipes_with_long_sentences += max(sentence_lengths, default=0) > MAX_WORDS
        self.words.add(recipe.unknown_words)
        self.names.add(recipe.unknown_names)
        for photo in photos:
            for distribution, side in zip(self.photo_sides.values(), (*photo.size, min(photo.size)), strict=True):
                distribution.add(side)
            self.formats[photo.format] += 1
            self.photos.add(photo.digest, recipe.partition, photo.id)
        position = len(self.texts)
        self.texts.add(recipe.text_digest, recipe.partition, recipe.id)
        if photos and self.sample.takes(recipe.partition, recipe.id):
            shown = photos[self.sample.number(recipe.id) % len(photos)]
            texts = msgspec.json.decode(recipe.record)
            item = Item(recipe.id, recipe.title, "", texts["ingredients"], texts["instructions"], shown.jpeg)
            self.sample.add(Sampled(recipe.partition, position, item, shown.id))

    def beyond(self) -> dict[str, tuple[int, int]]:
        """What a model does not see, or has nothing to see of: (how many, of how many)."""
        _, known, instructions, words, all_words = self.lengths.values()
        recipes, spoken = known.total(), sum(length * count for length, count in all_words.counts.items())
        return {
            f"recipes with more than {MAX_INGREDIENTS - 1} known ingredients": (
                known.above(MAX_INGREDIENTS - 1),
                recipes,
            ),
            f"recipes with more than {MAX_SENTENCES} instructions": (instructions.above(MAX_SENTENCES), recipes),
            f"recipes with an instruction of more than {MAX_WORDS} words": (self.recipes_with_long_sentences, recipes),
            f"instructions of more than {MAX_WORDS} words": (words.above(MAX_WORDS), words.total()),
            f"words after the {MAX_WORDS}th of an instruction": (words.excess_over(MAX_WORDS), spoken),
            "recipes without a known ingredient": (known.counts[0], recipes),
            "recipes without an instruction": (instructions.counts[0], recipes),
            "instructions without a word": (words.counts[0], words.total()),
        }

    @cached_property
    def duplicates(self) -> dict[str, dict[tuple[str, ...], Shared]]:
        """ "photos" and "texts" -> what `Duplicates.find` tells of them; to be asked for when all recipes are there."""
        return {"photos": self.photos.find(), "texts": self.texts.find()}
