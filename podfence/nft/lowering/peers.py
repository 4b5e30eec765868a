"""Peers -> shared sets of addresses.

Rule: one set for each distinct ``Peers.key`` and family, shared by all that refer to it. Pods lie
in hash sets, and so do nodes and what domain names stand for; such a set stays when it is empty:
who matches later changes elements only. ipBlocks never change: one range stands in the rule,
several lie in an interval set. Domain names have two sets: what they stand for now, and what they
stood for, where connections may stay that are there already (CNP-19).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from podfence.nft.lowering.identifiers import Namer, printable
from podfence.nft.objects import (
    ADDRESS_TYPES,
    Between,
    Compare,
    CtState,
    CtStateBit,
    Expression,
    Field,
    Lookup,
    MemberSet,
    RangeSet,
)
from podfence.policy.index import AddressPeers, Everyone, Peers, PodPeers, PolicyIndex
from podfence.policy.words import Selection
from podfence.sets import AddressSet, IntervalSet
from podfence.sets.members import Members

Parts = tuple[Expression, ...]
NAMES = {family: (f"d{family}_", f"k{family}_") for family in ADDRESS_TYPES}
"""What the names of sets begin with that hold what domain names stand for, and stood for."""
OF_NAMES = tuple(prefix for prefixes in NAMES.values() for prefix in prefixes)
"""All of these beginnings."""


MembersOf = Callable[[PodPeers, int], Members]
"""The addresses of one family that pods have which are peers."""


class ClassMembers:
    """The members of peers that are classes of an index."""

    def __init__(self, index: PolicyIndex) -> None:
        self._index = index
        self._of_class: dict[tuple[int, int], Members] = {}
        self._contested = {c.endpoint_class: a for a, c in index.contested.items()}

    def __call__(self, peers: PodPeers, family: int) -> Members:
        """The addresses of one family."""
        parts = (self._class_members(number, family) for number in peers.classes)
        return Members.union(family, parts)

    def _class_members(self, number: int, family: int) -> Members:
        """Addresses of the pods of a class; one that two pods claim is in none of their classes,
        it has a class of its own (NP-60a)."""
        found = self._of_class.get((number, family))
        if found is None:
            known = [a for pod in self._index.members[number] for a in pod.addresses]
            if number in self._contested:
                known.append(self._contested[number])
            addresses = (int(address) for address in known if address.version == family)
            found = self._of_class[number, family] = Members.of(family, addresses)
        return found


class PeerSets:
    """Names the sets of peers, and collects those that were asked for.

    ``families``: the IP versions that pods of the node can speak; there are no sets for others.
    """

    def __init__(self, members: MembersOf, namer: Namer, families: Collection[int]) -> None:
        self._members = members
        self._namer = namer
        self._families = families
        self._sets: dict[str, MemberSet | RangeSet] = {}
        self.selections: dict[str, Selection | None] = {}
        """By the name of a set whose members come and go with pods or domain names, whose they are
        in words; None where the index has classes."""

    @property
    def sets(self) -> tuple[MemberSet | RangeSet, ...]:
        """The sets asked for so far, in the order of first use."""
        return tuple(self._sets.values())

    def alternatives(self, peers: Peers, fields: Mapping[int, Field]) -> Iterator[Parts]:
        """Expressions that together hold for exactly ``peers``; one of them is enough.

        ``fields``: by family, where the address stands. Everyone: nothing is asked (NP-12).
        """
        if isinstance(peers, Everyone):
            yield ()
            return
        for family in self._families:
            if peers.family in (None, family):
                yield from self._of_family(peers, family, fields[family])

    def _of_family(
        self, peers: PodPeers | AddressPeers, family: int, field: Field
    ) -> Iterator[Parts]:
        if isinstance(peers, PodPeers):
            yield (Lookup((field,), self._pod_set(peers, family)),)
        elif peers.names:
            yield (Lookup((field,), self._names_set(peers)),)
            there = CtState(CtStateBit.ESTABLISHED)
            yield (there, Lookup((field,), self._names_set(peers, kept=True)))
        elif peers.volatile:
            yield (Lookup((field,), self._volatile_set(peers)),)
        elif len(peers.addresses) == 1:
            yield (_inline(field, *peers.addresses.intervals[0]),)
        elif peers.addresses:
            yield (Lookup((field,), self._block_set(peers)),)

    def _pod_set(self, peers: PodPeers, family: int) -> str:
        name = self._namer.name(f"p{family}_", peers.key)
        if name not in self._sets:
            self.selections[name] = peers.selection
            self._sets[name] = MemberSet(name, self._members(peers, family), _comment(peers))
        return name

    def _volatile_set(self, peers: AddressPeers) -> str:
        name = self._namer.name(f"n{peers.family}_", peers.key)
        if name not in self._sets:
            spans = peers.addresses
            found = (address for low, high in spans for address in range(low, high + 1))
            members = Members.of(peers.family, found)
            self._sets[name] = MemberSet(name, members, _comment(peers))
        return name

    def _names_set(self, peers: AddressPeers, *, kept: bool = False) -> str:
        name = self._namer.name(NAMES[peers.family][kept], peers.key)
        if name not in self._sets:
            spans = () if kept else tuple(peers.addresses)
            found = (address for low, high in spans for address in range(low, high + 1))
            known = AddressSet(**{f"v{peers.family}": IntervalSet.of(*spans)})
            self.selections[name] = Selection((), known, peers.names, kept)
            comment = printable(f"{'stood for, ' * kept}{_comment(peers)}")
            self._sets[name] = MemberSet(name, Members.of(peers.family, found), comment)
        return name

    def _block_set(self, peers: AddressPeers) -> str:
        name = self._namer.name(f"b{peers.family}_", peers.key)
        if name not in self._sets:
            ranges = tuple(((low,), (high,)) for low, high in peers.addresses)
            key = (ADDRESS_TYPES[peers.family],)
            self._sets[name] = RangeSet(name, key, ranges, _comment(peers))
        return name


def _inline(field: Field, low: int, high: int) -> Compare | Between:
    return Compare(field, low) if low == high else Between(field, low, high)


def _comment(peers: Peers) -> str:
    return printable(peers.key.replace("'", ""))
