"""Selections in words -> the profiles and addresses that they mean, and what moves in and out.

Rule: a selection is worked out once, when somebody begins to look at it; after that only profiles
and namespaces that come or change are compared with it, and an address that moves is one element of
each selection that picks its profile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.live.domainnames import DomainNames
from podfence.live.namespaces import Namespaces
from podfence.live.profiles import FAMILIES, NONE, Held, Profile, Profiles, Some, Withins
from podfence.model.facts import NameFacts
from podfence.model.meta import Labels
from podfence.model.selectors import LabelSelector
from podfence.policy.namedports import PortName, named_number
from podfence.policy.words import Pick, Selection
from podfence.sets import AddressSet
from podfence.sets.members import Members, MutableMembers

Scope = str | LabelSelector
_NO_PROFILE = FrozenBitMap()
_NOTHING: tuple[AddressSet, ...] = ()
"""Of a profile that is not picked: no address lies in none."""


class Moved(Struct, frozen=True):
    """What became of the members of a selection in one IP version. ``number``: ``Held.number``."""

    number: int
    family: int
    joined: Members
    left: Members


class Selections:
    """The selections that somebody looks at."""

    def __init__(self, profiles: Profiles, namespaces: Namespaces) -> None:
        self._profiles = profiles
        self._namespaces = namespaces
        self._numbers = count()
        self._held: dict[Selection, Held] = {}
        self._by_number: dict[int, Held] = {}
        self._picks: dict[Scope, dict[Pick, set[Held]]] = defaultdict(dict)
        """By namespace or selector of namespaces, the picks in use and whose they are."""
        self.names = DomainNames()
        self._changed: dict[int, Held] = {}
        self._in_namespaces: dict[LabelSelector, BitMap] = {}
        """Profiles by selector of namespaces, until one of either comes, goes or changes."""
        self.compared = 0
        """How often a pick was compared with a profile: the work that profiles make."""

    def __len__(self) -> int:
        """How many are looked at."""
        return len(self._held)

    def hold(self, selection: Selection) -> Held:
        """Look at a selection from now on."""
        held = self._held.get(selection)
        if held is None:
            held = self._held[selection] = Held(next(self._numbers), selection)
            self._by_number[held.number] = held
            self.names.hold(held)
            for pick in selection.any_of:
                self._picks[_scope(pick)].setdefault(pick, set()).add(held)
                for number in self.picked(pick):
                    self._show(held, pick, self._profiles.by_number[number])
        held.users += 1
        return held

    def release(self, held: Held) -> None:
        """One less looks at it."""
        held.users -= 1
        if not held.users:
            del self._held[held.selection]
            del self._by_number[held.number]
            self._changed.pop(held.number, None)
            self.names.release(held)
            for number in held.profiles:
                self._profiles.by_number[number].shown.discard(held.number)
            for pick in held.selection.any_of:
                self._drop(pick, held)

    def members(self, held: Held, family: int) -> Members:
        """The addresses of one IP version that a selection means now."""
        found = Members.of(family, _each(held.selection.addresses, family))
        if held.selection.names:
            return found | self.names.members(held, family)
        whole: list[MutableMembers] = []
        for number in held.profiles:
            profile = self._profiles.by_number[number]
            addresses = profile.addresses.get(family)
            if addresses is not None:
                withins = held.within.get(number)
                if withins is None:
                    whole.append(addresses)
                else:
                    found |= _those_within(addresses.frozen(), withins)
        return found | MutableMembers.union(family, whole)

    def count(self, held: Held, family: int) -> int:
        """How many ``members`` there are. No two profiles have one address."""
        selection = held.selection
        if selection.names or held.within or selection.addresses.family(family):
            return len(self.members(held, family))
        profiles = map(self._profiles.by_number.__getitem__, held.profiles)
        return sum(len(each.addresses.get(family, ())) for each in profiles)

    def take(self) -> tuple[Moved, ...]:
        """What moved since the last call."""
        found: list[Moved] = []
        known: dict[tuple[int, frozenset[int]], Members] = {}
        for held in self._changed.values():
            for family in FAMILIES:
                joined, left = held.joined.pop(family, NONE), held.left.pop(family, NONE)
                if joined or left:
                    found.append(
                        Moved(
                            held.number,
                            family,
                            _members(known, family, joined),
                            _members(known, family, left),
                        )
                    )
        self._changed.clear()
        return tuple(found)

    # -- what changes

    def moved(self, profile: Profile, family: int, address: int, *, joins: bool) -> None:
        """An address became surely a profile's, or is it no more."""
        for number in profile.shown:
            held = self._by_number[number]
            withins = held.within.get(profile.number)
            if withins is None or _lies_in(family, address, withins):
                held.move(family, address, joins=joins)
                self._changed[held.number] = held

    def named(self, facts: NameFacts) -> None:
        """A domain name has these addresses now."""
        for held, (family, address), joins in self.names.put(facts):
            held.move(family, address, joins=joins)
            self._changed[held.number] = held

    def came(self, profile: Profile) -> None:
        """A profile is new; it has no address yet."""
        self._in_namespaces.clear()
        labels = dict(profile.labels)
        namespace = dict(self._namespaces.labels(profile.namespace))
        for scope, picks in self._picks.items():
            if profile.namespace == scope if isinstance(scope, str) else scope.matches(namespace):
                self.compared += len(picks)
                for pick, helds in picks.items():
                    if pick.pods.matches(labels):
                        for held in helds:
                            self._show(held, pick, profile)

    def went(self, profile: Profile) -> None:
        """A profile is gone; it has no address any more."""
        self._in_namespaces.clear()
        for number in profile.shown:
            self._hide(self._by_number[number], profile)

    def relabelled(self, namespace: str, before: Labels) -> None:
        """A namespace had labels ``before``, and has others now: its profiles may be of other
        selections."""
        self._in_namespaces.clear()
        here = self._profiles.of_namespace.get(namespace)
        if not here:
            return
        old, new = dict(before), dict(self._namespaces.labels(namespace))
        now = {scope: scope.matches(new) for scope in self._picks if not isinstance(scope, str)}
        turned = [scope for scope, matches in now.items() if scope.matches(old) is not matches]
        concerned = {
            held for scope in turned for helds in self._picks[scope].values() for held in helds
        }
        taken: dict[Pick, FrozenBitMap] = {}
        addresses: dict[FrozenBitMap, dict[int, frozenset[int]]] = {}
        for held in concerned:
            picks = held.selection.any_of
            if any(pick.within is not None for pick in picks):
                for number in here:
                    self._compare_again(self._profiles.by_number[number], held, new)
                continue
            parts = []
            for pick in picks:
                if now[pick.namespaces] if pick.namespace is None else pick.namespace == namespace:
                    if pick not in taken:
                        self.compared += len(here)
                        taken[pick] = self._taken(pick, here)
                    parts.append(taken[pick])
            picked = FrozenBitMap.union(*parts) if parts else _NO_PROFILE
            known = held.profiles & here
            self._exchange(held, addresses, FrozenBitMap(known - picked), joins=False)
            self._exchange(held, addresses, picked - known, joins=True)

    def _taken(self, pick: Pick, among: BitMap) -> FrozenBitMap:
        """The profiles, of some in namespaces that a pick is about, that it takes in."""
        found = self._profiles.labels.select(pick.pods) & among
        if pick.port is None:
            return found
        return FrozenBitMap(n for n in found if _declares(pick, self._profiles.by_number[n]))

    def _exchange(
        self,
        held: Held,
        known: dict[FrozenBitMap, dict[int, frozenset[int]]],
        numbers: FrozenBitMap,
        *,
        joins: bool,
    ) -> None:
        """Profiles, with all their addresses, come into a selection, or leave it. ``known``: the
        addresses of several of them."""
        if not numbers:
            return
        profiles = [self._profiles.by_number[number] for number in numbers]
        if numbers not in known:
            known[numbers] = {
                family: frozenset(
                    address
                    for profile in profiles
                    if family in profile.addresses
                    for address in profile.addresses[family].frozen()
                )
                for family in FAMILIES
            }
        if joins:
            held.profiles |= numbers
            for profile in profiles:
                profile.shown.add(held.number)
        else:
            held.profiles -= numbers
            for profile in profiles:
                profile.shown.discard(held.number)
        self._all_move(known[numbers], held, None, joins=joins)

    def _compare_again(self, profile: Profile, held: Held, namespace: Mapping[str, str]) -> None:
        """Compare a profile whose namespace has other labels."""
        members = {family: frozenset(m.frozen()) for family, m in profile.addresses.items()}
        was = _shown(held, profile)
        self._hide(held, profile)
        profile.shown.discard(held.number)
        self._compare_with(held, profile, dict(profile.labels), namespace)
        now = _shown(held, profile)
        if was != now:
            self._all_move(members, held, was, joins=False)
            self._all_move(members, held, now, joins=True)

    def _compare_with(
        self,
        held: Held,
        profile: Profile,
        labels: Mapping[str, str],
        namespace: Mapping[str, str],
    ) -> None:
        for pick in held.selection.any_of:
            self.compared += 1
            if pick.pods.matches(labels) and _is_of(pick, profile.namespace, namespace):
                self._show(held, pick, profile)

    def _all_move(
        self,
        members: Mapping[int, frozenset[int]],
        held: Held,
        withins: Withins,
        *,
        joins: bool,
    ) -> None:
        for family, addresses in members.items():
            found = addresses
            if withins is not None:
                found = frozenset(a for a in addresses if _lies_in(family, a, withins))
            if found:
                held.move_all(family, found, joins=joins)
                self._changed[held.number] = held

    # -- who is picked

    def takes(self, pick: Pick, profile: Profile) -> bool:
        """Whether a pick takes a profile in, whatever its ports and addresses."""
        namespace = dict(self._namespaces.labels(profile.namespace))
        return _is_of(pick, profile.namespace, namespace) and pick.pods.matches(
            dict(profile.labels)
        )

    def means(self, selection: Selection, family: int, address: int, of: Profile | None) -> bool:
        """Whether a selection means an address that is surely one of a profile's; ``of`` None: it
        is nobody's for sure."""
        if address in selection.addresses.family(family):
            return True
        if selection.names:
            return self.names.means(selection, (family, address))
        return of is not None and any(
            self.takes(pick, of)
            and _declares(pick, of)
            and (pick.within is None or address in pick.within.family(family))
            for pick in selection.any_of
        )

    def picked(self, pick: Pick, among: BitMap | None = None) -> BitMap:
        """The profiles that a pick takes in, whatever ports and addresses they have. ``among``:
        only of these."""
        found = BitMap(self._profiles.labels.select(pick.pods))
        if among is not None:
            found &= among
        if pick.namespace is not None:
            found &= self._profiles.of_namespace.get(pick.namespace, BitMap())
        elif found and not pick.namespaces.selects_everything:
            found &= self._of_namespaces(pick.namespaces)
        return found

    def _of_namespaces(self, selector: LabelSelector) -> BitMap:
        found = self._in_namespaces.get(selector)
        if found is None:
            of_namespace = self._profiles.of_namespace
            parts = (of_namespace[name] for name in self._namespaces.select(selector))
            found = self._in_namespaces[selector] = BitMap.union(BitMap(), *parts)
        return found

    def _show(self, held: Held, pick: Pick, profile: Profile) -> None:
        """A pick takes a profile in, if it declares the port."""
        if not _declares(pick, profile):
            return
        known = _shown(held, profile)
        held.profiles.add(profile.number)
        profile.shown.add(held.number)
        if pick.within is not None and known is not None:
            held.within[profile.number] = (*known, pick.within)
        else:
            held.within.pop(profile.number, None)

    def _hide(self, held: Held, profile: Profile) -> None:
        held.profiles.discard(profile.number)
        held.within.pop(profile.number, None)

    def _drop(self, pick: Pick, held: Held) -> None:
        picks = self._picks[_scope(pick)]
        picks[pick].discard(held)
        if not picks[pick]:
            del picks[pick]
            if not picks:
                del self._picks[_scope(pick)]


