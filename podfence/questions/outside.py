"""Short, exact names for sets of outside addresses."""

from __future__ import annotations

from podfence.sets import AddressSet
from podfence.sets.addresses import EVERY_ADDRESS

_FEW = 3


def name_outside(addresses: AddressSet) -> str:
    """``203.0.113.0/24``, ``0.0.0.0/0 except 10.0.0.0/8``, or a list cut short with a count.

    The shorter exact form wins: the networks themselves, or everything but the complement.
    """
    family = 4 if addresses.v4 else 6
    inside = tuple(map(str, addresses.networks()))
    if len(inside) <= _FEW:
        return ", ".join(inside)
    whole = AddressSet(v4=EVERY_ADDRESS.v4) if family == 4 else AddressSet(v6=EVERY_ADDRESS.v6)
    excluded = tuple(map(str, (whole - addresses).networks()))
    if len(excluded) < len(inside):
        return f"{next(iter(whole.networks()))} except {_list(excluded)}"
    return _list(inside)


def _list(words: tuple[str, ...]) -> str:
    if len(words) <= 2 * _FEW:
        return ", ".join(words)
    return f"{', '.join(words[:_FEW])} and {len(words) - _FEW} more"
