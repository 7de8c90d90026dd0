"""Collects statistics of the kept recipes: lengths, unknown words, photo sizes, duplicates and a random sample."""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property

import msgspec

from adamine_jax.plots.gallery_items import Item
from data_builders.recipe1m.duplicates import Duplicates, Shared
from data_builders.recipe1m.passes.photos import Photo
from data_builders.recipe1m.passes.text_pass import Encoded
from data_builders.recipe1m.report.counters import Distribution, FrequentTexts
from data_builders.recipe1m.report.sample import Sample, Sampled

# What the model reads of a recipe: 20 ingredient ids including the end mark, and 20 sentences of 48 words by default.
MAX_INGREDIENTS = 20
MAX_SENTENCES = 20  # `max_sentences` and `max_words` of the recipe tower 'lstm'
MAX_WORDS = 48
MOST_FREQUENT = 20


class Contents:
    """Collects statistics of the kept recipes in bounded memory.

    Attributes:
        lengths: Distribution of each kind of length.
        recipes_with_long_sentences: Number of recipes with a sentence of more than `MAX_WORDS` words.
        words, names: Words and ingredient names that the vocabulary lacks.
        photo_sides: Distributions of "width", "height" and "shorter side" in pixels before resizing.
        formats: Number of photo files of each format.
        photos, texts: Collectors of duplicates.
        sample: Random sample of the recipes with photos.
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
        """Adds a kept recipe with its readable photos."""
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
            photo = photos[self.sample.number(recipe.id) % len(photos)]
            texts = msgspec.json.decode(recipe.record)
            item = Item(recipe.id, recipe.title, "", texts["ingredients"], texts["instructions"], photo.jpeg)
            self.sample.add(Sampled(recipe.partition, position, item, photo.id))

    def beyond(self) -> dict[str, tuple[int, int]]:
        """Returns (count, total) of everything that exceeds the model's limits or is empty."""
        _, known, instructions, words, all_words = self.lengths.values()
        recipes, all_instructions = known.total(), words.total()
        word_total = sum(length * count for length, count in all_words.counts.items())
        max_names = MAX_INGREDIENTS - 1
        return {
            f"recipes with more than {max_names} known ingredients": (known.above(max_names), recipes),
            f"recipes with more than {MAX_SENTENCES} instructions": (instructions.above(MAX_SENTENCES), recipes),
            f"recipes with an instruction of more than {MAX_WORDS} words": (self.recipes_with_long_sentences, recipes),
            f"instructions of more than {MAX_WORDS} words": (words.above(MAX_WORDS), all_instructions),
            f"words after the {MAX_WORDS}th of an instruction": (words.excess_over(MAX_WORDS), word_total),
            "recipes without a known ingredient": (known.counts[0], recipes),
            "recipes without an instruction": (instructions.counts[0], recipes),
            "instructions without a word": (words.counts[0], all_instructions),
        }

    @cached_property
    def duplicates(self) -> dict[str, dict[tuple[str, ...], Shared]]:
        """The results of `Duplicates.find` for "photos" and "texts". Access it only after all recipes were added."""
        return {"photos": self.photos.find(), "texts": self.texts.find()}
