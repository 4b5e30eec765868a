"""Links of Markdown pages to files of the repository, found and written anew.

Rule: code blocks stay as they are, and so do links to other hosts and within a page.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from posixpath import normpath

ROOT = Path(__file__).resolve().parent.parent

Rewrite = Callable[[str, str, str], str]
"""Words, path in the repository, anchor (``#...`` or nothing) -> Markdown in place of a link."""

_LINK = re.compile(
    r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?\)"
)
_FENCE = re.compile(r"^(```+|~~~+).*?^\1\s*$", re.MULTILINE | re.DOTALL)


def rewritten(text: str, path: str, rewrite: Rewrite) -> str:
    """The text of a page with its links to files of the repository written anew; ``path`` is where
    the page lies. A link to a file that is not there stays."""
    folder = path.rpartition("/")[0]

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        whole = normpath(f"{folder}/{target}" if folder else target)
        return rewrite(words, whole, anchor) if (ROOT / whole).exists() else found[0]

    parts = []
    at = 0
    for fence in _FENCE.finditer(text):
        parts += [_LINK.sub(link, text[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, _LINK.sub(link, text[at:])])
