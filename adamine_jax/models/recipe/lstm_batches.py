"""What the LSTM tower reads of recipes: its batch fields, the words of titles, and what it leaves out."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from adamine_jax.models.base import Section
from adamine_jax.models.recipe import padding
from adamine_jax.models.recipe.lstm_section import instructions_of
from adamine_jax.recipes import tfidf
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText

FIRST_TITLE_ID = 1
"""Id of the first word of titles; 0 is padding."""
MAX_TITLE_VOCABULARY = 30_000


def make_batch(section: Section, recipes: Sequence[EncodedRecipe]) -> dict[str, np.ndarray]:
    """Makes the padded arrays that `HierarchicalLSTM.__call__` describes."""
    limit, lengths = section.max_sentences, [recipe.sentence_lengths for recipe in recipes]
    batch = {"ingredients": padding.pad_ingredients([recipe.ingredient_ids for recipe in recipes])}
    if instructions_of(section) == "vectors":
        vectors = [recipe.sentence_vectors for recipe in recipes]
        batch["sentence_vectors"] = padding.pad_vectors(vectors, limit, section.sentence_dim)
        lengths = [() if rows is None else rows for rows in vectors]
    else:
        words = [recipe.word_ids for recipe in recipes]
        batch["words"] = padding.pad_sentences(words, lengths, limit, section.max_words)
    if section.title:
        words_of = tfidf.load(Path(section.vocabulary))
        columns = [np.array(words_of.columns_of(recipe.text(), "title"), int) for recipe in recipes]
        batch["title"] = padding.pad_ingredients([found + FIRST_TITLE_ID for found in columns])
    counts = [len(sentences) for sentences in lengths]
    return batch | {"num_sentences": np.minimum(counts, limit).astype(np.int32)}


def fit_titles(recipes: Iterable[RecipeText]) -> str:
    """Returns the words of at least two titles of the train split, the most frequent first."""
    return tfidf.fit(recipes, ("title",), min_count=2, max_words=MAX_TITLE_VOCABULARY, pairs=False).to_json()


def own_words(section: Section, recipe: RecipeText) -> tuple[list[str], list[str]]:
    """Returns the known and the unknown words of a recipe's title, if the tower reads titles."""
    return tfidf.load(Path(section.vocabulary)).split_words(recipe) if section.title else ([], [])


def unread(section: Section, recipes: Iterable[EncodedRecipe]) -> str:
    """Describes the share of sentences, words, ingredients and title words that the tower does not read.

    Precomputed sentence vectors are not counted. Returns '' if the tower reads everything.
    """
    limits = []
    if instructions_of(section) == "words":
        limits += [f"{section.max_sentences} sentences of {section.max_words} words"]
    if section.ingredients:
        limits += [f"{padding.MAX_INGREDIENTS} ingredients"]
    if section.title:
        limits += ["the title words in its vocabulary"]
    counts = np.array([_counts(section, recipe) for recipe in recipes]).reshape(-1, 4, 2)
    total, read = counts.sum(axis=0).T
    shares = [
        f"{100 * (1 - part / whole):.1f} % of the {name}"
        for name, whole, part in zip(("sentences", "words", "ingredients", "title words"), total, read, strict=True)
        if part < whole
    ]
    if not shares:
        return ""
    longer = np.sum((counts[:, :, 0] > counts[:, :, 1]).any(axis=1))
    return (
        f"the lstm tower reads at most {_listed(limits)} of a recipe: it does not read {_listed(shares)} of "
        f"{len(counts):,} train recipes, which affects {longer:,} of them"
    )


def _counts(section: Section, recipe: EncodedRecipe) -> list[tuple[int, int]]:
    """Returns the numbers of sentences, words, ingredients and title words, each with the number that is read."""
    lengths = recipe.sentence_lengths if instructions_of(section) == "words" else np.zeros(0, int)
    kept = lengths[: section.max_sentences]
    ingredients = max(len(recipe.ingredient_ids) - 1, 0) if section.ingredients else 0  # the last id ends the list
    known, unknown = map(len, own_words(section, recipe.text()))
    return [
        (len(lengths), len(kept)),
        (int(lengths.sum()), int(np.minimum(kept, section.max_words).sum())),
        (ingredients, min(ingredients, padding.MAX_INGREDIENTS)),
        (known + unknown, known),
    ]


def check_query(section: Section, recipe: RecipeText) -> str:
    """Returns why the tower cannot embed a query; empty if it can."""
    instructions = instructions_of(section)
    has_title = bool(section.title and recipe.title)
    if instructions == "vectors" and (recipe.instructions or not (recipe.ingredients or has_title)):
        return (
            "the model reads precomputed sentence vectors (config.model.recipe.instructions = 'vectors') and "
            "cannot embed instructions as text; give only ingredients, or embed a split"
        )
    if section.title and not section.ingredients and instructions == "none" and not has_title:
        return "the model reads only titles; give a title"
    if not section.ingredients and not recipe.instructions and not recipe.title:
        return "the model reads only instructions; give instructions or a title"
    if instructions == "none" and not (recipe.ingredients or recipe.names or recipe.title):
        return "the model reads only ingredients; give ingredients or a title"
    return ""


def _listed(parts: Sequence[str]) -> str:
    """Returns "a, b and c"."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
