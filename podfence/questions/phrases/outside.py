"""Short names for sets of outside addresses, exact unless they say "and N more"."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from podfence.model.networkpolicy import IPNetwork
from podfence.sets import AddressSet
from podfence.sets.addresses import EVERY_ADDRESS

_FEW = 3
_NESTED = 2 * _FEW
"""Most networks that a nested name has."""
_TRIED = 64
"""Longer lists have no short name anyway."""


def name_outside(addresses: AddressSet) -> str:
    """``203.0.113.0/24``, ``0.0.0.0/0 except 10.0.0.0/8``, ``10.0.0.0/8 except 10.1.0.0/16, plus
    10.1.2.0/24``, or a list cut short with a count.

    The networks themselves if they are few, else everything but the complement, else networks in
    networks.
    """
    family = 4 if addresses.v4 else 6
    inside = tuple(addresses.networks())
    if len(inside) <= _FEW:
        return _list(inside)
    whole = AddressSet(v4=EVERY_ADDRESS.v4) if family == 4 else AddressSet(v6=EVERY_ADDRESS.v6)
    everything = next(whole.networks())
    excluded = tuple((whole - addresses).networks())
    if len(excluded) <= 2 * _FEW and len(excluded) < len(inside):
        return f"{everything} except {_list(excluded)}"
    nested = _nested(everything, inside, excluded)
    if nested:
        return nested
    if len(excluded) < len(inside):
        return f"{everything} except {_list(excluded)}"
    return _list(inside)


def _list(networks: Sequence[IPNetwork]) -> str:
    if len(networks) <= 2 * _FEW:
        return ", ".join(map(str, networks))
    return f"{', '.join(map(str, networks[:_FEW]))} and {len(networks) - _FEW} more"


# -- networks in networks


def _nested(whole: IPNetwork, inside: Sequence[IPNetwork], excluded: Sequence[IPNetwork]) -> str:
    """The set as a list in which the longest network that holds an address decides; "" if long."""
    given, meaning = (inside, True) if len(inside) <= len(excluded) else (excluded, False)
    if len(given) > _TRIED:
        return ""
    tree = _tree(whole, list(given), meaning)
    entries = list(_entries(tree, decided=False))
    return _sentence(entries) if len(entries) <= _NESTED else ""


class _Tree:
    """A network with what its addresses are: ``can`` holds True, False, or both when either may be
    said of it first and corrected below."""

    __slots__ = ("can", "halves", "network")

    def __init__(self, network: IPNetwork, can: frozenset[bool], halves: tuple[_Tree, ...]) -> None:
        self.network, self.can, self.halves = network, can, halves


def _tree(network: IPNetwork, given: list[IPNetwork], meaning: bool) -> _Tree:
    if not given or given[0] == network:
        return _Tree(network, frozenset((meaning if given else not meaning,)), ())
    halves = tuple(
        _tree(half, [n for n in given if n.network_address in half], meaning)
        for half in network.subnets()
    )
    left, right = (half.can for half in halves)
    return _Tree(network, left & right or left | right, halves)


def _entries(tree: _Tree, *, decided: bool) -> Iterator[tuple[IPNetwork, bool]]:
    """Fewest networks, larger ones first, each with whether it is in the set."""
    if decided not in tree.can:
        decided = not decided
        yield tree.network, decided
    for half in tree.halves:
        yield from _entries(half, decided=decided)


def _sentence(entries: Sequence[tuple[IPNetwork, bool]]) -> str:
    terms: list[str] = []
    for network, inside in entries:
        if not inside:
            continue
        holes = [
            str(hole)
            for hole, within in entries
            if not within and _parent(hole, entries) == network
        ]
        terms.append(f"{network} except {', '.join(holes)}" if holes else str(network))
    return ", plus ".join(terms)


def _parent(network: IPNetwork, entries: Sequence[tuple[IPNetwork, bool]]) -> IPNetwork | None:
    """The smallest other entry around a network."""
    around = [n for n, _ in entries if n != network and network.network_address in n]
    around = [n for n in around if n.prefixlen < network.prefixlen]
    return max(around, key=lambda n: n.prefixlen, default=None)
