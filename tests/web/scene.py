"""A page or a state of the page: how it is made, and what it must say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from msgspec import Struct

from tests.web.chromium import Browser

THEMES: Final = ("light", "dark")
SHOP: Final = ("-f", "examples/shop")
PANEL: Final = "document.querySelector('.panel .verdict') !== null"
BANNER: Final = "document.querySelector('.banner[role=alert]') !== null"
Act = Callable[[Browser], None]


class View(Struct, frozen=True):
    """``words``: what the page must show. ``act``: what a person does there first; ``width``,
    ``height``: of the window."""

    name: str
    fragment: str
    words: tuple[str, ...]
    act: Act | None = None
    width: int = 1280
    height: int = 800
    scale: int = 1
    """Pixels of the screen for one of the page: 2 at 200 % zoom."""


class Scene(Struct, frozen=True):
    """``address``: makes what is looked at, in a folder of its own, and tells where it is."""

    name: str
    address: Callable[[Path], AbstractContextManager[str]]
    views: tuple[View, ...]
    anew: bool = False
    """Made for each theme, because an act spoils it."""
    refused: bool = False
    """Something is refused, or cannot be reached, on purpose."""
    script: str = ""
    """Run in the page before its own."""


def until(condition: str) -> Act:
    """Wait for something."""
    return lambda browser: browser.wait(condition)
