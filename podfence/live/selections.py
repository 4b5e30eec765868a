"""Selections in words -> the profiles and addresses that they mean, and what moves in and out.

Rule: a selection is worked out once, when somebody begins to look at it. After that, only profiles
and namespaces that come or change are compared with it. An address that moves is one element of
each selection that picks its profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.live.domainnames import DomainNames
from podfence.live.picks import Namespaces, Picks, declares, is_of
from podfence.live.profiles import FAMILIES, NONE, HeldSelection, Profile, Profiles, Some, Withins
from podfence.model.facts import NameFacts
from podfence.model.meta import Labels
from podfence.policy.words import Pick, Selection
from podfence.sets import AddressSet
from podfence.sets.members import Members, MutableMembers

Addresses = Mapping[int, frozenset[int]]
"""By family."""
_NOTHING: tuple[AddressSet, ...] = ()
"""Of a profile that is not picked: no address lies in none."""


class MembershipChange(Struct, frozen=True):
    """How the members of a selection have changed in one IP version. ``number``: as
    ``HeldSelection.number``."""

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
        self._held: dict[Selection, HeldSelection] = {}
        self._by_number: dict[int, HeldSelection] = {}
        self.picks = Picks(profiles, namespaces)
        self.names = DomainNames()
        self._changed: dict[int, HeldSelection] = {}
        self.compared = 0
        """How often a pick was compared with a profile: the work that profiles make."""

    def __len__(self) -> int:
        """How many are looked at."""
        return len(self._held)

    def hold(self, selection: Selection) -> HeldSelection:
        """Look at a selection from now on."""
        held = self._held.get(selection)
        if held is None:
            held = self._held[selection] = HeldSelection(next(self._numbers), selection)
            self._by_number[held.number] = held
            self.names.hold(held)
            for pick in selection.any_of:
                self.picks.add(pick, held)
                self._show(held, pick, self.picks.declaring(pick, self.picks.picked(pick)))
        held.users += 1
        return held

    def release(self, held: HeldSelection) -> None:
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
                self.picks.drop(pick, held)

    def members(self, held: HeldSelection, family: int) -> Members:
        """The addresses of one IP version that a selection means now."""
        found = Members.of(family, _each(held.selection.addresses, family))
        if held.selection.names:
            return found | self.names.members(held, family)
        whole: list[MutableMembers] = []
        for number in held.profiles:
            profile = self._profiles.by_number[number]
            addresses = profile.addresses(family)
            if addresses is not None:
                withins = held.within.get(number)
                if withins is None:
                    whole.append(addresses)
                else:
                    found |= _those_within(addresses.frozen(), withins)
        return found | MutableMembers.union(family, whole)

    def count(self, held: HeldSelection, family: int) -> int:
        """How many ``members`` there are. No two profiles have one address."""
        selection = held.selection
        if selection.names or held.within or selection.addresses.family(family):
            return len(self.members(held, family))
        profiles = map(self._profiles.by_number.__getitem__, held.profiles)
        return sum(len(each.addresses(family) or ()) for each in profiles)

    def is_within(self, one: HeldSelection, other: HeldSelection, family: int) -> bool | None:
        """Whether the addresses of a selection are all in another one; None: that cannot be told by
        profiles."""
        if any(held.within or not held.is_of_pods for held in (one, other)):
            return None
        apart = one.profiles - other.profiles
        return not any(self._profiles.by_number[n].addresses(family) for n in apart)

    def take(self) -> tuple[MembershipChange, ...]:
        """What moved since the last call."""
        found: list[MembershipChange] = []
        known: dict[tuple[int, frozenset[int]], Members] = {}
        for held in self._changed.values():
            for family in FAMILIES:
                joined, left = held.joined.pop(family, NONE), held.left.pop(family, NONE)
                if joined or left:
                    found.append(
                        MembershipChange(
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
        labels, only = dict(profile.labels), BitMap((profile.number,))
        for pick, helds in self.picks.about(profile.namespace):
            self.compared += 1
            if pick.pods.matches(labels) and declares(pick, profile):
                for held in helds:
                    self._show(held, pick, only)

    def went(self, profile: Profile) -> None:
        """A profile is gone; it has no address any more."""
        for number in profile.shown:
            self._hide(self._by_number[number], profile)

    def relabelled(self, namespace: str, before: Labels) -> None:
        """A namespace had labels ``before``, and has others now: its profiles may be of other
        selections."""
        here = self._profiles.of_namespace.get(namespace)
        if not here:
            return
        old, new = dict(before), dict(self._namespaces.labels(namespace))
        known = _ProfileAddresses()
        found: dict[Pick, FrozenBitMap] = {}
        several: set[HeldSelection] = set()
        for pick, helds, joins in self.picks.turned(old, new):
            self.compared += len(here)
            taken = found[pick] = self.picks.taken(pick, here)
            for held in helds if taken else ():
                if pick.within is None and len(held.selection.any_of) == 1:
                    self._exchange(held, known, taken, joins=joins)
                else:
                    several.add(held)
        for held in several:
            parts = held.selection.any_of
            if any(pick.within is not None for pick in parts):
                for number in here:
                    self._compare_again(self._profiles.by_number[number], held, new)
                continue
            mine = [pick for pick in parts if is_of(pick, namespace, new)]
            for pick in mine:
                if pick not in found:
                    self.compared += len(here)
                    found[pick] = self.picks.taken(pick, here)
            now = FrozenBitMap.union(FrozenBitMap(), *(found[pick] for pick in mine))
            before_now = held.profiles & here
            self._exchange(held, known, FrozenBitMap(before_now - now), joins=False)
            self._exchange(held, known, now - before_now, joins=True)

    def _exchange(
        self,
        held: HeldSelection,
        known: _ProfileAddresses,
        numbers: FrozenBitMap,
        *,
        joins: bool,
    ) -> None:
        """Profiles, with all their addresses, come into a selection, or leave it. ``known``: what
        was read of their addresses."""
        if not numbers:
            return
        profiles = [self._profiles.by_number[number] for number in numbers]
        if joins:
            held.profiles |= numbers
            for profile in profiles:
                profile.shown.add(held.number)
        else:
            held.profiles -= numbers
            for profile in profiles:
                profile.shown.discard(held.number)
        self._all_move(known.of(numbers, profiles), held, None, joins=joins)

    def _compare_again(
        self, profile: Profile, held: HeldSelection, namespace: Mapping[str, str]
    ) -> None:
        """Compare a profile whose namespace has other labels."""
        members = _every(profile)
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
        held: HeldSelection,
        profile: Profile,
        labels: Mapping[str, str],
        namespace: Mapping[str, str],
    ) -> None:
        for pick in held.selection.any_of:
            self.compared += 1
            mine = pick.pods.matches(labels) and is_of(pick, profile.namespace, namespace)
            if mine and declares(pick, profile):
                self._show(held, pick, BitMap((profile.number,)))

    def _all_move(
        self,
        members: Addresses,
        held: HeldSelection,
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

    def means(self, selection: Selection, family: int, address: int, of: Profile | None) -> bool:
        """Whether a selection means an address that is surely one of a profile's; ``of`` None: it
        is nobody's for certain."""
        if address in selection.addresses.family(family):
            return True
        if selection.names:
            return self.names.means(selection, (family, address))
        return of is not None and any(
            self.picks.takes(pick, of)
            and declares(pick, of)
            and (pick.within is None or address in pick.within.family(family))
            for pick in selection.any_of
        )

    def _show(self, held: HeldSelection, pick: Pick, profiles: BitMap | FrozenBitMap) -> None:
        """A pick takes profiles in."""
        for number in profiles:
            profile = self._profiles.by_number[number]
            profile.shown.add(held.number)
            if held.within or pick.within is not None:
                known = _shown(held, profile)
                if pick.within is not None and known is not None:
                    held.within[number] = (*known, pick.within)
                else:
                    held.within.pop(number, None)
        held.profiles |= profiles

    def _hide(self, held: HeldSelection, profile: Profile) -> None:
        held.profiles.discard(profile.number)
        held.within.pop(profile.number, None)


