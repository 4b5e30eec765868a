"""A report as one HTML file that makes no network requests.

Rule: no text of a cluster becomes markup. All data are base64 in elements that no browser runs. The
page's Content-Security-Policy names its one script and its one style sheet by their hashes and
refuses everything else. The page inserts names as text only.
"""

from __future__ import annotations

import hashlib
import zlib
from binascii import b2a_base64
from collections.abc import Mapping
from html import escape

from msgspec import Struct

from podfence.render.jsontext import json_bytes
from podfence.text import printable


class Assets(Struct, frozen=True):
    """The built front end from ``podfence/web/static``."""

    script: str
    style: str


def report_html(title: str, parts: Mapping[str, object], assets: Assets) -> str:
    """The page. ``parts``: JSON values by name; each is an element of its own, so that a reader
    need not unpack what it does not show. Raises ValueError for a front end that would end its own
    element."""
    for text in (assets.script, assets.style):
        if _closes(text):
            raise ValueError("the built front end would end its own element; build it again")
    policy = "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(assets.script)}'",
            f"style-src '{_digest(assets.style)}'",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
    blocks = "\n".join(_block(name, value) for name, value in parts.items())
    shown = escape(printable(title))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{shown}</title>
<style>{assets.style}</style>
</head>
<body>
<div id="app"><p class="plain">Reading the report. It is shown by a script in this file;
where scripts are switched off, <code>podfence map</code> prints the same answers.</p></div>
{blocks}
<script>{assets.script}</script>
</body>
</html>
"""


def _block(name: str, value: object) -> str:
    packed = b2a_base64(zlib.compress(json_bytes(value), 9), newline=False).decode()
    return f'<script type="application/octet-stream" id="data-{escape(name)}">{packed}</script>'


def _digest(text: str) -> str:
    return f"sha256-{b2a_base64(hashlib.sha256(text.encode()).digest(), newline=False).decode()}"


def _closes(text: str) -> bool:
    lowered = text.lower()
    return any(mark in lowered for mark in ("</script", "</style", "<!--"))
