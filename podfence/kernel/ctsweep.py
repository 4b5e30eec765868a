"""Take the marks of old epochs off connections, so that a number can be used again.

Rule: only our bits of a mark are touched, and no connection is deleted: one that lost its mark is
judged once more with its next packet, by the rules of that time.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator

from podfence.errors import NftError
from podfence.kernel import netns
from podfence.kernel.netlink import (
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    attribute,
    attributes,
    decode_answers,
    message,
    messages,
)

_NETLINK_NETFILTER = 12
_CTNETLINK = 1 << 8
_CT_NEW, _CT_GET = _CTNETLINK, _CTNETLINK | 1
CTA_TUPLE_ORIG = 1
CTA_NESTED = 0x8000
CTA_MARK = 8
CTA_ZONE = 18
CTA_MARK_MASK = 21
_RECEIVE = 1 << 18
_BATCH = 1 << 15
"""Bytes of changes that are sent at once; the kernel's buffers take several times as many."""
_ATTEMPTS = 5
"""Readings of a table that changes its size meanwhile."""


def sweep(mask: int, first: int, last: int, namespace_fd: int | None = None) -> int:
    """Clear the bits of ``mask`` in every connection that holds a number from ``first`` to ``last``
    there; how many there were.

    ``namespace_fd``: an open ``/proc/PID/ns/net``; None: the calling thread's namespace. Raises
    NftError; then some may be cleared.
    """
    try:
        opened = netns.run_inside(namespace_fd, _open) if namespace_fd is not None else _open()
    except OSError as error:
        raise _failed(error.errno or 0) from error
    with opened:
        found = _until_whole(opened, mask, first, last)
        for batch in _batches(found, mask):
            _change(opened, batch)
        return len(found)


def _open() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    opened = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
    opened.bind((0, 0))
    return opened


def _until_whole(opened: socket.socket, mask: int, first: int, last: int) -> list[bytes]:
    """A table that grows while it is read may give some entries twice and others not at all."""
    for _ in range(_ATTEMPTS):
        found, whole = _dump(opened, mask, first, last)
        if whole:
            break
    return found


def _dump(opened: socket.socket, mask: int, first: int, last: int) -> tuple[list[bytes], bool]:
    """What names each connection with such a number; and whether nothing moved meanwhile."""
    lowest = mask & -mask
    alike = mask & ~((1 << ((first ^ last) * lowest).bit_length()) - 1)
    body = _header(0) + _number(CTA_MARK, first * lowest & alike) + _number(CTA_MARK_MASK, alike)
    _send(opened, message(_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, 1, body))
    found: list[bytes] = []
    whole = True
    while True:
        for kind, flags, _, answer in messages(_receive(opened)):
            whole = whole and not flags & NLM_F_DUMP_INTR
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                (error,) = struct.unpack_from("=i", answer) if len(answer) >= 4 else (0,)
                if error:
                    raise _failed(-error)
                return found, whole
            said = dict(attributes(answer[4:]))
            if first <= (_mark(said) & mask) // lowest <= last:
                found.append(_named(answer[0], said))


def _named(family: int, said: dict[int, bytes]) -> bytes:
    """The start of a message about a connection: its first direction, and its zone if it has
    one."""
    zone = attribute(CTA_ZONE, said[CTA_ZONE]) if CTA_ZONE in said else b""
    tuple_ = attribute(CTA_TUPLE_ORIG | CTA_NESTED, said[CTA_TUPLE_ORIG])
    return _header(family) + tuple_ + zone


def _mark(said: dict[int, bytes]) -> int:
    return int.from_bytes(said.get(CTA_MARK, b""), "big")


def _batches(found: Iterable[bytes], mask: int) -> Iterator[bytes]:
    """Changes, each of them: none of our bits, the others as they are."""
    cleared = _number(CTA_MARK, 0) + _number(CTA_MARK_MASK, mask)
    batch: list[bytes] = []
    size = 0
    for named in found:
        batch.append(message(_CT_NEW, NLM_F_REQUEST, 2, named + cleared))
        size += len(batch[-1])
        if size >= _BATCH:
            yield b"".join(batch)
            batch, size = [], 0
    if batch:
        yield b"".join(batch)


def _change(opened: socket.socket, batch: bytes) -> None:
    """The kernel answers errors alone, and while ``send`` runs. A connection may have ended."""
    _send(opened, batch)
    while True:
        try:
            data = opened.recv(_RECEIVE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError as error:
            raise _failed(error.errno or 0) from error
        for answer in decode_answers(data):
            if answer.error not in (0, errno.ENOENT):
                raise _failed(answer.error)


def _header(family: int) -> bytes:
    return struct.pack(">BBH", family, 0, 0)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _send(opened: socket.socket, data: bytes) -> None:
    try:
        opened.send(data)
    except OSError as error:
        raise _failed(error.errno or 0) from error


def _receive(opened: socket.socket) -> bytes:
    try:
        return opened.recv(_RECEIVE)
    except OSError as error:
        raise _failed(error.errno or 0) from error


def _failed(error: int) -> NftError:
    code = errno.errorcode.get(error, str(error))
    return NftError(
        f"marks of connections cannot be cleared: {os.strerror(error).lower()} ({code})"
    )
