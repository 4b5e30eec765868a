"""The addresses that a server listens on, and the host names that requests may use.

Rule: a request must use an address that the server was given, never a name that somebody else
points at it (DNS rebinding).
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from podfence.errors import HostError
from podfence.text import printable

Address = IPv4Address | IPv6Address
_HTTP: Final = 80


def bind_address(text: str) -> Address:
    """An address of this machine. IPv4 written as IPv6 is IPv4. Raises ValueError for an address
    that browsers cannot use, with words for a person."""
    try:
        found = ip_address(text)
    except ValueError as error:
        raise ValueError(
            f"{printable(text)} is not an address such as 192.0.2.7 or 2001:db8::7"
        ) from error
    if isinstance(found, IPv6Address):
        if found.scope_id is not None:
            raise ValueError(f"{found} is of one interface; browsers take no address with a zone")
        found = found.ipv4_mapped or found
    if found.is_unspecified:
        raise ValueError(
            f"{found} stands for every address; name the one that browsers are to ask: requests "
            "that name another are refused"
        )
    if found.is_multicast:
        raise ValueError(f"{found} is a multicast address; nobody can listen on it")
    return found


def listening(port: int, address: Address | None = None) -> list[socket.socket]:
    """Sockets on one port: of ``address``; of None, of 127.0.0.1 and, where this
    machine has it, of ::1. ``port`` 0: any free one. Raises HostError."""
    if address is not None:
        return [_socket(address, port)]
    first = _socket(IPv4Address("127.0.0.1"), port)
    found = [first]
    with suppress(OSError):
        other = ("::1", first.getsockname()[1])
        found.append(socket.create_server(other, family=socket.AF_INET6))
    return found


def _socket(address: Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        return socket.create_server((str(address), port), family=family)
    except OSError as error:
        why = os.strerror(error.errno or 0)  # that of the error names the address again
        if address.is_loopback:
            words = f"port {port} cannot be used: {why}; --port 0 takes a free one"
        else:
            words = (
                f"port {port} of {address} cannot be used: {why}; --bind takes an "
                "address of this machine, --port 0 a free port"
            )
        raise HostError(words) from error


def host_names(port: int, address: Address | None = None) -> tuple[str, ...]:
    """The accepted values of ``Host``, the printed one first. Browsers leave out the default port
    of http."""
    if address is None:
        names: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    else:
        names = (str(address) if address.version == 4 else f"[{address}]",)
    told = tuple(f"{name}:{port}" for name in names)
    return (*told, *names) if port == _HTTP else told
