"""suggest(cluster, flows) -> policies for recorded traffic, with the proof that they allow it.

Rule: the engine judges the records under the existing and the suggested policies together. The
answer also says what these allow beyond the records, and what they close.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from podfence.flows.seen import RecordedFlow
from podfence.model.cluster import Cluster
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.policy.flow import Direction, Verdict
from podfence.policy.index import PolicyIndex
from podfence.questions.find.openness import Openness, newcomers
from podfence.questions.plan.blame import BlameLimits
from podfence.questions.plan.newcomers import with_newcomers
from podfence.questions.plan.outcomes import Outcome
from podfence.questions.plan.plan import Summary, plan_of_indexes, summary
from podfence.questions.suggest.against import ExistingRules, against
from podfence.questions.suggest.blocks import widening
from podfence.questions.suggest.evidence import Evidence, ObservedConnection, evidence
from podfence.questions.suggest.groups import PodGroups, SharedLabels
from podfence.questions.suggest.judging import ConnectionJudge
from podfence.questions.suggest.promised import NeededTests, PromisedConnections, promised
from podfence.questions.suggest.resolver import EndResolver, KnownEnd, with_dns
from podfence.questions.suggest.rules import (
    DNS_OVER_TCP,
    EVERYTHING_SEEN,
    LeftOpen,
    PolicyWriter,
    SuggestedPolicies,
    SuggestedPolicy,
    SuggestOptions,
    ends_of,
    is_dns,
)
from podfence.questions.tests.edits import with_fixtures
from podfence.questions.tests.world import ClusterWorld

_NO_BLAME: Final = BlameLimits(worlds=0, verdicts=0)
"""Each policy is there to close connections; which of them closes what does not matter."""


class DeniedConnection(Struct, frozen=True):
    """A connection that was seen and would be denied, and by what."""

    connection: ObservedConnection
    verdict: Verdict


class RareConnection(Struct, frozen=True):
    """A connection that was seen too seldom to be evidence, and whether the policies allow it."""

    connection: ObservedConnection
    allowed: bool


class Replay(Struct, frozen=True):
    """What the engine says of the evidence. ``unjudged``: connections whose ends have no
    address of the same IP version."""

    allowed: int
    refused: tuple[DeniedConnection, ...]
    unjudged: int


class Suggestion(Struct, frozen=True):
    """``beyond``: what the suggested policies allow without a record. ``change``: what they open
    and close. ``assumed``: workloads of DNS that the input lacks. ``after``: the cluster with the
    policies. ``needed``: the connections that they must allow."""

    evidence: Evidence
    policies: tuple[SuggestedPolicy, ...]
    left_open: tuple[LeftOpen, ...]
    settled: int
    replay: Replay
    beyond: tuple[ObservedConnection, ...]
    change: Summary
    assumed: tuple[ObjectRef, ...]
    after: PolicyIndex
    needed: tuple[ObservedConnection, ...]
    changes: tuple[Outcome, ...] = ()
    rare: tuple[RareConnection, ...] = ()
    against: ExistingRules | None = None
    promised: PromisedConnections = PromisedConnections()
    coming: tuple[Openness, ...] = ()


def suggest(
    cluster: Cluster,
    flows: Iterable[RecordedFlow],
    wish: SuggestOptions = EVERYTHING_SEEN,
    names: DomainTable = NO_NAMES,
    *,
    with_denied: bool = False,
    tests: NeededTests | None = None,
) -> Suggestion:
    """Policies for traffic. ``with_denied``: what was denied shall be allowed, too; ``tests``: so
    shall what these need."""
    every = tuple(flows)
    cluster, assumed = with_dns(with_fixtures(cluster, tests.files if tests else ()), every)
    before = compile_cluster(cluster, names)
    resolver = EndResolver(before)
    found = evidence(every, resolver)
    wanted = found.seen + found.denied if with_denied else found.seen
    asked = promised(tests, cluster, names, resolver) if tests else PromisedConnections()
    merged = _merged([*wanted, *asked.connections])
    needed = [each for each in merged if each.promised or each.count >= wish.least]
    groups = PodGroups(cluster, resolver.members, wish.group)
    if assumed:
        ours = wish.workloads if wish.workloads is not None else frozenset(resolver.members)
        wish = replace(wish, workloads=ours - set(assumed))
    taken = (policy.ref for policy in cluster.policies)
    now = ConnectionJudge(before, resolver.members)
    wider = None if wish.widths is None else widening(cluster, wish.widths)
    written = PolicyWriter(groups, now, resolver.names, taken, wish, wider).write(needed)
    policies = [each.policy for each in written.policies]
    after = compile_cluster(with_policies(cluster, policies), names) if policies else before
    then = ConnectionJudge(after, resolver.members)
    changes = _changed(before, after)
    beyond = _beyond(written, merged, resolver.names, groups, then)
    return Suggestion(
        found,
        written.policies,
        written.left_open,
        written.settled,
        replayed(needed, then),
        tuple(dict.fromkeys(beyond)),
        summary(changes),
        assumed,
        after,
        tuple(needed),
        changes,
        tuple(
            RareConnection(each, then.is_judged(each) and then.denied(each) is None)
            for each in merged
            if each not in needed
        ),
        _against(before, now, merged, resolver, wish) if wish.against else None,
        asked,
        tuple(_coming(after, policies, wish)),
    )


def _coming(
    after: PolicyIndex, policies: Iterable[NetworkPolicy], wish: SuggestOptions
) -> Iterator[Openness]:
    """For whom else a namespace is not closed: suggestions are about workloads that were seen."""
    spaces = {each.ref.namespace for each in policies}
    if not spaces:
        return
    cluster = with_newcomers(after.cluster, spaces)
    for each in newcomers(ClusterWorld(compile_cluster(cluster, after.names))):
        ways = tuple(way for way in each.open if way in wish.directions)
        if ways and each.name.partition("/")[0] in spaces:
            yield Openness(each.name, each.pods, ways)


def _changed(before: PolicyIndex, after: PolicyIndex) -> tuple[Outcome, ...]:
    if after is before:
        return ()
    return plan_of_indexes(before, after, limits=_NO_BLAME).outcomes


def _against(
    index: PolicyIndex,
    judging: ConnectionJudge,
    seen: Iterable[ObservedConnection],
    resolver: EndResolver,
    wish: SuggestOptions,
) -> ExistingRules:
    asked = wish.workloads
    members = {ref: pods for ref, pods in resolver.members.items() if asked is None or ref in asked}
    return against(index, judging, seen, members, wish.directions)


def with_policies(cluster: Cluster, policies: Iterable[NetworkPolicy]) -> Cluster:
    """The cluster with more policies."""
    every = Cluster.of([*cluster.policies, *policies])
    return replace(cluster, policies=every.policies)


def replayed(connections: Iterable[ObservedConnection], judging: ConnectionJudge) -> Replay:
    """Judge connections again."""
    allowed, unjudged = 0, 0
    refused: list[DeniedConnection] = []
    for each in connections:
        verdict = judging.denied(each)
        if verdict is not None:
            refused.append(DeniedConnection(each, verdict))
        elif judging.is_judged(each):
            allowed += 1
        else:
            unjudged += 1
    return Replay(allowed, tuple(refused), unjudged)


_Key = tuple[KnownEnd, KnownEnd, str, int]


def _key(each: ObservedConnection) -> _Key:
    return each.source, each.destination, each.protocol, each.port


def _merged(connections: Sequence[ObservedConnection]) -> list[ObservedConnection]:
    """Each connection once, even if it both passed and was denied."""
    found: dict[_Key, ObservedConnection] = {}
    for each in connections:
        known = found.get(_key(each))
        found[_key(each)] = each if known is None else known.joined(each)
    return list(found.values())


def _beyond(
    written: SuggestedPolicies,
    wanted: Sequence[ObservedConnection],
    names: Mapping[ObjectRef, str],
    groups: PodGroups,
    judging: ConnectionJudge,
) -> Iterator[ObservedConnection]:
    """What rules allow that was not seen: other workloads of a peer's labels, TCP for DNS."""
    seen = {_key(each) for each in wanted}
    for each in written.policies:
        for direction, basis in each.basis.items():
            for candidate in _candidates(each.group, direction, basis, names, groups):
                if _key(candidate) in seen:
                    continue
                if judging.is_judged(candidate) and judging.denied(candidate) is None:
                    yield candidate


def _candidates(
    group: SharedLabels,
    direction: Direction,
    basis: Sequence[ObservedConnection],
    names: Mapping[ObjectRef, str],
    groups: PodGroups,
) -> Iterator[ObservedConnection]:
    """Everything between workloads that the rules of a policy name."""
    for each in basis:
        _, far = ends_of(each, direction)
        if far.workload is None:
            continue
        ports = [(each.protocol, each.port)]
        if direction is Direction.EGRESS and is_dns(far, each):
            ports.append(DNS_OVER_TCP)
        for near in sorted(group.members):
            for other in sorted(groups.of(far.workload).members):
                source, to = KnownEnd(names[near], near), KnownEnd(names[other], other)
                if direction is Direction.INGRESS:
                    source, to = to, source
                for protocol, port in ports:
                    yield ObservedConnection(source, to, protocol, port)
