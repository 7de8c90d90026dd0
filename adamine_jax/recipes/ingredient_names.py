"""Extracts ingredient names from ingredient lines as people write them; docs/own_recipes.md describes the rule."""

import itertools
import re
import unicodedata
from collections.abc import Iterable
from importlib import resources
from types import SimpleNamespace

MAX_WORDS = 5
"""Maximum length of a name."""
_MAX_CHARS = 500
# A number at the end of a line is a count up to this limit ("eggs 2"), and part of the name above it ("licor 43").
_MAX_COUNT = 20


def word_lists(text: str) -> dict[str, frozenset[str]]:
    """Returns the words of each section of a text: "[section]", then words separated by commas and line ends."""
    lists: dict[str, list[str]] = {}
    words: list[str] = []
    for line in text.split("\n"):
        content = line.split("#")[0].strip()
        if section := re.fullmatch(r"\[(\w+)\]", content):
            words = lists.setdefault(section[1], [])
        elif content:
            words += [word.strip() for word in content.split(",") if word.strip()]
    return {name: frozenset(words) for name, words in lists.items()}


_TEXT = resources.files("adamine_jax.recipes").joinpath("ingredient_words.txt").read_text(encoding="utf-8")
WORDS = SimpleNamespace(**word_lists(_TEXT))
_DROPPED = WORDS.leading | WORDS.sizes
_AFTER_ADVERB = WORDS.adverbs | WORDS.sizes
_BEFORE_HYPHEN = WORDS.adverbs | WORDS.preparations
_JOINED_TO_NUMBER = WORDS.measures | WORDS.pieces | WORDS.after_a_number
_AFTER_PREPARATION = WORDS.ending | WORDS.adverbs | {"", "and", "or"}
_TRAILING = WORDS.trailing | WORDS.adverbs | WORDS.trailing_pieces


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
_PARENTHESES = re.compile(r"\([^()]*\)")
_SLASH_BEFORE_NUMBER = re.compile(r"(?<=[a-z.)])\s*/\s*(?=~?\d)")
_HEADING = re.compile(
    r"#+ .*|(?:\*\*|__|==|--+).*(?:\*\*|__|==|--+)|.*:[\s*_]*|"
    r"(?:for|to (?:serve|garnish|make|top|finish|decorate))\s[^\d,:(]*"
)
_LIST_MARK = re.compile(r"(?:[-+~]\s*)+|\d+[.)]\s+(?=[^\d\s])")
_PARTS = re.compile(r",(?!\d)\s*|;\s*|\s-+\s|\s[|+]\s|\.\.+")

_NUMBER = r"(?:\d+(?:[.,]\d+)*|\.\d+)(?:\s*/\s*\d+)?"
_QUANTITY = re.compile(rf"~?\s*{_NUMBER}(?:(?:\s*[-x+/&]\s*|\s+(?:(?:to|or|and)\s+)?){_NUMBER})*(?:\s*[%+~])?")
_JOINED = re.compile(r"-?([^\W\d_]+|°)\.?")
_ELISION = re.compile(r"^(?:d|dell)'(?=\w)")
_SEPARATOR = re.compile(r"[\s/|=:.,;+~-]*")
_TWO_WORD_MEASURE = re.compile(rf"{_any_of(WORDS.measures_of_two_words)}\.?(?!\S)")
_LATER_QUANTITY = re.compile(rf"\s[~(]?{_NUMBER}\s*-?{_any_of(WORDS.measures | WORDS.pieces)}\b.*")
_LATER_PERCENTAGE = re.compile(r"\s\d+(?:[.,]\d+)?\s*%.*")
_LATER_COUNT = re.compile(r"\s(?:x\s*)?(\d+)$")

