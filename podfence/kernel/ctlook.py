"""Look at the connections that the kernel tracks: those that our rules let pass, each told once.

Rule: nothing is changed and no packet meets anything more. A look is a listing of the whole table,
cut off after some datagrams; those that the look before has told are only recognised, which
costs a tenth of reading them, unless it is asked what is still there.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Mapping

from msgspec import Struct

from podfence.errors import NftError
from podfence.kernel import netns
from podfence.kernel.ctsweep import CTA_MARK, CTA_TUPLE_ORIG
from podfence.kernel.netlink import (
    HEADER,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    attributes,
    message,
)

_NETLINK_NETFILTER = 12
_CT_NEW, _CT_GET = 1 << 8, 1 << 8 | 1
_CTA_TUPLE_REPLY = 2
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_V4_SRC, _CTA_IP_V6_SRC = 1, 3
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT = 1, 2
_BODY = 20
"""Bytes of a message before its attributes; the first is the tuple of the original direction."""
_START = struct.Struct("=IH14xH")  # length, type, length of that attribute
_ATTRIBUTE = struct.Struct("=HH")
_WITH_PORTS = frozenset((52, 76))
"""Bytes of a tuple of IPv4 and of IPv6 that ends with two ports, each four bytes, two and two."""
_ERRNO = struct.Struct("=i")
_RECEIVE = 1 << 18
_SILENCE = 10.0
"""Seconds; the kernel answers a dump at once."""
MOST = 50_000
"""Connections that one look reads."""
_ANEW = 6
"""After so many looks, those without our mark are read again: they may have one by now."""


class TrackedConnection(Struct, frozen=True):
    """A connection that is let pass, as policies judge it. ``client``: who began; ``server``: who
    answers, behind a Service the pod itself. ``number``: of the transport protocol; ``port``: the
    server's, None where the protocol has none."""

    family: int
    client: int
    server: int
    number: int
    port: int | None = None


class ConntrackSample(Struct, frozen=True):
    """``kinds``: how many connections of each kind there are that were not told yet; 0: none, but
    there are some that were. ``entries``: how many were looked at; ``cut``: there were more. Where
    a connection stands in the table is random, and stays: so a look that is cut sees a random part,
    and the next one the same part."""

    kinds: Mapping[TrackedConnection, int]
    entries: int
    cut: bool = False


class ConnectionTable:
    """``mask``: the bits of marks that are ours. ``namespace_fd``: an open ``/proc/PID/ns/net``;
    None: the calling thread's namespace. For one thread."""

    def __init__(self, mask: int, namespace_fd: int | None = None, most: int = MOST) -> None:
        self._mask = mask
        self._namespace_fd = namespace_fd
        self._most = most
        self._told: set[int] = set()
        self._others: set[int] = set()
        self._looks = 0

    def look(self, *, still: bool = False) -> ConntrackSample:
        """What is there now. ``still``: kinds of those that were told before, too. Raises
        NftError."""
        self._looks += 1
        if self._looks % _ANEW == 0:
            self._others = set()
        told: set[int] = set()
        others: set[int] = set()
        found: dict[bytes, int] = {}
        entries, cut = 0, False
        for data in self._datagrams():
            for at, length, first in _entries(data):
                entries += 1
                # Both tuples, which are equally long: no two connections share them. The hash has
                # a secret of this process, so nobody can make two that are taken for one.
                tuples = data[at : at + 2 * first]
                key = hash(tuples)
                if key in self._told:
                    told.add(key)
                    if still:
                        found.setdefault(_kind(tuples), 0)
                elif key in self._others:
                    others.add(key)
                elif _mark(data, at + len(tuples), at + length) & self._mask:
                    told.add(key)
                    kind = _kind(tuples)
                    found[kind] = found.get(kind, 0) + 1
                else:
                    others.add(key)
            if entries >= self._most:
                cut = True
                break
        self._told, self._others = told, others
        kinds: dict[TrackedConnection, int] = {}
        for kind, number in found.items():
            if (tracked := _tracked(kind)) is not None:
                kinds[tracked] = kinds.get(tracked, 0) + number
        return ConntrackSample(kinds, entries, cut)

    def _datagrams(self) -> Iterator[bytes]:
        """The table. A socket for each look: one that is closed ends a listing that is cut."""
        fd = self._namespace_fd
        try:
            with netns.run_inside(fd, _open) if fd is not None else _open() as opened:
                opened.send(message(_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, 1, bytes(4)))
                while True:
                    data = opened.recv(_RECEIVE)
                    _, kind, _, _, _ = HEADER.unpack_from(data)
                    if kind in (NLMSG_DONE, NLMSG_ERROR):
                        (error,) = _ERRNO.unpack_from(data, HEADER.size)
                        if error:
                            raise _failed(-error)
                        return
                    yield data
        except OSError as error:
            raise _failed(error.errno or errno.ETIMEDOUT) from error


