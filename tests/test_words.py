"""The words of podfence: what a person reads in a message, a page, the documentation or the code.

Rule: a message uses the words of the field (docs/decisions/0054), and so do docstrings, comments
and the documentation. Each of the words below was in a text that readers stumbled over, and stands
beside a plain one. Decisions keep the words of their day.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "podfence"
PROSE = {
    r"whoever": "the one that ..., or the thing itself",
    r"anew": "again",
    r"nobody (here )?knows": "unknown",
    r"slips? of the pen": "misspelling",
    r"(come|comes|came) round": "runs, wraps around",
    r"as ever": "as usual, as before",
    r"pods? of today": "existing pods",
    r"vouches for itself": "self-signed",
    r"is begun anew|begun again": "started again",
    r"it is no fault of": "not caused by",
    r"(for|by|of) who(?! (is|was|may be) )": "for users who ..., by the process that ...",
    r"something is so": "the cause lasts",
}
MESSAGES = {
    **PROSE,
    r"by custom": "usually",
    r"may be given more than once": "Repeatable.",
    r"without a word": "without a warning",
    r"is no (file|name|port|number|list|object|address)\b": "is not a ...",
    r"(is|are) not known": "is unknown",
    r"asked (first|before|after)": "evaluated ...",
    r"(only|is) about (TCP|UDP|SCTP|\{)": "applies to ...",
    r"for sure": "certainly",
    r"counted by nobody": "Nothing counts ...",
}
SEVERAL_CLASSES = {"Rule"}
"""``library.values.Rule`` is public, and ``nft.objects.Rule`` is nftables' own word."""
POSITION = re.compile(r"(?:^|_)(?:un)?place(?:s|d)?(?:$|_)", re.IGNORECASE)
"""A position in a file is a ``Position``; a place would be that, an end, an index or a path."""
PUBLIC_PLACE = "library/values.py"
"""Users of the library read the field ``place``."""


def messages(path: Path) -> Iterator[str]:
    """The strings of a module that hold a space, without docstrings."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            text = node.value if isinstance(node.value, str) else ""
            yield from [f"{path.name}:{node.lineno}: {text}"] if " " in text else []


def remarks(path: Path) -> Iterator[str]:
    """The docstrings and comments of a module, each on one line."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield f"{path.name}:{node.lineno}: {' '.join(str(node.value.value).split())}"
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield f"{path.name}:{token.start[0]}: {token.string}"


def paragraphs(page: Path) -> Iterator[str]:
    """The paragraphs of a page, each on one line, without blocks of code and output."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    yield from (f"{page.name}: {' '.join(part.split())}" for part in text.split("\n\n"))


def pages() -> Iterable[Path]:
    """The documentation, without decisions and the reference, which is made of messages."""
    found = (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/design/*.md"))
    return sorted(page for page in found if page.name != "CHANGELOG.md")


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def sources_of_page() -> list[Path]:
    """The texts of the web page, which stand among its code."""
    return sorted((ROOT / "web" / "src").rglob("*.ts*"))


@pytest.fixture(scope="module")
def said() -> list[str]:
    return [text for path in modules() for text in messages(path)]


@pytest.fixture(scope="module")
def written() -> list[str]:
    found = [text for path in modules() for text in remarks(path)]
    found += [text for page in pages() for text in paragraphs(page)]
    for path in sources_of_page():
        found += [f"{path.name}: {line.strip()}" for line in path.read_text().splitlines()]
    return found


@pytest.mark.parametrize("word", MESSAGES, ids=list(MESSAGES.values()))
def test_messages_use_plain_words(said: list[str], word: str) -> None:
    stumbles = re.compile(rf"\b(?:{word})", re.IGNORECASE)
    assert [text for text in said if stumbles.search(text)] == [], f"write: {MESSAGES[word]}"


@pytest.mark.parametrize("word", PROSE, ids=list(PROSE.values()))
def test_docstrings_comments_and_pages_use_plain_words(written: list[str], word: str) -> None:
    stumbles = re.compile(rf"\b(?:{word})\b", re.IGNORECASE)
    assert [text for text in written if stumbles.search(text)] == [], f"write: {PROSE[word]}"


@pytest.mark.parametrize(
    "text", ["the table is made anew", "for whoever asks", "what nobody knows is unknown"]
)
def test_a_word_is_found_where_it_stands(text: str) -> None:
    assert any(re.search(rf"\b(?:{word})\b", text) for word in PROSE)


def defined(path: Path) -> Iterator[str]:
    """The names that a module gives: to classes, functions, parameters, fields and variables."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def test_a_position_is_called_so() -> None:
    modules = [
        path
        for path in sorted(PACKAGE.rglob("*.py"))
        if str(path.relative_to(PACKAGE)) != PUBLIC_PLACE
    ]
    found = [f"{path.name}: {name}" for path in modules for name in defined(path)]
    assert [each for each in found if POSITION.search(each.split(": ")[1])] == []


def test_a_class_has_a_name_of_its_own() -> None:
    trees = (ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py"))
    classes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    names = Counter(node.name for node in classes)
    assert {name for name, times in names.items() if times > 1} == SEVERAL_CLASSES
