"""The sockets that probes are sent from. Each belongs to the namespace it is opened in, for good.

Rule: sending may block, receiving never does (MSG_DONTWAIT), so that no packet is given up because
the machine is busy for a moment.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Sequence

from podfence.lab.packets import ECHO_REPLY, ICMP, ICMPV6, SCTP, TCP, TCP_CHECKSUM

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
DONT_WAIT = socket.MSG_DONTWAIT
NONBLOCK = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_CLOEXEC = socket.SOCK_CLOEXEC
_SO_ATTACH_FILTER = 26
_IPV6_CHECKSUM = 7
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD_HEADER_LENGTH, _LOAD_HALF_INDEXED, _LOAD_HALF = 0xB1, 0x48, 0x28
_JUMP_EQUAL, _RETURN = 0x15, 0x06
_LOAD_BYTE_INDEXED, _LOAD_BYTE = 0x50, 0x30
_TAKE, _DROP = (_RETURN, 0, 0, 0xFFFF), (_RETURN, 0, 0, 0)


def datagrams(family: int, address: str, port: int) -> socket.socket:
    """A UDP socket at a port, or at any where somebody has this one."""
    made = socket.socket(FAMILY[family], socket.SOCK_DGRAM | _CLOEXEC)
    try:
        made.bind((address, port))
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        made.bind((address, 0))
    return made


def echoes(family: int, address: str) -> socket.socket:
    """Sends echo requests and receives echo replies."""
    made = raw(family, address, ICMP if family == 4 else ICMPV6)
    load = (
        [(_LOAD_HEADER_LENGTH, 0, 0, 0), (_LOAD_BYTE_INDEXED, 0, 0, 0)]
        if family == 4
        else [(_LOAD_BYTE, 0, 0, 0)]
    )
    _filter(made, [*load, (_JUMP_EQUAL, 0, 1, ECHO_REPLY[family]), _TAKE, _DROP])
    return made


def knocks(family: int, address: str, port: int) -> socket.socket:
    """Sends TCP segments, header and all, and receives those to one port. The kernel knows nothing
    of them, so it resets whatever connection they begin."""
    made = raw(family, address, TCP)
    if family == 6:
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, TCP_CHECKSUM)
    # IPv4 comes with its header, IPv6 without
    load = (
        [(_LOAD_HEADER_LENGTH, 0, 0, 0), (_LOAD_HALF_INDEXED, 0, 0, 2)]
        if family == 4
        else [(_LOAD_HALF, 0, 0, 2)]
    )
    _filter(made, [*load, (_JUMP_EQUAL, 0, 1, port), _TAKE, _DROP])
    return made


def inits(family: int, address: str) -> socket.socket:
    """Sends SCTP packets, header and all, and receives nothing."""
    made = raw(family, address, SCTP)
    _filter(made, [_DROP])
    return made


def raw(family: int, address: str, protocol: int) -> socket.socket:
    """Sends and receives packets of a protocol, its header and all."""
    made = socket.socket(FAMILY[family], socket.SOCK_RAW | _CLOEXEC, protocol)
    made.bind((address, 0))
    return made


def _filter(made: socket.socket, program: Sequence[tuple[int, int, int, int]]) -> None:
    """Let the kernel drop what nobody here reads (a classic BPF program, see socket(7)): a raw
    socket gets a copy of all that comes to its address, whoever it is meant for."""
    code = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*line) for line in program))
    value = struct.pack("@HP", len(program), ctypes.addressof(code))
    made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, value)
