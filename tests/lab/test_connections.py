"""What somebody sees who dials a pod of the lab."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from select import epoll

import pytest

from podfence.lab.probing import connections as connections
from podfence.lab.probing.connections import AcceptedConnections, ReadyCallback

NAME = b"shop/db (3)\n"
RESPONSE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 12\r\nConnection: close\r\n\r\n" + NAME
)


@dataclass
class House:
    """Connections, and what calls their handlers."""

    poll: epoll
    handlers: dict[int, ReadyCallback]
    connections: AcceptedConnections
    callers: list[socket.socket] = field(default_factory=list)

    def dial(self) -> socket.socket:
        """The other end of a new peer."""
        caller, peer = socket.socketpair()
        peer.setblocking(False)
        caller.settimeout(1.0)
        self.callers.append(caller)
        assert self.connections.has_room()
        self.connections.welcome(peer, NAME)
        return caller

    def serve(self) -> None:
        """Handle what has come."""
        for descriptor, _ in self.poll.poll(0):
            self.handlers[descriptor]()


@pytest.fixture
def house() -> Iterator[House]:
    poll, handlers = epoll(), dict[int, ReadyCallback]()
    made = House(poll, handlers, AcceptedConnections(poll, handlers))
    yield made
    made.connections.close()
    for caller in made.callers:
        caller.close()
    assert handlers == {}
    poll.close()


def everything(caller: socket.socket) -> bytes:
    """All that comes until the other end has said its last word."""
    found = b""
    while data := caller.recv(4096):
        found += data
    return found


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", RESPONSE),
        (b"POST /a/b?c HTTP/1.0\r\n\r\n", RESPONSE),
        (b"HEAD / HTTP/1.1\r\n\r\n", RESPONSE.removesuffix(NAME)),
        (b"\n", NAME),
        (b"GET\n", NAME),
        (b"\x16\x03\x01\x02\x00", NAME),
        (b"\xff" * 5000, NAME),
    ],
)
def test_a_connection_that_speaks_is_told_in_its_own_way(
    house: House, said: bytes, expected: bytes
) -> None:
    caller = house.dial()
    caller.send(said)
    house.serve()
    assert everything(caller) == expected


def test_a_connection_that_waits_is_told_after_a_moment(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = house.dial()
    house.connections.attend()
    assert 0 < (house.connections.patience or 0) <= 0.2
    monkeypatch.setattr(connections, "_WAITS", 0.0)
    assert house.connections.patience == 0.0
    house.connections.attend()
    assert everything(caller) == NAME
    assert (house.connections.patience or 0) > 5


def test_a_connection_that_shuts_down_first_is_told_too(house: House) -> None:
    caller = house.dial()
    caller.shutdown(socket.SHUT_WR)
    house.serve()
    assert everything(caller) == NAME


def test_a_connection_that_goes_is_forgotten(house: House) -> None:
    caller = house.dial()
    caller.send(b"\n")
    house.serve()
    caller.close()
    house.serve()
    assert house.handlers == {}
    assert house.connections.patience is None


def test_a_connection_of_whom_another_process_holds_a_copy_is_forgotten_too(house: House) -> None:
    caller = house.dial()
    (number,) = house.handlers
    copy = os.dup(number)
    caller.send(b"\n")
    house.serve()
    caller.close()
    house.serve()
    assert house.poll.poll(0) == []
    os.close(copy)


def test_a_connection_that_does_not_go_is_shown_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.dial().send(b"\n")
    house.serve()
    monkeypatch.setattr(connections, "_STAYS", 0.0)
    house.connections.attend()
    assert house.handlers == {}


def test_nobody_goes_untold_to_make_room(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST", 2)
    callers = [house.dial(), house.dial()]
    assert not house.connections.has_room()
    callers[1].send(b"\n")
    house.serve()
    callers.append(house.dial())
    assert not house.connections.has_room()
    callers[0].send(b"\n")
    callers[2].send(b"\n")
    house.serve()
    assert {everything(caller) for caller in callers} == {NAME}