def _is_of(pick: Pick, name: str, labels: Mapping[str, str]) -> bool:
    """Whether a pick is about a namespace."""
    return pick.namespaces.matches(labels) if pick.namespace is None else pick.namespace == name


def _shown(held: Held, profile: Profile) -> Withins:
    """Which addresses of a profile are in a selection."""
    return held.within.get(profile.number) if profile.number in held.profiles else _NOTHING


def _declares(pick: Pick, profile: Profile) -> bool:
    """Whether a profile gives the number to the port that a pick asks for, if it asks for one."""
    if pick.port is None:
        return True
    return named_number(profile.ports, PortName(*pick.port)) == pick.numbers


def _scope(pick: Pick) -> Scope:
    return pick.namespaces if pick.namespace is None else pick.namespace


def _lies_in(family: int, address: int, withins: Iterable[AddressSet]) -> bool:
    return any(address in within.family(family) for within in withins)


def _those_within(members: Members, withins: Iterable[AddressSet]) -> Members:
    family = members.family
    return Members.of(family, (a for a in members if _lies_in(family, a, withins)))


def _each(addresses: AddressSet, family: int) -> Iterator[int]:
    for low, high in addresses.family(family):
        yield from range(low, high + 1)


def _members(
    known: dict[tuple[int, frozenset[int]], Members], family: int, addresses: Some
) -> Members:
    """One value for all selections in which the same addresses move."""
    key = (family, frozenset(addresses))
    found = known.get(key)
    if found is None:
        found = known[key] = Members.of(family, addresses)
    return found
