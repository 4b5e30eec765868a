"""Real packets: thousands of connection attempts at a time, from one thread.

Rule: the prober does not know what is allowed; it reports what happened. A socket is opened while
the thread is in the source's namespace and keeps that namespace, so one epoll loop drives them all.
"""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from select import EPOLLIN, epoll
from time import monotonic

from podfence.edge import netns
from podfence.lab.answer import FAMILY, NONCE, Answerers, Handler
from podfence.lab.outcome import Outcome
from podfence.lab.packets import (
    ECHO_BODY,
    ICMP,
    ICMPV6,
    SCTP,
    echo_reply,
    echo_request,
    init,
)
from podfence.lab.plan import LabPlan, Probe, Side
from podfence.lab.services import Dial
from podfence.lab.topology import Topology
from podfence.sets.ports import OTHER

_BURST = 100
"""Attempts begun between two looks at the sockets: far below what the kernel queues for a CPU
(net.core.netdev_max_backlog, 1000), so that the lab itself loses no packet."""
_EVENTS = 1024
_LONGEST = 512
_UDP = 17
_SCTP_PORTS = range(20_000, 60_000)
"""Source ports; each round has its own, so that no connection is one of the round before."""
_NONBLOCK = socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_REFUSALS = {
    errno.ECONNREFUSED: Outcome.REFUSED,
    errno.ECONNRESET: Outcome.RESET,
    errno.EPIPE: Outcome.RESET,
    errno.ENETUNREACH: Outcome.UNREACHABLE,
    errno.EHOSTUNREACH: Outcome.UNREACHABLE,
    errno.EADDRNOTAVAIL: Outcome.UNREACHABLE,
    errno.EPERM: Outcome.PROHIBITED,
    errno.EACCES: Outcome.PROHIBITED,
}


def outcome_of(error: OSError) -> Outcome:
    """What a socket error means. Raises the error itself when it is about this machine's limits."""
    if error.errno in _REFUSALS:
        return _REFUSALS[error.errno]
    if isinstance(error, TimeoutError):
        return Outcome.TIMEOUT
    raise error


class Prober:
    """Sends probes of one plan; the answerers of the same plan are served in the same loop."""

    def __init__(
        self, plan: LabPlan, topology: Topology, answerers: Answerers, poll: epoll, window: int
    ) -> None:
        self.plan = plan
        self.topology = topology
        self.answerers = answerers
        self.answering = answerers.handlers
        self.places = {name: place for place, name in enumerate(answerers.names)}
        self.poll = poll
        self.window = window
        self.addresses: list[dict[int, str]] = [
            {a.version: str(a) for a in party.addresses} for party in plan.parties
        ]
        self.several = [party.side is not Side.POD for party in plan.parties]
        self._rounds = 0
        self._last: list[socket.socket] = []

    def run(self, probes: Sequence[Probe], timeout: float) -> bytes:
        """Send probes and wait ``timeout`` seconds, or longer, for each.

        Returns one :class:`Outcome` a probe, in order. Raises OSError on this machine's limits.
        """
        self._rounds += 1
        addresses = [self.addresses[probe.target][probe.family] for probe in probes]
        return self._run(_Round(self, self._rounds, probes, addresses, timeout))

    def dial(self, dials: Sequence[Dial], timeout: float) -> list[int]:
        """Dial cluster addresses. Returns the place of the party that answered each, -1: none."""
        self._rounds += 1
        probes = [Probe(dial.source, -1, dial.family, dial.protocol, dial.port) for dial in dials]
        this = _Round(self, self._rounds, probes, [dial.address for dial in dials], timeout)
        self._run(this)
        return this.answered

    def _run(self, this: _Round) -> bytes:
        outcomes = this.finish()
        # The ports of this round stay taken until the next has its own: a datagram of one round
        # can never belong to a flow that the filter remembers from the round before.
        self.close()
        self._last = list(this.datagrams.values())
        return outcomes

    def close(self) -> None:
        """Let go of the last round's sockets."""
        for old in self._last:
            old.close()
        self._last = []


