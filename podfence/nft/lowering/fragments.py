"""DirectionPolicy -> a fragment: every object that the pods of one group need, by name.

Rule: names follow from origins, so two fragments that need the same thing name the same thing. A
ruleset is the union of its fragments. An object goes with the last fragment that names it.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from podfence.nft.lowering.groups import Groups
from podfence.nft.lowering.identifiers import Namer
from podfence.nft.lowering.peers import PeerSets
from podfence.nft.lowering.ports import PortMatches
from podfence.nft.objects import Chain, MemberSet, RangeSet, Set, VerdictMap
from podfence.policy.index import DirectionPolicy, PodPeers
from podfence.policy.words import Selection
from podfence.sets.members import Members

FixedObject = Chain | Set | RangeSet | VerdictMap
"""What a name stands for once and for all, as long as its origin says the same."""


class Fragment(Struct, frozen=True):
    """The objects of one group. ``group``: its name; "" if it denies nothing and has no chains.
    ``fixed``: chains and range sets, which do not change with pods. ``members``: sets of addresses,
    filled if the addresses are those of nodes. ``selections``: the pods and domain names of the
    other sets, by set name. ``names``: all names that the group uses."""

    group: str = ""
    fixed: tuple[FixedObject, ...] = ()
    members: tuple[MemberSet, ...] = ()
    selections: dict[str, Selection] = {}
    names: frozenset[str] = frozenset()


NOTHING = Fragment()


def fragment(
    policy: DirectionPolicy, namer: Namer, families: Collection[int], log_group: int
) -> Fragment:
    """The objects of a group. ``policy``: its peers are words."""
    namer.given.clear()
    peers = PeerSets(_unknown, namer, families)
    ports = PortMatches(namer)
    groups = Groups(peers, ports, namer, log_group, audit=policy.audited)
    if not groups.denies(policy):
        return NOTHING
    chains = tuple(groups.chains(policy))
    ranges = [found for found in peers.sets if isinstance(found, RangeSet)]
    return Fragment(
        groups.name(policy),
        (*chains, *groups.maps, *ports.sets, *ranges),
        tuple(found for found in peers.sets if isinstance(found, MemberSet)),
        {name: _words(found) for name, found in peers.selections.items()},
        frozenset(namer.given),
    )


def _unknown(_peers: PodPeers, family: int) -> Members:
    """Words do not say who is there now."""
    return Members(family)


def _words(found: Selection | None) -> Selection:
    assert found is not None
    return found
