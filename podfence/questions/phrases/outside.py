"""Short names for sets of outside addresses, exact unless they say "and N more"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network

from podfence.model.networkpolicy import IPBlock
from podfence.questions.phrases.words import some
from podfence.sets import AddressSet
from podfence.sets.addresses import EVERY_ADDRESS_OF, IPNetwork

Prefix = tuple[int, int]
"""(first address, prefix length)."""
_FEW = 3
_NESTED = 2 * _FEW
"""Most networks that a nested name has."""
_TRIED = 64
"""Longer lists have no short name anyway."""
_AND, _PLUS, _EXCEPT, _MORE = ", ", ", plus ", " except ", " more"


def name_outside(addresses: AddressSet) -> str:
    """``203.0.113.0/24``, ``0.0.0.0/0 except 10.0.0.0/8``, ``10.0.0.0/8 except 10.1.0.0/16, plus
    10.1.2.0/24``, or a list cut short with a count. IPv4 comes first.

    Of each family the networks themselves if they are few, else everything but the complement,
    else networks in networks.
    """
    names = [_name(family, addresses) for family in EVERY_ADDRESS_OF if addresses.family(family)]
    plain = all(_EXCEPT not in name and _MORE not in name for name in names)
    return (_AND if plain else _PLUS).join(names)


def _name(family: int, addresses: AddressSet) -> str:
    """The name of the addresses of one family."""
    whole = EVERY_ADDRESS_OF[family]
    inside = tuple(addresses.prefixes(family))
    if len(inside) <= _FEW:
        return _list(family, inside)
    excluded = tuple((whole - addresses).prefixes(family))
    short = len(excluded) < len(inside)
    rest = f"{whole}{_EXCEPT}{_list(family, excluded)}" if short else _list(family, inside)
    if short and len(excluded) <= 2 * _FEW:
        return rest
    return _nested(family, inside, excluded) or rest


def _list(family: int, prefixes: Sequence[Prefix]) -> str:
    shown = 2 * _FEW if len(prefixes) <= 2 * _FEW else _FEW
    names = [str(network) for network in _networks(family, prefixes[:shown])]
    names += [""] * (len(prefixes) - len(names))  # Counted only: there may be thousands.
    return some(names, shown, _AND)


def _networks(family: int, prefixes: Iterable[Prefix]) -> list[IPNetwork]:
    return [IPv4Network(p) if family == 4 else IPv6Network(p) for p in prefixes]


# -- networks in networks


def _nested(family: int, inside: Sequence[Prefix], excluded: Sequence[Prefix]) -> str:
    """In words; "" if long."""
    entries = _nested_entries(family, inside, excluded)
    return _sentence(entries) if len(entries) <= _NESTED else ""


def _nested_entries(
    family: int, inside: Sequence[Prefix], excluded: Sequence[Prefix]
) -> list[tuple[IPNetwork, bool]]:
    """The set as a list in which the longest network that holds an address decides; empty if it is
    not tried."""
    given, meaning = (inside, True) if len(inside) <= len(excluded) else (excluded, False)
    if len(given) > _TRIED:
        return []
    [whole] = EVERY_ADDRESS_OF[family].networks()
    tree = _tree(whole, _networks(family, given), meaning)
    return list(_entries(tree, decided=False))


class _Tree:
    """A network with the membership of its addresses: ``can`` holds True, False, or both when
    either may be stated first and corrected below."""

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


def shortest_blocks(addresses: AddressSet) -> tuple[IPBlock, ...]:
    """Exactly these addresses as a policy names them: with ``except`` where that is shorter."""
    return tuple(block for family in EVERY_ADDRESS_OF for block in _shortest(addresses, family))


def lines_of(blocks: Iterable[IPBlock]) -> int:
    """How many blocks a reader has to go through: those, and what is left out of them."""
    return sum(1 + len(block.except_) for block in blocks)


def _shortest(addresses: AddressSet, family: int) -> tuple[IPBlock, ...]:
    inside = tuple(addresses.prefixes(family))
    excluded = tuple((EVERY_ADDRESS_OF[family] - addresses).prefixes(family))
    nested = tuple(IPBlock(*term) for term in _terms(_nested_entries(family, inside, excluded)))
    if nested and lines_of(nested) < len(inside):
        return nested
    return tuple(map(IPBlock, _networks(family, inside)))


def _terms(
    entries: Sequence[tuple[IPNetwork, bool]],
) -> Iterator[tuple[IPNetwork, tuple[IPNetwork, ...]]]:
    for network, inside in entries:
        if inside:
            holes = (each for each, within in entries if not within)
            yield network, tuple(hole for hole in holes if _parent(hole, entries) == network)


def _sentence(entries: Sequence[tuple[IPNetwork, bool]]) -> str:
    return _PLUS.join(
        f"{network}{_EXCEPT}{_AND.join(map(str, holes))}" if holes else str(network)
        for network, holes in _terms(entries)
    )


def _parent(network: IPNetwork, entries: Sequence[tuple[IPNetwork, bool]]) -> IPNetwork | None:
    """The smallest other entry around a network."""
    around = [n for n, _ in entries if n != network and network.network_address in n]
    around = [n for n in around if n.prefixlen < network.prefixlen]
    return max(around, key=lambda n: n.prefixlen, default=None)
