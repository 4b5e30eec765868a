"""Copies of packets that rules log: a listener of one netlink log group.

Rule: packets wait for nobody. The kernel copies their first bytes into our buffer, or drops the
copy where there is no room; its numbers tell how many that were.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator

from msgspec import Struct

from podfence.errors import NftError
from podfence.kernel import netns
from podfence.kernel.netlink import (
    NLM_F_ACK,
    NLM_F_REQUEST,
    attribute,
    attributes,
    decode_answers,
    message,
    messages,
)

_NETLINK_NETFILTER, _SO_RCVBUFFORCE = 12, 33
_SUBSYSTEM = 4 << 8
_PACKET, _CONFIG = _SUBSYSTEM, _SUBSYSTEM | 1
_HEAD = struct.Struct(">BBH")  # family, version, group
_CFG_CMD, _CFG_MODE, _CFG_NLBUFSIZ, _CFG_TIMEOUT, _CFG_QTHRESH, _CFG_FLAGS = range(1, 7)
_BIND, _COPY_PACKET = b"\1", 2
_NUMBERED = 0x1
_HEADER, _PAYLOAD, _PREFIX, _NUMBER = 1, 9, 10, 12
_IN, _OUT, _PORT_IN, _PORT_OUT = 4, 5, 6, 7
COPIED = 128
"""Bytes of a packet that are copied: an IPv6 header, some extension headers, ports."""
BUFFER = 1 << 20
"""Bytes of copies that may wait for us."""
_RECEIVE = 1 << 16
_TOGETHER = 50
"""Copies that the kernel sends as one message, if they come within ``_TIMEOUT``."""
_TIMEOUT = 10
"""Hundredths of a second."""
_SPACE = 1 << 15


class LoggedPacket(Struct, frozen=True):
    """A logged packet. ``family``: 4 or 6. ``data``: its first bytes, from the IP header on; they
    are what strangers sent. The rest: numbers of the interfaces that it came in by and goes out by,
    and of the ports of a bridge; 0 for none."""

    prefix: str
    family: int
    data: bytes
    comes: int = 0
    goes: int = 0
    port_in: int = 0
    port_out: int = 0


class LoggedPackets(Struct, frozen=True):
    """What came at once. ``lost``: copies since the last time that the kernel had no room for."""

    packets: tuple[LoggedPacket, ...] = ()
    lost: int = 0


class LogListener:
    """Listens to a group, in the network namespace of the calling thread. For one thread."""

    def __init__(
        self,
        group: int,
        namespace_fd: int | None = None,
        copied: int = COPIED,
        *,
        at_once: bool = False,
    ) -> None:
        """``namespace_fd``: another namespace, as an open ``/proc/PID/ns/net``. ``copied``: bytes
        of a packet. ``at_once``: copies do not wait for others to come with them.

        Raises NftError: another process listens to the group, or the kernel has no nfnetlink_log.
        """
        self._next: int | None = None
        self._copied, self._together = copied, 1 if at_once else _TOGETHER
        try:
            opened = netns.run_inside(namespace_fd, _open) if namespace_fd else _open()
        except OSError as error:
            raise NftError(f"no copies of denied packets: {error.strerror}") from error
        self._socket = opened
        try:
            self._configure(group)
        except OSError as error:
            opened.close()
            said = f"log group {group}: {error.strerror}"
            if error.errno == errno.EPERM:  # the kernel has one word for both
                said = f"another process listens to log group {group}, or CAP_NET_ADMIN is missing"
            raise NftError(f"no copies of denied packets: {said}") from error

    def close(self) -> None:
        """Give the descriptor back; the kernel copies nothing from then on."""
        self._socket.close()

    def wait(self, seconds: float) -> LoggedPackets:
        """What comes within a while, as soon as anything does. Raises NftError."""
        self._socket.settimeout(seconds)
        try:
            data = self._socket.recv(_RECEIVE)
        except TimeoutError:
            return LoggedPackets()
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                return LoggedPackets()  # the numbers of the next copies tell how many were lost
            raise NftError(f"no copies of denied packets: {error.strerror}") from error
        packets, lost = [], 0
        for number, copy in read_copies(data):
            if number is not None:
                lost += 0 if self._next is None else (number - self._next) & 0xFFFFFFFF
                self._next = (number + 1) & 0xFFFFFFFF
            packets.append(copy)
        return LoggedPackets(tuple(packets), lost)

    def _configure(self, group: int) -> None:
        mode = struct.pack(">IBx", self._copied, _COPY_PACKET)
        self._ask(group, attribute(_CFG_CMD, _BIND))
        self._ask(group, attribute(_CFG_MODE, mode))
        self._ask(
            group,
            attribute(_CFG_NLBUFSIZ, struct.pack(">I", _SPACE))
            + attribute(_CFG_TIMEOUT, struct.pack(">I", _TIMEOUT))
            + attribute(_CFG_QTHRESH, struct.pack(">I", self._together)),
        )
        self._ask(group, attribute(_CFG_FLAGS, struct.pack(">H", _NUMBERED)))

    def _ask(self, group: int, body: bytes) -> None:
        """Raises OSError where the kernel refuses."""
        head = _HEAD.pack(socket.AF_UNSPEC, 0, group)
        self._socket.send(message(_CONFIG, NLM_F_REQUEST | NLM_F_ACK, 1, head + body))
        while True:  # copies may come before the answer; they are of no use yet
            for answer in decode_answers(self._socket.recv(_RECEIVE)):
                if answer.error:
                    raise OSError(answer.error, os.strerror(answer.error))
                return


def read_copies(data: bytes) -> Iterator[tuple[int | None, LoggedPacket]]:
    """The copies in a datagram, each with its number, None where it has none."""
    for kind, _, _, body in messages(data):
        if kind != _PACKET or len(body) < _HEAD.size:
            continue
        said = dict(attributes(body[_HEAD.size :]))
        family = {b"\x08\x00": 4, b"\x86\xdd": 6}.get(said.get(_HEADER, b"")[:2])
        if family is None:
            continue
        number = said.get(_NUMBER)
        yield (
            None if number is None else int.from_bytes(number, "big"),
            LoggedPacket(
                said.get(_PREFIX, b"").rstrip(b"\0").decode("ascii", "replace"),
                family,
                said.get(_PAYLOAD, b""),
                *(int.from_bytes(said.get(at, b""), "big") for at in (_IN, _OUT)),
                *(int.from_bytes(said.get(at, b""), "big") for at in (_PORT_IN, _PORT_OUT)),
            ),
        )


def _open() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    opened = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    opened.bind((0, 0))
    opened.settimeout(5.0)
    return opened
