"""Workloads that a plan cannot judge, because an object of one side could not be read.

Rule: a change is reported only if both of its verdicts are certain (``questions.certainty``). An
object that neither side can read, with the same text on both, hides no difference unless an edit
makes one. Where an edit may, the pods that the object concerns are named, even if no change is
visible.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from itertools import product

from msgspec import Struct
from msgspec.structs import replace
from pyroaring import BitMap

from podfence.engine.evaluate import Evaluator
from podfence.model.doubt import Doubt
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.flow import Direction, Flow
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.questions.certainty import Certainty, may_turn
from podfence.questions.parties import PartyEnd
from podfence.questions.plan.blame import BlamedChange, rectangles
from podfence.questions.plan.counterfactual import free_address
from podfence.questions.plan.edits import Edit
from podfence.questions.plan.ends import JointClass, JointClasses
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING


class Doubts(Struct, frozen=True):
    """The objects of either side that could not be read. ``same``: those with the same text on both
    sides."""

    old: tuple[Doubt, ...] = ()
    new: tuple[Doubt, ...] = ()
    same: frozenset[Doubt] = frozenset()

    @classmethod
    def of(cls, old: PolicyIndex, new: PolicyIndex, same: Iterable[Doubt]) -> Doubts:
        """The doubts of two clusters."""
        return cls(old.cluster.doubts, new.cluster.doubts, frozenset(same))

    def __bool__(self) -> bool:
        return bool(self.old or self.new)

    @property
    def refs(self) -> frozenset[ObjectRef]:
        """The objects that are there and could not be read: they are neither added nor removed."""
        return frozenset(
            ObjectRef(each.kind, each.namespace, each.name)
            for each in (*self.old, *self.new)
            if not each.pods
        )


class UndecidedWorkloads(Struct, frozen=True):
    """Workloads with verdicts that depend on unread objects. ``apart``: on objects that differ
    between the sides, or that matter beside an edit."""

    workloads: frozenset[ObjectRef] = frozenset()
    apart: frozenset[ObjectRef] = frozenset()
    pods: frozenset[str] = frozenset()


def touched(
    old: PolicyIndex, new: PolicyIndex, doubts: Doubts, edits: Iterable[Edit] = ()
) -> UndecidedWorkloads:
    """Find the undecided workloads; without doubts there are none. ``edits``: the differences
    between the two."""
    if not doubts:
        return UndecidedWorkloads()
    edited = tuple(edits)
    sides = (old, new)
    pods, apart = set[str](), set[str]()
    for side in sides:
        same = tuple(doubt for doubt in side.cluster.doubts if doubt in doubts.same)
        other = tuple(doubt for doubt in side.cluster.doubts if doubt not in doubts.same)
        hidden = _open_pods(side, same)
        alone = _open_pods(side, other)
        pods |= hidden | alone
        apart.update(alone, _beside_edits(side, same, hidden, edited))
    return UndecidedWorkloads(_workloads(sides, pods), _workloads(sides, apart), frozenset(pods))


def unread_workloads(doubts: Doubts, edits: Iterable[Edit]) -> Iterator[str]:
    """Workloads that could not be read, so that no pod of theirs is compared: those that are not
    the same on both sides, and those that an edit may concern."""
    edited = tuple(edits)
    for doubt in (*doubts.old, *doubts.new):
        if doubt.may_have_pods:
            is_same = doubt in doubts.same
            if not is_same or any(_may_concern(edit, doubt) for edit in edited):
                yield f"{doubt.namespace}/{doubt.name}" if doubt.name else str(doubt)


def _may_concern(edit: Edit, doubt: Doubt) -> bool:
    """Whether an edit may change a verdict of a pod of which nothing is known but its namespace."""
    for thing in (*edit.before, *edit.after):
        if not isinstance(thing, NetworkPolicy) or doubt.namespace in ("", thing.ref.namespace):
            return True
        for rule in (*thing.ingress, *thing.egress):
            elsewhere = any(peer.ip_block or peer.namespace_selector for peer in rule.peers)
            if elsewhere or not rule.peers:
                return True
    return False


def _open_pods(index: PolicyIndex, doubts: tuple[Doubt, ...]) -> frozenset[str]:
    return Certainty(replace(index, cluster=replace(index.cluster, doubts=doubts))).open_pods()


def _beside_edits(
    index: PolicyIndex, doubts: tuple[Doubt, ...], pods: Iterable[str], edits: tuple[Edit, ...]
) -> Iterator[str]:
    """The ``pods`` that ``doubts`` concern and for which an edit, together with the unread object,
    may change a verdict.

    A verdict needs both of its directions. So does a difference: an edit makes one in the direction
    of the unread policy, or in the other one at the other end. Only edits of NetworkPolicies are
    distinguished like this; an edited label may be one that the unread policy selects by.
    """
    changed = [each for edit in edits for each in (*edit.before, *edit.after)]
    policies = [each for each in changed if isinstance(each, NetworkPolicy)]
    if len(policies) < len(changed):
        yield from pods
        return
    anywhere = {direction for policy in policies for direction in _directions(policy)}
    for name in pods:
        pod = index.endpoints[name].pod
        here = {
            d
            for policy in policies
            if policy.selects(pod.namespace, pod.labels)
            for d in _directions(policy)
        }
        unread = {d for doubt in doubts for d in Direction if may_turn(doubt, d, pod)}
        if any(d in here or anywhere - {d} for d in unread):
            yield name


def _directions(policy: NetworkPolicy) -> Iterator[Direction]:
    return (each for each in Direction if each.policy_type in policy.policy_types)


def _workloads(sides: Iterable[PolicyIndex], pods: Set[str]) -> frozenset[ObjectRef]:
    endpoints = (side.endpoints[name] for side in sides for name in pods & side.endpoints.keys())
    return frozenset(each.pod.owner or each.pod.ref for each in endpoints)


class DecidedParts(Struct, frozen=True):
    """Parts of changes that are certain, and the joint classes with parts that are not."""

    certain: tuple[BlamedChange, ...]
    open: frozenset[int]


def sort_out(
    parts: Iterable[BlamedChange],
    old: PolicyIndex,
    new: PolicyIndex,
    ends: JointClasses,
    seen: UndecidedWorkloads,
) -> DecidedParts:
    """Take away what an object that could not be read could turn."""
    if not seen.workloads:
        return DecidedParts(tuple(parts), frozenset())
    asking = _Asking(old, new, ends, seen)
    certain: list[BlamedChange] = []
    for part in parts:
        certain += asking.certain(part)
    return DecidedParts(tuple(certain), frozenset(asking.open))


class _Asking:
    """Asks for the certainty of single ports, one for each set of ports that all rules treat
    alike."""

    def __init__(
        self, old: PolicyIndex, new: PolicyIndex, ends: JointClasses, seen: UndecidedWorkloads
    ) -> None:
        self.open: set[int] = set()
        self._ends = ends
        self._seen = seen
        self._sides = (old, new)
        self._judges = (Evaluator(old), Evaluator(new))
        self._certainties = (Certainty(old), Certainty(new))
        self._touched = BitMap(
            end.number
            for end in ends.joint
            if any(line.workload in seen.workloads for line in end.lines)
        )

    def certain(self, part: BlamedChange) -> Iterator[BlamedChange]:
        """The part without the ports and pairs that are open."""
        if not (part.sources & self._touched or part.destinations & self._touched):
            yield part
            return
        found: dict[tuple[PortSet, PortSet], dict[int, BitMap]] = defaultdict(
            lambda: defaultdict(BitMap)
        )
        for source, destination in product(part.sources, part.destinations):
            left = self._certain_ports(part, source, destination)
            if left:
                found[part.opened & left, part.closed & left][destination].add(source)
        for (opened, closed), rows in found.items():
            for sources, destinations in rectangles(rows):
                yield replace(
                    part, sources=sources, destinations=destinations, opened=opened, closed=closed
                )

    def _certain_ports(self, part: BlamedChange, source: int, destination: int) -> PortSet:
        changed = part.opened | part.closed
        near, far = self._ends.joint[source], self._ends.joint[destination]
        kept = [ports for ports in self._alike(changed, near, far) if self._sure(ports, near, far)]
        left = PortSet.union(kept)
        if left != changed:
            self.open.update({source, destination} & set(self._touched))
        return left

    def _alike(self, ports: PortSet, near: JointClass, far: JointClass) -> Iterator[PortSet]:
        """``ports`` in parts that no rule at either end cuts."""
        parts = [ports]
        for cut in self._cuts(near, far):
            split = [each for part in parts for each in (part & cut, part - cut) if each]
            parts = split
        yield from parts

    def _cuts(self, near: JointClass, far: JointClass) -> set[PortSet]:
        found: set[PortSet] = set()
        for end, direction in ((near, Direction.EGRESS), (far, Direction.INGRESS)):
            if end.outside is not None:
                continue
            for side, number in zip(self._sides, (end.before, end.after), strict=True):
                for tier in side.policies[number].of(direction).tiers:
                    found |= {match.ports for rule in tier.rules for match in rule.matches}
        return found - {EVERYTHING}

    def _sure(self, ports: PortSet, near: JointClass, far: JointClass) -> bool:
        """Whether both verdicts are certain, over every IP version that the ends share."""
        protocol, port, _ = next(ports.ranges())
        for after in (0, 1):
            source = self._end(near, after)
            destination = self._end(far, after, source.name)
            for address in source.addresses:
                to = destination.address(address.version)
                if to is None:
                    continue
                verdict = self._judges[after].verdict(Flow(address, to, protocol, port))
                if self._certainties[after].open(source, destination, verdict):
                    return False
        return True

    def _end(self, end: JointClass, after: int, other: str = "") -> PartyEnd:
        """An end on one side; of several pods one that a doubt touches, and not the ``other`` end:
        what a pod sends to itself always arrives."""
        side = self._sides[after]
        if end.outside is not None:
            address = free_address(end, self._sides)
            return PartyEnd("", None, (address,) if address else ())
        names = [
            f"{line.workload.namespace}/{name}"
            for line in end.lines
            for name in (line.after if after else line.before)
        ]
        names = [name for name in names if name != other] or names
        name = next((n for n in names if n in self._seen.pods), names[0])
        endpoint: Endpoint = side.endpoints[name]
        return PartyEnd(name, endpoint, endpoint.addresses)
