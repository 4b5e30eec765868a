"""What a change of the input opens and closes, for existing pods and for pods to come.

Rule: takes two clusters, or two compiled indexes; nothing is compiled twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set

from msgspec import Struct
from msgspec.structs import replace

from podfence.flows.seen import RecordedFlow
from podfence.model.cluster import Cluster
from podfence.model.doubt import Doubt
from podfence.model.meta import ObjectRef
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.policy.index import PolicyIndex
from podfence.questions.plan.blame import USUAL, BlameLimits, blamed
from podfence.questions.plan.difference import difference
from podfence.questions.plan.edits import Edit, aligned, edits_between, renamed
from podfence.questions.plan.ends import JointClasses, WorkloadPods, joint_ends
from podfence.questions.plan.gate import FailOn
from podfence.questions.plan.kinds import Became, kinds_followed, with_both_kinds
from podfence.questions.plan.newcomers import with_newcomers
from podfence.questions.plan.order import Order, safe_order
from podfence.questions.plan.outcomes import Outcome, OutcomeScope, outcomes, with_meetings
from podfence.questions.plan.undecided import (
    Doubts,
    UndecidedWorkloads,
    sort_out,
    touched,
    unread_workloads,
)
from podfence.questions.plan.used import TrafficImpact, in_use, with_asked_dns
from podfence.questions.tenants import NO_TENANTS, Tenants


class Summary(Struct, frozen=True):
    """The size of a change. ``opened``, ``closed``: pairs of workloads. ``ways_in``: workloads that
    more outside addresses can reach; ``ways_out``: workloads that can reach more of them;
    ``shut_in``, ``shut_out``: workloads that lose such connections."""

    opened: int = 0
    closed: int = 0
    ways_in: int = 0
    ways_out: int = 0
    shut_in: int = 0
    shut_out: int = 0


class Plan(Struct, frozen=True):
    """What changes between two clusters.

    ``outcomes``: for pods of both; ``newcomers``: for imaginary pods. ``arrives``, ``leaves``: pods
    of one side only. ``families``: IP versions of one side only, which are not compared.
    """

    edits: tuple[Edit, ...]
    outcomes: tuple[Outcome, ...]
    newcomers: tuple[Outcome, ...]
    arrives: tuple[WorkloadPods, ...]
    leaves: tuple[WorkloadPods, ...]
    families: tuple[int, ...]
    undecided: tuple[str, ...] = ()
    """Workloads with some verdicts that are not certain on both sides; what the plan says about
    them is certain."""

    order: Order | None = None
    """The order in which the edits can be applied; None if it was not asked for, or would take too
    long."""

    used: TrafficImpact | None = None
    """What of the traffic that was seen changes; None if no flows were given."""

    became: tuple[Became, ...] = ()
    """Workloads that have another kind."""

    @property
    def changes_something(self) -> bool:
        """Whether any verdict differs, of existing pods or of newcomers."""
        return bool(self.outcomes or self.newcomers)

    def fails(self, on: FailOn) -> bool:
        """Whether something changes that ``on`` names, of existing pods or to come."""
        every = (*self.outcomes, *self.newcomers)
        match on:
            case FailOn.ANY:
                return bool(every)
            case FailOn.OPENS:
                return any(each.opened for each in every)
            case FailOn.CLOSES:
                return any(each.closed for each in every)
            case FailOn.OUTSIDE:
                return any(each.opened for each in every if each.scope is not OutcomeScope.PODS)
            case FailOn.USED:
                return self.used is not None and bool(self.used.cut)
            case FailOn.NEVER:
                return False

    @property
    def silent(self) -> tuple[Edit, ...]:
        """The edits that change no verdict."""
        heard = {n for each in (*self.outcomes, *self.newcomers) for n in each.blame.edits}
        return tuple(edit for edit in self.edits if edit.number not in heard)

    @property
    def renamed(self) -> tuple[tuple[Edit, Edit], ...]:
        """Of the edits that change no verdict: policies that were removed, each with one that was
        added and means the same."""
        return renamed(self.silent)


def comparable(old: Cluster, new: Cluster, *, newcomers: bool = True) -> tuple[Cluster, Cluster]:
    """The two clusters with equal assumptions, and with newcomers in every namespace that both
    have."""
    if newcomers:
        shared = old.namespaces.keys() & new.namespaces.keys()
        old, new = with_newcomers(old, shared), with_newcomers(new, shared)
    return old, aligned(old, new)


def plan(
    old: Cluster,
    new: Cluster,
    names: DomainTable = NO_NAMES,
    *,
    newcomers: bool = True,
    same: Iterable[Doubt] = (),
    order: bool = False,
    flows: Sequence[RecordedFlow] | None = None,
    tenants: Tenants = NO_TENANTS,
) -> Plan:
    """Compare two clusters. ``names``: the addresses of domain names, for both sides. ``same``:
    objects that neither side can read and that are the same text on both. ``order``: whether to
    find an order of the edits. ``flows``: recorded traffic. ``tenants``: who is not to meet, by the
    namespaces of ``new``."""
    old, became = kinds_followed(old, new)
    old, new, assumed = with_asked_dns(old, new, flows or ())
    old, new = comparable(old, new, newcomers=newcomers)
    indexes = compile_cluster(old, names), compile_cluster(new, names)
    found = replace(plan_of_indexes(*indexes, same, order=order), became=became)
    if found.order is not None:
        found = replace(found, order=with_both_kinds(found.order, became))
    if apart := tenants.of(new.namespaces):
        existing, coming = (with_meetings(e, apart) for e in (found.outcomes, found.newcomers))
        found = replace(found, outcomes=existing, newcomers=coming)
    return found if flows is None else replace(found, used=_used(found, indexes, flows, assumed))


def _used(
    found: Plan,
    indexes: tuple[PolicyIndex, PolicyIndex],
    flows: Iterable[RecordedFlow],
    assumed: tuple[ObjectRef, ...],
) -> TrafficImpact:
    undecided = frozenset(found.undecided)
    return in_use(flows, *indexes, found.outcomes, undecided, assumed)


def plan_of_indexes(
    old: PolicyIndex,
    new: PolicyIndex,
    same: Iterable[Doubt] = (),
    limits: BlameLimits = USUAL,
    *,
    order: bool = False,
) -> Plan:
    """Compare two compiled clusters, made ``comparable`` before."""
    doubts = Doubts.of(old, new, same)
    edits = edits_between(old.cluster, new.cluster, doubts.refs)
    seen = touched(old, new, doubts, edits)
    edited = {edit.ref: edit.number for edit in edits if edit.is_of_pods}
    ends = joint_ends(old, new, edited, seen.workloads)
    found = blamed(difference(old, new, ends), edits, old, new, ends, limits)
    parts = sort_out(found, old, new, ends, seen)
    everything = outcomes(parts.certain, ends)
    return Plan(
        edits,
        tuple(each for each in everything if not each.newcomers),
        tuple(each for each in everything if each.newcomers),
        _shown(ends.arrives, doubts),
        _shown(ends.leaves, doubts),
        _one_sided(old, new, ends),
        tuple(sorted({*_undecided(ends, seen, parts.open), *unread_workloads(doubts, edits)})),
        safe_order(edits, old, new, ends) if order and not doubts else None,
    )


def _shown(lines: Iterable[WorkloadPods], doubts: Doubts) -> tuple[WorkloadPods, ...]:
    """Without newcomers, and without what the other side has and cannot read."""
    unread = doubts.refs
    return tuple(line for line in lines if not line.is_newcomer and line.workload not in unread)


def _undecided(ends: JointClasses, seen: UndecidedWorkloads, open_ends: Set[int]) -> Iterator[str]:
    for end in ends.joint:
        for line in end.lines:
            if end.number in open_ends or line.workload in seen.apart:
                yield line.name


def _one_sided(old: PolicyIndex, new: PolicyIndex, ends: JointClasses) -> tuple[int, ...]:
    """IP versions of only one side, if there is a pod to compare."""
    if not any(end.lines for end in ends.joint):
        return ()
    before, after = ({a.version for a in side.by_address} for side in (old, new))
    return tuple(sorted(before ^ after))


def summary(found: Iterable[Outcome]) -> Summary:
    """The size of a change; a pair whose ports open over one IP version and close over the other
    counts for both."""
    pairs: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
    ways: dict[tuple[OutcomeScope, bool], set[str]] = {
        (scope, opens): set() for scope in OutcomeScope for opens in (True, False)
    }
    for each in found:
        for opens, ports in ((True, each.opened), (False, each.closed)):
            if not ports:
                continue
            ways[each.scope, opens].update(line.name for line in each.subjects)
            if each.scope is OutcomeScope.PODS:
                pairs[opens].update(
                    (source.name, destination.name)
                    for source in each.sources.lines
                    for destination in each.destinations.lines
                    if source is not destination or not source.is_single_pod
                )
    return Summary(
        len(pairs[True]),
        len(pairs[False]),
        len(ways[OutcomeScope.IN, True]),
        len(ways[OutcomeScope.OUT, True]),
        len(ways[OutcomeScope.IN, False]),
        len(ways[OutcomeScope.OUT, False]),
    )
