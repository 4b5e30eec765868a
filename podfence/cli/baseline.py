"""``check --baseline``: findings that are known, so that only new ones count.

Rule: a finding is known by its code, its object, its field and its words, never by a line: text may
move.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import msgspec

from podfence.errors import UNREADABLE, PodfenceError
from podfence.manifests.wholefiles import replace_whole
from podfence.questions.lint.findings import Finding

_SCHEMA = "podfence.baseline/v1"


class _Known(msgspec.Struct, frozen=True):
    code: str
    object: str
    path: str
    fingerprint: str


class _File(msgspec.Struct, frozen=True):
    schema: str
    findings: tuple[_Known, ...]


def read_baseline(path: str) -> frozenset[str]:
    """The fingerprints of a baseline. Raises PodfenceError for a file that cannot be used."""
    try:
        found = msgspec.json.decode(Path(path).read_bytes(), type=_File)
    except OSError as error:
        raise PodfenceError(f"--baseline {path}: {error.strerror}") from error
    except UNREADABLE as error:
        raise PodfenceError(f"--baseline {path}: {error}") from error
    if found.schema != _SCHEMA:
        raise PodfenceError(f"--baseline {path}: schema {found.schema!r}, this is {_SCHEMA}")
    return frozenset(each.fingerprint for each in found.findings)


def write_baseline(path: str, findings: Iterable[Finding]) -> None:
    """Write the fingerprints, whole or not at all. Raises PodfenceError when it cannot."""
    known = [
        {
            "code": each.code,
            "object": f"{each.object.kind} {each.object}",
            "path": each.path,
            "fingerprint": each.fingerprint,
        }
        for each in findings
    ]
    known.sort(key=lambda each: tuple(each.values()))
    text = json.dumps({"schema": _SCHEMA, "findings": known}, indent=1, ensure_ascii=False)
    try:
        replace_whole({path: f"{text}\n".encode()})
    except OSError as error:
        raise PodfenceError(f"--write-baseline {path}: {error.strerror}") from error


def held_back(
    findings: Sequence[Finding], known: Collection[str]
) -> tuple[tuple[Finding, ...], int, int]:
    """The findings that are new, how many are known, and how many known ones are gone."""
    new = tuple(each for each in findings if each.fingerprint not in known)
    there = {each.fingerprint for each in findings}
    return new, len(findings) - len(new), len(set(known) - there)