class _Round:
    """One call of :meth:`Prober.run`. A probe's ``at`` is its place in this round."""

    def __init__(
        self,
        prober: Prober,
        serial: int,
        probes: Sequence[Probe],
        addresses: Sequence[str],
        timeout: float,
    ) -> None:
        # by source, family and protocol number
        self.datagrams: dict[tuple[int, int, int], socket.socket] = {}
        self._prober = prober
        self._serial = serial
        self._probes = probes
        self._addresses = addresses
        self.answered = [-1] * len(probes)
        self._timeout = timeout
        self._outcomes = bytearray([Outcome.TIMEOUT]) * len(self._probes)
        self._connecting: dict[int, tuple[socket.socket, int]] = {}  # by descriptor
        self._receiving: dict[int, Handler] = {}  # who reads these, by descriptor
        self._awaited: set[int] = set()  # datagrams without an answer so far
        self._deadlines: deque[tuple[float, int, int]] = deque()  # when, at, descriptor or -1

    def finish(self) -> bytes:
        """Run to the end."""
        self._prober.answerers.arrived = self._arrived
        bursts = self._bursts()
        waiting = 0
        exhausted = False
        while not exhausted or self._under_way:
            room = not exhausted and len(self._connecting) < self._prober.window
            if room and waiting < _BURST:
                exhausted = not self._begin(next(bursts, None))
            # only who has nothing to send may sleep
            waiting = self._serve(0.0 if room else self._patience())
            if not waiting:
                self._expire()
        for descriptor in self._receiving:
            self._prober.poll.unregister(descriptor)
        return bytes(self._outcomes)

    @property
    def _under_way(self) -> int:
        return len(self._connecting) + len(self._awaited)

    def _bursts(self) -> Iterator[tuple[int, Sequence[int]]]:
        """Probes of one source, a burst at a time."""
        order = range(len(self._probes))
        for source, group in groupby(order, lambda at: self._probes[at].source):
            members = list(group)
            for start in range(0, len(members), _BURST):
                yield source, members[start : start + _BURST]

    def _begin(self, burst: tuple[int, Sequence[int]] | None) -> bool:
        if burst is None:
            return False
        source, members = burst
        begin = {"TCP": self._connect, "UDP": self._send, "SCTP": self._init, OTHER: self._echo}
        with netns.inside(self._prober.topology.of_party[source]):
            for at in members:
                probe = self._probes[at]
                try:
                    begin[probe.protocol](at, probe)
                except OSError as error:
                    self._outcomes[at] = outcome_of(error)
        return True

    def _connect(self, at: int, probe: Probe) -> None:
        made = socket.socket(FAMILY[probe.family], socket.SOCK_STREAM | _NONBLOCK)
        try:
            if self._prober.several[probe.source]:
                made.bind((self._prober.addresses[probe.source][probe.family], 0))
            made.connect((self._addresses[at], probe.port))
        except BlockingIOError:  # under way
            pass
        except OSError:
            made.close()
            raise
        self._connecting[made.fileno()] = (made, at)
        self._prober.poll.register(made.fileno(), EPOLLIN)
        self._deadlines.append((monotonic() + self._timeout, at, made.fileno()))

    def _send(self, at: int, probe: Probe) -> None:
        sender = self._datagram_socket(probe)
        self._send_to(at, sender, NONCE.pack(self._serial, at), probe.port)

    def _echo(self, at: int, probe: Probe) -> None:
        protocol = ICMP if probe.family == 4 else ICMPV6
        sender = self._raw_socket(probe, protocol, self._echoed)
        body = ECHO_BODY.pack(self._serial, at)
        self._send_to(at, sender, echo_request(probe.family, self._serial & 0xFFFF, body), 0)

    def _init(self, at: int, probe: Probe) -> None:
        sender = self._raw_socket(probe, SCTP, None)
        port = _SCTP_PORTS[self._serial % len(_SCTP_PORTS)]
        self._send_to(at, sender, init(port, probe.port, self._tag(at)), 0)

    def _tag(self, at: int) -> int:
        """An initiate tag that tells the probe; never 0."""
        return (self._serial % 0xFF + 1) << 24 | at

    def _send_to(self, at: int, sender: socket.socket, packet: bytes, port: int) -> None:
        self._awaited.add(at)
        try:
            sender.sendto(packet, (self._addresses[at], port))
        except OSError:
            self._awaited.discard(at)
            raise
        self._deadlines.append((monotonic() + self._timeout, at, -1))

    def _datagram_socket(self, probe: Probe) -> socket.socket:
        key = (probe.source, probe.family, _UDP)
        if key not in self.datagrams:
            made = socket.socket(FAMILY[probe.family], socket.SOCK_DGRAM | _NONBLOCK)
            self.datagrams[key] = made
            made.bind((self._prober.addresses[probe.source][probe.family], 0))
            self._receiving[made.fileno()] = lambda: self._receive(made)
            self._prober.poll.register(made.fileno(), EPOLLIN)
        return self.datagrams[key]

    def _raw_socket(
        self, probe: Probe, protocol: int, receive: Callable[[socket.socket, int], None] | None
    ) -> socket.socket:
        """A raw socket of the source. ``receive``: what reads from it; None: nobody has to."""
        key = (probe.source, probe.family, protocol)
        if key not in self.datagrams:
            kind = socket.SOCK_RAW | _NONBLOCK
            made = self.datagrams[key] = socket.socket(FAMILY[probe.family], kind, protocol)
            made.bind((self._prober.addresses[probe.source][probe.family], 0))
            if receive is not None:
                self._receiving[made.fileno()] = lambda: receive(made, probe.family)
                self._prober.poll.register(made.fileno(), EPOLLIN)
        return self.datagrams[key]

    def _patience(self) -> float:
        """Seconds until the first probe's time is up."""
        return max(0.0, self._deadlines[0][0] - monotonic()) if self._deadlines else 0.0

    def _serve(self, patience: float) -> int:
        """Handle what has come, for ourselves and for the answerers; returns how much it was."""
        events = self._prober.poll.poll(patience, _EVENTS)
        for descriptor, _ in events:
            if (answer := self._prober.answering.get(descriptor)) is not None:
                answer()
            elif descriptor in self._receiving:
                self._receiving[descriptor]()
            elif descriptor in self._connecting:
                self._connected(descriptor)
        return len(events)

    def _connected(self, descriptor: int) -> None:
        made, at = self._connecting[descriptor]
        try:
            name = made.recv(_LONGEST)
        except BlockingIOError:  # the kernel woke us for nothing
            return
        except OSError as error:
            self._outcomes[at] = outcome_of(error)
        else:
            self._outcomes[at] = self._judge(at, name) if name else Outcome.RESET
        del self._connecting[descriptor]
        made.close()

    def _receive(self, receiver: socket.socket) -> None:
        """Read all that has come: its queue is short, and a source awaits many answers."""
        try:
            while True:
                data = receiver.recv(_LONGEST)
                serial, at = NONCE.unpack_from(data)
                if serial == self._serial and at in self._awaited:
                    self._awaited.discard(at)
                    self._outcomes[at] = self._judge(at, data[NONCE.size :])
        except BlockingIOError:
            return

    def _echoed(self, receiver: socket.socket, family: int) -> None:
        """Read all echo replies; they say by their sender who answered."""
        with suppress(BlockingIOError):
            while True:
                packet, sender = receiver.recvfrom(_LONGEST)
                body = echo_reply(family, packet)
                if body is None or len(body) != ECHO_BODY.size:
                    continue
                serial, at = ECHO_BODY.unpack(body)
                if serial == self._serial and at in self._awaited:
                    self._awaited.discard(at)
                    right = sender[0] == self._addresses[at]
                    self._outcomes[at] = Outcome.OPEN if right else Outcome.STRANGER

    def _arrived(self, place: int, port: int, tag: int) -> None:
        """An INIT has come to a party."""
        at = tag & 0xFFFFFF
        if at in self._awaited and tag == self._tag(at):
            self._awaited.discard(at)
            probe = self._probes[at]
            right = (place, port) == (probe.target, probe.port)
            self._outcomes[at] = Outcome.OPEN if right else Outcome.STRANGER

    def _judge(self, at: int, name: bytes) -> Outcome:
        place = self.answered[at] = self._prober.places.get(name, -1)
        right = place >= 0 and place == self._probes[at].target
        return Outcome.OPEN if right else Outcome.STRANGER

    def _expire(self) -> None:
        """Give up what is overdue. Called when nothing is left to read, so that an answer which
        has come is never overlooked, however busy the machine is."""
        now = monotonic()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, at, descriptor = self._deadlines.popleft()
            if descriptor < 0:
                self._awaited.discard(at)
            elif (known := self._connecting.get(descriptor)) is not None and known[1] == at:
                del self._connecting[descriptor]
                known[0].close()
