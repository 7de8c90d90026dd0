"""The config section of the LSTM tower: its fields, what they accept, and what they must not say together."""

from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import BOOLEAN, Rule, integer, number, one_of, share
from adamine_jax.models.base import Section

RULES: dict[str, Rule] = {
    "ingredients": BOOLEAN,
    "instructions": one_of("words", "vectors", "none", None, False),
    "word_vectors": one_of("shared", "separate"),
    "word_dim": (
        "None (the length of the data set's word vectors) or an integer ≥ 1",
        lambda v: v is None or integer(1)[1](v),
    ),
    "instruction_lstm_over_padding": BOOLEAN,
    **{
        name: integer(1)
        for name in (
            "sentence_dim",
            "max_sentences",
            "max_words",
            "ingredient_hidden",
            "sentence_hidden",
            "instruction_hidden",
        )
    },
    "word_norm": number("above 0"),
    "forget_bias": number("from 0"),
    "title": BOOLEAN,
    "part_embeddings": BOOLEAN,
    "word_dropout": share(0.99),
    "dropout": share(0.99),
}


def instructions_of(section: Section) -> str:
    """Returns the field `instructions`; None and False mean 'none'."""
    return section.instructions or "none"


def text_parts(section: Section) -> tuple[str, ...]:
    """Returns the parts of recipes that the tower reads."""
    read = {
        "title": section.title,
        "ingredients": section.ingredients,
        "instructions": instructions_of(section) != "none",
    }
    return tuple(part for part, is_read in read.items() if is_read)


def defaults() -> Section:
    """Returns the section with the published values."""
    tower = Section()
    tower.ingredients = True  # False: ignore the ingredients
    tower.instructions = "words"  # 'words', 'vectors' (precomputed, as published) or 'none'
    tower.sentence_dim = 1024  # length of a row of data.sentence_vectors; set from the file
    tower.max_sentences = 20  # maximum number of sentences per recipe
    tower.max_words = 48  # maximum number of words per sentence
    tower.word_dim = 300  # length of a word vector; None = as in the data set
    tower.word_norm = 1.0  # initial norm of word vectors; small LSTMs learn faster with a larger one
    tower.word_vectors = "shared"  # one table for ingredients and instructions; 'separate': two
    tower.ingredient_hidden = 300  # state size of each direction of the LSTMs over the ingredients and the title
    tower.sentence_hidden = 1024  # state size of the LSTM over the words of a sentence
    tower.instruction_hidden = 1024  # state size of the LSTM over the sentences
    tower.forget_bias = 0.0  # initial bias of the forget gates; 2 to 4 gives a longer memory, for small data
    tower.word_dropout = 0.0  # share of the words that are dropped in training, for small data
    tower.dropout = 0.0  # share of the values before the last layer that are dropped in training
    tower.instruction_lstm_over_padding = False  # True: as published, for published weights
    tower.title = False  # True: read the title, too, with the words of at least two titles of the train split
    tower.part_embeddings = False  # True: also embed the parts, for loss=parts
    tower.vocabulary = ""  # file of these words; '' = made from the train split and stored in the workdir
    return tower


def check(section: Section, config: Section) -> None:
    """Raises a `UserError` if fields contradict each other or the rest of the configuration."""
    if not (section.ingredients or section.title) and instructions_of(section) == "none":
        raise UserError(
            "config.model.recipe.ingredients = False and config.model.recipe.instructions = 'none': nothing is "
            "left to read; set ingredients or title to True, or instructions to 'words' or 'vectors'"
        )
    if section.part_embeddings and len(text_parts(section)) < 2:
        raise UserError("config.model.recipe.part_embeddings: the tower reads one part only; must be False")
    given = config.data.sentence_vectors
    if instructions_of(section) == "vectors" and not given:
        raise UserError(
            "config.model.recipe.instructions = 'vectors': set config.data.sentence_vectors to a file of "
            "sentence vectors, or use 'words' or 'none'"
        )
    if given and instructions_of(section) != "vectors":
        raise UserError(
            f"config.data.sentence_vectors = {given}: the model does not read it; "
            "set config.model.recipe.instructions = 'vectors' as well"
        )
