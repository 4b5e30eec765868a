"""The first bytes of a packet -> who sent what to whom.

Rule: the bytes are hostile. Whatever they are, reading ends, raises nothing, and believes no
length. A field whose bytes are missing is not known.
"""

from __future__ import annotations

import struct

from msgspec import Struct

from podfence.sets.ports import OTHER, PROTOCOLS

_NUMBERS = {6: "TCP", 17: "UDP", 132: "SCTP"}
_SHOWN = {**_NUMBERS, 1: "ICMP", 58: "ICMPv6"}
_V4, _V6 = 20, 40
"""Bytes of the smallest headers."""
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTHENTICATION, _OPTIONS = 0, 43, 44, 51, 60
_MOBILITY, _HIP, _SHIM6 = 135, 139, 140
_IN_EIGHTS = frozenset((_HOP_BY_HOP, _ROUTING, _OPTIONS, _MOBILITY, _HIP, _SHIM6))
"""Extension headers that tell their length in units of 8 bytes, without the first 8."""
MOST_EXTENSIONS = 8
"""Extension headers that are gone through; nobody sends more in good faith."""
_PORTS = struct.Struct(">HH")


class Headers(Struct, frozen=True):
    """``family``: 4 or 6; addresses as integers. ``number``: of the transport protocol. Ports are
    None where the protocol has none, or where they are not in the bytes that were copied (a later
    fragment, a cut packet)."""

    family: int
    source: int
    destination: int
    number: int
    source_port: int | None = None
    destination_port: int | None = None

    @property
    def protocol(self) -> str:
        """As policies see it."""
        return protocol_of(self.number)

    @property
    def shown(self) -> str:
        """As people call it: ``TCP``, ``ICMP``, ``protocol 47``."""
        return _SHOWN.get(self.number, f"protocol {self.number}")


def protocol_of(number: int) -> str:
    """A transport protocol as policies see it: ``TCP``, ``UDP``, ``SCTP`` or OTHER."""
    return _NUMBERS.get(number, OTHER)


def read_headers(family: int, data: bytes) -> Headers | None:
    """None: too short to tell whose it is, or no packet of that IP version."""
    if len(data) < (_V4 if family == 4 else _V6) or data[0] >> 4 != family:
        return None
    return _v4(data) if family == 4 else _v6(data)


def _v4(data: bytes) -> Headers:
    source, destination = int.from_bytes(data[12:16], "big"), int.from_bytes(data[16:20], "big")
    length = (data[0] & 0xF) * 4
    is_first = not int.from_bytes(data[6:8], "big") & 0x1FFF
    # A header that claims to be shorter than the smallest one has no end that could be trusted.
    begin = length if is_first and length >= _V4 else len(data)
    return _with_ports(4, source, destination, data[9], data, begin)


def _v6(data: bytes) -> Headers:
    source, destination = int.from_bytes(data[8:24], "big"), int.from_bytes(data[24:40], "big")
    number, at = data[6], _V6
    for _ in range(MOST_EXTENSIONS):
        if at + 8 > len(data):
            break
        if number in _IN_EIGHTS:
            number, at = data[at], at + 8 + data[at + 1] * 8
        elif number == _AUTHENTICATION:
            number, at = data[at], at + 8 + data[at + 1] * 4
        elif number == _FRAGMENT:
            is_later = int.from_bytes(data[at + 2 : at + 4], "big") & 0xFFF8
            number, at = data[at], len(data) if is_later else at + 8
        else:
            break
    return _with_ports(6, source, destination, number, data, at)


def _with_ports(
    family: int, source: int, destination: int, number: int, data: bytes, at: int
) -> Headers:
    if _NUMBERS.get(number) in PROTOCOLS and at + _PORTS.size <= len(data):
        ports = _PORTS.unpack_from(data, at)
        return Headers(family, source, destination, number, *ports)
    return Headers(family, source, destination, number)
