"""Leaves out parts and lines of training recipes, because queries are often incomplete."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from adamine_jax.recipes.texts import PARTS, EncodedRecipe, RecipeText
from adamine_jax.recipes.tokens import Tokens
from adamine_jax.recipes.words import END_ID

LINE_OPTIONS = ("drop_ingredients", "drop_sentences", "shuffle_ingredients")


@dataclasses.dataclass(frozen=True)
class TextAugmentation:
    """Leaves out parts and lines of recipes; the section `config.data` has fields of the same names.

    Attributes:
        reads: The parts that the tower reads; the others do not count.
        drop_part: Probability that title, ingredients or instructions are left out, one of those that are present, if
            another one remains.
        drop_ingredients: Probability of each ingredient to be left out; one always remains.
        drop_sentences: The same for each sentence of the instructions.
        shuffle_ingredients: Whether the ingredients are read in a random order.
    """

    reads: tuple[str, ...] = PARTS
    drop_part: float = 0.0
    drop_ingredients: float = 0.0
    drop_sentences: float = 0.0
    shuffle_ingredients: bool = False

    def __bool__(self) -> bool:
        return any((self.drop_part, self.drop_ingredients, self.drop_sentences, self.shuffle_ingredients))

    def __call__(self, recipe: EncodedRecipe, seed: int) -> EncodedRecipe:
        """Returns the augmented recipe, which depends only on the recipe and the seed.

        The same lines are removed from word ids, tokens and text.
        """
        rng = np.random.Generator(np.random.Philox(key=seed))
        dropped = int(rng.integers(len(PARTS))) if rng.random() < self.drop_part else None
        chances = rng.random(2**10), rng.random(2**10), rng.random(2**10)
        chosen = _Chosen(dropped, self, chances)
        return dataclasses.replace(
            recipe,
            **chosen.word_ids(recipe),
            tokens=None if recipe.tokens is None else chosen.tokens(recipe.tokens),
            text=chosen.text(recipe.text),
        )


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """What is left out of one recipe: a part, and lines by their random numbers."""

    dropped: int | None
    options: TextAugmentation
    chances: tuple[np.ndarray, ...]

    def part(self, present: list[bool]) -> int | None:
        """Returns the part to leave out, given which ones are present."""
        reads = self.options.reads
        others = [part for part, is_present in enumerate(present) if is_present and PARTS[part] in reads]
        if self.dropped is None or len(others) < 2:
            return None
        return others[self.dropped % len(others)]

    def lines(self, part: int, count: int) -> np.ndarray:
        """Returns the indices of the lines of a part that are kept, in the order in which they are read."""
        share = (0.0, self.options.drop_ingredients, self.options.drop_sentences)[part]
        chances = np.resize(self.chances[part], count)
        kept = np.flatnonzero(chances >= share) if share else np.arange(count)
        if not len(kept) and count:
            kept = np.array([np.argmax(chances)])
        if part == 1 and self.options.shuffle_ingredients:
            kept = kept[np.argsort(np.resize(self.chances[0], count)[kept], kind="stable")]
        return kept

    def word_ids(self, recipe: EncodedRecipe) -> dict[str, Any]:
        """Returns the changed fields of ingredients and sentences in the data set's vocabulary."""
        ids = recipe.ingredient_ids
        has_end = len(ids) > 0 and ids[-1] == END_ID
        names, end = (ids[:-1], ids[-1:]) if has_end else (ids, ids[:0])
        ends = np.cumsum(recipe.sentence_lengths)
        sentences = np.split(recipe.word_ids, ends[:-1]) if len(ends) else []
        vectors = recipe.sentence_vectors
        has_title = "title" in self.options.reads and bool(recipe.text().title)
        has_instructions = len(sentences if vectors is None else vectors) > 0
        dropped = self.part([has_title, len(names) > 0, has_instructions])
        kept = self.lines(2, len(sentences)) if dropped != 2 else np.zeros(0, np.int64)
        if vectors is not None:
            vectors = vectors[self.lines(2, len(vectors))] if dropped != 2 else vectors[:0]
        return {
            "ingredient_ids": ids[:0] if dropped == 1 else np.concatenate([names[self.lines(1, len(names))], end]),
            "word_ids": np.concatenate([recipe.word_ids[:0], *(sentences[line] for line in kept)]),
            "sentence_lengths": recipe.sentence_lengths[kept],
            "sentence_vectors": vectors,
        }

    def tokens(self, tokens: Tokens) -> Tokens:
        """Returns the segments that are kept."""
        dropped = self.part([bool(np.any(tokens.parts == part)) for part in range(len(PARTS))])
        segments = np.split(tokens.ids, np.cumsum(tokens.lengths)[:-1]) if len(tokens.lengths) else []
        kept: list[tuple[int, Any]] = []
        for part in range(len(PARTS)):
            places = np.flatnonzero(tokens.parts == part)
            if part != dropped:
                kept += [(part, segments[place]) for place in places[self.lines(part, len(places))]]
        return Tokens.of(kept)

    def text(self, text: Callable[[], RecipeText]) -> Callable[[], RecipeText]:
        """Returns a function of the changed text."""

        def changed() -> RecipeText:
            recipe = text()
            dropped = self.part([bool(recipe.title), bool(recipe.ingredients), bool(recipe.instructions)])

            def lines(part: int, given: tuple[str, ...]) -> tuple[str, ...]:
                return () if part == dropped else tuple(given[line] for line in self.lines(part, len(given)))

            return dataclasses.replace(
                recipe,
                title="" if dropped == 0 else recipe.title,
                ingredients=lines(1, recipe.ingredients),
                instructions=lines(2, recipe.instructions),
            )

        return changed