_NUMBERED_NAME = re.compile(rf"{_any_of(WORDS.numbered_names)}(?![\w-])")
_OPTIONAL_AMOUNT = re.compile(
    r"(?:as (?:(?:much|many) as )?(?:you (?:want|like|need|wish)|desired|needed|necessary|required)|"
    r"to (?:your )?taste)\b\s*"
)
_SALT_AND_PEPPER = re.compile(
    r"([^,;:]*\bsalt)\s*(?:,|/|&|\+|\band\b|\bor\b)+\s*((?:[\w-]+ )*pepper)(?=$|[,.;]| (?:to|for|as|if)\b)"
)
_TAKEN_FROM = re.compile(rf"(?:the )?({_any_of(WORDS.taken_from)})(?: only)?\s+(?:of|from)\s+(.*)")
_CHOICE = re.compile(r"\s*/\s*|\s+(?:and ?/? ?or|or)\s+")
_SENTENCE_END = re.compile(r"(\S+?)\s*\.\s")
_UNEXPECTED = re.compile(r"[^\w\s'&.%!?-]|_")


def ingredient_names(line: str) -> list[tuple[str, bool]]:
    """Returns the ingredient names in a line, lower-case, each with whether the rule is sure of it.

    A heading ("For the sauce:") or a line without letters has no name, "salt and pepper" has two, and any other line
    has one. If the rule is not sure of a name, the result is the whole line, lower-case, with False.
    """
    lowered = " ".join(unicodedata.normalize("NFC", line.lower()).split())
    if not any(char.isalpha() for char in lowered) or _HEADING.fullmatch(lowered):
        return []
    plain = " ".join(_TAG.sub(" ", _LINK.sub(r"\1", lowered)).translate(_SIGNS).split())
    if len(plain) > _MAX_CHARS or "://" in plain:
        return [(lowered, False)]
    plain = _SLASH_BEFORE_NUMBER.sub(" / ", plain).replace("all - purpose", "all-purpose")
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
    return has_meaning and not _UNEXPECTED.search(name) and len(words) <= MAX_WORDS and words[0] not in WORDS.ending


def _without_parentheses(text: str) -> str:
    while (shorter := _PARENTHESES.sub(" ", text)) != text:
        text = shorter
    before = text.split("(")[0]  # an unclosed parenthesis
    return (before if before.strip() else text.replace("(", " ")).replace(")", " ")


def _name(text: str) -> str:
    """Shortens a line until the rule has nothing left to remove."""
    while (shorter := _shorter(text)) != text:
        text = shorter
    return text


def _shorter(text: str) -> str:
    text = " ".join(text.split())
    before, colon, after = text.partition(": ")
    if colon:
        is_heading = before.startswith("for ") or not WORDS.before_a_colon.isdisjoint(before.split()[-1:])
        before, after = _shorter(before), _shorter(after)
        return after if after and (is_heading or not before) else before
    return next((name for part in _PARTS.split(text) if (name := _core(part)) and name not in WORDS.adjectives), "")


def _core(text: str) -> str:
    """Extracts the name from a part of a line without commas."""
    text = _without_lead(text.strip(" .:!?-'"))
    if taken := _TAKEN_FROM.fullmatch(text):
        return _taken_from(*taken.groups())
    if end := next((stop for stop in _SENTENCE_END.finditer(text) if stop[1] not in WORDS.abbreviations), None):
        text = text[: end.end(1)]
    text = _LATER_PERCENTAGE.sub("", _LATER_QUANTITY.sub("", text))
    if (count := _LATER_COUNT.search(text)) and int(count[1]) <= _MAX_COUNT:
        text = text[: count.start()]
    return " ".join(_without_tail(_first_choice(text).split())).strip(" .:!?-'&")


def _taken_from(part: str, whole: str) -> str:
    """Joins a part and its whole: ("juice", "2 lemons") -> "lemon juice"; of several parts, returns the whole."""
    whole = _name(whole)
    if whole.endswith("s") and not whole.endswith("ss"):
        whole = whole[:-1]
    return f"{whole} {part}" if whole and " " not in part else whole


def _first_choice(text: str) -> str:
    """Picks the first alternative: "butter or margarine" -> "butter", "red or white wine" -> "red wine"."""
    choices = [choice.split() for choice in _CHOICE.split(text, maxsplit=1)]
    if len(choices) == 1 or not choices[0]:
        return text
    first, second = choices
    if len(first) == 1 and first[0] in WORDS.shared_first and len(second) in (2, 3) and second[-1] in WORDS.shared_last:
        first = first + second[1:]
    return " ".join(first)


