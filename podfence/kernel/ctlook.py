"""Look at the connections that the kernel tracks: those that our rules let pass, each told once.

Rule: nothing is changed and no packet meets anything more. A look is a listing of the whole table,
cut off after so many connections; those that the look before has told are only recognised, which
costs a tenth of reading them.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from msgspec import Struct

from podfence.errors import NftError
from podfence.kernel import netns
from podfence.kernel.ctsweep import CTA_MARK, CTA_TUPLE_ORIG
from podfence.kernel.netlink import (
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    attributes,
    message,
)

_NETLINK_NETFILTER = 12
_CT_GET = 1 << 8 | 1
_CTA_TUPLE_REPLY = 2
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_V4_SRC, _CTA_IP_V6_SRC = 1, 3
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT = 1, 2
_BODY = 20
"""Bytes of a message before its attributes; the first is the tuple of who began."""
_START = struct.Struct("=IH14xH")  # length, type, length of that attribute
_ERRNO = struct.Struct("=i")
_RECEIVE = 1 << 18
_SILENCE = 10.0
"""Seconds; the kernel answers a dump at once."""
MOST = 50_000
"""Connections that one look reads."""
_ANEW = 6
"""After so many looks, those without our mark are read again: they may have one by now."""


class Tracked(Struct, frozen=True):
    """A connection that is let pass, as policies judge it. ``client``: who began; ``server``: who
    answers, behind a Service the pod itself. ``number``: of the transport protocol; ``port``: the
    server's, None where the protocol has none."""

    family: int
    client: int
    server: int
    number: int
    port: int | None = None


class Look(Struct, frozen=True):
    """``new``: those that were not told yet. ``entries``: how many were looked at; ``cut``: there
    were more. Where a connection stands in the table is random, and stays: so a look that is cut
    sees a random part, and the next one the same part."""

    new: Sequence[Tracked]
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

    def look(self) -> Look:
        """What is there now. Raises NftError."""
        self._looks += 1
        others = set() if self._looks % _ANEW == 0 else self._others
        told_now: set[int] = set()
        others_now: set[int] = set()
        new: list[Tracked] = []
        entries, cut = 0, False
        for data, at, length, first in self._entries():
            if entries >= self._most:
                cut = True
                break
            entries += 1
            # Both tuples, which are equally long: no two connections share them. The hash has a
            # secret of this process, so nobody can make two that are taken for one.
            key = hash(data[at + _BODY : at + _BODY + 2 * first])
            if key in self._told:
                told_now.add(key)
            elif key in others:
                others_now.add(key)
            else:
                said = dict(attributes(data[at + _BODY : at + length]))
                if int.from_bytes(said.get(CTA_MARK, b""), "big") & self._mask:
                    told_now.add(key)
                    new += _tracked(said)
                else:
                    others_now.add(key)
        self._told, self._others = told_now, others_now
        return Look(new, entries, cut)

    def _entries(self) -> Iterator[tuple[bytes, int, int, int]]:
        """Datagram, offset and length of each message, and of its first attribute. A socket for
        each look: one that is closed ends a listing that is cut."""
        try:
            fd = self._namespace_fd
            opened = netns.run_inside(fd, _open) if fd is not None else _open()
            with opened:
                opened.send(message(_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, 1, bytes(4)))
                while True:
                    data = opened.recv(_RECEIVE)
                    at, end = 0, len(data)
                    while at + _BODY <= end:
                        (length, kind) = struct.unpack_from("=IH", data, at)
                        if kind in (NLMSG_DONE, NLMSG_ERROR):
                            (error,) = _ERRNO.unpack_from(data, at + 16)
                            if error:
                                raise _failed(-error)
                            return
                        if length < _BODY + 4:
                            raise _failed(errno.EBADMSG)
                        yield data, at, length, _START.unpack_from(data, at)[2]
                        at += length + -length % 4
        except OSError as error:
            raise _failed(error.errno or errno.ETIMEDOUT) from error


def _open() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    opened = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
    opened.settimeout(_SILENCE)
    opened.bind((0, 0))
    return opened


def _tracked(said: dict[int, bytes]) -> list[Tracked]:
    """Policies see addresses after the Service was resolved (NP-28): the client is who began, the
    server is who answers. None for what is no connection of ours to read."""
    try:
        first = dict(attributes(said[CTA_TUPLE_ORIG]))
        reply = dict(attributes(said[_CTA_TUPLE_REPLY]))
        family, client = _source(first[_CTA_TUPLE_IP])
        _, server = _source(reply[_CTA_TUPLE_IP])
        transport = dict(attributes(reply[_CTA_TUPLE_PROTO]))
        port = transport.get(_CTA_PROTO_SRC_PORT)
        number = transport[_CTA_PROTO_NUM][0]
    except (KeyError, IndexError):
        return []
    where = None if port is None else int.from_bytes(port, "big")
    return [Tracked(family, client, server, number, where)]


def _source(addresses: bytes) -> tuple[int, int]:
    """Raises KeyError."""
    found = dict(attributes(addresses))
    family = 4 if _CTA_IP_V4_SRC in found else 6
    source = found[_CTA_IP_V4_SRC if family == 4 else _CTA_IP_V6_SRC]
    return family, int.from_bytes(source, "big")


def _failed(error: int) -> NftError:
    code = errno.errorcode.get(error, str(error))
    return NftError(f"connections cannot be listed: {os.strerror(error).lower()} ({code})")
