"""opens_more(...) -> what an edited policy opens beyond its own rules.

Rule: what a fix opens must be allowed by the edited policy itself. A connection that opens because
its pods are no longer isolated is harm.
"""

from __future__ import annotations

from collections.abc import Iterator

from podfence.engine.connections import matched_ports
from podfence.model.cluster import Cluster
from podfence.model.meta import ObjectRef
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import DomainTable
from podfence.policy.flow import Direction
from podfence.policy.index import PolicyIndex
from podfence.questions.plan.outcomes import Outcome, OutcomeEnd
from podfence.questions.plan.plan import Plan, comparable, plan_of_indexes
from podfence.sets import PortSet


def judged(
    old: Cluster, new: Cluster, names: DomainTable, policy: ObjectRef
) -> tuple[Plan, Outcome | None]:
    """The plan of an edit of one policy, and the first outcome that opens what the policy does not
    say; None where there is none."""
    old, new = comparable(old, new)
    before, after = compile_cluster(old, names), compile_cluster(new, names)
    found = plan_of_indexes(before, after)
    for outcome in (*found.outcomes, *found.newcomers):
        if outcome.opened and not _says(after, policy, outcome):
            return found, outcome
    return found, None


def _says(index: PolicyIndex, policy: ObjectRef, outcome: Outcome) -> bool:
    """Whether the rules of a policy allow all that opens."""
    families = (outcome.family,) if outcome.family else (4, 6)
    near, far = (frozenset(_classes(index, who)) for who in (outcome.sources, outcome.destinations))
    return all(
        outcome.opened <= _allowed(index, policy, source, to, family)
        for source in near
        for to in far
        for family in families
        if _speaks(index, source, family) and _speaks(index, to, family)
    )


def _classes(index: PolicyIndex, who: OutcomeEnd) -> Iterator[int]:
    for line in who.lines:
        for pod in line.after:
            yield index.endpoints[f"{line.workload.namespace}/{pod}"].endpoint_class
    if who.outside is not None:
        for each in index.classes:
            if each.outside is not None and each.outside & who.outside:
                yield each.number


def _speaks(index: PolicyIndex, number: int, family: int) -> bool:
    outside = index.classes[number].outside
    if outside is not None:
        return bool(outside.family(family))
    return any(a.version == family for end in index.members[number] for a in end.addresses)


def _allowed(index: PolicyIndex, policy: ObjectRef, source: int, to: int, family: int) -> PortSet:
    found = PortSet()
    for direction, near, far in ((Direction.EGRESS, source, to), (Direction.INGRESS, to, source)):
        if index.classes[near].outside is not None:
            continue
        for tier in index.policies[near].of(direction).tiers:
            for rule in tier.rules:
                if rule.origin.policy == policy:
                    found |= matched_ports(rule, far, family)
    return found
