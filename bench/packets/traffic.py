"""Packets and connections against the clock, with as little of Python in between as can be.

Rule: one call of ``sendmmsg`` sends a slot of packets that were made before. The kernel takes each
through the whole way (client, node, rules, server's socket) before the call returns, so the time of
a slot is the cost of its packets. Nothing is subtracted: numbers are for comparison within a run.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter_ns, sleep

from bench.packets.scenario import CLOSED_PORT, ENDS, OPEN_PORT
from bench.packets.triple import Triple
from podfence.kernel import netns

PAYLOAD = bytes(64)
SLOT = 32
"""Packets of one call."""
TENTHS = 10
LEAST = 4
"""Slots, or connections, measured even when the budget is spent."""
_PATIENCE = 2.0
"""Seconds for an answer that comes at once."""
_ATTEMPTS, _PAUSE = 40, 0.005
"""On a busy machine the kernel may finish late; what it finished late is measured again."""
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
_BACKLOG = 4096
_EMPTY_CALLS = 1_000
_BUFFER = 1
"""Receive buffer of the server: the kernel's least, soon full; every packet then ends alike."""
_MEMINFO, _DROPS = 55, 8
"""``SO_MEMINFO``, and the index of the count of dropped packets in its answer."""
_LINGER = struct.pack("=ii", 1, 0)
_LIBC = ctypes.CDLL(None, use_errno=True)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Message(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Numbered(ctypes.Structure):
    """``struct mmsghdr``: a message, and how much of it was sent."""

    _fields_ = (("message", _Message), ("sent", ctypes.c_uint32))


class TrafficError(RuntimeError):
    """Packets did not do what the ruleset says: nothing that was measured would mean anything."""


class Sender:
    """Sends slots of equal packets; the buffers are made once."""

    def __init__(self) -> None:
        self._payload = ctypes.create_string_buffer(PAYLOAD, len(PAYLOAD))
        self._vector = _Vector(ctypes.addressof(self._payload), len(PAYLOAD))
        vectors = ctypes.pointer(self._vector)
        message = _Message(None, 0, vectors, 1, None, 0, 0)
        self._slot = (_Numbered * SLOT)(*(_Numbered(message, 0) for _ in range(SLOT)))

    def slots(
        self, descriptor: int, arrived: Callable[[], int], count: int, budget: int
    ) -> list[int]:
        """Nanoseconds of each slot; at most ``count``, and no new one after ``budget`` ns.

        ``arrived`` counts packets at their end. A slot whose packets were not all there when the
        call returned, or that had to wait for earlier ones, is left out. Raises TrafficError when
        the kernel does not take all packets.
        """
        send = _LIBC.sendmmsg
        arguments = (descriptor, ctypes.byref(self._slot), SLOT, 0)
        times: list[int] = []
        begun = now = perf_counter_ns()
        there = arrived()
        for number in range(count):
            if now - begun > budget and number >= LEAST:
                break
            before = perf_counter_ns()
            sent = send(*arguments)
            now = perf_counter_ns()
            if sent != SLOT:
                why = os.strerror(ctypes.get_errno())
                raise TrafficError(f"sendmmsg took {sent} of {SLOT} packets: {why}")
            earlier, there = there, arrived()
            if there - earlier == SLOT:
                times.append(now - before)
        return times


class Pair:
    """The sockets of a triple, and what is measured with them. All times are nanoseconds."""

    def __init__(self, triple: Triple, sender: Sender, family: int) -> None:
        self._triple = triple
        self._sender = sender
        self._family = family
        self._server = str(ENDS[family][1])
        address = (self._server, OPEN_PORT)
        with netns.inside(triple.client):
            self._answered = self._udp_client(OPEN_PORT)
        with netns.inside(triple.server):
            self._udp = socket.socket(_FAMILIES[family], socket.SOCK_DGRAM)
            self._udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._udp.bind(address)
            self._tcp = socket.create_server(address, family=_FAMILIES[family], backlog=_BACKLOG)
            self._tcp.setblocking(False)

    def close(self) -> None:
        """Give the sockets back."""
        for opened in (self._answered, self._udp, self._tcp):
            opened.close()

    def established(self, count: int, budget: int) -> float:
        """One packet of a flow that was answered."""
        self._talk()
        return self._cost(self._answered, count, budget)

    def one_way(self, count: int, budget: int) -> float:
        """One packet of a flow that nobody answers."""
        with netns.inside(self._triple.client):
            alone = self._udp_client(OPEN_PORT)
        with alone:
            return self._cost(alone, count, budget)

    def connects(self, count: int, budget: int) -> tuple[float, float]:
        """Medians of ``connect(2)`` alone, and of a whole cycle: socket, connect, reset."""
        with netns.inside(self._triple.client):
            times = _cycles(self._family, count, budget)
        self._accept(len(times))
        waits, cycles = zip(*times, strict=True)
        return median(waits), median(cycles)

    def passes(self, port: int) -> bool:
        """Whether packets to ``port`` get to the server: the first may be lost while a neighbour is
        looked for."""
        before = self._delivered()
        with netns.inside(self._triple.client), self._udp_client(port) as probe:
            for _ in _attempts():
                with suppress(ConnectionRefusedError):  # it arrived, and nobody listens there
                    probe.send(PAYLOAD)
                if self._delivered() > before:
                    return True
        return False

    def check(self, enforced: bool) -> None:
        """Packets do what the rules should make them do. Raises TrafficError."""
        if not self.passes(OPEN_PORT):
            raise TrafficError("what should be allowed is not")
        if self.passes(CLOSED_PORT) is enforced:
            raise TrafficError(f"what no policy allows {'passes' if enforced else 'is denied'}")

    def _udp_client(self, port: int) -> socket.socket:
        made = socket.socket(_FAMILIES[self._family], socket.SOCK_DGRAM)
        made.settimeout(_PATIENCE)
        made.connect((self._server, port))
        return made

    def _talk(self) -> None:
        """A question and its answer. Raises TrafficError."""
        self._udp.setblocking(False)
        drain(lambda: self._udp.recv(len(PAYLOAD)))
        self._udp.settimeout(_PATIENCE)
        self._answered.send(PAYLOAD)
        try:
            _, client = self._udp.recvfrom(len(PAYLOAD))
            self._udp.sendto(PAYLOAD, client)
            self._answered.recv(len(PAYLOAD))
        except TimeoutError as error:
            raise TrafficError("the server's answer did not come back") from error

    def _cost(self, client: socket.socket, count: int, budget: int) -> float:
        """The fastest tenth's bound: what interrupts a slot is none of the rules' cost."""
        for _ in _attempts():
            times = self._sender.slots(client.fileno(), self._dropped, count, budget)
            if len(times) > 1:
                return quantiles(times, n=TENTHS, method="inclusive")[0] / SLOT
        raise TrafficError("packets do not arrive, or too late to be measured")

    def _dropped(self) -> int:
        """Packets that came to the server's socket after its buffer was full."""
        values = struct.unpack("=9I", self._udp.getsockopt(socket.SOL_SOCKET, _MEMINFO, 36))
        return int(values[_DROPS])

    def _delivered(self) -> int:
        """Packets that the server's namespace took in, whatever its socket did with them."""
        with netns.inside(self._triple.server):
            if self._family == 6:
                lines = Path("/proc/thread-self/net/snmp6").read_text(encoding="ascii").splitlines()
                return int(dict(line.split() for line in lines)["Ip6InDelivers"])
            lines = Path("/proc/thread-self/net/snmp").read_text(encoding="ascii").splitlines()
        names, values = (line.split() for line in lines if line.startswith("Ip:"))
        return int(values[names.index("InDelivers")])

    def _accept(self, expected: int) -> None:
        missing = expected
        for _ in _attempts():
            missing -= drain(lambda: self._tcp.accept()[0].close())
            if not missing:
                return
        raise TrafficError(f"{missing} of {expected} connections did not come to the server")


def _attempts() -> Iterator[int]:
    """Some numbers, with a pause between them."""
    yield 0
    for number in range(1, _ATTEMPTS):
        sleep(_PAUSE)
        yield number


def drain(take: Callable[[], object]) -> int:
    """Take until there is nothing left; how often."""
    taken = 0
    while True:
        try:
            take()
        except BlockingIOError:
            return taken
        taken += 1


def empty_call() -> float:
    """Nanoseconds of a ``connect(2)`` that has nothing to do: what Python adds to each."""
    address = _sockaddr(4)
    times: list[int] = []
    for _ in range(_EMPTY_CALLS):
        before = perf_counter_ns()
        _LIBC.connect(-1, address, len(address))
        times.append(perf_counter_ns() - before)
    return median(times)


def _sockaddr(family: int) -> bytes:
    head = struct.pack("=H", _FAMILIES[family]) + struct.pack(">H", OPEN_PORT)
    server = ENDS[family][1].packed
    return head + (server + bytes(8) if family == 4 else bytes(4) + server + bytes(4))


def _cycles(family: int, count: int, budget: int) -> list[tuple[int, int]]:
    """(connect, whole cycle) of one connection after the other."""
    times: list[tuple[int, int]] = []
    address = _sockaddr(family)
    kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC
    start = now = perf_counter_ns()
    while len(times) < count and (now - start < budget or len(times) < LEAST):
        begun = perf_counter_ns()
        made = _LIBC.socket(_FAMILIES[family], kind, 0)
        _LIBC.setsockopt(made, socket.SOL_SOCKET, socket.SO_LINGER, _LINGER, len(_LINGER))
        before = perf_counter_ns()
        failed = _LIBC.connect(made, address, len(address))
        after = perf_counter_ns()
        reason = ctypes.get_errno()
        _LIBC.close(made)
        now = perf_counter_ns()
        if failed:
            raise TrafficError(f"a connection failed: {os.strerror(reason)}")
        times.append((after - before, now - begun))
    return times