def _without_lead(text: str) -> str:
    """Removes leading quantities, measures, sizes and preparations."""
    follows_number = False
    text = _LIST_MARK.sub("", text, count=1) if _LIST_MARK.match(text) else text
    while text:
        if follows_number:
            text = _ELISION.sub("", text)
        rest, is_count = _after_lead(text, follows_number)
        if rest == text:
            break
        text, follows_number = rest, follows_number or is_count
    return text


def _after_lead(text: str, follows_number: bool) -> tuple[str, bool]:
    """Removes one leading element, if any; also returns whether it counts what follows."""
    if (separator := _SEPARATOR.match(text)) and separator.end() and not _QUANTITY.match(text):
        return text[separator.end() :], False
    if amount := _OPTIONAL_AMOUNT.match(text):
        return text[amount.end() :], False
    if _NUMBERED_NAME.match(text):
        return text, False
    if (quantity := _QUANTITY.match(text)) and (rest := _after_number(text[quantity.end() :])) is not None:
        return rest, True
    if measure := _TWO_WORD_MEASURE.match(text):
        return text[measure.end() :].lstrip(), True
    word, _, rest = text.partition(" ")
    word = word.rstrip(".,")
    before_of = rest.startswith("of ")
    if follows_number and rest and word in WORDS.articles:
        return rest, True
    if word in WORDS.number_words or word in WORDS.measures or (follows_number and word in WORDS.after_a_number):
        return rest, True
    if word in WORDS.pieces and (follows_number or before_of) and (rest or word not in WORDS.ingredients_too):
        return rest, True
    if before_of and word in WORDS.before_of:
        return rest, True
    return _after_dropped_word(word, rest, text), False


def _after_number(rest: str) -> str | None:
    """Removes a measure joined to the number before `rest`; None if the number is part of a word ("7up")."""
    joined = _JOINED.match(rest)
    if not joined:
        return rest.lstrip()
    return rest[joined.end() :].lstrip(" -") if joined[1] in _JOINED_TO_NUMBER else None


def _after_dropped_word(word: str, rest: str, text: str) -> str:
    """Returns `rest` if `word` does not describe the ingredient, otherwise `text`, which consists of both."""
    following, _, further = rest.partition(" ")
    if f"{word} {following}" in WORDS.kept_together:
        return text
    if _is_dropped(word) or all(map(_is_dropped, word.split("/"))):
        return rest
    if word in WORDS.temperatures and following in WORDS.tempered:
        return rest
    if word in WORDS.adverbs and following in WORDS.after_an_adverb:
        return further or text
    if word in WORDS.adverbs and (following in _AFTER_ADVERB or _is_preparation(following)):
        return rest
    if word in WORDS.states and _is_preparation(following) and further:
        return f"{word} {further}"
    return text


def _is_dropped(word: str) -> bool:
    return word in _DROPPED or _is_preparation(word)


def _is_preparation(word: str) -> bool:
    *firsts, last = word.split("-")
    return word in WORDS.preparations or bool(
        firsts and last in WORDS.preparations and _BEFORE_HYPHEN.issuperset(firsts)
    )


def _without_tail(words: list[str]) -> list[str]:
    """Removes what follows the name: "for frying", "chopped", "to taste"."""
    for position, (word, following) in enumerate(itertools.zip_longest(words, words[1:], fillvalue="")):
        ends = word in WORDS.ending or (word.endswith("ed") and following in WORDS.ending)
        ends |= word == "of" and following in ("your", "my", "any", "choice")
        if position and (ends or (_is_preparation(word) and following in _AFTER_PREPARATION)):
            words = words[:position]
            break
    while len(words) > 1 and (
        words[-1] in _TRAILING
        or _is_preparation(words[-1])
        or (words[-2] == "garlic" and words[-1] in ("clove", "cloves"))
    ):
        words = words[:-1]
    return words
