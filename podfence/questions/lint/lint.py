"""lint(index): every finding about the policies of a cluster.

Rule: missing input causes no finding. Where no pod of a policy's namespace was read, selectors that
match none are not reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from podfence.errors import Severity, Source
from podfence.policy.index import PolicyIndex
from podfence.questions.lint.conflicts import conflicts
from podfence.questions.lint.coverage import coverage
from podfence.questions.lint.findings import NEEDS_EVERYBODY, LintFinding
from podfence.questions.lint.note import Raw, WrittenObjects
from podfence.questions.lint.note_outside import service_ranges
from podfence.questions.lint.note_shape import mode_of
from podfence.questions.lint.notes import notes_for
from podfence.questions.lint.plugins import plugin_findings
from podfence.questions.lint.reach import LintIndex
from podfence.questions.lint.resolving import resolving
from podfence.questions.lint.surroundings import NOWHERE, Surroundings
from podfence.questions.lint.tiers import tier_findings
from podfence.questions.lint.together import together
from podfence.questions.lint.wanted import wanted
from podfence.questions.phrases.matched import MatchedPods

_OF_BLOCKS = frozenset({"PF311", "PF340"})
_MATCHES_NOBODY = frozenset({"PF306", "PF307", "PF320", "PF321", "PF322"})


def lint(
    index: PolicyIndex,
    raw: Callable[[Source | None], Raw | None],
    around: Surroundings = NOWHERE,
) -> Iterator[LintFinding]:
    """All findings, by policy. ``raw`` gives the object as it was written, None where that is
    unknown."""
    found = _findings(index, raw, around)
    return map(_as_of_a_part, found) if around.is_partial else found


def _as_of_a_part(finding: LintFinding) -> LintFinding:
    """What pods that were not read may turn is only worth knowing."""
    if finding.code not in NEEDS_EVERYBODY:
        return finding
    return replace(finding, severity=Severity.NOTE)


def _findings(
    index: PolicyIndex, raw: Callable[[Source | None], Raw | None], around: Surroundings
) -> Iterator[LintFinding]:
    populated = {endpoint.pod.namespace for endpoint in index.endpoints.values()}
    matched = MatchedPods(index)
    written = WrittenObjects(index, raw)
    modes: list[LintFinding] = []
    said: list[LintFinding] = []
    ranges = {
        (each.object, each.path): each for each in service_ranges(index, around.service_cidrs)
    }
    whole = index.cluster.with_audited()
    for policy in whole.policies:
        as_written = raw(policy.source)
        modes += mode_of(policy, as_written)
        if policy.ref not in index.selected:
            continue
        for finding in notes_for(index, policy, as_written, matched, written, around.dns):
            if finding.code in _OF_BLOCKS and (finding.object, finding.path) in ranges:
                continue
            if finding.code == "PF353" and policy.ref.namespace in around.metadata_allowed:
                continue
            if finding.code not in _MATCHES_NOBODY or policy.ref.namespace in populated:
                said.append(finding)
    for tiered in whole.admin_policies:
        modes += mode_of(tiered, raw(tiered.source))
    said += ranges.values()
    yield from modes
    yield from said
    if populated:
        reach = LintIndex.of(index, matched, written)
        yield from together(reach, said)
        yield from resolving(reach, around)
        yield from coverage(reach, said, around.touched, around.apart)
        yield from wanted(reach, around)
    yield from plugin_findings(index, around.plugin)
    yield from conflicts(index, around.twins)
    yield from tier_findings(index)
