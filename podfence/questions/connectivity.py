"""Who can reach whom: all pairs, with pods grouped by workload and outside addresses by verdict.

Rule: rows are computed one destination at a time and never for pairs of pods, so that a renderer
can write a large cluster while it is computed. A name stands for one group only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain

from msgspec import Struct
from msgspec.structs import replace
from pyroaring import BitMap, FrozenBitMap

from podfence.engine.allpairs import Reachability, all_pairs
from podfence.engine.permitted import is_one_pod
from podfence.model.meta import ObjectRef
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.questions.outsideclasses import equal_outside
from podfence.questions.phrases.matched import workload_names
from podfence.questions.phrases.outside import name_outside
from podfence.questions.unjudged import UNTOUCHED, TouchedPods
from podfence.sets import AddressSet, PortSet


class Group(Struct, frozen=True):
    """One line of a map: the pods of a workload that policies cannot tell apart, or outside
    addresses.

    """

    number: int
    name: str
    """Tells the group from every other of the map. Text of the API: never print it raw."""
    endpoint_class: int
    """The class of the pods. Of outside addresses the first of several classes with equal rows."""
    workload: ObjectRef | None = None
    """The owner, or the pod itself when it has none; None for outside addresses."""
    pods: tuple[str, ...] = ()
    """Names in the namespace, sorted."""
    partial: bool = False
    """Whether the workload has pods in other groups too."""
    addresses: AddressSet | None = None
    """Outside addresses, including those that a pod has."""
    isolated_ingress: bool = False
    """Whether some policy selects the pods for ingress."""
    isolated_egress: bool = False
    """Whether some policy selects the pods for egress."""
    unjudged: tuple[str, ...] = ()
    """Policies of other APIs that may touch the pods, as text of the API."""

    @property
    def is_single_pod(self) -> bool:
        """Whether the map has no row from the group to itself."""
        return is_one_pod(self.pods)


class Sources(Collection[Group]):
    """The groups of some classes, without ``apart``. A large map has millions of sources in its
    rows, and most are only written, class by class."""

    __slots__ = ("_apart", "_by_class", "_classes", "_found")

    def __init__(
        self, by_class: Sequence[Sequence[Group]], classes: BitMap, apart: Group | None = None
    ) -> None:
        self._by_class = by_class
        self._classes = classes
        self._apart = apart
        self._found: tuple[Group, ...] | None = None

    def __iter__(self) -> Iterator[Group]:
        if self._found is None:
            found = chain.from_iterable(map(self._by_class.__getitem__, self._classes))
            self._found = tuple(g for g in found if g is not self._apart)
        return iter(self._found)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, group: object) -> bool:
        return any(group is each for each in self)

    def __bool__(self) -> bool:
        only = self._apart and len(self._classes) == 1 and self._by_class[self._classes[0]]
        return bool(self._classes) and only != [self._apart]

    def joined(self, names: Sequence[bytes], of_class: Sequence[bytes]) -> bytes:
        """The names of the groups with commas between. ``names``: by number of the group;
        ``of_class``: by class, those of its groups with commas between."""
        parts = list(map(of_class.__getitem__, self._classes))
        if self._apart is not None:
            number = self._apart.endpoint_class
            others = [names[g.number] for g in self._by_class[number] if g is not self._apart]
            at = self._classes.rank(number) - 1
            parts[at : at + 1] = [b",".join(others)] if others else []
        return b",".join(parts)


class Row(Struct, frozen=True):
    """``sources`` reach ``destination`` on ``ports``. ``family``: 4 or 6 when it holds for that IP
    version only, None when it holds for every one that the two share."""

    destination: Group
    ports: PortSet
    family: int | None
    sources: Collection[Group]


class Connectivity(Struct, frozen=True):
    """``rows()`` computes the rows, ordered by destination. ``left_out``: pods that are not on the
    map, by reason: finished, on the host network, or without an address. ``only``: the restriction
    that was asked for. ``asked``: numbers of the destinations that were asked for, None for all."""

    groups: tuple[Group, ...]
    rows: Callable[[], Iterator[Row]]
    left_out: dict[str, tuple[str, ...]]
    only: frozenset[str] = frozenset()
    asked: frozenset[int] | None = None

    def is_about(self, group: Group) -> bool:
        """Whether a line "nobody reaches it" is useful."""
        if group.workload is None:
            return False
        if self.asked is not None and group.number not in self.asked:
            return False
        return not self.only or group.workload.namespace in self.only


def connectivity(
    index: PolicyIndex,
    without: frozenset[str] = frozenset(),
    only: frozenset[str] = frozenset(),
    touched: TouchedPods = UNTOUCHED,
) -> Connectivity:
    """The map of a cluster. ``without``: pods (``namespace/name``) that are left out; ``only``:
    when not empty, pairs with an end in one of these namespaces; ``touched``: pods that policies
    of other APIs may touch."""
    families = sorted({a.version for a in index.by_address})
    maps = [all_pairs(index, family) for family in families]
    pods = [_marked(group, touched) for group in _pod_groups(index, without)]
    shown = FrozenBitMap(g.endpoint_class for g in pods if not only or _namespace(g) in only)
    outside = equal_outside(index, maps, shown)
    groups = tuple(_named_apart([*pods, *_outside_groups(index, len(pods), outside)]))
    by_class: list[list[Group]] = [[] for _ in index.classes]
    for group in groups:
        by_class[group.endpoint_class].append(group)

    populated = BitMap(number for number, found in enumerate(by_class) if found)

    def rows() -> Iterator[Row]:
        for destination in groups:
            found = sorted(_merged(maps, destination.endpoint_class), key=_order)
            for ports, family, classes in found:
                there = classes & populated
                itself = destination.is_single_pod and destination.endpoint_class in there
                sources = Sources(by_class, there, destination if itself else None)
                if sources and (shown := _within(only, destination, sources)):
                    yield Row(destination, ports, family, shown)

    return Connectivity(groups, rows, _left_out(index), only)


def _marked(group: Group, touched: TouchedPods) -> Group:
    if not touched or group.workload is None:
        return group
    space = group.workload.namespace
    policies = touched.by(f"{space}/{pod}" for pod in group.pods)
    return replace(group, unjudged=tuple(map(str, policies))) if policies else group


def _order(row: tuple[PortSet, int | None, object]) -> tuple[bool, str, int]:
    """Everything first, then as the ports are written: no order of the engine's shows."""
    ports, family, _ = row
    return not ports.is_everything, ports_words(ports), family or 0


