"""Limits of requests, which bound the memory and time that the server spends."""

import dataclasses

TOP = 100
"""Maximum number of results of a search."""
LINES, LINE_CHARS = 60, 500
"""Maximum number of ingredient lines and of instruction lines, and of characters per line."""
TITLE_CHARS = 300
NAMES, NAME_CHARS = 20, 80
"""Maximum number of added and of removed ingredients, and of characters per name."""
ID_CHARS = 1000


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of one server.

    Attributes:
        photo_bytes: Maximum size of an upload. `recipes.decoding.MAX_PIXELS` limits the pixels of its photo.
        text_bytes: Maximum size of any other request.
        queue: Maximum number of running and waiting searches; further ones are refused.
        uploads: Maximum number of photos received or decoded at the same time; further ones wait.
        seconds: Maximum duration of a request.
    """

    photo_bytes: int = 16_000_000
    text_bytes: int = 200_000
    queue: int = 64
    uploads: int = 16
    seconds: float = 30.0
