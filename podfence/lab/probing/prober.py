"""Runs one round of probes: several processes send, this one answers. Process: the lab process.

Rule: senders are forked for the round and end with it. Each has sources of its own, so no two of
them share a socket; all write their results to one shared board.
"""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from select import EPOLLIN
from typing import NoReturn

from podfence.errors import LabError
from podfence.kernel import netns
from podfence.lab.probing.forking import fork_with_pipe
from podfence.lab.probing.responder import Responders
from podfence.lab.probing.round import Arrivals, Board, Round
from podfence.lab.probing.sender import SOURCE_PORTS, Sender
from podfence.lab.probing.sockets import window
from podfence.lab.probing.topology import Topology
from podfence.lab.testbed.probeplan import PartyKind, ProbePlan
from podfence.lab.testbed.probes import Pair, Probe, Probes, kinds_of
from podfence.lab.testbed.services import ServiceProbe

_MOST = 4
"""Senders: beyond, the one process that answers is what they would wait for."""
_WORTH = 500
"""Probes for which a process is worth starting."""
_EVENTS = 1024
_WAITING = "waiting"
_ANSWERED = b"."
_CANNOT = "this machine cannot send the lab's probes"


class Prober:
    """Sends probes between the parties of a plan. ``serials``: numbers of rounds, unique for the
    life of the lab."""

    def __init__(
        self, plan: ProbePlan, topology: Topology, answerers: Responders, serials: Iterator[int]
    ) -> None:
        self._topology = topology
        self._answerers = answerers
        self._serials = serials
        self._addresses: list[dict[int, str]] = [
            {a.version: str(a) for a in party.addresses} for party in plan.parties
        ]
        self._bound = frozenset(
            at for at, party in enumerate(plan.parties) if party.side is not PartyKind.POD
        )
        self._names = {name: at for at, name in enumerate(answerers.names)}

    def run(self, probes: Probes, wanted: bytes, timeout: float) -> bytes:
        """Send the probes that have a :class:`ProbeKind` in ``wanted``, and wait at least
        ``timeout`` seconds for each. Returns one :class:`Outcome` a probe; TIMEOUT for probes that
        were not sent. Raises LabError when this machine's limits do not suffice."""
        return self._run(probes, wanted, self._addresses, timeout).found()

    def dial(self, probes: Sequence[ServiceProbe], timeout: float) -> list[int]:
        """Dial cluster addresses. Returns the index of the party that answered each, -1: none."""
        sent = Probes.of(
            Probe(probe.source, at, probe.family, probe.protocol, probe.port)
            for at, probe in enumerate(probes)
        )
        targets = [{probe.family: probe.address} for probe in probes]
        wanted = kinds_of(len(probes), range(len(probes)))
        return list(self._run(sent, wanted, targets, timeout).answered)

    def _run(
        self, probes: Probes, wanted: bytes, targets: Sequence[dict[int, str]], timeout: float
    ) -> Board:
        try:
            return self._round(probes, wanted, targets, timeout)
        except OSError as error:
            raise LabError(f"{_CANNOT}: {error}") from error

    def _round(
        self, probes: Probes, wanted: bytes, targets: Sequence[dict[int, str]], timeout: float
    ) -> Board:
        # Another port each round, so that no packet belongs to a flow that the filter remembers
        # from the round before; and none that anything is sent to.
        taken = self._taken(probes)
        serial = next(s for s in self._serials if _source_port(s) not in taken)
        this = Round(
            serial=serial,
            port=_source_port(serial),
            probes=probes,
            kinds=wanted,
            timeout=timeout,
            sources=self._addresses,
            targets=targets,
            bound=self._bound,
            names=self._names,
            window=window(len(self._addresses)),
        )
        board = Board(len(probes))
        self._answerers.arrivals = Arrivals(this, board)

        def send(pairs: Sequence[Pair], connection: Connection) -> None:
            answered = partial(_wait_for_answers, connection)
            Sender(this, board, self._topology.of_party, answered).run(pairs)

        poll = self._answerers.poll
        senders: dict[int, _Process] = {}
        try:
            for pairs in shares(probes, wanted, _processes(len(wanted) - wanted.count(0))):
                sender = _Process(partial(send, pairs))
                senders[sender.connection.fileno()] = sender
                poll.register(sender.connection.fileno(), EPOLLIN)
            self._answer(senders)
        finally:
            for descriptor, sender in senders.items():
                poll.unregister(descriptor)
                sender.kill()
        return board

    def _taken(self, probes: Probes) -> set[int]:
        """Ports that a party listens on, or that probes are sent to."""
        taken: set[int] = self._answerers.ports
        for ports in {pair.ports for pair in probes.pairs}:
            taken.update(port for _, port in ports)
        return taken

    def _answer(self, senders: dict[int, _Process]) -> None:
        """Serve connections until every sender has ended; then answer those that still wait."""
        poll = self._answerers.poll
        waiting: list[_Process] = []
        while senders:
            events = poll.poll(0.0 if waiting else self._answerers.patience, _EVENTS)
            if not events:
                for sender in waiting:
                    sender.go_on()
                waiting.clear()
            for descriptor, _ in events:
                answer = self._answerers.handlers.get(descriptor)
                if answer is not None:
                    answer()
                elif descriptor in senders:
                    if senders[descriptor].waits():
                        waiting.append(senders[descriptor])
                    else:
                        poll.unregister(descriptor)
                        senders.pop(descriptor).end()
            self._answerers.attend()