@lru_cache(maxsize=1 << 14)
def ports_words(ports: PortSet) -> str:
    """``str(ports)``; the rows of a large map say the same again and again."""
    return str(ports)


def _within(
    only: frozenset[str], destination: Group, sources: Collection[Group]
) -> Collection[Group]:
    if not only or _namespace(destination) in only:
        return sources
    return tuple(g for g in sources if _namespace(g) in only)


def _namespace(group: Group) -> str | None:
    return group.workload.namespace if group.workload else None


def _merged(
    maps: list[Reachability], destination: int
) -> Iterator[tuple[PortSet, int | None, BitMap]]:
    """Rows of all families; rows that are equal in both are merged."""
    rows = [m.rows[destination] for m in maps if destination in m.rows]
    if len(rows) == 1:
        for ports, classes in rows[0].items():
            yield ports, None, classes
    elif rows:
        yield from _both_families(rows[0], rows[1], maps[0].speakers & maps[1].speakers)


def _both_families(
    four: Mapping[PortSet, BitMap], six: Mapping[PortSet, BitMap], both: FrozenBitMap
) -> Iterator[tuple[PortSet, int | None, BitMap]]:
    for ports in dict.fromkeys((*four, *six)):
        in_four, in_six = four.get(ports, BitMap()), six.get(ports, BitMap())
        same = (in_four & in_six) | (in_four - both) | (in_six - both)
        for family, classes in ((None, same), (4, in_four - same), (6, in_six - same)):
            if classes:
                yield ports, family, classes


# -- groups


def _pod_groups(index: PolicyIndex, without: frozenset[str]) -> list[Group]:
    found: dict[tuple[ObjectRef, int], list[Endpoint]] = defaultdict(list)
    classes_of: dict[ObjectRef, set[int]] = defaultdict(set)
    for name, endpoint in index.endpoints.items():
        if endpoint.addresses and name not in without:
            workload = endpoint.pod.owner or endpoint.pod.ref
            found[workload, endpoint.endpoint_class].append(endpoint)
            classes_of[workload].add(endpoint.endpoint_class)
    names = workload_names(classes_of)
    groups: list[Group] = []
    for workload, members in sorted(
        ((workload, members) for (workload, _), members in found.items()), key=_by_name
    ):
        partial = len(classes_of[workload]) > 1
        groups.append(_pod_group(index, len(groups), workload, members, partial, names))
    return groups


def _by_name(
    group: tuple[ObjectRef, list[Endpoint]],
) -> tuple[tuple[str, str, str], str]:
    """By workload, then by the first pod: numbers of classes may have any order."""
    workload, members = group
    first = min(endpoint.pod.name for endpoint in members)
    return (workload.namespace, workload.name, workload.kind), first


def _outside_groups(
    index: PolicyIndex, first: int, equal: Iterable[Sequence[int]]
) -> Iterator[Group]:
    """One group for each set of classes. Every row lists it under its first class."""
    for number, classes in enumerate(equal, start=first):
        found = AddressSet.union(index.classes[c].outside or AddressSet() for c in classes)
        yield Group(number, f"outside {name_outside(found)}", classes[0], addresses=found)


def _named_apart(groups: Iterable[Group]) -> Iterator[Group]:
    """Groups with a distinct name each: names may be cut short, and names of the API may contain
    anything."""
    taken: set[str] = set()
    for group in groups:
        number, name = 1, group.name
        while name in taken:
            number += 1
            name = f"{group.name} ({number})"
        taken.add(name)
        yield group if name == group.name else replace(group, name=name)


def _pod_group(
    index: PolicyIndex,
    number: int,
    workload: ObjectRef,
    members: list[Endpoint],
    partial: bool,
    names: Mapping[ObjectRef, str],
) -> Group:
    name = names[workload]
    pods = tuple(sorted(endpoint.pod.name for endpoint in members))
    if partial:
        shown = (*pods[:3], f"+{len(pods) - 3}") if len(pods) > 4 else pods
        name += f"[{','.join(shown)}]"
    policy = index.policies[members[0].endpoint_class]
    return Group(
        number,
        name,
        members[0].endpoint_class,
        workload,
        pods,
        partial,
        isolated_ingress=policy.ingress.isolates,
        isolated_egress=policy.egress.isolates,
    )


def _left_out(index: PolicyIndex) -> dict[str, tuple[str, ...]]:
    reasons: dict[str, list[str]] = defaultdict(list)
    for pod in index.cluster.pods:
        name = f"{pod.namespace}/{pod.name}"
        if pod.finished:
            reasons["finished"].append(name)
        elif pod.host_network:
            reasons["host network"].append(name)
        elif not pod.addresses:
            reasons["no address yet"].append(name)
        elif not index.endpoints[name].addresses:
            reasons["address of another pod, too"].append(name)
    return {reason: tuple(sorted(reasons[reason])) for reason in sorted(reasons)}
