"""Rules of policies that exist, against what was seen: which of them let none of it through.

Rule: a rule that was not used is not one that may go. Records are evidence of their time alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from podfence.model.meta import ObjectRef
from podfence.model.objects import Pod
from podfence.policy.flow import Action, Direction, Reason
from podfence.policy.index import PolicyIndex
from podfence.policy.origin import Origin
from podfence.questions.suggest.evidence import ObservedConnection
from podfence.questions.suggest.judging import ConnectionJudge


class ExistingRules(Struct, frozen=True):
    """``rules``: how many rules allow something to or from the workloads; ``unused``: those of them
    that let nothing through that was seen."""

    rules: int
    unused: tuple[Origin, ...]


def against(
    index: PolicyIndex,
    judging: ConnectionJudge,
    seen: Iterable[ObservedConnection],
    members: Mapping[ObjectRef, tuple[Pod, ...]],
    directions: Iterable[Direction],
) -> ExistingRules:
    """Compare. ``index``: of the policies that exist; ``members``: the pods of each workload that
    is asked about."""
    every = set(_rules(index, members, directions))
    used = {
        origin
        for connection in seen
        for verdict in judging.verdicts(connection)
        for decision in (verdict.egress, verdict.ingress)
        if decision.allowed and decision.reason is Reason.RULE
        for origin in decision.origins
    }
    return ExistingRules(len(every), tuple(sorted(every - used, key=_order)))


def _rules(
    index: PolicyIndex,
    members: Mapping[ObjectRef, tuple[Pod, ...]],
    directions: Iterable[Direction],
) -> Iterator[Origin]:
    ways = tuple(directions)
    for pods in members.values():
        for pod in pods:
            number = index.endpoints[f"{pod.namespace}/{pod.name}"].endpoint_class
            for direction in ways:
                for tier in index.policies[number].of(direction).in_force:
                    yield from (r.origin for r in tier.rules if r.action is Action.ACCEPT)


def _order(origin: Origin) -> tuple[str, str, str]:
    return origin.policy.namespace, origin.policy.name, origin.path
