"""Helpers for the tests of the page."""

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextlib.contextmanager
def launched() -> Iterator[Browser]:
    """Launches the system's Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def titles(page: Page) -> list[str]:
    """Waits for the results and returns their titles."""
    expect(page.locator("body:not(.busy) .card").first).to_be_visible()
    return page.locator("h3").all_text_contents()


def choose(page: Page, content: bytes, name: str = "dish.png", kind: str = "image/png") -> None:
    """Chooses a file as the photo of the query."""
    page.set_input_files("#file", {"name": name, "mimeType": kind, "buffer": content})
