"""JSON values as YAML in block style.

Rule: readers of YAML 1.1 and of 1.2 get the same values: a string is written without quotes only
where no reader could take it for another type. Sources: YAML 1.1 and 1.2, "Scalar Styles"; the
words and numbers that YAML 1.1 reads as other types.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*\Z")
"""No digit or sign in front (numbers, dates, markers), nothing that YAML gives a meaning."""
_WORDS: Final = frozenset("y n yes no true false on off null".split())
"""Booleans and null of YAML 1.1, in any case."""
_NOT_IN_YAML: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def yaml_lines(value: Any) -> Iterator[str]:
    """The lines of a document, each with its line break."""
    yield from (f"{line}\n" for line in _block(value, ""))


def _block(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _entry(f"{indent}{_text(str(key))}:", item, indent)
    elif isinstance(value, list | tuple) and value:
        for item in value:
            lines = _block(item, f"{indent}  ")
            # The first line of an item stands behind its dash.
            yield f"{indent}- {next(lines)[len(indent) + 2 :]}"
            yield from lines
    else:
        yield indent + _scalar(value)


def _entry(head: str, item: Any, indent: str) -> Iterator[str]:
    if isinstance(item, Mapping) and item:
        yield head
        yield from _block(item, f"{indent}  ")
    elif isinstance(item, list | tuple) and item:
        yield head
        yield from _block(item, indent)
    else:
        yield f"{head} {_scalar(item)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return "{}"
    return "[]" if isinstance(value, Sequence) else json.dumps(value)


def _text(text: str) -> str:
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
