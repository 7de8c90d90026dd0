"""Records what is drawn on a page."""

from typing import NamedTuple

import pytest

from adamine_jax.plots.page import Page


class Recorded(NamedTuple):
    """The calls of a page's methods, in order.

    Attributes:
        photos: (x, y, width, colour of the first pixel).
        ticks: (x, y).
        frames: (x, y, line width).
        texts: Strings before wrapping.
    """

    photos: list[tuple]
    ticks: list[tuple]
    frames: list[tuple]
    texts: list[str]


def record(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Makes all pages record what they draw."""
    recorded = Recorded([], [], [], [])
    notes = {
        "photo": lambda x, y, width, _, pixels: recorded.photos.append((x, y, width, tuple(pixels[0, 0].tolist()))),
        "tick": lambda x, y: recorded.ticks.append((x, y)),
        "frame": lambda x, y, *_, **options: recorded.frames.append((x, y, options["line"])),
        "text": lambda _, __, text, *___, **____: recorded.texts.append(text),
    }

    def recording(name, original):
        def method(page, *arguments, **options):
            notes[name](*arguments, **options)
            return original(page, *arguments, **options)

        return method

    for name in notes:
        monkeypatch.setattr(Page, name, recording(name, getattr(Page, name)))
    return recorded
