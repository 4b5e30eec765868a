"""Protocols and ports as flow records write them.

Rule: numbers are those of IANA; what has no ports is ``OTHER`` with port 0, as policies see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from podfence.sets.ports import MAX_PORT, OTHER, PROTOCOLS

_BY_NUMBER: Final[Mapping[str, str]] = {
    "6": "TCP",
    "17": "UDP",
    "132": "SCTP",
    "1": OTHER,
    "58": OTHER,
}
_BY_NAME: Final[Mapping[str, str]] = {
    **{name: name for name in PROTOCOLS},
    "ICMP": OTHER,
    "ICMPV4": OTHER,
    "ICMPV6": OTHER,
    "IPV6-ICMP": OTHER,
}


def protocol_of(text: str) -> str | None:
    """The protocol that a name or a number means, None for one that policies do not know."""
    upper = text.strip().upper()
    return _BY_NAME.get(upper) or _BY_NUMBER.get(upper)


def port_of(protocol: str, port: int | None) -> int | None:
    """The port of a flow, None where there can be none such. ``OTHER`` has port 0."""
    if protocol == OTHER:
        return 0
    return port if port is not None and 0 < port <= MAX_PORT else None
