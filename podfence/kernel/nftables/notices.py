"""Changes of our table by others: the kernel's notifications, without those of our own writes.

Rule: a filter in the kernel drops what our own socket causes, so that a write of ours costs no
reading. What could not be kept for us is said, too: then somebody may have changed anything. Who
writes much may stop listening meanwhile, and finds out otherwise whether others wrote (``miss``).
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct

from msgspec import Struct

from podfence.errors import NftError
from podfence.kernel import netns
from podfence.kernel.netlink import SOL_NETLINK, attributes, messages
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.encode import FAMILY

_NETLINK_NETFILTER = 12
_SO_ATTACH_FILTER, _SO_RCVBUFFORCE = 26, 33
_RECEIVE = 1 << 18
_BUFFER = 1 << 22
_ADD_MEMBERSHIP, _DROP_MEMBERSHIP = 1, 2
_NEWGEN = nf.NFNL_SUBSYS_NFTABLES << 8 | nf.NFT_MSG_NEWGEN
_TABLE = 1
"""The attribute that names the table: the same number in tables, chains, rules, sets, elements."""
_INSTRUCTION = struct.Struct("=HBBI")
_LOAD_WORD, _JUMP_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NUMBER = slice(2, 4)
"""Where the head of a body has the last bits of the transaction's number."""
_PORT_AT = 12
"""Where the header of a message holds the netlink port of the process that caused it."""
_ALL = 0xFFFFFFFF


class Notice(Struct, frozen=True):
    """Somebody else changed our table. ``process`` and ``number``: who, by the kernel's account;
    "" and 0 where notifications were lost, and it is not known whether anybody did."""

    process: str
    number: int


class Notices:
    """Notifications about one table, in the network namespace of the calling thread."""

    def __init__(self, table: str, namespace_fd: int | None = None) -> None:
        """``namespace_fd``: another namespace, as an open ``/proc/PID/ns/net``. Raises NftError."""
        self._table = table.encode() + b"\0"
        try:
            self._socket = netns.run_inside(namespace_fd, _open) if namespace_fd else _open()
        except OSError as error:
            text = f"no notifications of nftables: {error.strerror}"
            raise NftError(text) from error
        self._touched = b""
        """The number of the transaction that changes our table; its end has the same. The end of
        one that began before we left may never come."""
        self._has_missed = False

    def close(self) -> None:
        """Give the descriptor back."""
        self._socket.close()

    def ignore(self, port: int) -> None:
        """From now on, nothing is said about what the socket of this port does."""
        as_loaded = int.from_bytes(struct.pack("=I", port), "big")
        program = ctypes.create_string_buffer(
            _INSTRUCTION.pack(_LOAD_WORD, 0, 0, _PORT_AT)
            + _INSTRUCTION.pack(_JUMP_EQUAL, 0, 1, as_loaded)
            + _INSTRUCTION.pack(_RETURN, 0, 0, 0)
            + _INSTRUCTION.pack(_RETURN, 0, 0, _ALL)
        )
        described = struct.pack("HP", 4, ctypes.addressof(program))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, described)

    def leave(self) -> None:
        """Listen no more: the kernel writes a notification for each element as soon as anybody in
        the system does, also where a filter drops it, and that is a third of a large write."""
        self._member(_DROP_MEMBERSHIP)

    def join(self) -> None:
        """Listen again. Raises OSError."""
        self._member(_ADD_MEMBERSHIP)

    def miss(self) -> None:
        """Others have written while nobody listened, perhaps elsewhere; said with the next
        ``wait``."""
        self._has_missed = True

    def wait(self, seconds: float) -> Notice | None:
        """What somebody else did to our table, None when nobody did for a while. Raises NftError.

        Others may keep us reading about tables of theirs for longer than ``seconds``.
        """
        if self._has_missed:
            self._has_missed = False
            return Notice("", 0)
        self._socket.settimeout(seconds)
        while True:
            try:
                data = self._socket.recv(_RECEIVE)
            except TimeoutError:
                return None
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise NftError(f"no notifications of nftables: {error.strerror}") from error
                self._touched = b""
                return Notice("", 0)
            found = self._read(data)
            if found is not None:
                return found

    def _member(self, option: int) -> None:
        self._socket.setsockopt(SOL_NETLINK, option, nf.NFNLGRP_NFTABLES)

    def _read(self, data: bytes) -> Notice | None:
        """The last notice in a datagram. A transaction may be several; NEWGEN is its end."""
        notice = None
        for kind, _, _, body in messages(data):
            number, said = body[_NUMBER], body[len(FAMILY) :]
            if kind != _NEWGEN:
                self._touched = number if self._is_about_ours(body, said) else self._touched
            elif self._touched == number:
                self._touched = b""
                notice = _notice(dict(attributes(said)))
        return notice

    def _is_about_ours(self, body: bytes, said: bytes) -> bool:
        if body[:1] != FAMILY[:1]:
            return False
        return any(k == _TABLE and value == self._table for k, value in attributes(said))


def _notice(said: dict[int, bytes]) -> Notice:
    name = said.get(nf.NFTA_GEN_PROC_NAME, b"").rstrip(b"\0").decode("utf-8", "replace")
    return Notice(name, int.from_bytes(said.get(nf.NFTA_GEN_PROC_PID, b""), "big"))


def _open() -> socket.socket:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    opened = socket.socket(socket.AF_NETLINK, kind, _NETLINK_NETFILTER)
    try:
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
    except PermissionError:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
    opened.bind((0, 1 << (nf.NFNLGRP_NFTABLES - 1)))
    return opened
