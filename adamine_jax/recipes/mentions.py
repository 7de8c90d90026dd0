"""Mentions of an ingredient in a text, in the singular or plural."""

import re


def mention(name: str) -> re.Pattern:
    """Returns a pattern that finds a name as whole words, singular or plural; a name without words matches nothing."""
    *others, last = name.lower().replace("_", " ").split() or [""]
    if not last:
        return re.compile(r"(?!)")
    beginning, endings = _divided(last)  # the same for "tomatoes" and "tomato", and for "berries" and "berry"
    words = r"[\s_-]+".join([*map(re.escape, others), re.escape(beginning) + endings])
    return re.compile(rf"\b{words}\b", re.IGNORECASE)


def stem(word: str) -> str:
    """Returns the common beginning of the singular and the plural of a word."""
    return _divided(word)[0]


def _divided(word: str) -> tuple[str, str]:
    """Returns the stem of a word and a pattern of its endings."""
    if word.endswith("ies") and len(word) > 4:
        return word[:-3], "(?:y|ies|ie)"
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return word[:-1], "(?:y|ies)"
    if word.endswith(("oes", "ches", "shes", "sses", "xes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss") and len(word) > 1:
        word = word[:-1]
    return word, "(?:s|es)?"


def singular(word: str) -> str:
    """Returns a form that the singular and the plural of a lower-case word have in common, and other words rarely.

    "berries" and "berry" -> "berry", "cookies" and "cookie" -> "cooky", "brioches" and "brioche" -> "brioch".
    """
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith("ie") and len(word) > 3:
        return f"{word[:-2]}y"
    if word.endswith(("oes", "ches", "shes", "sses", "xes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss") and len(word) > 1:
        word = word[:-1]
    return word[:-1] if word.endswith(("che", "she", "oe")) else word
