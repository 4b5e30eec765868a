"""The order in which the edits of a change can be applied, one object after the other.

Rule: the API has no transaction. A state in between is safe if it keeps every connection that both
versions allow, and allows none that neither does. Each state that is reported as safe was compiled
and evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from enum import Enum

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyRule, PolicyType
from podfence.policy.flow import Direction
from podfence.policy.index import PolicyIndex
from podfence.questions.plan.blame import applying
from podfence.questions.plan.counterfactual import SmallCluster, Worlds
from podfence.questions.plan.edits import Edit, EditKind
from podfence.questions.plan.ends import JointClass, JointClasses
from podfence.sets import PortSet

TEMPORARY = "podfence-transition"
"""How the names of temporary policies begin."""


class ApplyVerb(Enum):
    """What a step does with an object."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class ApplyStep(Struct, frozen=True):
    """One object that is applied or deleted. ``cuts``, ``opens``: pairs of classes that, until
    later steps, lose what both versions allow, or get what neither allows; both are 0 in a safe
    order."""

    verb: ApplyVerb
    ref: ObjectRef
    cuts: int = 0
    opens: int = 0
    temporary: bool = False


class Order(Struct, frozen=True):
    """The steps. ``temporary``: policies that are needed only in between."""

    steps: tuple[ApplyStep, ...]
    temporary: tuple[NetworkPolicy, ...] = ()

    @property
    def is_safe(self) -> bool:
        """Whether no state in between cuts or opens anything."""
        return not any(step.cuts or step.opens for step in self.steps)


def safe_order(
    edits: Sequence[Edit],
    old: PolicyIndex,
    new: PolicyIndex,
    ends: JointClasses,
    most: int = 400_000,
) -> Order | None:
    """A safe order if one is found, otherwise the one with the least harm at each step. None where
    it would take more than ``most`` verdicts."""
    ordering = _Ordering(edits, old, new, ends, most)
    try:
        plain = ordering.greedy(())
        if plain.is_safe:
            return plain
        helpers = ordering.helpers()
        helped = ordering.greedy(helpers) if helpers else plain
    except _TooMuch:
        return None
    return helped if helped.is_safe or _harm(helped) < _harm(plain) else plain


def _harm(order: Order) -> int:
    return sum(step.cuts + step.opens for step in order.steps)


class _TooMuch(Exception):
    """More verdicts than are worth it."""


_Pair = tuple[int, int]


