"""Every regular expression of podfence means the same on every Python that is supported.

Rule: a pattern has no possessive quantifier and no atomic group. CPython 3.11.2, the python3 of
Debian 12, matches them wrongly: `(?:[a-z]++|:(?=[a-z]))*+` takes `b:`, colon included.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {"POSSESSIVE_REPEAT", "ATOMIC_GROUP"}
ENGINE = importlib.import_module("re._parser")
"""The parser of `re` itself: it knows what is a quantifier and what only looks like one."""

FUNCTIONS = {
    "compile", "search", "match", "fullmatch", "split", "findall", "finditer", "sub", "subn",
}  # fmt: skip


def operations(pattern: str | bytes) -> Iterator[str]:
    """Names of everything that ``pattern`` consists of, inner groups included."""
    pending: list[Any] = [ENGINE.parse(pattern)]
    while pending:
        found = pending.pop()
        if isinstance(found, (list, tuple)):
            pending.extend(found)
        elif isinstance(found, ENGINE.SubPattern):
            pending.extend(found.data)
        elif not isinstance(found, int) or hasattr(found, "name"):
            yield str(found)


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Calls of functions of `re` that are given a pattern."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in FUNCTIONS
        ):
            yield node


def value_of(node: ast.expr, names: dict[str, Any]) -> object:
    """The pattern that stands at a call, made from constants of the module; else ``None``."""
    expression = compile(ast.Expression(node), "pattern", "eval")
    try:
        return eval(expression, dict(names))
    except NameError:
        return None  # only known when the function runs


def patterns(path: Path) -> Iterator[tuple[int, object]]:
    """Line and pattern of each call in one module."""
    for call in calls(ast.parse(path.read_text(encoding="utf-8"))):
        yield call.lineno, value_of(call.args[0], names_of(path))


def names_of(path: Path) -> dict[str, Any]:
    """The constants of a module; of tests and benchmarks only patterns written out are looked at,
    because an import of them may do more than define names."""
    where = path.relative_to(ROOT)
    if where.parts[0] != "podfence":
        return {}
    name = ".".join(where.with_suffix("").parts).removesuffix(".__init__")
    return vars(importlib.import_module(name))


MODULES = [
    path
    for directory in ("podfence", "bench", "tests")
    for path in sorted((ROOT / directory).rglob("*.py"))
    if any(calls(ast.parse(path.read_text(encoding="utf-8"))))
]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_pattern_has_a_possessive_quantifier_or_an_atomic_group(path: Path) -> None:
    found = [
        (line, pattern)
        for line, pattern in patterns(path)
        if isinstance(pattern, str | bytes) and FORBIDDEN & set(operations(pattern))
    ]
    assert found == []


@pytest.mark.parametrize(
    "pattern", ["a++", "(?:ab)*+", "x(y?+)", "(?>a|b)", "a|(?=b{2,3}+)", rb"(?:[a-z]++|:)*"]
)
def test_the_check_sees_each_form(pattern: str | bytes) -> None:
    assert FORBIDDEN & set(operations(pattern))


@pytest.mark.parametrize("pattern", [r"\++", "[*+]+", "a+?", "(?:a+)+", r"\(\?>", "[?+]"])
def test_the_check_takes_nothing_else_for_one(pattern: str) -> None:
    assert not FORBIDDEN & set(operations(pattern))
