"""The network devices of a namespace, as rtnetlink lists them: names, kinds, who hangs on whom.

Rule: read only. Numbers are those of ``linux/rtnetlink.h``, ``if_link.h`` and ``if_addr.h``.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import ip_address

from msgspec import Struct

from podfence.errors import HostError
from podfence.kernel.netlink import (
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    attributes,
    message,
    messages,
)
from podfence.sets.addresses import IPAddress

_RTM_GETLINK, _RTM_GETADDR = 18, 22
_IFINFO = struct.Struct("=BxHiII")
_IFADDR = struct.Struct("=BBBBI")
_IFLA_IFNAME, _IFLA_MASTER, _IFLA_LINKINFO = 3, 10, 18
_INFO_KIND, _INFO_DATA = 1, 2
_BR_NF_CALL_IPTABLES, _BR_NF_CALL_IP6TABLES = 36, 37
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RECEIVE = 1 << 16
_ATTEMPTS = 20


class Link(Struct, frozen=True):
    """A device. ``kind``: as ``ip link`` calls it (veth, bridge), "" for hardware. ``master``: the
    name of what it hangs on, "" for nothing. ``filters``: of a bridge, whether the host's filters
    see what passes it, by IP version, as the bridge itself says."""

    name: str
    kind: str = ""
    master: str = ""
    addresses: tuple[IPAddress, ...] = ()
    filters: frozenset[int] = frozenset()


def links() -> tuple[Link, ...]:
    """All of the calling thread's network namespace. Raises HostError."""
    try:
        with socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        ) as opened:
            opened.bind((0, 0))
            found = _dump(opened, _RTM_GETLINK, _IFINFO.pack(0, 0, 0, 0, 0))
            addresses = _dump(opened, _RTM_GETADDR, _IFADDR.pack(0, 0, 0, 0, 0))
    except OSError as error:
        raise HostError(f"the network devices cannot be listed: {error.strerror}") from error
    held: dict[int, list[IPAddress]] = {}
    for body in addresses:
        index = _IFADDR.unpack_from(body)[4]
        said = dict(attributes(body[_IFADDR.size :]))
        value = said.get(_IFA_LOCAL) or said.get(_IFA_ADDRESS)
        if value is not None and len(value) in (4, 16):
            held.setdefault(index, []).append(ip_address(value))
    read = {_IFINFO.unpack_from(body)[2]: dict(attributes(body[_IFINFO.size :])) for body in found}
    return tuple(_link(said, read, held.get(index, [])) for index, said in read.items())


def _link(
    said: dict[int, bytes], known: dict[int, dict[int, bytes]], addresses: list[IPAddress]
) -> Link:
    info = dict(attributes(said.get(_IFLA_LINKINFO, b"")))
    data = dict(attributes(info.get(_INFO_DATA, b"")))
    master = known.get(int.from_bytes(said.get(_IFLA_MASTER, b""), sys.byteorder), {})
    kind = _text(info.get(_INFO_KIND, b""))
    asked = {4: _BR_NF_CALL_IPTABLES, 6: _BR_NF_CALL_IP6TABLES} if kind == "bridge" else {}
    filters = frozenset(family for family, number in asked.items() if any(data.get(number, b"")))
    return Link(
        _text(said.get(_IFLA_IFNAME, b"")),
        kind,
        _text(master.get(_IFLA_IFNAME, b"")),
        tuple(addresses),
        filters,
    )


def _dump(opened: socket.socket, kind: int, body: bytes) -> list[bytes]:
    """What a request lists; once more where it changed meanwhile."""
    for sequence in range(1, _ATTEMPTS + 1):
        opened.send(message(kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, body))
        found: list[bytes] = []
        interrupted = False
        for type_, flags, data in _answers(opened, sequence):
            interrupted = interrupted or bool(flags & NLM_F_DUMP_INTR)
            if type_ == NLMSG_ERROR and len(data) >= 4:
                number = -int.from_bytes(data[:4], sys.byteorder, signed=True)
                raise OSError(number, os.strerror(number))
            if type_ == NLMSG_DONE:
                break
            found.append(data)
        if not interrupted:
            return found
    raise HostError("the network devices change faster than they can be listed")


def _answers(opened: socket.socket, wanted: int) -> Iterator[tuple[int, int, bytes]]:
    while True:
        for kind, flags, sequence, body in messages(opened.recv(_RECEIVE)):
            if sequence == wanted:
                yield kind, flags, body


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")
