"""Who has which address: every pod of the cluster, in few bytes.

Rule: an address is surely one pod's, or nobody's (NP-60a). Its owner follows from the pods that are
there now, never from which came first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Protocol

from podfence.live.profiles import FAMILIES, PodEntry, Profile, Profiles, Variant
from podfence.model.facts import NO_ADDRESS, PodFacts
from podfence.sets.members import Members

At = tuple[int, int]
"""Family and address."""
Holders = tuple[PodEntry, ...]
"""The pods that an address may belong to: one has it for certain, several do not."""


class PodListener(Protocol):
    """Who is told of changes."""

    def moved(self, profile: Profile, family: int, address: int, *, joins: bool) -> None:
        """An address became surely a profile's, or is it no more."""

    def populated(self, profile: Profile) -> None:
        """A profile has pods with an address for the first time, or none any more."""

    def became_local(self, profile: Profile) -> None:
        """A profile has pods on this node for the first time, or none any more."""


class Pods:
    """The pods that policies see. ``node``: our own node."""

    def __init__(self, node: str, profiles: Profiles, told: PodListener) -> None:
        self._node = node
        self._profiles = profiles
        self._told = told
        self._pods: dict[str, dict[str, PodEntry]] = defaultdict(dict)
        self._claimed: dict[int, dict[int, PodEntry | Holders]] = {4: {}, 6: {}}
        self.claims: dict[At, Holders] = {}
        """Addresses that several pods have, with all of these."""
        self.contested: dict[At, Holders] = {}
        """Those of them that are nobody's for certain."""
        self.touched: set[At] = set()
        """Addresses that pods of this node had or have, where that changed."""
        self.owned: dict[At, bool] = {}
        """Addresses that pods got or lost, with whether a pod had them before that."""

    def put(self, facts: PodFacts) -> None:
        """A pod as it is now."""
        if not facts.seen:
            self.gone(facts.namespace, facts.name)
            return
        named = self._pods[facts.namespace]
        old = named.get(facts.name)
        local = facts.node == self._node
        if old is not None and _is_as_told(old, facts, local):
            return
        variant = self._profiles.enter(facts.namespace, facts.labels, facts.ports)
        new = PodEntry(variant, facts.v4, facts.v6, local, facts.deleting)
        named[facts.name] = new
        self._replace(old, new)

    def gone(self, namespace: str, name: str) -> None:
        """A pod is not there any more."""
        named = self._pods[namespace]
        old = named.pop(name, None)
        if not named:
            del self._pods[namespace]
        if old is not None:
            self._replace(old, None)

    def holders(self, at: At) -> Holders:
        """The pods that an address may belong to (NP-60a)."""
        family, address = at
        found = self._claimed[family].get(address)
        if found is None:
            return ()
        if isinstance(found, PodEntry):
            return (found,)
        return tuple(entry for entry in found if not entry.deleting) or found

    def judging(self, at: At) -> Holders:
        """The pods of this node whose policies apply to an address: those that the address may
        belong to. Where these are of other nodes, the pods here that are being deleted count
        (NP-60a)."""
        here = _here(self.holders(at))
        return here or _here(self.claims.get(at, ()))

    def name(self, entry: PodEntry) -> str:
        """The name of a pod within its namespace; "" if it is gone. Entries know no name, to be
        small: it is looked for among the pods of the namespace."""
        named = self._pods.get(entry.variant.namespace, {})
        return next((name for name, found in named.items() if found is entry), "")

    def take_owned(self) -> tuple[dict[int, Members], dict[int, Members]]:
        """By IP version, the addresses that no pod has any more, and those that one has got, since
        the last call."""
        released: dict[int, list[int]] = defaultdict(list)
        given: dict[int, list[int]] = defaultdict(list)
        for (family, address), before in self.owned.items():
            after = address in self._claimed[family]
            if before is not after:
                (given if after else released)[family].append(address)
        self.owned.clear()
        return _members(released), _members(given)

    def follow(self, moved: Mapping[Variant, Profile]) -> None:
        """Variants have other profiles: what the pods of these are and have goes with them. No
        selection that is in use sees it."""
        for named in self._pods.values():
            for entry in named.values():
                before = moved.get(entry.variant)
                if before is not None:
                    after = entry.variant.profile
                    self._count(before, entry, -1)
                    self._count(after, entry, 1)
                    for family in FAMILIES:
                        address = entry.address(family)
                        if address != NO_ADDRESS and self.holders((family, address)) == (entry,):
                            before.discard(family, address)
                            after.add(family, address)

    def _replace(self, old: PodEntry | None, new: PodEntry | None) -> None:
        for family in FAMILIES:
            was = old.address(family) if old is not None else NO_ADDRESS
            now = new.address(family) if new is not None else NO_ADDRESS
            if was == NO_ADDRESS and now == NO_ADDRESS:
                continue
            addresses = {address for address in (was, now) if address != NO_ADDRESS}
            before = {address: self.holders((family, address)) for address in addresses}
            if old is not None and was != NO_ADDRESS:
                self._unclaim(family, was, old)
            if new is not None and now != NO_ADDRESS:
                self._claim(family, now, new)
            for address in addresses:
                self._settle((family, address), before[address])
        if new is not None:
            self._count(new.variant.profile, new, 1)
        if old is not None:
            self._count(old.variant.profile, old, -1)
            self._profiles.leave(old.variant)

    def _count(self, profile: Profile, entry: PodEntry, by: int) -> None:
        if entry.v4 != NO_ADDRESS or entry.v6 != NO_ADDRESS:
            was, profile.addressed = profile.addressed, profile.addressed + by
            if not was or not profile.addressed:
                self._profiles.populate(profile)
                self._told.populated(profile)
        if entry.local:
            was = bool(profile.here)
            if by > 0:
                profile.here = (*profile.here, entry)
            else:
                profile.here = tuple(each for each in profile.here if each is not entry)
            if was is not bool(profile.here):
                self._told.became_local(profile)

    def _claim(self, family: int, address: int, entry: PodEntry) -> None:
        claimed = self._claimed[family]
        known = claimed.get(address)
        if known is None:
            claimed[address] = entry
        else:
            claimed[address] = (*_all(known), entry)

    def _unclaim(self, family: int, address: int, entry: PodEntry) -> None:
        claimed = self._claimed[family]
        left = tuple(each for each in _all(claimed[address]) if each is not entry)
        if len(left) > 1:
            claimed[address] = left
        elif left:
            claimed[address] = left[0]
        else:
            del claimed[address]

    def _note_claims(self, at: At) -> None:
        """A pod that has an address only in name counts among those that a port name finds."""
        family, address = at
        found = self._claimed[family].get(address)
        several = found if isinstance(found, tuple) else ()
        for entry in {*several, *self.claims.get(at, ())}:
            self._told.populated(entry.variant.profile)
        if several:
            self.claims[at] = several
        else:
            self.claims.pop(at, None)

    def _settle(self, at: At, before: Holders) -> None:
        """Tell what became of an address."""
        after, claimed = self.holders(at), self.claims.get(at, ())
        self._note_claims(at)
        if _here((*before, *after, *claimed, *self.claims.get(at, ()))):
            self.touched.add(at)
        if bool(before) is not bool(after):
            self.owned.setdefault(at, bool(before))
        if len(after) > 1:
            self.contested[at] = after
        else:
            self.contested.pop(at, None)
        was = before[0].variant.profile if len(before) == 1 else None
        now = after[0].variant.profile if len(after) == 1 else None
        if was is now:
            return
        if was is not None:
            was.discard(*at)
            self._told.moved(was, *at, joins=False)
        if now is not None:
            now.add(*at)
            self._told.moved(now, *at, joins=True)


def _members(found: Mapping[int, list[int]]) -> dict[int, Members]:
    return {family: Members.of(family, addresses) for family, addresses in found.items()}


def _all(found: PodEntry | Holders) -> Holders:
    return (found,) if isinstance(found, PodEntry) else found


def _here(entries: Holders) -> Holders:
    return tuple(entry for entry in entries if entry.local)


def _is_as_told(entry: PodEntry, facts: PodFacts, local: bool) -> bool:
    variant = entry.variant
    return (
        entry.v4 == facts.v4
        and entry.v6 == facts.v6
        and entry.deleting == facts.deleting
        and entry.local == local
        and variant.labels == facts.labels
        and variant.ports == facts.ports
    )
