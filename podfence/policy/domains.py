"""Domain names and the addresses that they stand for, given from outside (CNP-19)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from podfence.sets.addresses import IPAddress

DomainTable = Mapping[str, frozenset[IPAddress]]
"""Domain names (lower case, no final dot) with the addresses that they stand for now."""
At = tuple[int, int]
"""An address: IP version, number."""
NO_NAMES: DomainTable = MappingProxyType({})


def resolve(name: str, names: DomainTable) -> frozenset[IPAddress]:
    """Addresses of a name; ``*.suffix`` stands for one or more whole labels in front (CNP-19)."""
    if not name.startswith("*."):
        return names.get(name, frozenset())
    suffix = name[1:]
    empty: frozenset[IPAddress] = frozenset()
    return empty.union(*(found for known, found in names.items() if known.endswith(suffix)))


def patterns_of(name: str) -> Iterator[str]:
    """What a policy may write that means a name (CNP-19): itself, and a wildcard for each suffix
    of whole labels that something is left in front of."""
    yield name
    while rest := name.partition(".")[2]:
        yield f"*.{rest}"
        name = rest
