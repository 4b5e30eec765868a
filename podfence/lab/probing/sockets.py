"""Sockets of probes, and how many may be open. Process: the lab process, and senders.

Rule: a socket belongs to the namespace that it is opened in, for good. Sending may block, receiving
never does (MSG_DONTWAIT): no packet is given up because the machine is busy for a moment.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import socket
import struct
from collections.abc import Sequence

from podfence.errors import LabError
from podfence.lab.probing.connections import MOST
from podfence.lab.testbed.packets import (
    ECHO_REPLY,
    ECHO_REQUEST,
    ICMP,
    ICMPV6,
    SCTP,
    TCP,
    TCP_CHECKSUM,
)
from podfence.lab.testbed.probeplan import ProbePlan

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
DONT_WAIT = socket.MSG_DONTWAIT
NONBLOCK = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_CLOEXEC = socket.SOCK_CLOEXEC
_SO_ATTACH_FILTER = 26
_IPV6_CHECKSUM = 7
_INSTRUCTION = struct.Struct("=HBBI")
Instruction = tuple[int, int, int, int]
_LOAD, _HALF, _BYTE, _ABSOLUTE, _INDEXED = 0x00, 0x08, 0x10, 0x20, 0x40
_HEADER_LENGTH, _AND = 0xB1, 0x54
_JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x15, 0x35, 0x06
_SYN, _SYN_OR_ACK = 0x02, 0x12
_TAKE, _DROP = (_RETURN, 0, 0, 0xFFFF), (_RETURN, 0, 0, 0)


def datagrams(family: int, address: str, port: int) -> socket.socket:
    """A UDP socket at a port, or at any free one if this is taken."""
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
    return _icmp(family, address, ECHO_REPLY[family])


def arriving_echoes(family: int, address: str) -> socket.socket:
    """Receives the echo requests that the kernel answers."""
    return _icmp(family, address, ECHO_REQUEST[family])


def _icmp(family: int, address: str, kind: int) -> socket.socket:
    made = raw(family, address, ICMP if family == 4 else ICMPV6)
    _filter(made, [*_load(family, _BYTE, 0), (_JUMP_EQUAL, 0, 1, kind), _TAKE, _DROP])
    return made


def syn_probes(family: int, address: str, port: int) -> socket.socket:
    """A raw socket that sends TCP segments with their header, and receives those to one port. The
    kernel knows no such connection, so it resets every one that begins."""
    made = raw(family, address, TCP)
    if family == 6:
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_CHECKSUM, TCP_CHECKSUM)
    _filter(made, [*_load(family, _HALF, 2), (_JUMP_EQUAL, 0, 1, port), _TAKE, _DROP])
    return made


def arriving_syns(family: int, address: str, ports: range) -> socket.socket:
    """Receives the SYNs from these ports that the kernel answers."""
    made = raw(family, address, TCP)
    flags = [*_load(family, _BYTE, 13), (_AND, 0, 0, _SYN_OR_ACK)]
    source = _load(family, _HALF, 0)
    program = [
        *flags,
        (_JUMP_EQUAL, 0, len(source) + 3, _SYN),
        *source,
        (_JUMP_AT_LEAST, 0, 2, ports.start),
        (_JUMP_AT_LEAST, 1, 0, ports.stop),
        _TAKE,
        _DROP,
    ]
    _filter(made, program)
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


def _load(family: int, size: int, offset: int) -> list[Instruction]:
    """Read a part of the packet behind its IP header, which IPv4 comes with and IPv6 without."""
    if family == 6:
        return [(_LOAD | size | _ABSOLUTE, 0, 0, offset)]
    return [(_HEADER_LENGTH, 0, 0, 0), (_LOAD | size | _INDEXED, 0, 0, offset)]


def _filter(made: socket.socket, program: Sequence[Instruction]) -> None:
    """A classic BPF program (socket(7)) that drops what this process does not read: a raw socket
    gets a copy of every packet to its address."""
    code = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*line) for line in program))
    value = struct.pack("@HP", len(program), ctypes.addressof(code))
    made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, value)


# -- how many may be open

_WINDOW = 30_000
"""Connections under way at most, where the limit of open files bears it. What should be answered
and is not stays under way until its time is up, so this bounds a round of failures."""
_SMALLEST_WINDOW = 64
_SPARE_FILES = 64
_SENDING = 8
"""Sockets that a party sends from: TCP, UDP, SCTP and ICMP over both IP versions."""
_OF_A_PARTY = 7
"""Its namespace, and what sees SYNs, echo requests and SCTP over both IP versions."""


def reserve(plan: ProbePlan) -> None:
    """Raise this process's limit as far as a plan needs it and the kernel lets us.

    Raises LabError when the limit bears too few.
    """
    listening = sum(len(party.addresses) for party in plan.parties) * len(plan.ports) * 2
    fixed = listening + (_SENDING + _OF_A_PARTY) * len(plan.parties) + MOST + _SPARE_FILES
    _check(fixed, _raise_limit(fixed + _WINDOW))


def window(sources: int) -> int:
    """How many connections a process with so many ``sources`` may have under way, given the files
    that are open now. Raises LabError when too few are left."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    fixed = len(os.listdir("/proc/self/fd")) + _SENDING * sources + _SPARE_FILES
    return min(_WINDOW, _check(fixed, limit))


def _check(fixed: int, limit: int) -> int:
    """What is left. Raises LabError when that is too little."""
    if limit - fixed < _SMALLEST_WINDOW:
        raise LabError(
            f"the lab needs {fixed + _SMALLEST_WINDOW} open files and may have {limit}; "
            "raise the limit (ulimit -n), or probe fewer ports"
        )
    return limit - fixed


def _raise_limit(wanted: int) -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
        except (ValueError, PermissionError):  # not privileged: what we have must do
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            return hard
        return wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
