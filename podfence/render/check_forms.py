"""What ``check`` says, for code scanning, annotations and build servers.

Rule: the same messages as in text, made harmless as there; an ignored finding is in SARIF with its
reason, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from podfence.errors import Position, Problem, Severity
from podfence.questions.lint.findings import LINT_RULES
from podfence.questions.phrases.words import count
from podfence.questions.repair.textedits import Offer, TextEdit
from podfence.render.ciformats import SHOWN, annotation, sarif_location, sarif_run
from podfence.render.junit import Case, Suite, junit_text
from podfence.render.problems import message_text
from podfence.text import printable

_ORDER = (Severity.ERROR, Severity.WARNING, Severity.NOTE)
_GITHUB = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


class LocatedProblem(Struct, frozen=True):
    """A problem with its position. ``title``: the meaning of its code. ``fingerprint``: tells it
    from others whatever line it stands on, "" for what the server says. ``ignored``: why, if it is.
    ``end``: behind the last character of its field. ``offer``: its fix."""

    problem: Problem
    position: Position | None
    title: str
    fingerprint: str = ""
    ignored: str = ""
    end: Position | None = None
    offer: Offer | None = None

    @property
    def text(self) -> str:
        """Object and message."""
        subject = f"{printable(self.problem.object)}: " if self.problem.object else ""
        return subject + message_text(self.problem.message)


def sarif_data(
    said: Sequence[LocatedProblem], helps: Mapping[str, str], frameworks: tuple[str, ...] = ()
) -> dict[str, object]:
    """One run. ``helps``: what is to be said of a code, in Markdown. ``frameworks``: whose controls
    are named beside the codes."""
    titles = {each.problem.code: each.title for each in said}
    rules = [
        _rule(code, title, helps.get(code, ""), tags_of(code, frameworks))
        for code, title in sorted(titles.items())
    ]
    return sarif_run(rules, (_result(each) for each in said))


def _rule(code: str, title: str, more: str, tags: Sequence[str]) -> dict[str, object]:
    rule: dict[str, object] = {"id": code, "shortDescription": {"text": title}}
    if code in LINT_RULES:
        rule["name"] = LINT_RULES[code].slug
    if more:
        rule["help"] = {"text": more, "markdown": more}
    if tags:
        rule["properties"] = {"tags": list(tags)}
    return rule


def _result(each: LocatedProblem) -> dict[str, object]:
    result: dict[str, object] = {
        "ruleId": each.problem.code,
        "level": each.problem.severity.value,
        "message": {"text": each.text},
        "locations": [],
    }
    if each.position is not None:
        position = each.position
        result["locations"] = [
            sarif_location(printable(position.file), position.line, position.column, end=each.end)
        ]
    if each.fingerprint:
        result["partialFingerprints"] = {"podfenceCheck/v2": each.fingerprint}
    if each.ignored:
        result["suppressions"] = [{"kind": "inSource", "justification": printable(each.ignored)}]
    if each.offer is not None:
        edits = each.offer.edits
        words = each.offer.words if each.offer.safe else f"{each.offer.words} (unsafe)"
        changes = [
            {
                "artifactLocation": {"uri": printable(file)},
                "replacements": [_replacement(edit) for edit in edits if edit.file == file],
            }
            for file in dict.fromkeys(edit.file for edit in edits)
        ]
        result["fixes"] = [{"description": {"text": printable(words)}, "artifactChanges": changes}]
    return result


def _replacement(edit: TextEdit) -> dict[str, object]:
    region = {
        "startLine": edit.line,
        "startColumn": edit.column,
        "endLine": edit.end_line,
        "endColumn": edit.end_column,
    }
    made: dict[str, object] = {"deletedRegion": region}
    return made | ({"insertedContent": {"text": edit.text}} if edit.text else {})


def workflow_commands(said: Iterable[LocatedProblem]) -> Iterator[str]:
    """Annotations, a line each, the heaviest first; those that a step does not show are counted."""
    found = sorted(said, key=lambda each: _ORDER.index(each.problem.severity))
    for each in found[:SHOWN]:
        title = f"podfence {each.problem.code}: {each.title}"
        yield annotation(_GITHUB[each.problem.severity], title, each.text, each.position)
    if len(found) > SHOWN:
        rest = count(len(found) - SHOWN, "finding")
        yield f"::notice title=podfence check::and {rest} more: podfence check"


def junit_report(said: Iterable[LocatedProblem], rules: Mapping[str, str]) -> str:
    """One case for each finding, and one that passed for each rule that found nothing. Warnings
    and notes pass, and say what they say in the name."""
    found = list(said)
    silent = dict(rules)
    for each in found:
        silent.pop(each.problem.code, None)
    cases = [_case(each) for each in found]
    cases += [Case(f"{code} {title}", "podfence.check") for code, title in silent.items()]
    return junit_text([Suite("podfence check", tuple(cases))])


def _case(each: LocatedProblem) -> Case:
    problem, position = each.problem, each.position
    failed = problem.severity is Severity.ERROR
    return Case(
        f"{problem.code} {each.title}: {printable(problem.object)}",
        f"podfence.check.{problem.code}",
        "failure" if failed else "skipped",
        f"{problem.severity.value} {problem.code}",
        each.text,
        printable(position.file) if position else "",
        position.line if position else 0,
    )


# -- Controls of security frameworks that findings relate to, as tags of SARIF rules
# Rule: a control is listed for a code only if the control asks for a cluster without such findings.
# Most findings are about policies that do not do what they say; no control asks for that.


CONTROLS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # CIS Kubernetes Benchmark, "Ensure that all Namespaces have Network Policies defined".
    "cis": {"PF350": ("CIS-Kubernetes-5.3.2",), "PF351": ("CIS-Kubernetes-5.3.2",)},
    # Kubernetes Hardening Guidance of NSA and CISA. Its sections have names and no numbers.
    "nsa": {
        "PF350": ("NSA-CISA/Network-separation-and-hardening",),
        "PF351": ("NSA-CISA/Network-separation-and-hardening",),
    },
    # Of regolibrary: C-0030 "Ingress and Egress blocked", C-0049 "Network mapping", C-0052
    # "Instance Metadata API", C-0054 "Cluster internal networking", C-0260 "Missing network
    # policy".
    "kubescape": {
        "PF350": (
            "kubescape/C-0030",
            "kubescape/C-0049",
            "kubescape/C-0054",
            "kubescape/C-0260",
        ),
        "PF351": ("kubescape/C-0030",),
        "PF353": ("kubescape/C-0052",),
    },
}
"""Tags by code, by whose they are. Code scanning keeps ten of a rule."""


def tags_of(code: str, frameworks: tuple[str, ...]) -> list[str]:
    """The tags of a code, each once."""
    return list(dict.fromkeys(tag for each in frameworks for tag in CONTROLS[each].get(code, ())))
