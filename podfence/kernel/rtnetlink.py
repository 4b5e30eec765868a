"""Links, addresses, routes and neighbours by rtnetlink, with the standard library alone.

Rule: a request is data (:class:`RtnetlinkRequest`) until :meth:`Rtnetlink.apply` sends it. The
kernel answers every request, and a refusal names the object that it was about. Numbers and layouts
are those of ``linux/rtnetlink.h``, ``if_link.h``, ``if_addr.h`` and ``neighbour.h``.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from msgspec import Struct

from podfence.errors import HostError
from podfence.kernel.netlink import (
    NETLINK_CAP_ACK,
    NETLINK_EXT_ACK,
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REQUEST,
    SOL_NETLINK,
    Ack,
    attribute,
    decode_answers,
    message,
)
from podfence.sets.addresses import IPAddress

_IFINFO = struct.Struct("=BxHiII")  # family, device type, index, flags, change mask
_IFADDR = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
_UNSIGNED = struct.Struct("=I")

RTM_NEWLINK, RTM_DELLINK = 16, 17
RTM_NEWADDR, RTM_DELADDR = 20, 21
RTM_NEWROUTE, RTM_DELROUTE = 24, 25
RTM_NEWNEIGH = 28
IFF_UP = 0x1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_LINKINFO, IFLA_NET_NS_FD = 1, 3, 18, 28
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
VETH_INFO_PEER = 1
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS = 1, 2, 8
IFA_F_NODAD = 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST = 254, 4, 1
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK = 0, 253
RTNH_F_ONLINK = 4
NDA_DST, NDA_LLADDR = 1, 2
NUD_PERMANENT = 0x80
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_BATCH = 200
"""Requests a send: the answers, if each is a refusal, still fit the receive buffer."""


class RtnetlinkRequest(Struct, frozen=True):
    """One rtnetlink message. ``about`` says in words what it makes, for the error message."""

    type: int
    body: bytes
    about: str
    flags: int = NLM_F_CREATE | NLM_F_EXCL


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, _UNSIGNED.pack(value))


class VethEnd(Struct, frozen=True):
    """One end of a veth pair: interface name and index in its namespace, link-layer address."""

    name: str
    index: int
    mac: bytes


def _link(end: VethEnd, flags: int) -> bytes:
    return (
        _IFINFO.pack(0, 0, end.index, flags, flags)
        + attribute(IFLA_IFNAME, end.name.encode("ascii") + b"\0")
        + attribute(IFLA_ADDRESS, end.mac)
    )


def veth(here: VethEnd, there: VethEnd, namespace: int) -> RtnetlinkRequest:
    """A veth pair: ``here`` in the socket's namespace, up; ``there`` in the one that the descriptor
    ``namespace`` holds, still down (the kernel cannot set it up before the pair exists)."""
    peer = _link(there, 0) + _number(IFLA_NET_NS_FD, namespace)
    info = attribute(IFLA_INFO_KIND, b"veth\0")
    info += attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer))
    return RtnetlinkRequest(
        RTM_NEWLINK, _link(here, IFF_UP) + attribute(IFLA_LINKINFO, info), f"link {here.name}"
    )


def link_up(index: int) -> RtnetlinkRequest:
    """Set an existing interface up."""
    return RtnetlinkRequest(
        RTM_NEWLINK, _IFINFO.pack(0, 0, index, IFF_UP, IFF_UP), f"link {index}", 0
    )


def host_address(address: IPAddress, index: int) -> RtnetlinkRequest:
    """An address as /32 or /128, usable at once (no duplicate address detection)."""
    packed = address.packed
    flags = _number(IFA_FLAGS, IFA_F_NODAD) if address.version == 6 else b""
    body = (
        _IFADDR.pack(_FAMILY[address.version], len(packed) * 8, 0, RT_SCOPE_UNIVERSE, index)
        + attribute(IFA_LOCAL, packed)
        + attribute(IFA_ADDRESS, packed)
        + flags
    )
    return RtnetlinkRequest(RTM_NEWADDR, body, f"address {address}")


def host_route(address: IPAddress, index: int, via: IPAddress | None = None) -> RtnetlinkRequest:
    """A route to one address: on the link itself, or by a gateway that is taken to be on it."""
    packed = address.packed
    return RtnetlinkRequest(
        RTM_NEWROUTE,
        _route(address.version, len(packed) * 8, index, via) + attribute(RTA_DST, packed),
        f"route to {address}",
    )


def default_route(via: IPAddress, index: int) -> RtnetlinkRequest:
    """The default route of the gateway's family; the gateway is taken to be on the link."""
    return RtnetlinkRequest(
        RTM_NEWROUTE, _route(via.version, 0, index, via), f"default route via {via}"
    )


