"""The content of a test file, as values. ``decode`` makes them; ``ends`` finds what they match.

Rule: only shapes. ``text`` is the original text; ``path`` is the field, for messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum

from msgspec import Struct

from podfence.errors import Source
from podfence.model.cluster import ClusterObject
from podfence.model.meta import Labels
from podfence.model.selectors import LabelSelector
from podfence.model.workloads import Workload
from podfence.policy.flow import Direction
from podfence.sets import AddressSet, PortSet
from podfence.sets.ports import EVERYTHING


class NamedPort(Struct, frozen=True):
    """A container port by its name; it may be another number on every pod."""

    name: str
    protocol: str


class PortSpec(Struct, frozen=True):
    """Ports of a destination. ``numbers``: known numbers; ``names``: names that the destination
    declares."""

    text: str
    numbers: PortSet
    names: tuple[NamedPort, ...] = ()


ALL_PORTS = PortSpec("any", EVERYTHING)


class NamedEnd(Struct, frozen=True):
    """A pod, workload or node by its name, or a Service, which means its endpoints. ``is_service``:
    ``text`` is a word for a Service; a workload of that name takes precedence."""

    text: str
    name: str
    namespace: str
    is_service: bool = False


class SelectedEnd(Struct, frozen=True):
    """Pods by their labels. ``namespace``: only of this namespace; None: of all that ``namespaces``
    selects."""

    text: str
    namespace: str | None
    namespaces: LabelSelector
    pods: LabelSelector


class AddressEnd(Struct, frozen=True):
    """Addresses, whatever has them. ``is_outside``: without those of pods and nodes."""

    text: str
    addresses: AddressSet
    is_outside: bool = False


class NewcomerEnd(Struct, frozen=True):
    """A pod that does not exist yet. ``namespace`` None: one in each namespace, and one in a
    namespace that does not exist yet."""

    text: str
    namespace: str | None
    labels: Labels = ()


class EntryEnd(Struct, frozen=True):
    """What comes through an entry from outside, as an end to come from."""

    text: str
    namespace: str


class UnionEnd(Struct, frozen=True):
    """Several ends. ``without``: less these."""

    text: str
    ends: tuple[End, ...]
    without: tuple[End, ...] = ()


End = NamedEnd | SelectedEnd | AddressEnd | NewcomerEnd | EntryEnd | UnionEnd


class TargetEnd(Struct, frozen=True):
    """An end with its ports; None: those of the test."""

    end: End
    ports: PortSpec | None = None


class Expect(Enum):
    """``ALLOW``: every pair on every port. ``DENY``: none. ``SOME``: one pair on one port."""

    ALLOW = "allow"
    DENY = "deny"
    SOME = "some"


class OnlyItem(Struct, frozen=True):
    """One item of ``only``: what must be allowed, and what may be. ``optional``: only may be."""

    path: str
    targets: tuple[TargetEnd, ...]
    ports: PortSpec
    optional: bool = False


class Unless(Struct, frozen=True):
    """One item of ``unless``: pairs that a test does not look at. None: every end."""

    path: str
    sources: tuple[TargetEnd, ...] | None
    targets: tuple[TargetEnd, ...] | None
    ports: PortSpec


class Patch(Struct, frozen=True):
    """Labels that are put on an object, or with None taken off."""

    path: str
    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str | None]


class Removal(Struct, frozen=True):
    """An object that goes."""

    path: str
    kind: str
    namespace: str
    name: str


class Addition(Struct, frozen=True):
    """An object that comes, or takes the place of another."""

    path: str
    objects: tuple[ClusterObject | Workload, ...]


Given = Patch | Removal | Addition


class PolicyTest(Struct, frozen=True):
    """One promise. Exactly one of ``expect``, ``only`` and ``isolated`` is there."""

    name: str
    path: str
    source: Source
    sources: tuple[TargetEnd, ...] | None = None
    targets: tuple[TargetEnd, ...] | None = None
    ports: PortSpec = ALL_PORTS
    expect: Expect | None = None
    only: tuple[OnlyItem, ...] | None = None
    isolated: tuple[Direction, ...] = ()
    newcomers: NewcomerEnd | None = None
    group_by: str = ""
    unless: tuple[Unless, ...] = ()
    by: Direction | None = None
    given: tuple[Given, ...] = ()
    skip: str = ""
    expect_failure: str = ""
    tags: tuple[str, ...] = ()
    runs_in: tuple[str, ...] = ()
    """Where it runs: ``model``, ``lab``, ``cluster``; () everywhere."""
    allow_empty: bool = False

    @property
    def entries(self) -> tuple[EntryEnd, ...]:
        """The entries that its connections come through; () where they come from other ends."""
        return tuple(entries_among(self.sources or ()))


def entries_among(targets: Iterable[TargetEnd]) -> Iterator[EntryEnd]:
    """The entries among ends, also those in groups."""
    for target in targets:
        yield from _entries_in(target.end)


def is_of_entries(end: End) -> bool:
    """Whether an end is an entry, or a group of entries alone."""
    if isinstance(end, UnionEnd):
        return not end.without and all(map(is_of_entries, end.ends))
    return isinstance(end, EntryEnd)


def _entries_in(end: End) -> Iterator[EntryEnd]:
    if isinstance(end, EntryEnd):
        yield end
    elif isinstance(end, UnionEnd):
        for each in (*end.ends, *end.without):
            yield from _entries_in(each)


class FixturePod(Struct, frozen=True):
    """A pod that the manifests do not hold."""

    namespace: str
    name: str
    labels: Labels
    ports: tuple[tuple[str, int], ...] = ()


class PolicyTests(Struct, frozen=True):
    """One document of a test file. ``fixtures``: pods and labels of namespaces that the manifests
    lack."""

    name: str
    source: Source
    tests: tuple[PolicyTest, ...]
    fixture_pods: tuple[FixturePod, ...] = ()
    fixture_namespaces: tuple[tuple[str, Labels], ...] = ()
