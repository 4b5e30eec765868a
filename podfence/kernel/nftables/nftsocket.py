"""A netlink socket for nftables: one batch is one transaction, all of it or nothing.

Rule: a socket stays in the network namespace that it was opened in; this process never leaves its
own. The kernel works while ``send`` runs, so every acknowledgement lies in the receive buffer
afterwards: nothing in here waits for one.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from podfence.errors import NftError, NftUnanswered
from podfence.kernel import netns
from podfence.kernel.netlink import (
    NETLINK_CAP_ACK,
    NETLINK_EXT_ACK,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    SOL_NETLINK,
    Ack,
    decode_answers,
    message,
    messages,
)
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.encode import FAMILY, NftMessage

SEND_BUFFER = 1 << 28
"""Bytes of one transaction that root may send: some ten million elements."""
_BATCH = struct.pack(">BBH", socket.AF_UNSPEC, 0, nf.NFNL_SUBSYS_NFTABLES)
_RECEIVE = 1 << 16
_NETLINK_NETFILTER, _SO_SNDBUFFORCE = 12, 32
_OVERHEAD = 32
"""What the kernel keeps of a send buffer for itself."""
_REASONS = {
    errno.ENOENT: "no such object",
    errno.EEXIST: "exists already, and differs",
    errno.EBUSY: "still in use",
    errno.EPERM: "not permitted without CAP_NET_ADMIN",
    errno.ENFILE: "the set is full",
    errno.ELOOP: "chains lead back to themselves",
    errno.EMLINK: "chains lead back to themselves, or too deep",
    errno.EOPNOTSUPP: "this kernel does not support it",
    errno.ENOTEMPTY: "overlaps another element",
}


class DumpInterrupted(Exception):
    """The rules changed while they were read: read again."""


def too_large(size: int, limit: int) -> NftError:
    """The error for a transaction of ``size`` bytes."""
    return NftError(
        f"a transaction of {size} bytes is more than this user may send at once ({limit}); "
        "run as root, or raise net.core.wmem_max"
    )


class NftSocket:
    """A netlink socket for nftables, in the network namespace that it was opened in.

    For one thread at a time. The kernel's work is done while a call runs: a fifth of a second for a
    hundred thousand elements, so an event loop keeps it on a thread.
    """

    def __init__(self, namespace_fd: int | None = None) -> None:
        """``namespace_fd``: an open ``/proc/PID/ns/net``; None: the calling thread's namespace.

        Raises NftError when the namespace cannot be entered, or the kernel knows no nftables.
        """
        try:
            self._socket = _open(namespace_fd)
        except OSError as error:
            raise NftError(f"no netlink socket for nftables: {error.strerror}") from error
        self._sequence = 0
        self.limit = _room(self._socket)
        """Bytes of the largest transaction that this socket can send."""
        self.port: int = self._socket.getsockname()[0]
        """The address of the socket, by which the kernel names who changed something."""
        self.taken = 0
        """Transactions that the kernel took."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()

    def transact(self, batch: Sequence[NftMessage]) -> None:
        """Apply all messages, or none of them.

        Raises NftError that names the first object that the kernel refused; nothing was applied.
        Raises NftUnanswered when it is unknown whether it was.
        """
        if not batch:
            return
        first = self._sequence + 1
        last = first + len(batch)
        self._sequence = last + 1
        data = b"".join(_frames(batch, first))
        if len(data) > self.limit:
            raise too_large(len(data), self.limit)
        self._send(data)
        answers = [a for a in self._answers() if a.sequence >= first]
        _raise_first(batch, first, answers)
        if all(answer.sequence != last for answer in answers):
            raise NftUnanswered("the kernel did not say whether it took the transaction")
        self.taken += 1

    def settle(self) -> None:
        """Wait for transactions that take effect just now, by anybody: afterwards all that they
        have to tell is told. An empty transaction waits its turn and changes nothing.

        Raises NftUnanswered.
        """
        self._sequence += 2
        self._send(b"".join(_frames((), self._sequence - 1)))
        for _ in self._answers():
            pass

    def dump(self, kind: int, body: bytes, family: int | None = None) -> list[bytes]:
        """The bodies of everything that a request lists, each without the protocol's header.

        ``family``: of tables of another family than ours. Raises DumpInterrupted, or NftError.
        """
        self._request(kind, NLM_F_DUMP, body, FAMILY if family is None else _head(family))
        found: list[bytes] = []
        interrupted = False
        while True:
            for type_, flags, _, answer in messages(self._receive()):
                interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
                if type_ in (NLMSG_DONE, NLMSG_ERROR):
                    _finish(answer, interrupted=interrupted)
                    return found
                found.append(answer[len(FAMILY) :])

    def get(self, kind: int, body: bytes) -> bytes | None:
        """The body of the one object that a request names, None when there is no such object.

        Raises NftError.
        """
        self._request(kind, 0, body)
        type_, _, _, answer = next(messages(self._receive()))
        if type_ != NLMSG_ERROR:
            return answer[len(FAMILY) :]
        error = _error(answer)
        if error == errno.ENOENT:
            return None
        raise NftError(f"the rules cannot be read: {_reason(error)}")

    def _request(self, kind: int, flags: int, body: bytes, head: bytes = FAMILY) -> None:
        self._sequence += 1
        self._send(
            message(
                nf.NFNL_SUBSYS_NFTABLES << 8 | kind,
                NLM_F_REQUEST | flags,
                self._sequence,
                head + body,
            )
        )

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            raise NftUnanswered(f"nothing was sent to the kernel: {error.strerror}") from error

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(_RECEIVE)
        except OSError as error:
            raise NftUnanswered(f"the rules cannot be read: {error.strerror}") from error

    def _answers(self) -> Iterator[Ack]:
        """What lies in the buffer. When it was too small for all refusals, the first are there."""
        while True:
            try:
                data = self._socket.recv(_RECEIVE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise NftUnanswered(f"no answer of the kernel: {error.strerror}") from error
                continue
            yield from decode_answers(data)


def _head(family: int) -> bytes:
    return struct.pack("=BBH", family, 0, 0)


def _open(namespace_fd: int | None) -> socket.socket:
    if namespace_fd is None:
        return _open_here()
    return netns.run_inside(namespace_fd, _open_here)  # the socket stays in the namespace


def _open_here() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    opened = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
    opened.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
    opened.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
    opened.bind((0, 0))
    return opened


def _room(opened: socket.socket) -> int:
    """Make room for large transactions: as much as one likes, or what everybody may have."""
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, SEND_BUFFER)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    return opened.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - _OVERHEAD


