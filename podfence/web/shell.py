"""The empty page and its static files. They contain no data, so they need no token."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from podfence.web.guard import policy

SCRIPT, EDITOR, STYLE = "serve.js", "editor.js", "serve.css"
_TYPES: Final[Mapping[str, str]] = {
    SCRIPT: "text/javascript",
    EDITOR: "text/javascript",
    STYLE: "text/css",
}


class StaticFiles:
    """The built front end. ``edit``: with the editor, which is the largest part."""

    def __init__(self, *, edit: bool) -> None:
        folder = files("podfence") / "web" / "static"
        names = _TYPES if edit else [name for name in _TYPES if name != EDITOR]
        self._files = {name: (folder / name).read_bytes() for name in names}

    def file(self, name: str) -> tuple[bytes, str] | None:
        """A file with its type; None for an unknown name."""
        found = self._files.get(name)
        return None if found is None else (found, _TYPES[name])

    def page(self, nonce: str) -> tuple[str, str]:
        """The page, and its content security policy. ``nonce``: random, another one each time."""
        scripts = "\n".join(
            f'<script src="static/{name}" defer></script>'
            for name in (EDITOR, SCRIPT)
            if name in self._files
        )
        return _PAGE.format(scripts=scripts, style=STYLE, nonce=nonce), policy(nonce)


_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>podfence</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="static/{style}">
{scripts}
</head>
<body>
<div id="app" data-nonce="{nonce}"><p class="plain">Reading …</p></div>
</body>
</html>
"""
