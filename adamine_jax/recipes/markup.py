"""Text as people see it: without HTML tags, entities and invisible characters."""

import html
import re

_MAX_ROUNDS = 5  # texts that were escaped several times
# Entities without a semicolon are frequent on pages; "M&Ms" and "fish &chips" are none.
_ENTITY = re.compile(
    r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});|&(?:nbsp|amp|deg|frac\d\d)(?![a-z])"
)
_ELEMENTS = (
    "a abbr acronym address article aside audio b bdi bdo big blockquote br button caption center cite code col "
    "colgroup data dd del details div dl dt em embed fieldset figcaption figure font footer form g h1 h2 h3 h4 h5 "
    "h6 header hr i iframe img input ins kbd label legend li link main map mark menu meta nav noscript object ol "
    "optgroup option output p param picture pre q rp rt ruby s samp section select small source span strike "
    "strong style sub summary sup svg table tbody td template textarea tfoot th thead time title tr track tt u ul "
    "use var video wbr path circle rect polygon defs g"
)
_TAG = re.compile(
    rf"</?(?:{'|'.join(sorted(_ELEMENTS.split(), key=len, reverse=True))})(?=[\s/>])[^<>]*>", re.IGNORECASE
)
_BLOCK = re.compile(
    r"</?(?:p|br|li|div|ol|ul|h[1-6]|tr|dd|dt|dl|hr|section|blockquote)(?=[\s/>])[^<>]*>", re.IGNORECASE
)
_HIDDEN = re.compile(r"<!--|<style(?=[\s>])|<script(?=[\s>])", re.IGNORECASE)
_HIDDEN_ENDS = {
    "<!--": re.compile("-->"),
    "<style": re.compile("</style", re.I),
    "<script": re.compile("</script", re.I),
}
_SPACE = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u200b": None, "\u2060": None, "\ufeff": None, "\u00ad": None})
_LINE_ENDS = re.compile(r"\r\n?|[\n\v\f\x1c-\x1e\x85\u2028\u2029]")


def plain_lines(text: str) -> list[str]:
    """Returns the lines of a text that are not blank, without markup; paragraphs, breaks and list items are lines."""
    if "<" in text or "&" in text:
        text = _without_markup(text)
    lines = (" ".join(line.translate(_SPACE).split()) for line in _LINE_ENDS.split(text))
    return [line for line in lines if line]


def plain(text: str) -> str:
    """Returns a text in one line, without markup."""
    return " ".join(plain_lines(text))


def _without_markup(text: str) -> str:
    """Unescapes and removes tags until nothing changes."""
    for _ in range(_MAX_ROUNDS):
        before = text
        text = without_hidden(text) if "<" in text else text
        text = _TAG.sub("", _BLOCK.sub("\n", text)) if "<" in text else text
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
        if text == before:
            break
    return text


def without_hidden(text: str) -> str:
    """Removes comments, styles and scripts, in linear time even if they are not closed."""
    kept, place = [], 0
    while start := _HIDDEN.search(text, place):
        kept.append(text[place : start.start()])
        end = _HIDDEN_ENDS[start[0].lower()].search(text, start.end())
        close = text.find(">", end.end() - 1) if end else -1
        place = close + 1 if close >= 0 else len(text)
    return "".join([*kept, text[place:]])