class _ProfileAddresses:
    """The addresses of profiles. They are read once for all selections that the profiles join or
    leave."""

    def __init__(self) -> None:
        self._of_one: dict[int, Addresses] = {}
        self._of_several: dict[FrozenBitMap, Addresses] = {}

    def of(self, numbers: FrozenBitMap, profiles: Iterable[Profile]) -> Addresses:
        """Of these profiles together; ``numbers``: theirs."""
        found = self._of_several.get(numbers)
        if found is None:
            each = list(map(self._of, profiles))
            found = self._of_several[numbers] = {
                family: frozenset().union(*(one.get(family, NONE) for one in each))
                for family in FAMILIES
            }
        return found

    def _of(self, profile: Profile) -> Addresses:
        found = self._of_one.get(profile.number)
        if found is None:
            found = self._of_one[profile.number] = _every(profile)
        return found


def _every(profile: Profile) -> Addresses:
    each = ((family, profile.addresses(family)) for family in FAMILIES)
    return {family: frozenset(found.frozen()) for family, found in each if found is not None}


def _shown(held: HeldSelection, profile: Profile) -> Withins:
    """Which addresses of a profile are in a selection."""
    return held.within.get(profile.number) if profile.number in held.profiles else _NOTHING


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
    if not addresses:
        return Members(family)
    key = (family, frozenset(addresses))
    found = known.get(key)
    if found is None:
        found = known[key] = Members.of(family, addresses)
    return found
