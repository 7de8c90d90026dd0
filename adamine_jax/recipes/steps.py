"""Steps of instructions that people write as one paragraph or with numbers."""

import re

LONG = 48
"""Number of words from which a single step is read as a paragraph; the LSTM tower reads as many words of a step."""

_MARK = re.compile(r"(?:[-–—*•·▪●○◦▢☐☑✓□]|\[[ xX]?\])\s+|[•▢☐☑□]")
_STEP = r"(?:step|schritt|étape|etape|paso|passo|passaggio|stap|шаг|krok|steg|trin)"
_NUMBER = re.compile(rf"(?:{_STEP}\s*)?#?(\d{{1,2}})(?:\s*[.):/\-–—]+(?![\d½¼¾⅓⅔])\s*|\s*$)", re.IGNORECASE)
_NAMED_NUMBER = re.compile(rf"{_STEP}\s*(\d{{1,2}})\b\s*[.):/\-–—]*\s*", re.IGNORECASE)
# A number within a paragraph: at its start or after the end of a sentence, or with a parenthesis.
_INNER_NUMBER = re.compile(
    rf"(?:^|(?<=[.!?;:)])\s*|(?<=\s))(?:{_STEP}\s*)?(\d{{1,2}})(?:\.(?![\d½¼¾⅓⅔])|\)|:(?!\d)(?<=[a-z]\s\d:))\s*",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"”’»)\]]*\s+(?=[\"“‘«(\[¡¿]*(?:[^\W\d_]|\d))|[。！？]+[」』）]*\s*(?=\S)"
)
_ABBREVIATIONS = (
    "approx ca circa c e.g eg i.e etc vs no nr st dr mr mrs ms fig vol tbsp tbs tbl tb tsp ts oz lb lbs pt qt pkg "
    "pkgs pk g kg ml dl cl l min mins sec secs hr hrs std h sek temp deg in inch max medium med lg sm z.b u.a d.h "
    "bzw evtl ggf el tl msp pck geh gestr ev env p.ej ej aprox cda cdta cs cc ex"
)


def split_steps(lines: list[str], *, is_text: bool) -> list[str]:
    """Returns the steps that lines contain, without list marks and numbers.

    A single line is a paragraph if it was given as a text, or if it is long. A paragraph with numbers becomes one step
    for each number, any other one its sentences.

    Args:
        lines: Lines without markup.
        is_text: Whether the lines were one text, and not the items of a list.
    """
    lines = [line for line in (without_mark(line) for line in lines) if line]
    if len(lines) == 1 and (is_text or len(lines[0].split()) > LONG):
        return _numbered(lines[0]) or sentences(lines[0])
    return _without_numbers(lines)


def without_mark(line: str) -> str:
    """Removes the mark of a list item or a check box from the start of a line."""
    while mark := _MARK.match(line):
        line = line[mark.end() :]
    return line


def sentences(paragraph: str) -> list[str]:
    """Splits a paragraph into sentences, but not after abbreviations or list numbers or before lowercase letters."""
    found, start = [], 0
    for end in _SENTENCE_END.finditer(paragraph):
        following = paragraph[end.end() :].lstrip('"“‘«([¡¿')[:1]
        words = paragraph[max(start, end.start() - 20) : end.start()].split()
        last = words[-1].lower().lstrip("(") if words else ""
        is_abbreviation = end[0].startswith(".") and (
            last in _ABBREVIATIONS.split() or last.isdigit() or len(last) == 1
        )
        if following.islower() or is_abbreviation:
            continue
        found.append(paragraph[start : end.end()].strip())
        start = end.end()
    return [*found, paragraph[start:].strip()] if paragraph[start:].strip() else found


def _numbered(paragraph: str) -> list[str]:
    """Splits a paragraph at the numbers 1, 2, …; returns [] if fewer than two are in order."""
    starts, ends = [], []
    for number in _INNER_NUMBER.finditer(paragraph):
        if int(number[1]) == len(starts) + 1 and (starts or not paragraph[: min(number.start(), 20)].strip()):
            starts.append(number.start())
            ends.append(number.end())
    if len(starts) < 2:
        return []
    pieces = [paragraph[start:end].strip() for start, end in zip(ends, [*starts[1:], len(paragraph)], strict=True)]
    return [piece for piece in pieces if piece]


def _without_numbers(lines: list[str]) -> list[str]:
    """Removes the numbers of lines that are numbered 1, 2, …; a line with nothing but its number is removed."""
    numbers = [_NAMED_NUMBER.match(line) or _NUMBER.match(line) for line in lines]
    values = [int(number[1]) for number in numbers if number]
    if len(values) < 2 or values != list(range(1, len(values) + 1)) or not numbers[0]:
        return lines
    kept = (line[number.end() :] if number else line for line, number in zip(lines, numbers, strict=True))
    return [line for line in kept if line]
