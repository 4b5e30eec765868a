"""Keeps connections busy and accounts for every message. Process: one of its own, for one change.

Rule: it is forked from the lab process, so that changing the rules stops no sender. A message
carries its send time; the fate of each is reported when the process is asked to end.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import NoReturn

from podfence.errors import LabError
from podfence.kernel import netns
from podfence.lab.probing.forking import fork_with_pipe
from podfence.lab.probing.sockets import FAMILY
from podfence.lab.probing.topology import Topology
from podfence.lab.testbed.livetraffic import SentMessage, SentTraffic
from podfence.lab.testbed.probeplan import ProbePlan
from podfence.lab.testbed.probes import Probe

_MESSAGE = struct.Struct("=IId")  # flow and direction, number, when
_PAUSE = 0.002
"""Seconds between two rounds of messages: some hundred messages a second for each end."""
_LAST = 0.3
"""Seconds after the last message in which it may still come."""
_CONNECT = 2.0
_TCP_INFO_RETRANSMITTED = 100  # offset of tcpi_total_retrans in struct tcp_info
_READ = 65536


class LiveTraffic:
    """The lab process's handle on the process that keeps connections busy."""

    def __init__(self, plan: ProbePlan, topology: Topology, flows: Sequence[Probe]) -> None:
        """Connects every flow and starts sending. Raises LabError when one cannot be connected."""
        self._pid, self._connection = fork_with_pipe(partial(_run, plan, topology, flows))
        self._receive()

    def stop(self) -> SentTraffic:
        """End it, and say what became of every message."""
        with suppress(BrokenPipeError):  # it has ended: what it said, or nothing, is still there
            self._connection.send("stop")
        found = self._receive()
        self._end()
        assert isinstance(found, SentTraffic)
        return found

    def _receive(self) -> object:
        try:
            found: object = self._connection.recv()
        except (EOFError, ConnectionError):
            found = LabError("the live connections ended unexpectedly; was their process killed?")
        if isinstance(found, LabError):
            self._end()
            raise found
        return found

    def _end(self) -> None:
        os.waitpid(self._pid, 0)
        self._connection.close()


def _run(
    plan: ProbePlan, topology: Topology, flows: Sequence[Probe], connection: Connection, parent: int
) -> NoReturn:
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        netns.die_with_parent(parent)
        exchange = _Exchange([_connect(plan, topology, flow) for flow in flows])
        connection.send("connected")
        while not connection.poll(0):
            exchange.round()
            time.sleep(_PAUSE)
        end = time.monotonic() + _LAST
        while time.monotonic() < end:
            exchange.read()
            time.sleep(_PAUSE)
        connection.send(exchange.result())
    except OSError as error:
        connection.send(LabError(f"a live connection cannot be made: {error}"))
    except BaseException:  # noqa: BLE001 - there is nobody else to tell
        connection.send(LabError(f"the live connections failed: {traceback.format_exc()}"))
    finally:
        os._exit(0)


SocketPair = tuple[socket.socket, socket.socket]


def _connect(plan: ProbePlan, topology: Topology, flow: Probe) -> SocketPair:
    """Both ends of a flow, connected, the source's first. The port must be free at the target."""
    kind = socket.SOCK_STREAM if flow.protocol == "TCP" else socket.SOCK_DGRAM
    here, there = (str(plan.parties[at].address(flow.family)) for at in flow[:2])
    with netns.inside(topology.of_party[flow.target]):
        server = socket.socket(FAMILY[flow.family], kind | socket.SOCK_CLOEXEC)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((there, flow.port))
        if kind == socket.SOCK_STREAM:
            server.listen()
    with netns.inside(topology.of_party[flow.source]):
        client = socket.socket(FAMILY[flow.family], kind | socket.SOCK_CLOEXEC)
        client.settimeout(_CONNECT)
        client.bind((here, 0))
        client.connect((there, flow.port))
    if kind == socket.SOCK_STREAM:
        server.settimeout(_CONNECT)
        listener, (server, _) = server, server.accept()
        listener.close()
    else:
        server.connect(client.getsockname()[:2])
    for end in (client, server):
        end.setblocking(False)
        if kind == socket.SOCK_STREAM:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The port is free at once when the exchange ends, whatever still waits to be sent.
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    return client, server


class _Exchange:
    """The sockets, and what was sent and received."""

    def __init__(self, flows: Sequence[SocketPair]) -> None:
        self._flows = flows
        self._sent: list[SentMessage] = []
        self._received: dict[int, float] = {}
        self._partial: dict[int, bytes] = {}

    def round(self) -> None:
        """One message from every end; then read."""
        for flow, ends in enumerate(self._flows):
            for reply, end in enumerate(ends):
                self._send(flow, reply, end)
        self.read()

    def _send(self, flow: int, reply: int, end: socket.socket) -> None:
        now = time.monotonic()
        message = _MESSAGE.pack(flow * 2 + reply, len(self._sent), now)
        try:
            # What waits in a full buffer is not lost, and not sent either.
            if end.send(message) == len(message):
                self._sent.append(SentMessage(flow, bool(reply), now, 0.0))
        except OSError as error:
            if not isinstance(error, BlockingIOError | PermissionError | ConnectionRefusedError):
                raise

    def read(self) -> None:
        """Take in all that has come."""
        for flow, ends in enumerate(self._flows):
            for reply, end in enumerate(ends):
                self._read(flow * 2 + reply, end)

    def _read(self, key: int, end: socket.socket) -> None:
        try:
            while data := end.recv(_READ):
                now = time.monotonic()
                data = self._partial.get(key, b"") + data
                whole = len(data) - len(data) % _MESSAGE.size
                self._partial[key] = data[whole:]
                for _, number, _ in _MESSAGE.iter_unpack(data[:whole]):
                    self._received[number] = now
        except (BlockingIOError, ConnectionRefusedError):
            return

    def result(self) -> SentTraffic:
        """What became of all."""
        messages = [
            message._replace(received=self._received.get(number, 0.0))
            for number, message in enumerate(self._sent)
        ]
        return SentTraffic(messages, [sum(map(_sent_again, ends)) for ends in self._flows])


def _sent_again(end: socket.socket) -> int:
    if end.type != socket.SOCK_STREAM:
        return 0
    info = end.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("=I", info, _TCP_INFO_RETRANSMITTED)[0])
