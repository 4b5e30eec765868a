"""Pods -> profiles: all pods that no selector in use can tell apart.

Rule: a profile is namespace, the labels that some selector asks for, and the named ports. It holds
no answer to an ipBlock, since the kernel compares addresses with ranges. Pods share *variants*
(namespace, labels as the API wrote them, ports), and variants share profiles; so a pod is a
reference and two numbers, and labels are decoded once for each variant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby

from msgspec import Struct
from msgspec.json import Decoder
from pyroaring import BitMap

from podfence.errors import UNREADABLE
from podfence.model.meta import Labels, labels_of
from podfence.model.objects import ContainerPort
from podfence.policy.index import EndpointClass
from podfence.policy.namedports import PortName, named_number
from podfence.policy.select import LabelIndex
from podfence.policy.words import Selection
from podfence.sets import AddressSet, PortSet
from podfence.sets.members import Members, MutableMembers

FAMILIES = (4, 6)
_labels = Decoder(dict[str, str])
Some = set[int] | frozenset[int]
NONE: frozenset[int] = frozenset()
Withins = tuple[AddressSet, ...] | None
"""None: wherever the address lies; else in one of these."""


class HeldSelection:
    """A selection that somebody looks at. ``number`` tells it from every other of one index.
    ``users``: how many look. ``profiles``: those that it picks, by number. ``within``: where a
    profile is not meant with all its addresses, those that are. ``joined`` and ``left``: by family,
    the addresses that came and went since somebody last asked."""

    __slots__ = ("joined", "left", "number", "profiles", "selection", "users", "within")

    def __init__(self, number: int, selection: Selection) -> None:
        self.number = number
        self.selection = selection
        self.users = 0
        self.profiles = BitMap()
        self.within: dict[int, tuple[AddressSet, ...]] = {}
        self.joined: dict[int, Some] = {}
        self.left: dict[int, Some] = {}

    @property
    def is_of_pods(self) -> bool:
        """Whether pods alone are meant, and no names or addresses."""
        return not self.selection.names and not self.selection.addresses

    def move_all(self, family: int, addresses: frozenset[int], *, joins: bool) -> None:
        """The same for many addresses. Where nothing else moves, the value is kept as it is: many
        selections share it."""
        here, there = (self.joined, self.left) if joins else (self.left, self.joined)
        back = there.get(family, NONE) & addresses
        if back:
            there[family] -= back
            addresses -= back
        here[family] = here[family] | addresses if here.get(family) else addresses

    def move(self, family: int, address: int, *, joins: bool) -> None:
        """An address comes or goes; one that does both did nothing."""
        here, there = (self.joined, self.left) if joins else (self.left, self.joined)
        if address in there.get(family, NONE):
            there[family] -= {address}
        elif isinstance(found := here.get(family, NONE), set):
            found.add(address)
        else:
            here[family] = {*found, address}


class Profile:
    """Pods that are the same to all selectors. ``pods``: how many there are; ``addressed``: how
    many have an address, sure or not; ``here``: those that run on this node.

    Thousands of profiles have nobody here and one IP version: what is empty takes no room.
    """

    __slots__ = (
        "_v4",
        "_v6",
        "addressed",
        "here",
        "labels",
        "namespace",
        "number",
        "pods",
        "ports",
        "shown",
    )

    def __init__(
        self, number: int, namespace: str, labels: Labels, ports: tuple[ContainerPort, ...]
    ) -> None:
        self.number = number
        self.namespace = namespace
        self.labels = labels
        self.ports = ports
        self._v4: MutableMembers | None = None
        self._v6: MutableMembers | None = None
        self.pods = 0
        self.addressed = 0
        self.here: tuple[PodEntry, ...] = ()
        self.shown = BitMap()
        """The selections that pick it, by number."""

    @property
    def subject(self) -> EndpointClass:
        """The profile as compilers of rules see a class of pods."""
        return EndpointClass(self.number, self.namespace, self.labels, self.ports)

    def addresses(self, family: int) -> MutableMembers | None:
        """Those of a family that are surely its pods'; None where there never were any."""
        return self._v4 if family == 4 else self._v6

    def add(self, family: int, address: int) -> None:
        """An address is surely one of its pods' now."""
        found = self.addresses(family)
        if found is None:
            found = MutableMembers(family)
            if family == 4:
                self._v4 = found
            else:
                self._v6 = found
        found.add(address)

    def discard(self, family: int, address: int) -> None:
        """An address is not surely one of its pods' any more."""
        found = self.addresses(family)
        assert found is not None
        found.discard(address)

    def members(self, family: int) -> Members:
        """The addresses of a family, as a value."""
        found = self.addresses(family)
        return Members(family) if found is None else found.frozen()


class Variant:
    """Pods with the same namespace, label text and ports. ``pods``: how many there are."""

    __slots__ = ("labels", "namespace", "pods", "ports", "profile")

    def __init__(
        self, namespace: str, labels: bytes, ports: tuple[ContainerPort, ...], profile: Profile
    ) -> None:
        self.namespace = namespace
        self.labels = labels
        self.ports = ports
        self.profile = profile
        self.pods = 0


class PodEntry(Struct, frozen=True, gc=False, eq=False):
    """A pod that policies see."""

    variant: Variant
    v4: int
    v6: int
    local: bool
    deleting: bool

    def address(self, family: int) -> int:
        """Its address of a family, or NO_ADDRESS."""
        return self.v4 if family == 4 else self.v6


