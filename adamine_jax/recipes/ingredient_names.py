"""From an ingredient line as a person writes it to the ingredient's name; docs/own_recipes.md describes the rule."""

import itertools
import re
import unicodedata
from collections.abc import Iterable

from adamine_jax.recipes.ingredient_words import word_lists

# What is longer is no name, and what is longer no line.
MOST_WORDS = 5
MOST_CHARS = 500
# A number at the end of a line up to this one is a count ("eggs 2"), a larger one part of a name ("licor 43").
MOST_PIECES = 20

known = word_lists()
_IDLE = known.leading | known.sizes
_BEHIND_AN_ADVERB = known.adverbs | known.sizes
_BEFORE_A_HYPHEN = known.adverbs | known.preparations
_JOINED_TO_A_NUMBER = known.measures | known.pieces | known.after_a_number
_BEHIND_A_PREPARATION = known.ending | known.adverbs | {"", "and", "or"}
_AT_THE_END = known.trailing | known.adverbs | known.trailing_pieces


def _any_of(words: Iterable[str]) -> str:
    return "(?:" + "|".join(re.escape(word) for word in sorted(words, key=lambda word: (-len(word), word))) + ")"


_FRACTIONS = {char: unicodedata.normalize("NFKC", char).replace("\u2044", "/") for char in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"}
_SIGNS = str.maketrans(
    {
        **dict.fromkeys("‘’ʼ´`", "'"),
        **dict.fromkeys("–—−‐‑―", "-"),
        **dict.fromkeys('®™©†‡*•▢☐□·_"“”„«»<>≈', " "),
        **{char: f" {text} " for char, text in _FRACTIONS.items()},
        **{"\u2044": "/", "×": "x", "[": "(", "]": ")", "{": "(", "}": ")"},
    }
)
_LINK = re.compile(r"\[([^\[\]]*)\]\([^()]*\)")
_TAG = re.compile(r"</?[a-z][^<>]*>")
_INNER_PARENTHESES = re.compile(r"\([^()]*\)")
_SLASH_BEFORE_A_NUMBER = re.compile(r"(?<=[a-z.)])\s*/\s*(?=~?\d)")
_HEADING = re.compile(
    r"#+ .*|(?:\*\*|__|==|--+).*(?:\*\*|__|==|--+)|.*:[\s*_]*|"
    r"(?:for|to (?:serve|garnish|make|top|finish|decorate))\s[^\d,:(]*"
)
_LIST_MARK = re.compile(r"(?:[-+~]\s*)+|\d+[.)]\s+(?=[^\d\s])")
_PARTS = re.compile(r",(?!\d)\s*|;\s*|\s-+\s|\s[|+]\s|\.\.+")

_NUMBER = r"(?:\d+(?:[.,]\d+)*|\.\d+)(?:\s*/\s*\d+)?"
_QUANTITY = re.compile(rf"~?\s*{_NUMBER}(?:(?:\s*[-x+/&]\s*|\s+(?:(?:to|or|and)\s+)?){_NUMBER})*(?:\s*[%+~])?")
_JOINED = re.compile(r"-?([^\W\d_]+|°)\.?")
_SEPARATOR = re.compile(r"[\s/|=:.,;+~-]*")
_MEASURE_OF_TWO_WORDS = re.compile(rf"{_any_of(known.measures_of_two_words)}\.?(?!\S)")
_LATER_QUANTITY = re.compile(rf"\s[~(]?{_NUMBER}\s*-?{_any_of(known.measures | known.pieces)}\b.*")
_LATER_SHARE = re.compile(r"\s\d+(?:[.,]\d+)?\s*%.*")
_LATER_COUNT = re.compile(r"\s(?:x\s*)?(\d+)$")

_NUMBERED_NAME = re.compile(rf"{_any_of(known.numbered_names)}(?![\w-])")
_AT_WILL = re.compile(
    r"(?:as (?:(?:much|many) as )?(?:you (?:want|like|need|wish)|desired|needed|necessary|required)|"
    r"to (?:your )?taste)\b\s*"
)
_SALT_AND_PEPPER = re.compile(
    r"([^,;:]*\bsalt)\s*(?:,|/|&|\+|\band\b|\bor\b)+\s*((?:[\w-]+ )*pepper)(?=$|[,.;]| (?:to|for|as|if)\b)"
)
_TAKEN_FROM = re.compile(rf"(?:the )?({_any_of(known.taken_from)})(?: only)?\s+(?:of|from)\s+(.*)")
_CHOICE = re.compile(r"\s*/\s*|\s+(?:and ?/? ?or|or)\s+")
_SENTENCE_END = re.compile(r"(\S+?)\s*\.\s")
_ODD = re.compile(r"[^\w\s'&.%!?-]|_")


def ingredient_names(line: str) -> list[tuple[str, bool]]:
    """The names of the ingredients in a line, lower-case, each with whether the rule is sure of it.

    A heading ("For the sauce:") and a line without a letter name nothing; "salt and pepper" names two; every other
    line names one. Where the rule is not sure it gives the whole line, lower-case, with False.
    """
    lowered = " ".join(unicodedata.normalize("NFC", line.lower()).split())
    if not any(char.isalpha() for char in lowered) or _HEADING.fullmatch(lowered):
        return []
    plain = " ".join(_TAG.sub(" ", _LINK.sub(r"\1", lowered)).translate(_SIGNS).split())
    if len(plain) > MOST_CHARS or "://" in plain:
        return [(lowered, False)]
    plain = _SLASH_BEFORE_A_NUMBER.sub(" / ", plain).replace("all - purpose", "all-purpose")
    text = _without_parentheses(plain)
    if both := _SALT_AND_PEPPER.match(text):
        names = [_name(part) for part in both.groups()]
    else:
        names = [_name(text) or _name(plain.replace("(", " ").replace(")", " "))]
    if all(map(_is_sure, names)):
        return [(name, True) for name in dict.fromkeys(names)]
    return [(lowered, False)]


def _is_sure(name: str) -> bool:
    words = name.split()
    letters = [char for char in name if char.isalpha()]
    has_meaning = len(letters) > 1 or "".join(letters) > "z"  # one letter is a word in some scripts
    return has_meaning and not _ODD.search(name) and len(words) <= MOST_WORDS and words[0] not in known.ending


def _without_parentheses(text: str) -> str:
    while (shorter := _INNER_PARENTHESES.sub(" ", text)) != text:
        text = shorter
    before = text.split("(")[0]  # one that is not closed
    return (before if before.strip() else text.replace("(", " ")).replace(")", " ")


def _name(text: str) -> str:
    """Shortens a line until the rule finds nothing more to take away."""
    while (shorter := _shorter(text)) != text:
        text = shorter
    return text


def _shorter(text: str) -> str:
    text = " ".join(text.split())
    before, colon, behind = text.partition(": ")
    if colon:
        is_heading = before.startswith("for ") or not known.before_a_colon.isdisjoint(before.split()[-1:])
        before, behind = _shorter(before), _shorter(behind)
        return behind if behind and (is_heading or not before) else before
    return next((name for part in _PARTS.split(text) if (name := _core(part)) and name not in known.adjectives), "")


def _core(text: str) -> str:
    """The name in a part of a line that no comma divides."""
    text = _without_lead(text.strip(" .:!?-'"))
    if taken := _TAKEN_FROM.fullmatch(text):
        return _taken_from(*taken.groups())
    if end := next((stop for stop in _SENTENCE_END.finditer(text) if stop[1] not in known.abbreviations), None):
        text = text[: end.end(1)]
    text = _LATER_SHARE.sub("", _LATER_QUANTITY.sub("", text))
    if (count := _LATER_COUNT.search(text)) and int(count[1]) <= MOST_PIECES:
        text = text[: count.start()]
    return " ".join(_without_tail(_first_choice(text).split())).strip(" .:!?-'&")


def _taken_from(part: str, whole: str) -> str:
    """("juice", "2 lemons") -> "lemon juice"; of juice and zest, the lemon."""
    whole = _name(whole)
    if whole.endswith("s") and not whole.endswith("ss"):
        whole = whole[:-1]
    return f"{whole} {part}" if whole and " " not in part else whole


def _first_choice(text: str) -> str:
    """ "butter or margarine" -> "butter", "red or white wine" -> "red wine"."""
    choices = [choice.split() for choice in _CHOICE.split(text, maxsplit=1)]
    if len(choices) == 1 or not choices[0]:
        return text
    first, second = choices
    if len(first) == 1 and first[0] in known.shared_first and len(second) in (2, 3) and second[-1] in known.shared_last:
        first = first + second[1:]
    return " ".join(first)


def _without_lead(text: str) -> str:
    """Without quantities, measures, sizes and preparations at the front."""
    counted = False  # whether a number stood before
    text = _LIST_MARK.sub("", text, count=1) if _LIST_MARK.match(text) else text
    while text:
        rest, number = _after_lead(text, counted)
        if rest == text:
            break
        text, counted = rest, counted or number
    return text


def _after_lead(text: str, counted: bool) -> tuple[str, bool]:
    """Takes one thing from the front, if there is one; also returns whether it counts what follows."""
    if (separator := _SEPARATOR.match(text)) and separator.end() and not _QUANTITY.match(text):
        return text[separator.end() :], False
    if at_will := _AT_WILL.match(text):
        return text[at_will.end() :], False
    if _NUMBERED_NAME.match(text):
        return text, False
    if (quantity := _QUANTITY.match(text)) and (rest := _after_number(text[quantity.end() :])) is not None:
        return rest, True
    if measure := _MEASURE_OF_TWO_WORDS.match(text):
        return text[measure.end() :].lstrip(), True
    word, _, rest = text.partition(" ")
    word = word.rstrip(".,")
    before_of = rest.startswith("of ")
    if word in known.number_words or word in known.measures or (counted and word in known.after_a_number):
        return rest, True
    if word in known.pieces and (counted or before_of) and (rest or word not in known.ingredients_too):
        return rest, True
    if before_of and word in known.before_of:
        return rest, True
    return _after_idle_word(word, rest, text), False


def _after_number(rest: str) -> str | None:
    """What follows a number and the measure that is joined to it; None where the number begins a word ("7up")."""
    joined = _JOINED.match(rest)
    if not joined:
        return rest.lstrip()
    return rest[joined.end() :].lstrip(" -") if joined[1] in _JOINED_TO_A_NUMBER else None


def _after_idle_word(word: str, rest: str, text: str) -> str:
    """`rest` where the word before it says nothing of what the ingredient is, else `text`, which is both."""
    following, _, further = rest.partition(" ")
    if f"{word} {following}" in known.kept_together:
        return text
    if _is_idle(word) or all(map(_is_idle, word.split("/"))):
        return rest
    if word in known.temperatures and following in known.tempered:
        return rest
    if word in known.adverbs and following in known.after_an_adverb:
        return further or text
    if word in known.adverbs and (following in _BEHIND_AN_ADVERB or _is_preparation(following)):
        return rest
    if word in known.states and _is_preparation(following) and further:
        return f"{word} {further}"
    return text


def _is_idle(word: str) -> bool:
    return word in _IDLE or _is_preparation(word)


def _is_preparation(word: str) -> bool:
    *firsts, last = word.split("-")
    return word in known.preparations or bool(
        firsts and last in known.preparations and _BEFORE_A_HYPHEN.issuperset(firsts)
    )


def _without_tail(words: list[str]) -> list[str]:
    """Without what follows the name: "for frying", "chopped", "to taste"."""
    for place, (word, following) in enumerate(itertools.zip_longest(words, words[1:], fillvalue="")):
        ends = word in known.ending or (word.endswith("ed") and following in known.ending)
        ends |= word == "of" and following in ("your", "my", "any", "choice")
        if place and (ends or (_is_preparation(word) and following in _BEHIND_A_PREPARATION)):
            words = words[:place]
            break
    while len(words) > 1 and (
        words[-1] in _AT_THE_END
        or _is_preparation(words[-1])
        or (words[-2] == "garlic" and words[-1] in ("clove", "cloves"))
    ):
        words = words[:-1]
    return words
