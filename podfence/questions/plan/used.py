"""What of the traffic that was seen a change cuts, and what it newly lets through.

Rule: the outcomes of the plan are asked and nothing else, so that what is said of flows agrees with
what is said of pairs, and has the same cause. Records are placed in the cluster as it was before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set

from msgspec import Struct

from podfence.flows.seen import Flow
from podfence.model.cluster import Cluster
from podfence.model.meta import ObjectRef
from podfence.model.objects import IPAddress
from podfence.policy.index import PolicyIndex
from podfence.questions.plan.blame import Blame
from podfence.questions.plan.outcomes import Outcome, Who
from podfence.questions.suggest.evidence import Connection, Evidence, evidence
from podfence.questions.suggest.places import Party, Places
from podfence.questions.suggest.standins import with_dns


class Use(Struct, frozen=True):
    """A connection that was seen and of which a verdict changes. ``denied``: whether it was denied
    when it was seen. ``blames``: the causes, of different pods or IP versions."""

    connection: Connection
    denied: bool
    blames: tuple[Blame, ...]


class Used(Struct, frozen=True):
    """``cut``: what passed and closes, for some of its pods at least; ``opened``: what opens,
    whether it passed or not. ``kept``, ``refused``: how many others passed and were denied, and
    stay as they are. ``gone``: connections with a workload that NEW does not have. ``unsure``: with
    a workload of which some verdicts are not certain; ``unjudged``: with an end of which no address
    is told. ``assumed``: workloads of DNS that the input does not hold."""

    evidence: Evidence
    cut: tuple[Use, ...]
    opened: tuple[Use, ...]
    kept: int
    refused: int
    gone: tuple[Connection, ...]
    unsure: int
    unjudged: int
    assumed: tuple[ObjectRef, ...] = ()


def with_asked_dns(
    old: Cluster, new: Cluster, flows: Sequence[Flow]
) -> tuple[Cluster, Cluster, tuple[ObjectRef, ...]]:
    """Both clusters with the pods of DNS that flows name and neither holds."""
    before, assumed = with_dns(old, flows)
    after, too = with_dns(new, flows)
    return (before, after, assumed) if assumed and too else (old, new, ())


def in_use(
    flows: Iterable[Flow],
    old: PolicyIndex,
    new: PolicyIndex,
    outcomes: Sequence[Outcome],
    undecided: Set[str],
    assumed: tuple[ObjectRef, ...] = (),
) -> Used:
    """Judge flows by the outcomes of a plan. ``undecided``: names of workloads of which some
    verdicts are not certain."""
    found = evidence(flows, Places(old))
    after = {endpoint.pod.owner or endpoint.pod.ref for endpoint in new.endpoints.values()}
    return _Judging(outcomes, after, undecided).used(found, assumed)


class _Judging:
    def __init__(
        self, outcomes: Sequence[Outcome], after: Set[ObjectRef], undecided: Set[str]
    ) -> None:
        self._outcomes = outcomes
        self._after = after
        self._undecided = {name.partition("[")[0] for name in undecided}
        self._from = _by_workload(outcome.sources for outcome in outcomes)
        self._to = _by_workload(outcome.destinations for outcome in outcomes)

    def used(self, found: Evidence, assumed: tuple[ObjectRef, ...]) -> Used:
        cut: list[Use] = []
        opened: list[Use] = []
        gone: list[Connection] = []
        rest = {True: 0, False: 0}
        unsure = unjudged = 0
        for each, denied in _every(found):
            ends = each.source, each.destination
            if any(end.workload is not None and end.workload not in self._after for end in ends):
                gone.append(each)
                continue
            if any(end.workload is None and end.address is None for end in ends):
                unjudged += 1
                continue
            changes = list(self._of(each))
            what = each.protocol, each.port
            opens = _blames(o for o in changes if what in o.opened)
            closes = _blames(o for o in changes if what in o.closed)
            if closes and not denied:
                cut.append(Use(each, denied, closes))
            elif opens:
                opened.append(Use(each, denied, opens))
            elif any(end.name in self._undecided for end in ends):
                unsure += 1
            else:
                rest[denied] += 1
        return Used(
            found,
            tuple(cut),
            tuple(opened),
            rest[False],
            rest[True],
            tuple(gone),
            unsure,
            unjudged,
            assumed,
        )

    def _of(self, each: Connection) -> Iterator[Outcome]:
        """The outcomes that are about both ends."""
        near = self._from.get(each.source.workload, frozenset())
        far = self._to.get(each.destination.workload, frozenset())
        for number in sorted(near & far):
            outcome = self._outcomes[number]
            family = outcome.family is None or outcome.family in (each.families or {4, 6})
            ends = (each.source, outcome.sources), (each.destination, outcome.destinations)
            if family and all(_holds(who, party) for party, who in ends):
                yield outcome


def _by_workload(ends: Iterable[Who]) -> Mapping[ObjectRef | None, Set[int]]:
    """The numbers of outcomes by a workload at one of their ends; None: addresses."""
    found: dict[ObjectRef | None, set[int]] = defaultdict(set)
    for number, who in enumerate(ends):
        if who.outside is not None:
            found[None].add(number)
        for line in who.lines:
            found[line.workload].add(number)
    return found


def _holds(who: Who, party: Party) -> bool:
    address: IPAddress | None = party.address
    return who.outside is None or (address is not None and address in who.outside)


def _every(found: Evidence) -> Iterator[tuple[Connection, bool]]:
    yield from ((each, False) for each in found.seen)
    yield from ((each, True) for each in found.denied)


def _blames(outcomes: Iterable[Outcome]) -> tuple[Blame, ...]:
    return tuple(dict.fromkeys(outcome.blame for outcome in outcomes))