_Projected = tuple[str, Labels, tuple[ContainerPort, ...]]
_Written = tuple[str, bytes, tuple[ContainerPort, ...]]


class Profiles:
    """Variants and profiles in use. ``on_new`` is called with each profile that comes, while it has
    no pod yet, and ``on_gone`` with each that goes."""

    def __init__(
        self, on_new: Callable[[Profile], None], on_gone: Callable[[Profile], None]
    ) -> None:
        self._on_new = on_new
        self._on_gone = on_gone
        self._keys: set[str] = set()
        self._variants: dict[_Written, Variant] = {}
        self._profiles: dict[_Projected, Profile] = {}
        self._free: list[int] = []
        self.by_number: dict[int, Profile] = {}
        self.labels = LabelIndex()
        self.of_namespace: dict[str, BitMap] = defaultdict(BitMap)
        self._naming: dict[str, dict[tuple[ContainerPort, ...], BitMap]] = defaultdict(dict)
        """By port name, and by all ports of that name, the profiles that declare these."""
        self.populated = BitMap()
        """The profiles with pods that have an address."""

    def __iter__(self) -> Iterator[Profile]:
        return iter(self.by_number.values())

    def enter(self, namespace: str, labels: bytes, ports: tuple[ContainerPort, ...]) -> Variant:
        """The variant of a new pod."""
        key = (namespace, labels, ports)
        variant = self._variants.get(key)
        if variant is None:
            profile = self._profile(self._projected(*key))
            variant = self._variants[key] = Variant(*key, profile)
        variant.pods += 1
        variant.profile.pods += 1
        return variant

    def declaring(self, name: PortName) -> Iterator[tuple[PortSet, BitMap]]:
        """The numbers that profiles give to a port name, each with some that give it these."""
        for declared, profiles in self._naming.get(name.name, {}).items():
            numbers = named_number(declared, name)
            if numbers:
                yield numbers, profiles

    def populate(self, profile: Profile) -> None:
        """A profile got its first pod with an address, or lost its last."""
        if profile.addressed:
            self.populated.add(profile.number)
        else:
            self.populated.discard(profile.number)

    def leave(self, variant: Variant) -> None:
        """A pod of a variant is gone; its addresses are taken out already."""
        variant.pods -= 1
        if not variant.pods:
            del self._variants[variant.namespace, variant.labels, variant.ports]
        self._leave_profile(variant.profile, 1)

    def ask(self, keys: Iterable[str]) -> dict[Variant, Profile]:
        """Take in that selectors ask for labels with these keys. Where a key is new, variants may
        belong to other profiles. Returns those variants, each with its old profile, which stays
        until ``settle``."""
        new = set(keys) - self._keys
        moved: dict[Variant, Profile] = {}
        if new:
            self._keys |= new
            for variant in self._variants.values():
                key = self._projected(variant.namespace, variant.labels, variant.ports)
                before = variant.profile
                if key != (before.namespace, before.labels, before.ports):
                    moved[variant] = before
                    variant.profile = self._profile(key)
                    variant.profile.pods += variant.pods
        return moved

    def settle(self, moved: Mapping[Variant, Profile]) -> None:
        """All that was of the profiles before is of the new ones now."""
        for variant, before in moved.items():
            self._leave_profile(before, variant.pods)

    def _leave_profile(self, profile: Profile, pods: int) -> None:
        profile.pods -= pods
        if not profile.pods:
            del self._profiles[profile.namespace, profile.labels, profile.ports]
            del self.by_number[profile.number]
            self._free.append(profile.number)
            self.labels.remove(profile.number, profile.labels)
            self.of_namespace[profile.namespace].remove(profile.number)
            for name, ports in _by_name(profile.ports):
                self._naming[name][ports].remove(profile.number)
                if not self._naming[name][ports]:
                    del self._naming[name][ports]
            self._on_gone(profile)

    def _profile(self, key: _Projected) -> Profile:
        found = self._profiles.get(key)
        if found is None:
            number = self._free.pop() if self._free else len(self.by_number)
            found = self._profiles[key] = self.by_number[number] = Profile(number, *key)
            self.labels.add(number, found.labels)
            self.of_namespace[found.namespace].add(number)
            for name, ports in _by_name(found.ports):
                self._naming[name].setdefault(ports, BitMap()).add(number)
            self._on_new(found)
        return found

    def _projected(
        self, namespace: str, labels: bytes, ports: tuple[ContainerPort, ...]
    ) -> _Projected:
        """Namespace, labels that somebody asks for, and ports in their order."""
        known = [(key, value) for key, value in decoded_labels(labels) if key in self._keys]
        return namespace, tuple(known), ports


def _by_name(
    ports: tuple[ContainerPort, ...],
) -> Iterator[tuple[str, tuple[ContainerPort, ...]]]:
    """Sorted ports by name."""
    for name, alike in groupby(ports, key=lambda port: port.name):
        yield name, tuple(alike)


def decoded_labels(labels: bytes) -> Labels:
    """Labels from the JSON that facts hold; what is no map of strings has none."""
    if not labels:
        return ()
    try:
        return labels_of(_labels.decode(labels))
    except UNREADABLE:
        return ()
