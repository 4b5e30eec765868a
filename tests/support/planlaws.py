"""The laws of ``plan``: what it says of two clusters against every pair asked alone.

Rule: the judge asks the engine for one pair after the other and knows nothing of rectangles.
"""

from __future__ import annotations

from collections.abc import Iterator

from podfence.engine.connections import connections
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.plan.blame import USUAL, BlameLimits, blamed
from podfence.questions.plan.difference import difference
from podfence.questions.plan.edits import edits_between
from podfence.questions.plan.ends import JointClasses, joint_ends
from podfence.sets import PortSet

Pair = tuple[int, int, int]
"""Joint classes of source and destination, family."""
Verdicts = dict[Pair, tuple[PortSet, PortSet]]


def asked_alone(old: PolicyIndex, new: PolicyIndex, ends: JointClasses) -> Verdicts:
    """Every pair that differs, each asked of the engine."""
    found: Verdicts = {}
    for source in ends.joint:
        for destination in ends.joint:
            if source.outside is not None and destination.outside is not None:
                continue
            for family in (4, 6):
                if not all(
                    _speaks(i, c, family) for i, c in _classes(old, new, source, destination)
                ):
                    continue
                before = connections(old, source.before, destination.before, family)
                after = connections(new, source.after, destination.after, family)
                if before != after:
                    found[source.number, destination.number, family] = before, after
    return found


def _classes(
    old: PolicyIndex, new: PolicyIndex, *ends: object
) -> Iterator[tuple[PolicyIndex, int]]:
    for end in ends:
        yield old, end.before  # type: ignore[attr-defined]
        yield new, end.after  # type: ignore[attr-defined]


def _speaks(index: PolicyIndex, number: int, family: int) -> bool:
    outside = index.classes[number].outside
    if outside is not None:
        return bool(outside.family(family))
    return any(a.version == family for a in index.members[number][0].addresses)


def by_sets(old: PolicyIndex, new: PolicyIndex, ends: JointClasses) -> Verdicts:
    """The same from ``difference``; a pair that stands in two changes fails."""
    found: Verdicts = {}
    for change in difference(old, new, ends):
        for family in (4, 6):
            if change.family not in (None, family):
                continue
            for source in change.sources:
                for destination in change.destinations:
                    joint = [ends.joint[source], ends.joint[destination]]
                    if all(_speaks(i, c, family) for i, c in _classes(old, new, *joint)):
                        key = source, destination, family
                        assert key not in found, "said twice"
                        found[key] = change.before, change.after
    return found


def agree(old: Cluster, new: Cluster) -> int:
    """Both ways find the same; how many pairs differ."""
    a, b = compile_cluster(old), compile_cluster(new)
    ends = joint_ends(a, b, {})
    expected = asked_alone(a, b, ends)
    assert by_sets(a, b, ends) == expected
    return len(expected)


class Compared:
    """Two clusters, compared and blamed."""

    def __init__(self, old: Cluster, new: Cluster, limits: BlameLimits = USUAL) -> None:
        self.old, self.new = compile_cluster(old), compile_cluster(new)
        self.edits = edits_between(old, new)
        numbers = {edit.ref: edit.number for edit in self.edits if edit.is_of_pods}
        self.ends = joint_ends(self.old, self.new, numbers)
        self.changes = difference(self.old, self.new, self.ends)
        self.blamed = blamed(self.changes, self.edits, self.old, self.new, self.ends, limits)
