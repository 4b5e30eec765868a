"""Live connections to keep busy across a change: some that it revokes, some that it keeps. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Set

from msgspec import Struct

from podfence.engine.evaluate import Evaluator
from podfence.lab.testbed.probeplan import PartyKind, ProbePlan, spread
from podfence.lab.testbed.probes import Listener, Probe
from podfence.policy.flow import Flow
from podfence.policy.index import PolicyIndex

MOST = 16
"""Connections of each kind."""


class Flows(Struct, frozen=True):
    """Allowed before; ``revoked``: not after, ``kept``: after too."""

    revoked: tuple[Probe, ...] = ()
    kept: tuple[Probe, ...] = ()


def flows_across(
    before: PolicyIndex,
    after: PolicyIndex,
    plan: ProbePlan,
    then: ProbePlan,
    held: Set[Listener] = frozenset(),
) -> Flows:
    """At most MOST flows of each kind, between pods that exist before and after the change, evenly
    spread over the probes of ``plan``; indices are those of ``plan``. None goes to a port of
    ``held``, which programs in the pods have."""
    stay = set(then.parties)
    old, new = Evaluator(before), Evaluator(after)
    revoked: list[Probe] = []
    kept: list[Probe] = []
    for probe, flow in _flows(plan):
        ends = plan.parties[probe.source], plan.parties[probe.target]
        if probe[1:] not in held and stay.issuperset(ends) and old.verdict(flow).allowed:
            (kept if new.verdict(flow).allowed else revoked).append(probe)
    return Flows(tuple(spread(_apart(revoked), MOST)), tuple(spread(_apart(kept), MOST)))


def _flows(plan: ProbePlan) -> Iterator[tuple[Probe, Flow]]:
    pods = [party.side is PartyKind.POD for party in plan.parties]
    for probe in plan.probes:
        source, target, family, protocol, port = probe
        both = pods[source] and pods[target] and source != target
        if both and protocol in ("TCP", "UDP"):
            a, b = plan.parties[source].address(family), plan.parties[target].address(family)
            yield probe, Flow(a, b, protocol, port)


def _apart(probes: list[Probe]) -> list[Probe]:
    """One connection a port of a target: both ends of each are sockets of their own."""
    return list({probe[1:]: probe for probe in probes}.values())
