"""What the server takes, so that its memory and time stay bounded whatever is sent to it."""

import dataclasses

TOP = 100
"""Results of one search."""
LINES, LINE_CHARS = 60, 500
"""Of ingredients, and of instructions; and the characters of each."""
TITLE_CHARS = 300
NAMES, NAME_CHARS = 20, 80
"""Of ingredients that are added or taken away."""
ID_CHARS = 1000


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one server takes at once.

    Attributes:
        photo_bytes: of an upload with a photo. Its pixels are limited by `recipes.decoding.MAX_PIXELS`.
        text_bytes: of every other request.
        queue: searches that are answered or wait; one more is told to come back.
        uploads: photos that are received or decoded at once; further ones wait unread.
        seconds: from a request to its answer.
    """

    photo_bytes: int = 16_000_000
    text_bytes: int = 200_000
    queue: int = 64
    uploads: int = 16
    seconds: float = 30.0
