"""The table of connections of a network namespace, filled to the brim and emptied again.

Rule: connections that are made up carry a mark of their own, and only they are taken away.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from itertools import count
from pathlib import Path

from podfence.kernel import netns
from podfence.kernel.ctsweep import (
    CTA_MARK,
    CTA_MARK_MASK,
    CTA_NESTED,
    CTA_TUPLE_ORIG,
)
from podfence.kernel.netlink import NLM_F_REQUEST, attribute, message

_NETFILTER = 12
_CT_NEW, _CT_DELETE = 1 << 8, 1 << 8 | 2
_CREATE = 0x400
_CTA_TUPLE_REPLY, _CTA_STATUS, _CTA_TIMEOUT = 2, 3, 7
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CONFIRMED_ASSURED = 2 | 4 | 8
_LASTS = 600
_MARK = 1
"""Outside of podfence's bits."""
_BATCH = 200
_ROUND = 20_000
LARGEST = 300_000
"""Connections that a test may make."""
_SYSCTL = Path("/proc/sys/net/netfilter")


def room(namespace: int) -> int:
    """How many connections the kernel tracks in there at the most."""
    return netns.run_inside(namespace, lambda: _number("nf_conntrack_max"))


def fill(namespace: int) -> int:
    """Make connections until the kernel takes no more; how many it tracks then."""
    with netns.inside(namespace):
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
    most, numbers, there = room(namespace), count(), 0
    with opened:
        while (made := next(numbers)) < 2 * LARGEST and there < most:
            opened.send(b"".join(_one(next(numbers)) for _ in range(_BATCH)))
            with suppress(BlockingIOError):  # errors: the kernel took no more
                while opened.recv(1 << 16, socket.MSG_DONTWAIT):
                    pass
            if made > most - _ROUND or made % _ROUND < _BATCH:
                there = netns.run_inside(namespace, lambda: _number("nf_conntrack_count"))
    return there


def empty(namespace: int) -> None:
    """Take them away."""
    with netns.inside(namespace):
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER)
    with opened:
        body = _HEADER + _be32(CTA_MARK, _MARK) + _be32(CTA_MARK_MASK, _MARK)
        opened.send(message(_CT_DELETE, NLM_F_REQUEST, 1, body))


def _number(name: str) -> int:
    return int((_SYSCTL / name).read_text())


_HEADER = struct.pack(">BBH", socket.AF_INET, 0, 0)


def _be32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _one(number: int) -> bytes:
    """A message that makes one: UDP between addresses that nobody has."""
    here = bytes((198, 18)) + (number >> 8).to_bytes(2, "big")
    port = 1024 + (number & 0xFF)
    there = bytes((198, 51, 100, 1))
    body = _HEADER + _tuple(CTA_TUPLE_ORIG, here, there, port, 9)
    body += _tuple(_CTA_TUPLE_REPLY, there, here, 9, port)
    body += _be32(_CTA_STATUS, _CONFIRMED_ASSURED) + _be32(_CTA_TIMEOUT, _LASTS)
    body += _be32(CTA_MARK, _MARK)
    return message(_CT_NEW, NLM_F_REQUEST | _CREATE, 1, body)


def _tuple(kind: int, source: bytes, target: bytes, from_port: int, to_port: int) -> bytes:
    addresses = attribute(_CTA_TUPLE_IP | CTA_NESTED, attribute(1, source) + attribute(2, target))
    ports = attribute(1, bytes((socket.IPPROTO_UDP,)))
    ports += attribute(2, struct.pack(">H", from_port)) + attribute(3, struct.pack(">H", to_port))
    return attribute(kind | CTA_NESTED, addresses + attribute(_CTA_TUPLE_PROTO | CTA_NESTED, ports))