def _frames(batch: Sequence[NftMessage], first: int) -> Iterator[bytes]:
    """Refusals are always answered; the last message asks for success to be said, too."""
    last = first + len(batch)
    yield message(nf.NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, first, _BATCH)
    for sequence, item in enumerate(batch, first + 1):
        flags = NLM_F_REQUEST | item.flags | (NLM_F_ACK if sequence == last else 0)
        yield message(item.type, flags, sequence, item.body)
    yield message(nf.NFNL_MSG_BATCH_END, NLM_F_REQUEST, last + 1, _BATCH)


def _raise_first(batch: Sequence[NftMessage], first: int, answers: Sequence[Ack]) -> None:
    """An answer to the frame of the batch is about all of it: what only the whole can violate."""
    for answer in answers:
        if answer.error:
            number = answer.sequence - first - 1
            name = batch[number].name(answer.offset) if 0 <= number < len(batch) else "the ruleset"
            said = f": {answer.reason}" if answer.reason else ""
            raise NftError(f"{name}: {_reason(answer.error)}{said}")


def _error(body: bytes) -> int:
    (error,) = struct.unpack_from("=i", body)
    return -int(error)


def _finish(body: bytes, *, interrupted: bool) -> None:
    """The last message of a dump holds an errno."""
    error = _error(body)
    if interrupted or error == errno.EINTR:
        raise DumpInterrupted
    if error == errno.ENOENT:  # the table went while it was read
        raise DumpInterrupted
    if error:
        raise NftError(f"the rules cannot be read: {_reason(error)}")


def _reason(error: int) -> str:
    """``no such object (ENOENT)``."""
    known = errno.errorcode.get(error, str(error))
    return f"{_REASONS.get(error) or os.strerror(error).lower()} ({known})"
