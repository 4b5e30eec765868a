"""A packet on its way to port 53 or from there -> what it carries.

Rule: the bytes are hostile, and believed only as far as they agree with each other. A packet that
was not copied whole, or that is part of a larger one, carries nothing.
"""

from __future__ import annotations

import struct

from msgspec import Struct

TCP, UDP = 6, 17
_V4, _V6 = 20, 40
_UDP, _TCP = struct.Struct(">HHHH"), struct.Struct(">HHIIBB")
_TCP_HEADER = 20
_FIN, _SYN, _RST = 1, 2, 4


class DnsPacket(Struct, frozen=True):
    """``family``: 4 or 6; addresses as integers. ``protocol``: ``TCP`` or ``UDP``. ``sequence``: of
    the first byte of ``payload``, and whether it ``begins`` or ``ends`` its half of a connection,
    for TCP."""

    family: int
    source: int
    destination: int
    protocol: int
    source_port: int
    destination_port: int
    payload: bytes
    sequence: int = 0
    begins: bool = False
    ends: bool = False


def read_packet(family: int, data: bytes) -> DnsPacket | None:
    """None: no packet of UDP or TCP that could be read to its end."""
    if len(data) < (_V4 if family == 4 else _V6) or data[0] >> 4 != family:
        return None
    if family == 4:
        start, end = (data[0] & 0xF) * 4, int.from_bytes(data[2:4], "big")
        is_part = bool(int.from_bytes(data[6:8], "big") & 0x3FFF)
        protocol, source, destination = data[9], data[12:16], data[16:20]
        if start < _V4 or is_part:
            return None
    else:
        start, end = _V6, _V6 + int.from_bytes(data[4:6], "big")
        protocol, source, destination = data[6], data[8:24], data[24:40]
    if not start <= end <= len(data):
        return None
    ends = int.from_bytes(source, "big"), int.from_bytes(destination, "big")
    if protocol == UDP:
        return _udp(family, ends, data[start:end])
    return _tcp(family, ends, data[start:end]) if protocol == TCP else None


def _udp(family: int, ends: tuple[int, int], data: bytes) -> DnsPacket | None:
    if len(data) < _UDP.size:
        return None
    source, destination, length, _ = _UDP.unpack_from(data)
    if length != len(data):
        return None
    return DnsPacket(family, *ends, UDP, source, destination, data[_UDP.size :])


def _tcp(family: int, ends: tuple[int, int], data: bytes) -> DnsPacket | None:
    if len(data) < _TCP_HEADER:
        return None
    source, destination, sequence, _, offset, flags = _TCP.unpack_from(data)
    begin = (offset >> 4) * 4
    if not _TCP_HEADER <= begin <= len(data):
        return None
    begins = bool(flags & _SYN)
    return DnsPacket(
        family,
        *ends,
        TCP,
        source,
        destination,
        data[begin:],
        (sequence + begins) & 0xFFFFFFFF,  # a SYN takes a number
        begins,
        bool(flags & (_FIN | _RST)),
    )
