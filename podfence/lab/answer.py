"""Every party listens on every port and says who it is.

Rule: an answer is the answering party's number, so that the sender knows that the *right* party was
reached, and that it was reached through the network and not by some accident of it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from select import EPOLLIN, epoll

from podfence.edge import netns
from podfence.errors import LabError
from podfence.lab.plan import LabPlan, Party
from podfence.lab.topology import Topology

NAME = struct.Struct("=I")
"""A party's place in the plan."""
NONCE = struct.Struct("=II")
"""What a datagram carries, and gets back before the name: round and probe."""
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_ABORT = struct.pack("=ii", 1, 0)
_BACKLOG = 8192
_DATAGRAM = 64

Handler = Callable[[], None]


class Answerers:
    """All listening sockets of the lab, served from one epoll object.

    The sockets stay until :meth:`close`; ``handlers`` is keyed by descriptor.
    """

    def __init__(self, plan: LabPlan, topology: Topology, poll: epoll) -> None:
        self.handlers: dict[int, Handler] = {}
        self._sockets: list[socket.socket] = []
        self._poll = poll
        for place, party in enumerate(plan.parties):
            with netns.inside(topology.of_party[place]):
                self._listen(place, party, plan.ports)

    def _listen(self, place: int, party: Party, ports: tuple[int, ...]) -> None:
        name = NAME.pack(place)
        for address in party.addresses:
            family, text = FAMILY[address.version], str(address)
            for port in ports:
                try:
                    self._add(_tcp(family, text, port), name, _accept)
                    self._add(_udp(family, text, port), name, _echo)
                except OSError as error:
                    where = f"{party.name}: cannot listen on {text} port {port}"
                    raise LabError(f"{where}: {error.strerror}") from error

    def _add(
        self, listener: socket.socket, name: bytes, answer: Callable[[socket.socket, bytes], None]
    ) -> None:
        self._sockets.append(listener)
        self.handlers[listener.fileno()] = lambda: answer(listener, name)
        self._poll.register(listener.fileno(), EPOLLIN)

    def close(self) -> None:
        """Stop listening."""
        for listener in self._sockets:
            listener.close()


def _tcp(family: int, address: str, port: int) -> socket.socket:
    listener = _bound(family, socket.SOCK_STREAM, address, port)
    # Accepted sockets inherit this: close() resets, so no side keeps a socket in TIME_WAIT.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    listener.listen(_BACKLOG)
    return listener


def _udp(family: int, address: str, port: int) -> socket.socket:
    return _bound(family, socket.SOCK_DGRAM, address, port)


def _bound(family: int, kind: int, address: str, port: int) -> socket.socket:
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    made.bind((address, port))
    return made


def _accept(listener: socket.socket, name: bytes) -> None:
    try:
        connection, _ = listener.accept()
    except (BlockingIOError, ConnectionError):  # the sender gave up in the meantime
        return
    try:
        connection.send(name)
    except ConnectionError:
        pass  # the same, a moment later: the sender has judged already
    finally:
        connection.close()


def _echo(listener: socket.socket, name: bytes) -> None:
    try:
        data, sender = listener.recvfrom(_DATAGRAM)
        listener.sendto(data + name, sender)
    except OSError:
        # Nothing to read after all, an ICMP error of an earlier answer, or an answer that the
        # filter keeps from leaving: the sender sees no answer, which is the outcome.
        return
