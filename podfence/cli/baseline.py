"""``check --baseline``: known findings, so that only new ones count.

Rule: a finding is known by its fingerprint and, if it names several objects, by all these names:
one more name makes it new.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from podfence.errors import UNREADABLE, PodfenceError
from podfence.manifests.wholefiles import is_stream, replace_whole
from podfence.questions.lint.findings import LintFinding

_SCHEMA = "podfence.baseline/v3"
_WITHOUT_KINDS = "podfence.baseline/v2"
_OLDER = "podfence.baseline/v1"
_FAMILY = "podfence.baseline/"
_KIND = re.compile(r"\b[A-Z][A-Za-z]* (?=\S+/)")


class _BaselineFinding(msgspec.Struct, frozen=True):
    code: str
    object: str
    path: str
    fingerprint: str
    names: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True):
    schema: str
    findings: tuple[_BaselineFinding, ...]


class Baseline(msgspec.Struct, frozen=True):
    """Known findings. ``is_older``: of the first format, whose fingerprints depend on the words of
    another version; its findings are compared by code, object and field. ``has_kinds``: whether
    its names of workloads tell their kinds; where they do not, kinds are no part of a name."""

    known: tuple[_BaselineFinding, ...] = ()
    is_older: bool = False
    has_kinds: bool = True

    def __bool__(self) -> bool:
        return bool(self.known) or self.is_older

    def held_back(
        self, findings: Sequence[LintFinding]
    ) -> tuple[tuple[LintFinding, ...], int, int]:
        """The new findings, how many are known, and how many known ones are gone. The findings must
        have their fingerprints."""
        names: dict[str, set[str]] = {}
        left = Counter[str]()
        for each in self.known:
            key = f"{each.code} {each.object} {each.path}" if self.is_older else each.fingerprint
            names.setdefault(key, set()).update(each.names)
            left[key] += 1
        new = []
        held = 0
        for finding in findings:
            key = _field_key(finding) if self.is_older else finding.fingerprint
            there = left[key] > 0
            left[key] -= 1
            if there and (self.is_older or names[key].issuperset(self._names(finding))):
                held += 1
            else:
                new.append(finding)
        return tuple(new), held, sum(number for number in left.values() if number > 0)

    def _names(self, finding: LintFinding) -> Iterable[str]:
        if self.has_kinds:
            return finding.names
        return (_KIND.sub("", name) for name in finding.names)


NO_BASELINE = Baseline()


def _field_key(finding: LintFinding) -> str:
    return f"{finding.code} {finding.object.kind} {finding.object} {finding.path}"


def read_baseline(path: str) -> Baseline:
    """A baseline. Raises PodfenceError for a file that cannot be used."""
    try:
        found = msgspec.json.decode(Path(path).read_bytes(), type=_File)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        hint = f"; --write-baseline {path} makes it" if missing else ""
        raise PodfenceError(f"--baseline {path}: {error.strerror}{hint}") from error
    except UNREADABLE as error:
        said = f"not a baseline; --write-baseline {path} makes one ({error})"
        raise PodfenceError(f"--baseline {path}: {said}") from error
    if found.schema not in (_SCHEMA, _WITHOUT_KINDS, _OLDER):
        raise PodfenceError(f"--baseline {path}: schema {found.schema!r}, this is {_SCHEMA}")
    return Baseline(found.findings, found.schema == _OLDER, found.schema == _SCHEMA)


def write_baseline(path: str, findings: Iterable[LintFinding]) -> None:
    """Write the findings, whole or not at all. Raises PodfenceError when it cannot, and for a file
    that holds something else."""
    _require_baseline_or_nothing(path)
    known = sorted(
        (
            _BaselineFinding(
                each.code,
                f"{each.object.kind} {each.object}",
                each.path,
                each.fingerprint,
                tuple(sorted(each.names)),
            )
            for each in findings
        ),
        key=lambda each: (each.code, each.object, each.path, each.fingerprint),
    )
    data = {"schema": _SCHEMA, "findings": [_written(each) for each in known]}
    text = json.dumps(data, indent=1, ensure_ascii=False)
    try:
        replace_whole({path: f"{text}\n".encode()})
    except OSError as error:
        raise PodfenceError(f"--write-baseline {path}: {error.strerror}") from error


def _require_baseline_or_nothing(path: str) -> None:
    """A manifest that is named by mistake is not replaced. A stream never is."""
    if is_stream(path):
        return
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except OSError:
        return  # not there, or writing says what is wrong
    if not data.strip():
        return
    try:
        is_one = msgspec.json.decode(data, type=_File).schema.startswith(_FAMILY)
    except UNREADABLE:
        is_one = False
    if not is_one:
        said = "the file is there and is not a baseline; name another, or remove it first"
        raise PodfenceError(f"--write-baseline {path}: {said}")


def _written(each: _BaselineFinding) -> dict[str, object]:
    data: dict[str, object] = {
        "code": each.code,
        "object": each.object,
        "path": each.path,
        "fingerprint": each.fingerprint,
    }
    if each.names:
        data["names"] = each.names
    return data