def _entries(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Where the attributes of each message begin, how long they are, and how long the first is. The
    end of a listing may stand behind the last message."""
    at, end, unpack = 0, len(data), _START.unpack_from
    while at + _START.size <= end:
        length, kind, first = unpack(data, at)
        if kind != _CT_NEW or length < _START.size:
            return
        # A message may say that it is longer than what has come.
        yield at + _BODY, min(length, end - at) - _BODY, first
        at += length + -length % 4


def _mark(data: bytes, at: int, end: int) -> int:
    """That of a connection; 0: it has none."""
    unpack = _ATTRIBUTE.unpack_from
    while at + _ATTRIBUTE.size <= end:
        length, kind = unpack(data, at)
        if kind == CTA_MARK:
            return int.from_bytes(data[at + 4 : at + 8], "big")
        at += max(length + -length % 4, 4)
    return 0


def _kind(tuples: bytes) -> bytes:
    """One text for all connections that differ in the client's port alone, where the kernel writes
    ports: it stands in both tuples. Others are told apart, and added up later."""
    half = len(tuples) // 2
    if half not in _WITH_PORTS:
        return tuples
    first, second = half - 12, 2 * half - 4
    return b"".join((tuples[:first], b"\0\0", tuples[first + 2 : second], b"\0\0\0\0"))


def _open() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    opened = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
    opened.settimeout(_SILENCE)
    opened.bind((0, 0))
    return opened


def _tracked(tuples: bytes) -> TrackedConnection | None:
    """Policies see addresses after the Service was resolved (NP-28): the client is who began, the
    server is who answers. None for what cannot be read as a connection."""
    said = dict(attributes(tuples))
    try:
        first = dict(attributes(said[CTA_TUPLE_ORIG]))
        reply = dict(attributes(said[_CTA_TUPLE_REPLY]))
        family, client = _source(first[_CTA_TUPLE_IP])
        _, server = _source(reply[_CTA_TUPLE_IP])
        transport = dict(attributes(reply[_CTA_TUPLE_PROTO]))
        port = transport.get(_CTA_PROTO_SRC_PORT)
        number = transport[_CTA_PROTO_NUM][0]
    except (KeyError, IndexError):
        return None
    where = None if port is None else int.from_bytes(port, "big")
    return TrackedConnection(family, client, server, number, where)


def _source(addresses: bytes) -> tuple[int, int]:
    """Raises KeyError."""
    found = dict(attributes(addresses))
    family = 4 if _CTA_IP_V4_SRC in found else 6
    source = found[_CTA_IP_V4_SRC if family == 4 else _CTA_IP_V6_SRC]
    return family, int.from_bytes(source, "big")


def _failed(error: int) -> NftError:
    code = errno.errorcode.get(error, str(error))
    return NftError(f"connections cannot be listed: {os.strerror(error).lower()} ({code})")
