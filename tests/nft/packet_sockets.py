"""Sockets in pods that are network namespaces, and what comes out of them."""

from __future__ import annotations

import socket
import struct

Address = tuple[str, int]
WAIT = 0.15
"""Seconds; a packet over two veth pairs takes a thousandth of it."""


def bound(address: str, port: int = 0) -> socket.socket:
    kind = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(kind, socket.SOCK_DGRAM)
    made.bind((address, port))
    made.settimeout(WAIT)
    return made


def connection(target: Address) -> str:
    with socket.socket() as made:
        made.settimeout(WAIT)
        try:
            made.connect(target)
        except TimeoutError:
            return "silence"
        except ConnectionRefusedError:
            return "refused"
        return "connected"


def tcp(address: str, port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    made.settimeout(WAIT)
    if port:
        made.listen()
    return made


def on_link(address: str, device: str) -> socket.socket:
    """A UDP socket at a link-local address."""
    made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    made.bind((address, 0, 0, socket.if_nametoindex(device)))
    made.settimeout(WAIT)
    return made


def raw(family: int) -> socket.socket:
    kind, protocol = (
        (socket.AF_INET, socket.IPPROTO_ICMP)
        if family == 4
        else (socket.AF_INET6, socket.IPPROTO_ICMPV6)
    )
    made = socket.socket(kind, socket.SOCK_RAW, protocol)
    made.settimeout(WAIT)
    return made


def say(speaker: socket.socket, hearer: socket.socket, line: bytes) -> None:
    """A line of FTP; a helper reads what begins after a line that it has seen."""
    speaker.sendall(line + b"\r\n")
    hearer.recv(64)


def unreachable(sent: socket.socket, to: socket.socket) -> bytes:
    """The ICMP error of who could not take what ``sent`` has sent it."""
    (here, port), (there, other) = sent.getsockname()[:2], to.getsockname()[:2]
    datagram = struct.pack(">HHHH", port, other, 8, 0)
    if sent.family == socket.AF_INET:
        ends = socket.inet_aton(here) + socket.inet_aton(there)
        head = struct.pack(">BBHHHBBH", 0x45, 0, 28, 1, 0, 63, socket.IPPROTO_UDP, 0) + ends
        head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
        message = struct.pack(">BBHI", 3, 3, 0, 0) + head + datagram
        return message[:2] + struct.pack(">H", checksum(message)) + message[4:]
    ends = b"".join(socket.inet_pton(socket.AF_INET6, each) for each in (here, there))
    head = struct.pack(">IHBB", 6 << 28, 8, socket.IPPROTO_UDP, 63) + ends
    return struct.pack(">BBHI", 1, 4, 0, 0) + head + datagram  # the kernel sums these up


def checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def send(source: socket.socket, target: Address, at: socket.socket) -> Address | None:
    """Whether a datagram to ``target`` comes out of ``at``: the sender it shows, or None."""
    source.sendto(b"?", target)
    try:
        return at.recvfrom(16)[1][:2]  # type: ignore[no-any-return]
    except TimeoutError:
        return None


def there(source: socket.socket, at: socket.socket) -> bool:
    return send(source, at.getsockname()[:2], at) is not None


def there_and_back(source: socket.socket, at: socket.socket) -> list[bool]:
    return [there(source, at), there(at, source)]
