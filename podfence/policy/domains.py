"""Domain names and the addresses that they stand for, given from outside (CNP-19)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from podfence.model.objects import IPAddress

Names = Mapping[str, frozenset[IPAddress]]
"""Domain names (lower case, no final dot) with the addresses that they stand for now."""
NO_NAMES: Names = MappingProxyType({})


def resolve(name: str, names: Names) -> frozenset[IPAddress]:
    """Addresses of a name; ``*.suffix`` stands for one or more whole labels in front (CNP-19)."""
    if not name.startswith("*."):
        return names.get(name, frozenset())
    suffix = name[1:]
    empty: frozenset[IPAddress] = frozenset()
    return empty.union(*(found for known, found in names.items() if known.endswith(suffix)))
