"""Packets that no ordinary socket sends: ICMP echo requests, SCTP INIT chunks and lone SYNs, as
bytes. Pure.

Rule: whole and correct by their RFCs (792, 4443, 9260, 9293), checksums included, since connection
tracking drops what is not.
"""

from __future__ import annotations

import struct
from functools import cache
from ipaddress import IPv4Address

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
"""IP protocol numbers."""
ECHO_BODY = struct.Struct("=II")
"""What an echo carries, and brings back: round and probe."""
_ECHO = struct.Struct(">BBHHH")  # type, code, checksum, identifier, sequence
ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
"""ICMP types."""
_COMMON = struct.Struct(">HHII")  # source port, destination port, verification tag, checksum
_INIT = struct.Struct(">BBHIIHHI")  # type, flags, length, tag, window, streams out, in, number
_INIT_TYPE, _WINDOW = 1, 65536
_POLYNOMIAL = 0x82F63B78  # CRC32c, reflected
_TCP = struct.Struct(
    ">HHIIBBHHH"
)  # ports, sequence, acknowledged, length, flags, window, sum, urgent
_TCP_ANSWER = struct.Struct(">8xIxB")  # acknowledgement and flags of the same
_PSEUDO = struct.Struct(">HH")
_WORDS = struct.Struct(">16H")  # both addresses, protocol and length, header
_TCP_LENGTH, _SYN_WINDOW = 5 << 4, 65535
_SYN, _RST, _ACK = 0x02, 0x04, 0x10
TCP_CHECKSUM = 16
"""Where in a TCP header its checksum is."""


def echo_request(family: int, identifier: int, body: bytes) -> bytes:
    """An echo request. The kernel adds the checksum of IPv6, which covers addresses too."""
    head = _ECHO.pack(ECHO_REQUEST[family], 0, 0, identifier, 1)
    checksum = _internet_checksum(head + body) if family == 4 else 0
    return _ECHO.pack(ECHO_REQUEST[family], 0, checksum, identifier, 1) + body


def echo_reply(family: int, packet: bytes) -> bytes | None:
    """What an echo reply brings back; None for other messages. IPv4 comes with its IP header."""
    message = _without_header(family, packet)
    is_reply = len(message) >= _ECHO.size and message[0] == ECHO_REPLY[family]
    return message[_ECHO.size :] if is_reply else None


def echo_asked(family: int, packet: bytes) -> bytes | None:
    """What an echo request carries; None for other messages."""
    message = _without_header(family, packet)
    is_request = len(message) >= _ECHO.size and message[0] == ECHO_REQUEST[family]
    return message[_ECHO.size :] if is_request else None


def init(source_port: int, destination_port: int, tag: int) -> bytes:
    """A packet with one INIT chunk; ``tag``: the initiate tag, not 0."""
    chunk = _INIT.pack(_INIT_TYPE, 0, _INIT.size, tag, _WINDOW, 1, 1, tag)
    whole = _COMMON.pack(source_port, destination_port, 0, 0) + chunk
    checksum = int.from_bytes(_crc32c(whole).to_bytes(4, "little"), "big")
    return _COMMON.pack(source_port, destination_port, 0, checksum) + chunk


def init_tag(family: int, packet: bytes) -> tuple[int, int] | None:
    """Destination port and initiate tag of an INIT; None for other packets."""
    message = _without_header(family, packet)
    if len(message) < _COMMON.size + _INIT.size or message[_COMMON.size] != _INIT_TYPE:
        return None
    _, port, _, _ = _COMMON.unpack_from(message)
    tag: int = _INIT.unpack_from(message, _COMMON.size)[3]
    return port, tag


class SynProber:
    """Makes the SYNs from one port of one address to one other address."""

    def __init__(self, family: int, source: str, port: int, destination: str) -> None:
        self._port = port
        self._sum = 0
        # IPv6's is the kernel's to add (IPV6_CHECKSUM)
        self._summed = family == 4
        if self._summed:
            fixed = _TCP.pack(port, 0, 0, 0, _TCP_LENGTH, _SYN, _SYN_WINDOW, 0, 0)
            ends = IPv4Address(source).packed + IPv4Address(destination).packed
            pseudo = ends + _PSEUDO.pack(TCP, _TCP.size)
            self._sum = sum(_WORDS.unpack(pseudo + fixed))

    def syn(self, port: int, sequence: int) -> bytes:
        """The SYN to a port; the answer acknowledges ``sequence`` + 1."""
        checksum = 0
        if self._summed:
            total = self._sum + port + (sequence >> 16) + (sequence & 0xFFFF)
            total = (total & 0xFFFF) + (total >> 16)
            checksum = ~(total + (total >> 16)) & 0xFFFF
        return _TCP.pack(self._port, port, sequence, 0, _TCP_LENGTH, _SYN, _SYN_WINDOW, checksum, 0)


def syn_answer(family: int, packet: bytes) -> tuple[int, bool] | None:
    """Of what answers a SYN, the sequence number of that, and whether it refuses; None: it is
    something else."""
    start = (packet[0] & 0x0F) * 4 if family == 4 and packet else 0
    if len(packet) < start + _TCP.size:
        return None
    acknowledged, flags = _TCP_ANSWER.unpack_from(packet, start)
    if not flags & _ACK or not flags & (_SYN | _RST):
        return None
    return (acknowledged - 1) & 0xFFFFFFFF, bool(flags & _RST)


def syn_sequence(family: int, packet: bytes) -> int | None:
    """The sequence number of a lone SYN; None for other segments."""
    message = _without_header(family, packet)
    if len(message) < _TCP.size:
        return None
    _, _, sequence, _, _, flags, _, _, _ = _TCP.unpack_from(message)
    return int(sequence) if flags & (_SYN | _ACK) == _SYN else None


def _without_header(family: int, packet: bytes) -> bytes:
    return packet[(packet[0] & 0x0F) * 4 :] if family == 4 and packet else packet


def _internet_checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@cache
def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


def _crc32c(data: bytes) -> int:
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
