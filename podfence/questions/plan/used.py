"""Recorded traffic that a change cuts, and recorded traffic that it newly allows.

Rule: changed verdicts come only from the outcomes of the plan, so that flows and pairs agree and
have the same causes; unchanged verdicts come from OLD. Records are resolved in the cluster before
the change. An outside end without an address may be any address that OLD allows; it is judged if
the change is the same for all of these.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from enum import Enum, auto

from msgspec import Struct
from msgspec.structs import replace

from podfence.flows.seen import RecordedFlow
from podfence.model.cluster import Cluster
from podfence.model.meta import ObjectRef
from podfence.policy.index import PolicyIndex
from podfence.questions.plan.blame import Blame
from podfence.questions.plan.ends import outside_classes
from podfence.questions.plan.outcomes import Outcome, OutcomeEnd
from podfence.questions.suggest.evidence import Evidence, ObservedConnection, evidence
from podfence.questions.suggest.judging import ConnectionJudge
from podfence.questions.suggest.resolver import EndResolver, KnownEnd, with_dns
from podfence.sets import AddressSet
from podfence.sets.addresses import IPAddress


class ChangedUse(Struct, frozen=True):
    """A connection that was seen, with a verdict that changes. ``denied``: whether it was denied
    when it was seen. ``blames``: the causes, of different pods or IP versions."""

    connection: ObservedConnection
    denied: bool
    blames: tuple[Blame, ...]


class TrafficImpact(Struct, frozen=True):
    """``cut``: connections that passed and that close, at least for some pods; ``opened``:
    connections that open, whether they passed or not. ``kept``, ``refused``: how many others passed
    and were denied, and stay so; ``shut``: connections that passed although neither version allows
    them. ``gone``: connections of a workload that NEW lacks. ``unsure``: of a workload with
    uncertain verdicts; ``unjudged``: decided by an unknown address. ``assumed``: workloads of DNS
    that the input lacks."""

    evidence: Evidence
    cut: tuple[ChangedUse, ...]
    opened: tuple[ChangedUse, ...]
    kept: int
    refused: int
    shut: int
    gone: tuple[ObservedConnection, ...]
    unsure: int
    unjudged: int
    assumed: tuple[ObjectRef, ...] = ()


def with_asked_dns(
    old: Cluster, new: Cluster, flows: Sequence[RecordedFlow]
) -> tuple[Cluster, Cluster, tuple[ObjectRef, ...]]:
    """Both clusters with the pods of DNS that flows name and neither holds."""
    before, assumed = with_dns(old, flows)
    after, too = with_dns(new, flows)
    return (before, after, assumed) if assumed and too else (old, new, ())


def in_use(
    flows: Iterable[RecordedFlow],
    old: PolicyIndex,
    new: PolicyIndex,
    outcomes: Sequence[Outcome],
    undecided: Set[str],
    assumed: tuple[ObjectRef, ...] = (),
) -> TrafficImpact:
    """Judge flows by the outcomes of a plan. ``undecided``: names of workloads with uncertain
    verdicts."""
    resolver = EndResolver(old)
    found = evidence(flows, resolver, portless=True)
    after = {endpoint.pod.owner or endpoint.pod.ref for endpoint in new.endpoints.values()}
    judging = _Judging(
        outcomes, after, undecided, ConnectionJudge(old, resolver.members), _anyone(old, new)
    )
    return judging.used(found, assumed)


class _Turn(Enum):
    """What becomes of a connection."""

    CUT = auto()
    OPENED = auto()
    KEPT = auto()
    SHUT = auto()
    """It is denied before and after."""
    UNSURE = auto()
    UNKNOWN = auto()
    """An address decides that is not known."""


_Turned = tuple[_Turn, tuple[Blame, ...]]


class _Judging:
    """``before``: judges in OLD. ``anyone``: an address of each kind that is outside."""

    def __init__(
        self,
        outcomes: Sequence[Outcome],
        after: Set[ObjectRef],
        undecided: Set[str],
        before: ConnectionJudge,
        anyone: Sequence[IPAddress],
    ) -> None:
        self._outcomes = outcomes
        self._after = after
        self._undecided = {name.partition("[")[0] for name in undecided}
        self._before = before
        self._anyone = anyone
        self._from = _by_workload(outcome.sources for outcome in outcomes)
        self._to = _by_workload(outcome.destinations for outcome in outcomes)

    def used(self, found: Evidence, assumed: tuple[ObjectRef, ...]) -> TrafficImpact:
        turned: dict[_Turn, list[ChangedUse]] = {turn: [] for turn in _Turn}
        gone: list[ObservedConnection] = []
        refused = 0
        for each, denied in _every(found):
            ends = each.source, each.destination
            if any(end.workload is not None and end.workload not in self._after for end in ends):
                gone.append(each)
                continue
            turn, blames = self._turned(each, denied=denied)
            if denied and turn in (_Turn.CUT, _Turn.KEPT, _Turn.SHUT):
                refused += 1  # nobody loses what did not pass
            else:
                turned[turn].append(ChangedUse(each, denied, blames))
        return TrafficImpact(
            found,
            tuple(turned[_Turn.CUT]),
            tuple(turned[_Turn.OPENED]),
            len(turned[_Turn.KEPT]),
            refused,
            len(turned[_Turn.SHUT]),
            tuple(gone),
            len(turned[_Turn.UNSURE]),
            len(turned[_Turn.UNKNOWN]),
            assumed,
        )

    def _turned(self, each: ObservedConnection, *, denied: bool) -> _Turned:
        if all(end.workload is not None or end.address is not None for end in _ends(each)):
            return self._turned_between(each, denied=denied)
        every = [self._turned_between(one, denied=denied) for one in self._possible(each)]
        turns = {turn for turn, _ in every} - {_Turn.UNKNOWN}
        if denied:
            turns = {turn if turn is _Turn.OPENED else _Turn.SHUT for turn in turns}
        elif _Turn.UNSURE not in turns:  # what passed is, before all else, what OLD allows
            turns = turns & {_Turn.CUT, _Turn.KEPT} or turns
        if _Turn.UNSURE in turns:
            return _Turn.UNSURE, ()
        if len(turns) != 1:
            return _Turn.UNKNOWN, ()
        (turn,) = turns
        return turn, tuple(dict.fromkeys(b for of, blames in every if of is turn for b in blames))

    def _possible(self, each: ObservedConnection) -> Iterator[ObservedConnection]:
        """The connection with an address of each kind in place of the unknown one."""
        if any(end.workload is None and end.is_node for end in _ends(each)):
            return  # which node it was decides
        for address in self._anyone:
            if address.version in (each.families or {4, 6}):
                someone = KnownEnd(str(address), address=address)
                source, to = (e if e.workload is not None else someone for e in _ends(each))
                versions = frozenset({address.version})
                one = replace(each, source=source, destination=to, families=versions)
                if self._before.is_judged(one):
                    yield one

    def _turned_between(self, each: ObservedConnection, *, denied: bool) -> _Turned:
        """Of ends that are known."""
        changes = list(self._of(each))
        what = each.protocol, each.port
        opens = _blames(o for o in changes if what in o.opened)
        closes = _blames(o for o in changes if what in o.closed)
        if closes and not denied:
            return _Turn.CUT, closes
        if opens:
            return _Turn.OPENED, opens
        if any(end.name in self._undecided for end in _ends(each)):
            return _Turn.UNSURE, ()
        if denied:
            return _Turn.SHUT, ()
        if not self._before.is_judged(each):
            return _Turn.UNKNOWN, ()
        passes = any(verdict.allowed for verdict in self._before.verdicts(each))
        return _Turn.KEPT if passes else _Turn.SHUT, ()

    def _of(self, each: ObservedConnection) -> Iterator[Outcome]:
        """The outcomes that are about both ends."""
        near = self._from.get(each.source.workload, frozenset())
        far = self._to.get(each.destination.workload, frozenset())
        for number in sorted(near & far):
            outcome = self._outcomes[number]
            family = outcome.family is None or outcome.family in (each.families or {4, 6})
            ends = (each.source, outcome.sources), (each.destination, outcome.destinations)
            if family and all(_holds(who, party) for party, who in ends):
                yield outcome


def _by_workload(ends: Iterable[OutcomeEnd]) -> Mapping[ObjectRef | None, Set[int]]:
    """The numbers of outcomes by a workload at one of their ends; None: addresses."""
    found: dict[ObjectRef | None, set[int]] = defaultdict(set)
    for number, who in enumerate(ends):
        if who.outside is not None:
            found[None].add(number)
        for line in who.lines:
            found[line.workload].add(number)
    return found


def _holds(who: OutcomeEnd, party: KnownEnd) -> bool:
    address: IPAddress | None = party.address
    return who.outside is None or (address is not None and address in who.outside)


def _ends(each: ObservedConnection) -> tuple[KnownEnd, KnownEnd]:
    return each.source, each.destination


def _anyone(old: PolicyIndex, new: PolicyIndex) -> tuple[IPAddress, ...]:
    """An address of each kind that is outside on both sides, and neither a pod's nor a node's."""
    taken: set[IPAddress] = set()
    for side in (old, new):
        taken |= {*side.by_address, *side.contested, *side.by_node_address}
    found = (_first_free(addresses, taken) for _, _, addresses in outside_classes(old, new))
    return tuple(address for address in found if address is not None)


def _first_free(addresses: AddressSet, taken: Set[IPAddress]) -> IPAddress | None:
    """Looks at no more addresses than are taken, and one."""
    every = (address for network in addresses.networks() for address in network)
    return next((address for address in every if address not in taken), None)


def _every(found: Evidence) -> Iterator[tuple[ObservedConnection, bool]]:
    yield from ((each, False) for each in found.seen)
    yield from ((each, True) for each in found.denied)


def _blames(outcomes: Iterable[Outcome]) -> tuple[Blame, ...]:
    return tuple(dict.fromkeys(outcome.blame for outcome in outcomes))
