"""Tests that packets decided, as text and as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from podfence.errors import Locate
from podfence.lab.testbed.proved import Proved, counted
from podfence.questions.phrases.words import count
from podfence.render.verdicts import protocol_text
from podfence.text import printable

_WORDS = {
    "passed": "pass",
    "failed": "FAIL",
    "vacuous": "VACUOUS",
    "unproved": "UNPROVED",
    "skipped": "skip",
}
_INDENT = " " * 10


def proved_text(found: Sequence[Proved], locate: Locate) -> str:
    """A line a test, then why it did not pass."""
    lines: list[str] = []
    for each in found:
        remark = f"{count(each.packets, 'packet')}, {each.denials} of them denied"
        if each.status != "passed":
            position = locate(each.test.source, each.test.path)
            remark = printable(str(position)) if position else ""
        lines.append(f"{_WORDS[each.status]:8} {printable(each.test.name)}  ({remark})")
        lines += (f"{_INDENT}{line}" for line in _reasons(each))
    said = ", ".join(f"{number} {word}" for word, number in counted(found).items())
    lines.append(f"{count(len(found), 'test')}: {said or 'none ran'}")
    return "".join(f"{line}\n" for line in lines)


def _reasons(proved: Proved) -> Iterator[str]:
    if proved.first is not None:
        seen = proved.first
        ports = protocol_text(seen.protocol, seen.port)
        became = "got through" if seen.open else "got no answer"
        says = "as the engine says" if seen.agrees else "and the engine says otherwise"
        ends = f"{printable(seen.source)} -> {printable(seen.target)}"
        yield f"{ends} {ports} over IPv{seen.family} {became}, {says}"
        if proved.wrong > 1:
            yield f"{count(proved.wrong - 1, 'more packet')} of {proved.packets}"
    if proved.differ:
        yield f"{count(proved.differ, 'packet')} did not do what the engine says"
    for miss in proved.misses:
        yield f"{printable(miss.text)} [{miss.code}]"
    if proved.text:
        yield printable(proved.text)


def proved_data(found: Sequence[Proved], locate: Locate) -> dict[str, Any]:
    """For ``-o json``."""
    return {
        "schema": "podfence.lab-test/v1",
        "summary": counted(found),
        "tests": [_data(each, locate) for each in found],
    }


def _data(each: Proved, locate: Locate) -> dict[str, Any]:
    position = locate(each.test.source, each.test.path)
    return {
        "name": each.test.name,
        "file": each.test.source.file,
        "line": position.line if position else each.test.source.line,
        "status": each.status,
        "packets": each.packets,
        "denials": each.denials,
        "differ": each.differ,
        "because": list(_reasons(each)),
    }