class _Ordering:
    def __init__(
        self,
        edits: Sequence[Edit],
        old: PolicyIndex,
        new: PolicyIndex,
        ends: JointClasses,
        most: int,
    ) -> None:
        self._edits = edits
        self._sides = (old, new)
        self._left = most
        self._ends = [end for end in ends.joint if not any(n.is_newcomer for n in end.lines)]
        self._worlds = Worlds(old, new)
        self._spaces = {e.ref.name: e.number for e in edits if e.ref.kind == "Namespace"}
        self._touched = {edit.number: self._pairs(edit) for edit in edits}
        self._kept: dict[tuple[int, int, int], tuple[PortSet, PortSet]] = {}
        self._old = self._state(frozenset(), ())
        self._new = self._state(frozenset(edit.number for edit in edits), ())

    # -- which pairs a step can change

    def _pairs(self, edit: Edit) -> tuple[FrozenBitMap, FrozenBitMap]:
        """Sources whose egress, and destinations whose ingress, an edit may change; labels of an
        end may change both."""
        near, far = BitMap(), BitMap()
        for end in self._ends:
            own = edit.number in self._edits_of(end) or self._may_apply(edit, end)
            if own or self._applies(edit, end, Direction.EGRESS) or edit.ref.kind == "Node":
                near.add(end.number)
            if own or self._applies(edit, end, Direction.INGRESS):
                far.add(end.number)
        return FrozenBitMap(near), FrozenBitMap(far)

    def _edits_of(self, end: JointClass) -> set[int]:
        """The edits of an end itself and of its namespace."""
        space = self._spaces.get(end.namespace) if end.lines else None
        return {number for number in (end.edit, space) if number is not None}

    def _may_apply(self, edit: Edit, end: JointClass) -> bool:
        """A policy may select in between, by one version of its selector and the other of the
        pod's labels, a pod that it selects in neither version."""
        if not end.lines or edit.ref.kind in ("Namespace", "Node") or edit.is_of_pods:
            return False
        return bool(self._edits_of(end)) and edit.ref.namespace in ("", end.namespace)

    def _applies(self, edit: Edit, end: JointClass, direction: Direction) -> bool:
        if end.outside is not None or edit.is_of_pods:
            return False
        numbers = zip(self._sides, (end.before, end.after), strict=True)
        policies = (side.policies[number].of(direction) for side, number in numbers)
        return any(edit.ref == ref for policy in policies for ref in applying(policy))

    def _asked(self, touched: tuple[FrozenBitMap, FrozenBitMap]) -> Iterator[_Pair]:
        near, far = touched
        for source in self._ends:
            for destination in self._ends:
                if source.outside is not None and destination.outside is not None:
                    continue
                if source.number in near or destination.number in far:
                    yield source.number, destination.number

    # -- states

    def greedy(self, helpers: Sequence[NetworkPolicy]) -> Order:
        """Safe steps as long as there are any, else the one that does least harm."""
        steps = [ApplyStep(ApplyVerb.CREATE, helper.ref, temporary=True) for helper in helpers]
        everything = tuple(
            FrozenBitMap().union(*(touched[at] for touched in self._touched.values()))
            for at in (0, 1)
        )
        whole = everything[0], everything[1]
        if helpers:
            steps[-1] = self._step(steps[-1].verb, steps[-1].ref, frozenset(), helpers, whole)
        done: frozenset[int] = frozenset()
        left = sorted(self._edits, key=_rank)
        while left:
            best: ApplyStep | None = None
            for edit in left:
                then = done | {edit.number}
                touched = self._touched[edit.number]
                step = self._step(_VERBS[edit.kind], edit.ref, then, helpers, touched)
                if best is None or step.cuts + step.opens < best.cuts + best.opens:
                    best, chosen = step, edit
                if not (step.cuts or step.opens):
                    break
            assert best is not None
            steps.append(best)
            done |= {chosen.number}
            left.remove(chosen)
        steps += [ApplyStep(ApplyVerb.DELETE, helper.ref, temporary=True) for helper in helpers]
        return Order(tuple(steps), tuple(helpers))

    def _step(
        self,
        verb: ApplyVerb,
        ref: ObjectRef,
        done: Set[int],
        helpers: Sequence[NetworkPolicy],
        touched: tuple[FrozenBitMap, FrozenBitMap],
    ) -> ApplyStep:
        world = self._state(done, helpers)
        cuts = opens = 0
        for source, destination in self._asked(touched):
            self._left -= 1
            if self._left < 0:
                raise _TooMuch
            cut = opened = False
            for family in (4, 6):
                both, either = self._versions(source, destination, family)
                now = world.ports(source, destination, family)
                if now is not None:
                    cut |= bool(both - now)
                    opened |= bool(now - either)
            cuts += cut
            opens += opened
        return ApplyStep(verb, ref, cuts, opens, any(ref == helper.ref for helper in helpers))

    def _versions(self, source: int, destination: int, family: int) -> tuple[PortSet, PortSet]:
        """What both versions allow, and what either does."""
        key = source, destination, family
        found = self._kept.get(key)
        if found is None:
            before = self._old.ports(*key) or PortSet()
            after = self._new.ports(*key) or PortSet()
            found = self._kept[key] = before & after, before | after
        return found

    def _state(self, done: Set[int], helpers: Sequence[NetworkPolicy]) -> SmallCluster:
        finished = [edit for edit in self._edits if edit.number in done]
        return self._worlds.after(finished, self._ends, helpers)

    # -- help

    def helpers(self) -> tuple[NetworkPolicy, ...]:
        """For each policy that isolates pods that were not isolated before: a temporary policy that
        allows them everything in that direction, as before."""
        found: dict[object, NetworkPolicy] = {}
        for edit in self._edits:
            if edit.ref.kind != "NetworkPolicy" or not edit.after:
                continue
            policy = edit.after[0]
            assert isinstance(policy, NetworkPolicy)
            types = frozenset(t for t in policy.policy_types if self._was_open(edit, t))
            if types:
                anything = (NetworkPolicyRule(),)
                helper = NetworkPolicy(
                    ObjectRef("NetworkPolicy", edit.ref.namespace, _name(edit.ref)),
                    policy.pod_selector,
                    types,
                    anything if PolicyType.INGRESS in types else (),
                    anything if PolicyType.EGRESS in types else (),
                )
                found.setdefault((edit.ref.namespace, policy.pod_selector, types), helper)
        return tuple(found.values())

    def _was_open(self, edit: Edit, kind: PolicyType) -> bool:
        direction = next(d for d in Direction if d.policy_type is kind)
        old = self._sides[0]
        touched = [
            end for end in self._ends if end.outside is None and self._applies(edit, end, direction)
        ]
        return bool(touched) and not any(
            old.policies[end.before].of(direction).isolates for end in touched
        )


_VERBS = {
    EditKind.ADDED: ApplyVerb.CREATE,
    EditKind.CHANGED: ApplyVerb.UPDATE,
    EditKind.REMOVED: ApplyVerb.DELETE,
}


def _rank(edit: Edit) -> tuple[int, int]:
    """What adds comes before what takes away: most orders that are safe are like that."""
    return list(EditKind).index(edit.kind) if edit.kind is not EditKind.CHANGED else 0, edit.number


def _name(ref: ObjectRef) -> str:
    return f"{TEMPORARY}-{ref.name}"[:253]
