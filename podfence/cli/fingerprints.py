"""Fingerprints: the identity of a finding across runs.

Rule: it depends on the code, the object, the field, what is written there, and the names that were
found. It does not depend on lines, words, numbers of pods or positions in a list, because text
moves, messages change, pods come and go, and a new rule moves the rules after it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256

from msgspec.structs import replace

from podfence.errors import Source
from podfence.manifests.fieldpaths import parse_path
from podfence.questions.lint.findings import LintFinding
from podfence.questions.repair.changes import value_at

_NUMBER = re.compile(r"\[\d+\]")
Raw = Callable[[Source | None], Mapping[str, object] | None]


def fingerprinted(findings: Iterable[LintFinding], raw: Raw) -> list[LintFinding]:
    """The findings with their fingerprints. ``raw``: how an object was written."""
    seen = Counter[str]()
    found = []
    for each in findings:
        own = _key(each, raw(each.source))
        seen[own] += 1
        # Of two that nothing tells apart, as the same rule written twice, the second is another.
        number = seen[own]
        parts = own if number == 1 else f"{own}\0{number}"
        found.append(replace(each, fingerprint=sha256(parts.encode()).hexdigest()[:32]))
    return found


def _key(finding: LintFinding, written: Mapping[str, object] | None) -> str:
    path = _NUMBER.sub("[]", finding.path)
    # What a list item or a selector says is what the finding is about; of a whole section
    # (spec.egress) other parts may change without any meaning for it.
    content = ""
    if "[]" in path or path.endswith("Selector"):
        value = value_at(written, parse_path(finding.path))
        content = json.dumps(value, sort_keys=True, default=str)
    ref = finding.object
    if ref.kind == "Namespace" and path == "metadata.namespace":
        path = "metadata.name"  # its own object was not read; it is the same namespace
    return "\0".join((finding.code, ref.kind, str(ref), path, content, finding.about))
