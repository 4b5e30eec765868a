"""The ends that two compiled clusters have in common.

Rule: workloads are matched by kind, namespace and name, their pods by name if they keep it. Pods of
only one side open and close nothing: they arrive or leave.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from functools import cached_property
from itertools import chain

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.permitted import is_one_pod
from podfence.model.meta import ObjectRef
from podfence.policy.index import OutsideLookup, PolicyIndex
from podfence.questions.phrases.matched import workload_names
from podfence.questions.plan.newcomers import is_newcomer
from podfence.sets import AddressSet, IntervalSet
from podfence.sets.addresses import V4_MAX, V6_MAX

_LAST = {4: V4_MAX, 6: V6_MAX}
_SHOWN_PODS = 3


class WorkloadPods(Struct, frozen=True):
    """Pods of one workload that the policies of neither side tell apart.

    ``name`` is text of the API: never print it raw. ``before``, ``after``: the names of the pods on
    either side, sorted.
    """

    name: str
    workload: ObjectRef
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def is_single_pod(self) -> bool:
        """Whether one side has no second pod, so that the line is no pair with itself."""
        return is_one_pod(self.before) or is_one_pod(self.after)

    @property
    def is_newcomer(self) -> bool:
        """Whether the pod is imaginary."""
        return is_newcomer(self.workload)


class JointClass(Struct, frozen=True):
    """Ends that are in one class before and in one class after.

    ``lines``: the pods; ``outside``: or the addresses outside. ``edit``: the number of the edit of
    their workload, None for pods that were not edited.
    """

    number: int
    before: int
    after: int
    namespace: str = ""
    lines: tuple[WorkloadPods, ...] = ()
    outside: AddressSet | None = None
    edit: int | None = None


class JointClasses(Struct, frozen=True, dict=True):
    """``joint[n].number == n``. ``arrives``, ``leaves``: pods that only one side has."""

    joint: tuple[JointClass, ...]
    arrives: tuple[WorkloadPods, ...]
    leaves: tuple[WorkloadPods, ...]

    @cached_property
    def outside(self) -> FrozenBitMap:
        """Those that are outside addresses."""
        return FrozenBitMap(j.number for j in self.joint if j.outside is not None)

    @cached_property
    def newcomers(self) -> FrozenBitMap:
        """Those that are imaginary pods. They share a joint class with no real pod."""
        return FrozenBitMap(
            j.number for j in self.joint if any(line.is_newcomer for line in j.lines)
        )


def joint_ends(
    old: PolicyIndex,
    new: PolicyIndex,
    edited: Mapping[ObjectRef, int],
    apart: Set[ObjectRef] = frozenset(),
) -> JointClasses:
    """Match the ends of two clusters. ``edited``: workloads with the numbers of their edits;
    ``apart``: workloads that share no joint class with others."""
    before, after = _parts(old), _parts(new)
    names = workload_names({*before, *after})
    found: dict[_Key, list[WorkloadPods]] = defaultdict(list)
    arrives: list[WorkloadPods] = []
    leaves: list[WorkloadPods] = []
    for ref in sorted({*before, *after}, key=lambda r: (r.namespace, r.name, r.kind)):
        parts = _matched(before.get(ref, {}), after.get(ref, {}))
        for a, b, was, now in parts:
            name = names[ref] + (_which(now or was) if len(parts) > 1 else "")
            line = WorkloadPods(name, ref, was, now)
            if a is None:
                arrives.append(line)
            elif b is None:
                leaves.append(line)
            else:
                alone = ref if ref in apart else None
                found[a, b, edited.get(ref), is_newcomer(ref), alone].append(line)
    joint = [
        JointClass(number, a, b, lines[0].workload.namespace, tuple(lines), None, edit)
        for number, ((a, b, edit, *_), lines) in enumerate(found.items())
    ]
    for a, b, addresses in outside_classes(old, new):
        joint.append(JointClass(len(joint), a, b, outside=addresses))
    return JointClasses(tuple(joint), tuple(arrives), tuple(leaves))


_Key = tuple[int, int, int | None, bool, ObjectRef | None]
"""Both classes, the edit, whether it is a pod to come, and the workload if it has to be
separate."""
_Parts = dict[int, list[str]]
"""The pods of a workload by class."""


def _parts(index: PolicyIndex) -> dict[ObjectRef, _Parts]:
    found: dict[ObjectRef, _Parts] = defaultdict(lambda: defaultdict(list))
    for endpoint in index.endpoints.values():
        if endpoint.addresses:
            pod = endpoint.pod
            found[pod.owner or pod.ref][endpoint.endpoint_class].append(pod.name)
    return found


_Match = tuple[int | None, int | None, tuple[str, ...], tuple[str, ...]]
"""Class before, class after, and the pods in both."""


def _matched(before: _Parts, after: _Parts) -> list[_Match]:
    """The pods of one workload in pairs of classes."""
    if len(before) == len(after) == 1:  # nearly always
        [(a, was)], [(b, now)] = before.items(), after.items()
        return [(a, b, tuple(sorted(was)), tuple(sorted(now)))]
    later = {name: b for b, names in after.items() for name in names}
    pairs: dict[tuple[int, int], list[str]] = defaultdict(list)
    for a, names in before.items():
        for name in names:
            if name in later:
                pairs[a, later[name]].append(name)
    if not pairs:  # new names for all pods: by the order of classes, as far as both have some
        for a, b in zip(sorted(before), sorted(after), strict=False):
            pairs[a, b] = []
    found: list[_Match] = []
    for (a, b), names in sorted(pairs.items()):
        same = tuple(sorted(names))
        found.append((a, b, same or tuple(sorted(before[a])), same or tuple(sorted(after[b]))))
    gone = before.keys() - {a for a, _ in pairs}
    come = after.keys() - {b for _, b in pairs}
    found += [(a, None, tuple(sorted(before[a])), ()) for a in sorted(gone)]
    found += [(None, b, (), tuple(sorted(after[b]))) for b in sorted(come)]
    return found


def _which(pods: Sequence[str]) -> str:
    """Which pods of a workload are meant, as a map says it."""
    shown = pods
    if len(pods) > _SHOWN_PODS + 1:
        shown = (*pods[:_SHOWN_PODS], f"+{len(pods) - _SHOWN_PODS}")
    return f"[{','.join(shown)}]"


def outside_classes(old: PolicyIndex, new: PolicyIndex) -> Iterator[tuple[int, int, AddressSet]]:
    """Outside addresses of one IP version, cut at the ipBlocks of both sides, with their classes on
    both. Empty where the pods of one side have all of them."""
    for family in (4, 6):
        spans: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        starts = sorted({*old.outside_lookup.starts[family], *new.outside_lookup.starts[family]})
        ends = [*(start - 1 for start in starts[1:]), _LAST[family]]
        for low, high in zip(starts, ends, strict=True):
            pair = _at(old.outside_lookup, family, low), _at(new.outside_lookup, family, low)
            spans[pair].append((low, high))
        held = Counter(
            (_at(old.outside_lookup, family, address), _at(new.outside_lookup, family, address))
            for address in _held(old, new, family)
        )
        for (a, b), intervals in spans.items():
            members = IntervalSet.of(*intervals)
            if members.size > held[a, b] and old.classes[a].outside and new.classes[b].outside:
                yield a, b, AddressSet(v4=members) if family == 4 else AddressSet(v6=members)


def _held(old: PolicyIndex, new: PolicyIndex, family: int) -> set[int]:
    """The addresses that pods of either side have."""
    return {
        int(address)
        for side in (old, new)
        for address in (*side.by_address, *side.contested)
        if address.version == family
    }


def _at(lookup: OutsideLookup, family: int, address: int) -> int:
    return lookup.numbers[family][bisect_right(lookup.starts[family], address) - 1]


class Lift:
    """From classes of one side to joint classes."""

    def __init__(self, pairs: Iterable[tuple[int, int]]) -> None:
        found: dict[int, list[int]] = defaultdict(list)
        for of_side, joint in pairs:
            found[of_side].append(joint)
        # Nearly every class is one joint class, and that many small bitmaps would be slow to join.
        self._one = {n: joint[0] for n, joint in found.items() if len(joint) == 1}
        self._several = {n: joint for n, joint in found.items() if len(joint) > 1}
        self._ones, self._rest = FrozenBitMap(self._one), FrozenBitMap(self._several)

    def of(self, classes: BitMap | FrozenBitMap) -> FrozenBitMap:
        """The joint classes whose class of this side is one of these."""
        one = map(self._one.__getitem__, classes & self._ones)
        several = map(self._several.__getitem__, classes & self._rest)
        return FrozenBitMap([*one, *chain.from_iterable(several)])
