"""Hooks of mkdocs (``./dev site``): the README as first page, and links that leave ``docs``.

Rule: a page of docs is written for people who read it in the repository; whatever the site needs
beyond that is done here. A link to a file that is not there fails the build.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from deploy.links import ROOT, rewritten

_MARKED = re.compile(r"^(```+|~~~+)([\w-]+) .*$", re.MULTILINE)
"""The first line of a code block with words for the tests behind its language. The site's Markdown
would take the block for text, and what follows for code."""


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
    """The Markdown of a file of the repository as the site reads it, with links for the site.

    A link to a page of ``docs`` stays one, written from where the page is in the site. Other files
    of the repository are no part of the site: their links become their words, with the path.
    """
    # From the folder of the page to the top of the site.
    up = "../" * (path.count("/") - 1)

    def link(words: str, target: str, anchor: str) -> str:
        if target == "README.md":
            return f"[{words}]({up}index.md{anchor})"
        if target.startswith("docs/") and target.endswith(".md"):
            return f"[{words}]({up}{target.removeprefix('docs/')}{anchor})"
        if re.sub(r"[`*]", "", words) == target:
            return f"`{target}`"
        return f"{words} (`{target}`)"

    return rewritten(_MARKED.sub(r"\1\2", text), path, link)