def _source_port(serial: int) -> int:
    return SOURCE_PORTS[serial % len(SOURCE_PORTS)]


def _processes(probes: int) -> int:
    return min(_MOST, len(os.sched_getaffinity(0)), 1 + probes // _WORTH)


def shares(probes: Probes, wanted: bytes, number: int) -> Iterator[list[Pair]]:
    """The pairs with wanted probes, divided among at most ``number`` senders. Pairs of one source
    stay together, one IP version after the other."""
    by_source: dict[int, list[Pair]] = {}
    for pair in probes.pairs:
        if any(wanted[pair.first : pair.end]):
            by_source.setdefault(pair.source, []).append(pair)
    loads = [0] * number
    parts: list[list[Pair]] = [[] for _ in range(number)]
    for pairs in by_source.values():
        least = loads.index(min(loads))
        loads[least] += sum(len(pair.ports) for pair in pairs)
        parts[least].extend(sorted(pairs, key=lambda pair: pair.family))
    return filter(None, parts)


class _Process:
    """A sender in a process of its own."""

    def __init__(self, work: Callable[[Connection], None]) -> None:
        self._pid, self.connection = fork_with_pipe(partial(_work, work))
        self._said: object = None

    def waits(self) -> bool:
        """Read what it says: whether it waits for :meth:`go_on`, or has ended."""
        try:
            self._said = self.connection.recv()
        except (EOFError, ConnectionError):
            self._said = LabError("a process that sends probes ended unexpectedly; was it killed?")
        return self._said == _WAITING

    def go_on(self) -> None:
        """Tell one that waits that everything has been answered."""
        with suppress(ConnectionError):  # it was killed meanwhile: that is what it says next
            self.connection.send_bytes(_ANSWERED)

    def end(self) -> None:
        """Wait for the end of a sender that has reported its result. Raises LabError, and
        RuntimeError for a bug in the sender."""
        os.waitpid(self._pid, 0)
        self.connection.close()
        if isinstance(self._said, LabError):
            raise self._said
        if self._said is not None:
            raise RuntimeError(f"a process that sends probes failed:\n{self._said}")

    def kill(self) -> None:
        """End one that has not ended."""
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        self.connection.close()


def _wait_for_answers(connection: Connection) -> None:
    """The sender's part of :meth:`_Process.waits` and :meth:`_Process.go_on`."""
    connection.send(_WAITING)
    connection.recv_bytes()


def _work(work: Callable[[Connection], None], connection: Connection, parent: int) -> NoReturn:
    said: object = None
    try:
        netns.die_with_parent(parent)
        work(connection)
    except OSError as error:
        said = LabError(f"{_CANNOT}: {error}")
    except BaseException:  # noqa: BLE001 - told to the process that waits, which raises it
        said = traceback.format_exc()
    try:
        connection.send(said)
    finally:
        os._exit(0)
