"""JUnit XML, as build servers read it.

Rule: characters that XML 1.0 forbids are left out, whatever a name holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape

from msgspec import Struct

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Case(Struct, frozen=True):
    """One test. ``outcome``: "" for passed, else ``failure``, ``error`` or ``skipped``; ``kind``
    and ``text`` give details."""

    name: str
    class_name: str
    outcome: str = ""
    kind: str = ""
    text: str = ""
    file: str = ""
    line: int = 0


class Suite(Struct, frozen=True):
    """The tests of one file. ``properties``: figures of the whole."""

    name: str
    cases: tuple[Case, ...]
    properties: tuple[tuple[str, str], ...] = ()


def junit_text(suites: Iterable[Suite]) -> str:
    """The whole document."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for suite in suites:
        lines += _suite(suite)
    return "\n".join([*lines, "</testsuites>", ""])


def _suite(suite: Suite) -> Iterator[str]:
    numbers = {
        word: sum(case.outcome == outcome for case in suite.cases)
        for word, outcome in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"))
    }
    counted = "".join(f' {word}="{number}"' for word, number in numbers.items())
    yield f'  <testsuite name={_quoted(suite.name)} tests="{len(suite.cases)}"{counted}>'
    if suite.properties:
        yield "    <properties>"
        for name, value in suite.properties:
            yield f"      <property name={_quoted(name)} value={_quoted(value)}/>"
        yield "    </properties>"
    for case in suite.cases:
        yield from _case(case)
    yield "  </testsuite>"


def _case(case: Case) -> Iterator[str]:
    fields = f"name={_quoted(case.name)} classname={_quoted(case.class_name)}"
    if case.file:
        fields += f' file={_quoted(case.file)} line="{case.line}"'
    if not case.outcome:
        yield f"    <testcase {fields}/>"
        return
    yield f"    <testcase {fields}>"
    message = _quoted(case.text.partition("\n")[0])
    kind = f" type={_quoted(case.kind)}" if case.kind and case.outcome != "skipped" else ""
    body = "" if case.outcome == "skipped" else _clean(case.text)
    yield f"      <{case.outcome}{kind} message={message}>{escape(body)}</{case.outcome}>"
    yield "    </testcase>"


def _quoted(text: str) -> str:
    return f'"{escape(_clean(text)).replace(chr(10), "&#10;")}"'


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("", text)
