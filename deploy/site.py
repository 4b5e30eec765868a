"""Hooks of mkdocs (``./dev site``): the README as first page, and links that leave ``docs``.

Rule: a page of docs is written for people who read it in the repository; whatever the site needs
beyond that is done here. A link to a file that is not there fails the build.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import normpath
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

_LINK = re.compile(
    r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|#|mailto:)([^)\s#]+)(#[^)\s]*)?\)"
)
_FENCE = re.compile(r"^(```+|~~~+).*?^\1\s*$", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the first page: the README."""
    # Only the environment of the site has it.
    from mkdocs.structure.files import File  # type: ignore[import-not-found]

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn the links of a page into those of the site."""
    source = page.file.src_uri
    return site_links(markdown, "README.md" if source == "index.md" else f"docs/{source}")


def site_links(text: str, path: str) -> str:
    """The Markdown of a file of the repository with links for the site.

    A link to a page of ``docs`` stays one, written from where the page is in the site. Other files
    of the repository are no part of the site: their links become their words, with the path.
    """
    parts = []
    at = 0
    for fence in _FENCE.finditer(text):
        parts += [_links_of(text[at : fence.start()], path), fence[0]]
        at = fence.end()
    return "".join([*parts, _links_of(text[at:], path)])


def _links_of(text: str, path: str) -> str:
    folder = path.rpartition("/")[0]

    def link(found: re.Match[str]) -> str:
        words, target, anchor = found[1], found[2], found[3] or ""
        whole = normpath(f"{folder}/{target}" if folder else target)
        if not (ROOT / whole).exists():
            return found[0]  # mkdocs says so
        if whole == "README.md":
            return f"[{words}]({_up(path)}index.md{anchor})"
        if whole.startswith("docs/") and whole.endswith(".md"):
            return f"[{words}]({_up(path)}{whole.removeprefix('docs/')}{anchor})"
        if re.sub(r"[`*]", "", words) == whole:
            return f"`{whole}`"
        return f"{words} (`{whole}`)"

    return _LINK.sub(link, text)


def _up(path: str) -> str:
    """From the folder of a file's page to the top of the site."""
    return "../" * (path.count("/") - 1)
