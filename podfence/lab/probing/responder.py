"""Listens for every party on every port and says who it is. Process: the lab process.

Rule: an answer is the name and number of the party that gave it. So the sender knows that the right
party was reached; and a person who dials a pod by hand can read it (``probing.connections``).
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from contextlib import suppress
from select import EPOLLIN, epoll
from time import monotonic

from podfence.errors import LabError
from podfence.kernel import netns
from podfence.lab.probing import sockets
from podfence.lab.probing.connections import AcceptedConnections, ReadyCallback
from podfence.lab.probing.round import Arrivals
from podfence.lab.probing.sender import SOURCE_PORTS
from podfence.lab.probing.sockets import FAMILY
from podfence.lab.probing.topology import Topology
from podfence.lab.testbed.packets import SCTP, echo_asked, init_tag, syn_sequence
from podfence.lab.testbed.probeplan import ProbeParty, ProbePlan
from podfence.lab.testbed.probes import Listener, Probe
from podfence.sets.addresses import IPAddress
from podfence.sets.ports import OTHER
from podfence.text import printable

_BACKLOG = 8192
_DATAGRAM = 2048
_LONGEST_NAME = 200
"""Bytes."""
_MOMENTS = (1.5, 10.0)
"""Seconds after which the lab takes back a port that a program asked for and did not use. First it
leaves alone a port that is bound or that has closing connections; in the end only a port with a
listener."""


def name_of(party_index: int, party: ProbeParty) -> bytes:
    """What a party answers: ``shop/db (3)`` and a line end."""
    return printable(party.name).encode()[:_LONGEST_NAME] + f" ({party_index})\n".encode()


class Responders:
    """All listening sockets of the lab, served from one epoll object.

    The sockets stay until :meth:`close`, or until a program in the pod asks for the port. What is
    answered here is served one packet or connection a call, so that nothing is kept waiting.
    """

    def __init__(
        self, plan: ProbePlan, topology: Topology, poll: epoll, handlers: dict[int, ReadyCallback]
    ) -> None:
        self.handlers = handlers
        """What to call when something comes, by descriptor; shared with others."""
        self.names = [name_of(party_index, party) for party_index, party in enumerate(plan.parties)]
        """What each party answers."""
        self.arrivals: Arrivals | None = None
        """Told what comes; the kernel answers SYNs and echo requests, and nothing SCTP INITs."""
        self._plan = plan
        self._topology = topology
        self._sockets: dict[Listener, socket.socket] = {}
        self._held: set[Listener] = set()
        self._retries: list[float] = []
        """When to take back ports that programs asked for and do not use."""
        self.poll = poll
        self.connections = AcceptedConnections(poll, self.handlers)
        """Those that have come, which want to be attended to now and then."""
        self.complete()

    def complete(self) -> None:
        """Listen on every port of the plan that has no listener yet."""
        for party_index, party in enumerate(self._plan.parties):
            with netns.inside(self._topology.of_party[party_index]):
                for address in party.addresses:
                    if self._plan.sctp:
                        self._attend(party_index, address, "SCTP")
                    for port in self._plan.ports:
                        for protocol in ("TCP", "UDP"):
                            key = (party_index, address.version, protocol, port)
                            if key not in self._sockets and key not in self._held:
                                self._listen(party_index, protocol, address, port)

    def see_arrivals(self) -> None:
        """From now on, see the SYNs and echo requests that the kernel answers. Where everything is
        answered, on an open network, that is work for nothing."""
        for party_index, party in enumerate(self._plan.parties):
            with netns.inside(self._topology.of_party[party_index]):
                for address in party.addresses:
                    self._attend(party_index, address, "SYN")
                    self._attend(party_index, address, "ECHO")

    @property
    def ports(self) -> set[int]:
        """All port numbers with a listener."""
        return {port for *_, port in (*self._sockets, *self._held)}

    def ensure(self, probe: Probe) -> None:
        """Listen on the target of a probe that the plan lacks. A port with a listener of another
        program in the pod is left alone."""
        if probe[1:] in self._sockets or probe[1:] in self._held or probe.protocol == OTHER:
            return
        address = self._plan.parties[probe.target].address(probe.family)
        with netns.inside(self._topology.of_party[probe.target]):
            if probe.protocol == "SCTP":
                self._attend(probe.target, address, "SCTP")
            else:
                self._listen(probe.target, probe.protocol, address, probe.port)

    def release(self, probe: Probe) -> None:
        """Give the port of a probe's target to another program."""
        listener = self._sockets.pop(probe[1:], None)
        if listener is not None:
            self._close(listener)

    # -- ports that programs in the pods have

    @property
    def held(self) -> frozenset[Listener]:
        """Ports where a program in the pod listens, or has just asked to."""
        if self._held and not self._retries:
            self.take_back()
        return frozenset(self._held)

    def step_aside(self, name: str, port: int) -> None:
        """Leave a port of a party to a program that asks for it.

        What the program then does not take is taken back a moment later: a bind does not say
        whether it is for TCP or UDP, and it may fail.
        """
        left = [key for key in self._sockets if key[3] == port and self._is_port(key, name)]
        for key in left:
            self._close(self._sockets.pop(key))
            self._held.add(key)
        if left:
            self._retries = [monotonic() + wait for wait in _MOMENTS]

    def take_back(self, ended: str = "") -> None:
        """Listen again on ports that no program uses. ``ended``: a party whose program has
        ended."""
        self._retries = [when for when in self._retries if when > monotonic()]
        last = not self._retries
        asked, self._held = self._held, set()
        for key in sorted(asked):
            party_index, family, protocol, port = key
            party = self._plan.parties[party_index]
            with netns.inside(self._topology.of_party[party_index]):
                address = party.address(family)
                shared = last or party.name == ended
                self._listen(party_index, protocol, address, port, shared=shared)
        self._leave_whole_ports(asked)

    def _leave_whole_ports(self, asked: Iterable[Listener]) -> None:
        """A program that listens over one IP version has the port over the other, too: a client
        that tries both must not be answered by the lab."""
        held = {(at, protocol, port) for at, _, protocol, port in self._held}
        for key in asked:
            at, _, protocol, port = key
            if (at, protocol, port) in held and key in self._sockets:
                self._close(self._sockets.pop(key))
                self._held.add(key)

    def _is_port(self, key: Listener, name: str) -> bool:
        return key[2] in ("TCP", "UDP") and self._plan.parties[key[0]].name == name

    @property
    def patience(self) -> float | None:
        """Seconds until :meth:`attend` has something to do; None: nothing waits."""
        waits = [max(0.0, when - monotonic()) for when in self._retries[:1]]
        if (patience := self.connections.patience) is not None:
            waits.append(patience)
        return min(waits, default=None)

    def attend(self) -> None:
        """Do what is due, whether or not anybody has come."""
        self.connections.attend()
        if self._retries and self._retries[0] <= monotonic():
            self.take_back()

    # -- listening

    def _listen(
        self, party_index: int, protocol: str, address: IPAddress, port: int, *, shared: bool = True
    ) -> None:
        """``shared``: connections that have ended do not keep the port. Without it, a program that
        has bound the port and does not listen yet does."""
        family, text = FAMILY[address.version], str(address)
        try:
            listener = _bound(family, protocol, text, port, shared=shared)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                self._held.add((party_index, address.version, protocol, port))
                return
            where = f"{self._plan.parties[party_index].name}: cannot listen on {text} port {port}"
            raise LabError(f"{where}: {error.strerror}") from error
        name = self.names[party_index]
        self._sockets[party_index, address.version, protocol, port] = listener
        answer = self._accept if protocol == "TCP" else self._echo
        self.handlers[listener.fileno()] = lambda: answer(listener, name)
        self.poll.register(listener.fileno(), EPOLLIN)

    def _accept(self, listener: socket.socket, name: bytes) -> None:
        if not self.connections.has_room():  # it waits in the kernel's queue
            return
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionError):  # the other end gave up in the meantime
            return
        connection.setblocking(False)
        self.connections.welcome(connection, name)

    def _echo(self, listener: socket.socket, name: bytes) -> None:
        try:
            data, sender = listener.recvfrom(_DATAGRAM)
            if self.arrivals is not None:
                self.arrivals.datagram(data)
            listener.sendto(data + name, sender)
        except OSError:
            # Nothing to read after all, an ICMP error of an earlier answer, or an answer that the
            # filter keeps from leaving: the sender sees no answer, which is the outcome.
            return

    def _attend(self, party_index: int, address: IPAddress, kind: str) -> None:
        """One raw socket of an address sees all packets of a kind that come to it."""
        family, text = address.version, str(address)
        key = (party_index, family, kind, 0)
        if key in self._sockets:
            return
        if kind == "SYN":
            made = sockets.arriving_syns(family, text, SOURCE_PORTS)
        elif kind == "ECHO":
            made = sockets.arriving_echoes(family, text)
        else:  # most kernels have no SCTP
            made = sockets.raw(family, text, SCTP)
        self._sockets[key] = made
        self.handlers[made.fileno()] = lambda: self._see(made, party_index, family, kind)
        self.poll.register(made.fileno(), EPOLLIN)

    def _see(self, made: socket.socket, party_index: int, family: int, kind: str) -> None:
        with suppress(BlockingIOError):
            while True:
                packet = made.recv(_DATAGRAM, sockets.DONT_WAIT)
                if self.arrivals is not None:
                    _tell(self.arrivals, packet, party_index, family, kind)

    def close(self) -> None:
        """Stop listening."""
        self.connections.close()
        for listener in self._sockets.values():
            self._close(listener)

    def _close(self, listener: socket.socket) -> None:
        del self.handlers[listener.fileno()]
        self.poll.unregister(listener.fileno())  # a process forked meanwhile may hold a copy
        listener.close()


def _bound(family: int, protocol: str, address: str, port: int, *, shared: bool) -> socket.socket:
    kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if protocol == "TCP" and shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        if protocol == "TCP":
            made.listen(_BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def _tell(arrivals: Arrivals, packet: bytes, party_index: int, family: int, kind: str) -> None:
    """What a packet says that a raw socket has seen."""
    if kind == "SYN":
        if (sequence := syn_sequence(family, packet)) is not None:
            arrivals.syn(sequence)
    elif kind == "ECHO":
        if (body := echo_asked(family, packet)) is not None:
            arrivals.echo(body)
    elif (found := init_tag(family, packet)) is not None:
        arrivals.init(party_index, *found)
