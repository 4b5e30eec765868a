"""Remarks that a finding is meant: ``# podfence: ignore[PF331] reason``.

Rule: a remark counts only with a reason, and only for findings of what policies really do; what the
server refuses cannot be ignored. A remark that ignores nothing is a finding itself, so that none
outlives what it was for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from datetime import date

from msgspec import Struct

from podfence.errors import Position, Problem, Severity, Source
from podfence.model.meta import DEFAULT_NAMESPACE, IGNORE_ANNOTATION, ObjectRef
from podfence.questions.lint.findings import LINT_RULES, LintFinding, code_of

IGNORE_CODES: Mapping[str, str] = {
    "PF601": "a remark without a reason ignores nothing",
    "PF602": "a remark that ignores no finding",
    "PF603": "a remark that is misspelt, or names a code that no finding has",
    "PF604": "the date of a remark has passed",
}
"""Codes of what is wrong with remarks, with their meaning in one line."""
_MARK = "podfence:"
_WORD = "podfence"
_SPELLING = "this is not a remark; write podfence: ignore[PF331] and a reason after it"
_REMARK = re.compile(
    r"^(?P<before>.*?)#\s*podfence:\s*(?P<what>ignore|ignore-file)\[(?P<codes>[^\]]*)\](?P<rest>.*)$"
)
_MEANT = re.compile(r"^(?P<before>.*?)#\s*podfence\b[\s:]*ignore(-file)?\b")
"""What somebody meant as a remark, in whatever spelling."""
_UNTIL = re.compile(r"[,\s]*\buntil=(\S+?)(?=[,;\s]|$)")
_HEAD = 10
"""Lines of a file in which ``ignore-file`` is looked for."""
_TOO_LATE = f"ignore-file counts in the first {_HEAD} lines of a file; move it there"
_CODE = re.compile(r"PF[0-9]{1,3}")


class Remark(Struct, frozen=True):
    """Codes or their beginnings that are meant, and why. ``position``: where it is written.
    ``lines``: the lines of its file that it is about, None for all; ``object``: of an
    annotation."""

    codes: tuple[str, ...]
    reason: str
    until: str
    position: Position | None
    lines: tuple[int, ...] | None = None
    object: ObjectRef | None = None
    source: Source | None = None
    fault: str = ""
    """What is wrong with one that is not written as remarks are."""

    def problem(self, code: str, text: str) -> Problem:
        """Something wrong with it."""
        path = f"metadata.annotations[{IGNORE_ANNOTATION}]" if self.object else ""
        name = f"{self.object.kind} {self.object}" if self.object else ""
        return Problem(code, Severity.WARNING, text, self.source, path, name, self.position)


class SiftedFindings(Struct, frozen=True):
    """Findings after the remarks were applied: those that stay, those that are ignored, with the
    remark, and problems of remarks."""

    kept: tuple[LintFinding, ...]
    ignored: tuple[tuple[LintFinding, Remark], ...]
    problems: tuple[Problem, ...]


def remarks_of_text(file: str, text: str) -> Iterator[Remark]:
    """The remarks of a file. A remark on a line of its own also applies to the next line."""
    if _WORD not in text:
        return
    for number, line in enumerate(text.split("\n"), 1):
        found = _REMARK.match(line) if _MARK in line else None
        if found is None:
            if meant := _MEANT.match(line) if _WORD in line else None:
                position = Position(file, number, len(meant["before"]) + 1)
                yield Remark((), "", "", position, fault=_SPELLING)
            continue
        if found["what"] == "ignore-file" and number > _HEAD:
            position = Position(file, number, len(found["before"]) + 1)
            yield Remark((), "", "", position, fault=_TOO_LATE)
            continue
        alone = not found["before"].strip()
        lines = (number, number + 1) if alone else (number,)
        yield _remark(
            found["codes"],
            found["rest"],
            Position(file, number, len(found["before"]) + 1),
            None if found["what"] == "ignore-file" else lines,
        )


def remarks_of_object(ref: ObjectRef, source: Source, annotations: object) -> Iterator[Remark]:
    """The remarks of an object's annotation: they apply to all findings of the object, or of all
    objects in it for a Namespace."""
    value = annotations.get(IGNORE_ANNOTATION) if isinstance(annotations, Mapping) else None
    for part in value.split(";") if isinstance(value, str) else ():
        codes, _, rest = part.strip().partition(" ")
        yield _remark(codes, rest, None, None, ref, source)


def _remark(
    codes: str,
    rest: str,
    position: Position | None,
    lines: tuple[int, ...] | None,
    ref: ObjectRef | None = None,
    source: Source | None = None,
) -> Remark:
    until = _UNTIL.search(rest)
    reason = _UNTIL.sub("", rest).strip(" ,\t\r")
    named = tuple(code_of(code.strip()) for code in codes.split(",") if code.strip())
    return Remark(named, reason, until[1] if until else "", position, lines, ref, source)


def sift(
    findings: Sequence[LintFinding],
    remarks: Sequence[Remark],
    locate: Callable[[LintFinding], Position | None],
    wanted: Container[str],
    today: date,
) -> SiftedFindings:
    """Apply the remarks. ``wanted``: the codes of this run; remarks about other codes are not
    reported as unused. ``today``: the date for ``until=``."""
    problems: list[Problem] = []
    valid = [each for each in remarks if _is_valid(each, today, problems)]
    used: set[int] = set()
    kept, ignored = [], []
    for finding in findings:
        position = locate(finding) if any(each.position for each in valid) else None
        hit = next(
            (at for at, each in enumerate(valid) if _is_about(each, finding, position)), None
        )
        if hit is None:
            kept.append(finding)
        else:
            used.add(hit)
            ignored.append((finding, valid[hit]))
    for at, remark in enumerate(valid):
        if at not in used and all(_codes(code, wanted) for code in remark.codes):
            text = f"nothing here is {' or '.join(remark.codes)} now: delete this remark"
            problems.append(remark.problem("PF602", text))
    return SiftedFindings(tuple(kept), tuple(ignored), tuple(problems))


def _is_valid(remark: Remark, today: date, problems: list[Problem]) -> bool:
    if remark.fault:
        problems.append(remark.problem("PF603", remark.fault))
        return False
    unknown = [code for code in remark.codes if not _codes(code, LINT_RULES)]
    if unknown or not remark.codes:
        text = (
            f"{', '.join(unknown) or 'no code'}: a remark takes codes of findings about what "
            "policies do, such as PF331, or the beginning of one; what the API server refuses "
            "cannot be ignored"
        )
        problems.append(remark.problem("PF603", text))
        return False
    if not remark.reason:
        text = (
            f"give a reason for ignoring {', '.join(remark.codes)}; without one the finding still "
            "counts"
        )
        problems.append(remark.problem("PF601", text))
        return False
    if remark.until:
        try:
            over = date.fromisoformat(remark.until) < today
        except ValueError:
            over = True
        if over:
            text = (
                f"until={remark.until} is not a date in the future (YYYY-MM-DD): this remark "
                "ignores nothing"
            )
            problems.append(remark.problem("PF604", text))
            return False
    return True


def _codes(beginning: str, among: Container[str]) -> bool:
    """Whether some code begins so."""
    return bool(_CODE.fullmatch(beginning)) and any(
        code in among for code in LINT_RULES if code.startswith(beginning)
    )


def _is_about(remark: Remark, finding: LintFinding, position: Position | None) -> bool:
    if not finding.code.startswith(remark.codes):
        return False
    if remark.object is not None:
        own = remark.object == finding.object
        return own or (remark.object.kind, remark.object.name) == (
            "Namespace",
            finding.object.namespace,
        )
    if position is None or remark.position is None or position.file != remark.position.file:
        return False
    return remark.lines is None or position.line in remark.lines


def remarks_of_documents(
    documents: Iterable[tuple[Source, Mapping[str, object]]],
) -> Iterator[Remark]:
    """The remarks of all objects that have some."""
    for source, data in documents:
        metadata = data.get("metadata")
        if isinstance(metadata, Mapping) and metadata.get("annotations"):
            kind, name = str(data.get("kind")), str(metadata.get("name"))
            namespace = str(metadata.get("namespace") or DEFAULT_NAMESPACE)
            ref = ObjectRef(kind, "" if kind == "Namespace" else namespace, name)
            yield from remarks_of_object(ref, source, metadata["annotations"])