def _route(version: int, length: int, index: int, via: IPAddress | None) -> bytes:
    scope = RT_SCOPE_LINK if via is None else RT_SCOPE_UNIVERSE
    fixed = (RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, 0 if via is None else RTNH_F_ONLINK)
    body = _ROUTE.pack(_FAMILY[version], length, 0, 0, *fixed) + _number(RTA_OIF, index)
    return body if via is None else body + attribute(RTA_GATEWAY, via.packed)


def neighbour(address: IPAddress, mac: bytes, index: int) -> RtnetlinkRequest:
    """A permanent neighbour, so that nothing is ever asked or awaited on the link."""
    body = (
        _NEIGHBOUR.pack(_FAMILY[address.version], index, NUD_PERMANENT, 0, 0)
        + attribute(NDA_DST, address.packed)
        + attribute(NDA_LLADDR, mac)
    )
    return RtnetlinkRequest(RTM_NEWNEIGH, body, f"neighbour {address}")


def link_gone(index: int) -> RtnetlinkRequest:
    """Delete an interface; the other end of a veth pair goes with it, and every address, route and
    neighbour on either."""
    return RtnetlinkRequest(
        RTM_DELLINK, _IFINFO.pack(0, 0, index, 0, 0), f"removal of link {index}", 0
    )


def address_gone(address: IPAddress, index: int) -> RtnetlinkRequest:
    """Take away what :func:`host_address` gave."""
    made = host_address(address, index)
    return RtnetlinkRequest(RTM_DELADDR, made.body, f"removal of address {address}", 0)


def route_gone(address: IPAddress, index: int, via: IPAddress | None = None) -> RtnetlinkRequest:
    """Delete what :func:`host_route` made."""
    made = host_route(address, index, via)
    return RtnetlinkRequest(RTM_DELROUTE, made.body, f"removal of the route to {address}", 0)


class Rtnetlink:
    """A socket to the network namespace that the calling thread is in *now*, and stays in."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_CAP_ACK, 1)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def apply(self, requests: Iterable[RtnetlinkRequest], *, of: str = "rtnetlink") -> None:
        """Send all requests in order and wait for the kernel's answer.

        The kernel tries every request of a batch whatever became of those before. Raises HostError
        for the first that it refused; ``of`` tells whose object that is.
        """
        pending = list(requests)
        for start in range(0, len(pending), _BATCH):
            self._send(pending[start : start + _BATCH], of)

    def _send(self, requests: Sequence[RtnetlinkRequest], of: str) -> None:
        first = self._sequence + 1
        self._sequence += len(requests)
        self._socket.send(b"".join(_encode(requests, first)))
        refused: Ack | None = None
        for answer in self._answers():
            if answer.error and refused is None:
                refused = answer
            if answer.sequence == self._sequence:
                break
        if refused is not None:
            about = requests[refused.sequence - first].about
            why = os.strerror(refused.error) + (f" ({refused.reason})" if refused.reason else "")
            raise HostError(f"{of}: the kernel refused the {about}: {why}")

    def _answers(self) -> Iterator[Ack]:
        while True:
            yield from decode_answers(self._socket.recv(65536))


def _encode(requests: Sequence[RtnetlinkRequest], first: int) -> Iterator[bytes]:
    """Refusals are always answered; success is asked for once, at the end of the batch."""
    last = first + len(requests) - 1
    for sequence, request in enumerate(requests, first):
        flags = NLM_F_REQUEST | request.flags | (NLM_F_ACK if sequence == last else 0)
        yield message(request.type, flags, sequence, request.body)
