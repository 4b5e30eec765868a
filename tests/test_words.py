"""The words of messages: what a person reads in a terminal, a log, an answer or a page.

Rule: a message uses the words of the field (docs/decisions/0054). Each of the words below was in a
message that readers stumbled over, and stands beside a plain one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "podfence"
PLAIN = {
    r"whoever": "the one that ..., or the thing itself",
    r"anew": "again",
    r"by custom": "usually",
    r"slip of the pen": "misspelt",
    r"may be given more than once": "Repeatable.",
    r"without a word": "without a warning",
    r"is no (file|name|port|number|list|object|address)\b": "is not a ...",
    r"(is|are) not known": "is unknown",
    r"asked (first|before|after)": "evaluated ...",
}


def messages(path: Path) -> Iterator[str]:
    """The strings of a module that hold a space, without docstrings."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            text = node.value if isinstance(node.value, str) else ""
            yield from [f"{path.name}:{node.lineno}: {text}"] if " " in text else []


@pytest.fixture(scope="module")
def said() -> list[str]:
    return [text for path in sorted(PACKAGE.rglob("*.py")) for text in messages(path)]


@pytest.mark.parametrize("word", PLAIN, ids=list(PLAIN.values()))
def test_messages_use_plain_words(said: list[str], word: str) -> None:
    stumbles = re.compile(rf"\b(?:{word})", re.IGNORECASE)
    assert [text for text in said if stumbles.search(text)] == [], f"write: {PLAIN[word]}"
