"""Packets that never stop, and what became of each: those that passed and should not have, and the
other way round.

Rule: a packet is judged by what was expected when it was sent. Where that changed while it was sent
it is not judged. While the rules change, a test expects nothing (None) of a flow.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from podfence.kernel import netns
from tests.agent.network import Pod

_PORT = 8000
_PACKET = struct.Struct("=IIB")
_SO_RCVBUFFORCE = 33
OLD, NEW = 0, 1
"""A packet of one connection that goes on, and the first of a connection of its own."""


class Flow:
    """From a pod to another, on a port of its own."""

    def __init__(self, number: int, source: Pod, target: Pod) -> None:
        self.number = number
        self.name = f"{source.name}->{target.name}"
        self.source = source
        self.address = (target.address, _PORT + number)
        self.target = target
        self._times: list[float] = [0.0]
        self._values: list[bool | None] = [None]

    def expect(self, value: bool | None) -> None:
        """From now on, its packets pass, or do not; None: either."""
        self._times.append(time.monotonic())
        self._values.append(value)

    def expected(self, first: float, last: float) -> bool | None:
        """What was expected all the time between."""
        one, other = (bisect_right(self._times, at) for at in (first, last))
        return self._values[one - 1] if one == other else None


class Traffic:
    """Packets of some flows, every few milliseconds, each flow's by a thread of its own."""

    def __init__(self, flows: Iterable[Flow], pause: float = 0.004) -> None:
        self._flows = [*flows]
        self._pause = pause
        self._ended = threading.Event()
        self._sent: list[tuple[Flow, int, int, float, float]] = []
        self._arrived: set[tuple[int, int, int]] = set()
        self._receivers = [self._receiver(flow) for flow in self._flows]
        self._threads = [
            threading.Thread(target=self._send, args=(flow,), daemon=True) for flow in self._flows
        ]
        self._threads.append(threading.Thread(target=self._receive, daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)
        for receiver in self._receivers:
            receiver.close()

    def wrong(self) -> Counter[str]:
        """What became of packets that was not expected: ``leaked`` and ``lost``, by flow."""
        return Counter(what for _, what in self.wrong_ones())

    def wrong_ones(self) -> Iterator[tuple[float, str]]:
        """Each of them: when it was sent, and what it was."""
        for flow, kind, number, first, last in self._sent:
            expected = flow.expected(first, last)
            passed = (flow.number, number, kind) in self._arrived
            if expected is not None and passed is not expected:
                what = "leaked" if passed else "lost"
                yield first, f"{what} {flow.name} {'new' if kind == NEW else 'old'}"

    def has_passed(self, flow: Flow) -> bool:
        """Whether a packet of a flow has arrived so far."""
        return any(number == flow.number for number, _, _ in [*self._arrived])

    def judged(self) -> int:
        """Packets of which something was expected."""
        return sum(flow.expected(*times) is not None for flow, _, _, *times in self._sent)

    @staticmethod
    def _receiver(flow: Flow) -> socket.socket:
        opened = flow.target.socket(flow.address[1])
        opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 1 << 22)
        return opened

    def _send(self, flow: Flow) -> None:
        netns.join(flow.source.namespace)  # this thread alone, for good
        old = _sender(flow)
        number = 0
        with old:
            while not self._ended.wait(self._pause):
                number += 1
                self._one(flow, old, OLD, number)
                with _sender(flow) as new:
                    self._one(flow, new, NEW, number)

    def _one(self, flow: Flow, sender: socket.socket, kind: int, number: int) -> None:
        data = _PACKET.pack(flow.number, number, kind)
        first = time.monotonic()
        sender.sendto(data, flow.address)
        self._sent.append((flow, kind, number, first, time.monotonic()))

    def _receive(self) -> None:
        with selectors.DefaultSelector() as ready:
            for receiver in self._receivers:
                ready.register(receiver, selectors.EVENT_READ)
            while True:
                found = ready.select(0.3)
                for key, _ in found:
                    for data in _waiting(key.fileobj):
                        flow, number, kind = _PACKET.unpack(data)
                        self._arrived.add((flow, number, kind))
                if not found and self._ended.is_set():
                    return


def _sender(flow: Flow) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((flow.source.address, 0))
    return opened


def _waiting(receiver: object) -> Iterator[bytes]:
    assert isinstance(receiver, socket.socket)
    while True:
        try:
            yield receiver.recv(64)
        except BlockingIOError:
            return


@contextmanager
def traffic(*flows: Flow) -> Iterator[Traffic]:
    """Traffic for the time of a ``with``; judged afterwards."""
    made = Traffic(flows)
    made.start()
    try:
        yield made
    finally:
        made.end()
