"""A table of domain names and the addresses that they stand for, for ``--resolve`` (CNP-19).

Rule: two ways to write it, told apart by the first line that says something: a line a name (the
name, then its addresses, ``#`` begins a remark), or a YAML or JSON mapping from names to an address
or a list. A name may come again, its addresses add up; a name without addresses is known to have
none. Every fault is found, with its position.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from types import MappingProxyType
from typing import BinaryIO, Final

from msgspec import Struct, field

from podfence.errors import Position, Problem, Severity, Source
from podfence.manifests.fieldpaths import FieldSteps, format_path
from podfence.manifests.inputfiles import InputFile, read_inputs
from podfence.manifests.parsed import Parsed
from podfence.manifests.positions import Positions
from podfence.policy.domains import DomainTable
from podfence.sets.addresses import IPAddress, unmapped

NAME_TABLE_CODES: Final = {"PF111": "a table of names (--resolve) that cannot be used"}

MAX_PROBLEMS: Final = 20
"""The most problems that are reported for one table: a file that is not a table must not fill the
screen."""
_LONGEST: Final = 253
_LABEL: Final = r"[a-z0-9_](?:[-a-z0-9_]*[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_WORD: Final = re.compile(r"\S+")
_MAPPING: Final = re.compile(r"""[{\["']|---|[^\s:]+:(?:\s|$)""")
_REMARK: Final = re.compile(r"\s*#")


class NameTable(Struct, frozen=True):
    """Use ``names`` only when ``problems`` is empty. Every problem has its position."""

    names: DomainTable
    problems: tuple[Problem, ...]


def read_name_table(path: str, stdin: BinaryIO | None = None) -> NameTable:
    """Read a file, or standard input for ``-``; never raises for what it holds."""
    reader = _TableReader()
    for file in read_inputs([path], stdin):
        if isinstance(file, InputFile):
            reader.read(file)
    names = {name: frozenset(found) for name, found in reader.found.items()}
    return NameTable(MappingProxyType(names), tuple(reader.problems))


class _TableReader(Struct):
    """Collects names and problems."""

    found: dict[str, set[IPAddress]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def read(self, file: InputFile) -> None:
        if file.error:
            self._problem(Position(file.path, 1, 1), file.error, "PF106")
        elif _is_mapping(file.text):
            self._read_mapping(file)
        else:
            self._read_lines(file)

    # -- lines

    def _read_lines(self, file: InputFile) -> None:
        for number, line in enumerate(file.text.split("\n"), 1):
            words = list(_WORD.finditer(line.partition("#")[0]))
            if not words:
                continue
            first, *others = words
            name = self._name(first[0], Position(file.path, number, first.start() + 1))
            for word in others:
                position = Position(file.path, number, word.start() + 1)
                if not self._address(name, word[0], position):
                    break  # the words after it are probably not addresses either

    # -- mappings

    def _read_mapping(self, file: InputFile) -> None:
        parsed, is_json = _parsed(file.text)
        for finding in parsed.findings:
            position = Position(file.path, finding.line, finding.column)
            message = finding.message.replace("{path}", format_path(finding.steps))
            self._problem(position, message, finding.code)
        if not parsed.readable or self.problems:
            return
        positions = _Positions(file, is_json)
        if not isinstance(parsed.value, dict):
            self._problem(positions.of(()), "not a mapping from names to lists of addresses")
            return
        for key, value in parsed.value.items():
            name = self._name(str(key), positions.of((str(key),)))
            for steps, text in _addresses((str(key),), value):
                self._address(name, text, positions.of(steps))

    # -- both

    def _name(self, text: str, position: Position) -> str:
        name = text.lower().removesuffix(".")
        fault = _fault_of_name(name)
        if fault:
            self._problem(position, f"{text!r} {fault}")
        else:
            self.found.setdefault(name, set())
        return name

    def _address(self, name: str, text: object, position: Position) -> bool:
        """Whether ``text`` is an IP address; otherwise a problem is noted."""
        address = _address_of(text)
        if address is None:
            right = "write one such as 203.0.113.7 or 2001:db8::7"
            self._problem(position, f"{text!r} is not an IP address: {right}")
            return False
        self.found.setdefault(name, set()).add(address)
        return True

    def _problem(self, position: Position, message: str, code: str = "PF111") -> None:
        if len(self.problems) == MAX_PROBLEMS:
            message = f"more than {MAX_PROBLEMS} mistakes: the rest is not shown"
        if len(self.problems) <= MAX_PROBLEMS:
            self.problems.append(Problem(code, Severity.ERROR, message, position=position))


def _is_mapping(text: str) -> bool:
    for line in text.split("\n"):
        if line.strip() and not _REMARK.match(line):
            return _MAPPING.match(line.lstrip()) is not None
    return False


def _fault_of_name(name: str) -> str:
    """What is wrong with a name, "" if nothing is."""
    if _address_of(name) is not None:
        return "is an address where a name belongs: the name comes first, then its addresses"
    if name.startswith("*"):
        return "is a pattern: the table holds names, which patterns in policies then match"
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        return "is not a domain name: write one such as updates.example.com"
    return ""


def _address_of(text: object) -> IPAddress | None:
    if not isinstance(text, str) or "%" in text:  # a zone has no meaning beyond one machine
        return None
    try:
        return unmapped(ip_address(text))
    except ValueError:
        return None


def _addresses(steps: FieldSteps, value: object) -> Iterator[tuple[FieldSteps, object]]:
    if isinstance(value, list):
        yield from (((*steps, at), item) for at, item in enumerate(value))
    elif value is not None:
        yield steps, value


def _parsed(text: str) -> tuple[Parsed, bool]:
    """The value, and whether it was read as JSON."""
    from podfence.manifests.jsonreader import read_json
    from podfence.manifests.yamlreader import read_yaml
    from podfence.manifests.yamlscalars import Scalars

    if text.lstrip().startswith(("{", "[")):
        documents = read_json(text, 1)
        if len(documents) == 1 and documents[0].parsed.readable:
            return documents[0].parsed, True
    return read_yaml(text, 1, Scalars()), False


class _Positions:
    """Where the fields of one file are written."""

    def __init__(self, file: InputFile, is_json: bool) -> None:
        self._source = Source(file.path)
        self._positions = Positions()
        self._positions.add_file(file.path, file.text)
        self._positions.add_document(
            self._source, start=0, end=len(file.text), line=1, is_json=is_json
        )

    def of(self, steps: FieldSteps) -> Position:
        """The position of a field."""
        return self._positions.locate(self._source, format_path(steps))
