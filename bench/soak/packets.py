"""Packets that never stop, and what became of each, in bounded memory.

Rule: a packet is judged by what was expected when it was sent; where that changed meanwhile it is
not judged. What is allowed arrives and is answered, what is denied never arrives.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count, cycle

from msgspec import Struct

from podfence.kernel import netns
from podfence.policy.flow import Flow
from podfence.sets.addresses import IPAddress

PATIENCE = 2.0
"""Seconds after which a packet, or its answer, is lost."""
TOLD = 50
"""Wrong packets that are kept with what they were; all are counted."""
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_NUMBER = struct.Struct(">Q")
_SO_RCVBUFFORCE = 33
_BUFFER = 1 << 20


class Expectation:
    """What is expected of a flow: that it passes, that it does not, or nothing (None)."""

    def __init__(self) -> None:
        self.value: bool | None = None
        self._since = 0.0

    def expect(self, value: bool | None, now: float) -> None:
        """From now on."""
        if value is not self.value:
            self.value, self._since = value, now

    def since(self, at: float) -> bool | None:
        """What has been expected ever since a moment."""
        return self.value if self._since <= at else None


class Packet:
    """One that is under way. ``certain``: what was expected while it was sent."""

    __slots__ = ("answered", "arrived", "at", "certain", "flow", "is_new", "sender")

    def __init__(
        self, flow: Flow, is_new: bool, at: float, certain: bool | None, sender: socket.socket
    ) -> None:
        self.flow, self.is_new, self.at, self.certain = flow, is_new, at, certain
        self.sender = sender
        self.arrived = self.answered = False


class Wrong(Struct, frozen=True):
    """A packet that was not as expected. ``at``: monotonic seconds."""

    at: float
    what: str
    flow: Flow
    is_new: bool
    """The first of its connection, rather than one of a connection that goes on."""

    def __str__(self) -> str:
        flow, kind = self.flow, "new" if self.is_new else "old"
        return f"{self.what}: {flow.source} -> {flow.destination} port {flow.port}, {kind}"


def judged(packet: Packet, lasting: bool | None) -> str | None:
    """What was wrong with a packet whose time is up, "" for nothing, None where it is not judged.
    ``lasting``: what has been expected of its flow all the time since it was sent."""
    if packet.certain is None:
        return None
    if not packet.certain:
        return "leaked" if packet.arrived else ""
    if not packet.arrived:
        return "lost"
    if packet.answered or lasting is None:
        return ""
    return "answer lost"


class Traffic:
    """Datagrams of flows between namespaces, ``rate`` a second in all, by a thread of its own.

    ``namespaces``: by address. Each flow has a connection that goes on, and every other packet
    begins a new one.
    """

    def __init__(self, flows: Iterable[Flow], namespaces: Mapping[IPAddress, int], rate: float):
        self._expected = {flow: Expectation() for flow in flows}
        self._namespaces = namespaces
        self._pause = 1 / rate
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._selector = selectors.DefaultSelector()
        self._flying: dict[int, Packet] = {}
        self._order: deque[int] = deque()
        self._numbers = count(1)
        self._old: dict[Flow, socket.socket] = {}
        self._receivers: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, name="packets", daemon=True)
        self.failure: BaseException | None = None
        self.counts: Counter[str] = Counter()
        """Packets by what came of them: ``right``, ``not judged``, and each that is wrong."""
        self.wrong: deque[Wrong] = deque(maxlen=TOLD)

    def start(self) -> None:
        """Open what listens, and begin."""
        for address, port in {(flow.destination, flow.port) for flow in self._expected}:
            opened = self._socket(address, port)
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            self._receivers.append(opened)
            self._selector.register(opened, selectors.EVENT_READ, True)
        for flow in self._expected:
            self._old[flow] = opened = self._socket(flow.source, 0)
            self._selector.register(opened, selectors.EVENT_READ, False)
        self._thread.start()

    def end(self) -> None:
        """Stop, and give all sockets back."""
        self._ended.set()
        self._thread.join(30)
        for packet in self._flying.values():
            if packet.is_new:
                packet.sender.close()
        for opened in (*self._receivers, *self._old.values()):
            opened.close()
        self._selector.close()

    def expect(self, wanted: Mapping[Flow, bool | None]) -> None:
        """What is expected of flows from now on."""
        with self._lock:
            now = time.monotonic()
            for flow, value in wanted.items():
                if (expectation := self._expected.get(flow)) is not None:
                    expectation.expect(value, now)

    def _socket(self, address: IPAddress, port: int) -> socket.socket:
        family = _FAMILIES[address.version]
        with netns.inside(self._namespaces[address]):
            opened = socket.socket(family, socket.SOCK_DGRAM)
        opened.setblocking(False)
        opened.bind((str(address), port))
        return opened

    def _run(self) -> None:
        try:
            self._turn()
        except BaseException as error:
            self.failure = error
            raise

    def _turn(self) -> None:
        flows = cycle(self._expected)
        due = before = time.monotonic()
        turns = 0
        while not self._ended.is_set():
            self._take_in(max(0.0, due - time.monotonic()))
            now = time.monotonic()
            if now >= due:
                due = max(due + self._pause, now - 1.0)
                turns += 1
                # The flows are gone through with new connections, and then with old ones.
                self._send(next(flows), is_new=(turns // len(self._expected)) % 2 == 0)
            # By the clock of the turn before: after a pause of this thread, what came meanwhile is
            # answered in one turn, and the answer is read in the next.
            self._judge(before - PATIENCE)
            before = now

    def _send(self, flow: Flow, *, is_new: bool) -> None:
        sender = self._socket(flow.source, 0) if is_new else self._old[flow]
        if is_new:
            self._selector.register(sender, selectors.EVENT_READ, False)
        number = next(self._numbers)
        with self._lock:
            # Expectations wait until the packet has left: nobody can change them on its way.
            at = time.monotonic()
            certain = self._expected[flow].value
            packet = Packet(flow, is_new, at, certain, sender)
            self._flying[number] = packet
            self._order.append(number)
            # A rejection of an earlier packet may be told here.
            for _ in range(2):
                with suppress(ConnectionError):
                    sender.sendto(_NUMBER.pack(number), (str(flow.destination), flow.port))
                    break

    def _take_in(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            found = key.fileobj
            assert isinstance(found, socket.socket)
            while True:
                try:
                    data, sender = found.recvfrom(64)
                except BlockingIOError:
                    break
                except ConnectionError:
                    continue
                if len(data) != _NUMBER.size:
                    continue
                packet = self._flying.get(_NUMBER.unpack(data)[0])
                if packet is None:
                    continue
                if key.data:
                    packet.arrived = True
                    with suppress(OSError):
                        found.sendto(data, sender)
                else:
                    packet.answered = True

    def _judge(self, before: float) -> None:
        while self._order and self._flying[self._order[0]].at < before:
            packet = self._flying.pop(self._order.popleft())
            if packet.is_new:
                self._selector.unregister(packet.sender)
                packet.sender.close()
            with self._lock:
                lasting = self._expected[packet.flow].since(packet.at)
            said = judged(packet, lasting)
            self.counts["not judged" if said is None else said or "right"] += 1
            if said:
                self.wrong.append(Wrong(packet.at, said, packet.flow, packet.is_new))
