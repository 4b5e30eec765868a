"""What domain names cost, and how late they are: real packets, a resolver, the agent's threads.

    python -m bench.names [--names 1000] [--rounds 200] [--seconds 10]
    python -m bench.names --fuzz 200000

Rule: everything is in network namespaces that this makes for itself. The agent's threads and the
resolver are one process, the pods that ask are others. *Late* is from the moment that a
pod has the answer to the first packet of it that passes. *At once* is the share of first packets
that pass when they are sent so long after the answer. A packet is wrong that passes to an address
that nobody was told, or that does not pass to one that a pod was told half a second ago. *Sent*
is what ``send`` costs of an established connection, all of the kernel's work on the way included.
``--fuzz``: answers with some bytes changed; what is told must be what dnspython reads, too, and of
no other name. Exit 1: there are wrong packets or answers.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import selectors
import socket
import statistics
import struct
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address
from pathlib import Path
from random import Random
from typing import TypeVar

import dns.exception
import dns.message

from podfence.dns import cache
from podfence.dns.message import read_addresses, read_head
from podfence.dns.table import TABLE, names_table
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.policy.domains import At
from podfence.render.tables import table
from tests.support.dnsmessages import answer, at, question
from tests.support.nameworld import RESOLVER, NameWorld, name_world

T = TypeVar("T")
_FIRST, _STRANGE = int(IPv4Address("198.18.0.1")), int(IPv4Address("198.19.0.1"))
_PAUSES = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05)


class Prober:
    """Sends packets to addresses outside, and knows which arrive."""

    def __init__(self, world: NameWorld) -> None:
        self._from = world.web.socket(socket.SOCK_DGRAM, world.web.address(4))
        self._at = world.outside.socket(socket.SOCK_DGRAM, "0.0.0.0", 443)
        self._at.setblocking(False)
        self._asking = world.web.socket(socket.SOCK_DGRAM, world.web.address(4))
        self._asking.connect((RESOLVER[0], 53))
        self._number = 0

    def ask(self, name: str) -> float:
        """Ask, and when the answer was there."""
        self._number = (self._number + 1) & 0xFFFF
        self._asking.send(question(name, number=self._number))
        self._asking.recv(65535)
        return time.perf_counter()

    def send(self, address: int) -> bytes:
        """A packet of a connection that is new; what it says."""
        self._number += 1
        data = struct.pack(">II", address, self._number)
        self._from.sendto(data, (str(IPv4Address(address)), 443))
        return data

    def arrives(self, data: bytes, patience: float) -> bool:
        """Whether one packet arrives within so many seconds."""
        with selectors.DefaultSelector() as ready:
            ready.register(self._at, selectors.EVENT_READ)
            end = time.perf_counter() + patience
            while (left := end - time.perf_counter()) > 0:
                if ready.select(left) and self._at.recv(100) == data:
                    return True
        return False


def measure(names: int, rounds: int, seconds: float) -> int:
    """All of it; how many packets were wrong."""
    outside = [str(IPv4Address(first + n)) for first in (_FIRST, _STRANGE) for n in range(names)]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        world = stack.enter_context(name_world(Path(folder), outside))
        world.server.records = {
            f"n{n}.example.com": [(f"n{n}.example.com", 3600, "A", outside[n])]
            for n in range(names)
        }
        exact = [f"n{n}.example.com" for n in range(names)]
        world.allow(*exact)
        prober = Prober(world)
        late, wrong = _apart(lambda: _lateness(prober, names, rounds))
        shares, more = _apart(lambda: _at_once(prober, names, rounds))
        wrong += more + _apart(lambda: _all_of_them(prober, names))
        flood, more = _flood(world, prober, seconds)
        wrong += more
        costs = _established(world, prober)
        latency = world.agent.enforcer.status.latency.get("DomainName")
        rows = [
            ("names, each with an address", f"{names}"),
            ("late, median and 99 of 100", f"{_ms(late, 0.5)}, {_ms(late, 0.99)}"),
            *((f"at once, {1000 * p:g} ms after the answer", f"{s:.0%}") for p, s in shares),
            *flood,
            *((f"sent, {what} the table of names", f"{c:.2f} µs") for what, c in costs),
            ("wrong packets", str(wrong)),
        ]
        if latency is not None:
            mean = 1000 * latency.seconds / max(1, latency.count)
            rows.insert(2, ("from the copy to the kernel's answer, mean", f"{mean:.1f} ms"))
        print(table(("", ""), rows))
    return wrong


def _lateness(prober: Prober, names: int, rounds: int) -> tuple[list[float], int]:
    """How long after an answer packets pass, for names that nobody had asked for."""
    late, wrong = [], 0
    for n in range(min(rounds, names // 2)):
        address = _FIRST + n
        if prober.arrives(prober.send(address), 0.002):
            wrong += 1  # before the answer
        told = prober.ask(f"n{n}.example.com")
        while not prober.arrives(prober.send(address), 0.0005):
            if time.perf_counter() > told + 5:
                wrong += 1
                break
        late.append(time.perf_counter() - told)
    return late, wrong


def _at_once(prober: Prober, names: int, rounds: int) -> tuple[list[tuple[float, float]], int]:
    """The share of first packets that pass."""
    found, wrong = [], 0
    known = names // 2
    each = max(1, min(rounds, (names - known) // len(_PAUSES)))
    for turn, pause in enumerate(_PAUSES):
        passed = 0
        for n in range(each):
            number = known + turn * each + n
            prober.ask(f"n{number}.example.com")
            time.sleep(pause)
            passed += prober.arrives(prober.send(_FIRST + number), 0.05)
            wrong += prober.arrives(prober.send(_STRANGE + number), 0.002)
        found.append((pause, passed / each))
    return found, wrong


def _all_of_them(prober: Prober, names: int) -> int:
    """Ask for all, and try each, and as many that nobody was told."""
    for n in range(names):
        prober.ask(f"n{n}.example.com")
    time.sleep(0.5)
    wrong = 0
    for n in range(names):
        wrong += not prober.arrives(prober.send(_FIRST + n), 2)
        wrong += prober.arrives(prober.send(_STRANGE + n), 0.002)
    return wrong


def _flood(world: NameWorld, prober: Prober, seconds: float) -> tuple[list[tuple[str, str]], int]:
    """One pod asks as fast as it can for names that exist; the other goes on as before."""
    asking = world.other.socket(socket.SOCK_DGRAM, world.other.address(4))
    cpu, counts = _cpu(), world.agent.names.counts()
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(_apart, lambda: _ask_on(asking, seconds))
        wrong = pool.submit(_apart, lambda: _go_on(prober, seconds)).result()
        rate = asked.result() / seconds
    after = world.agent.names.counts()
    read = sum(after.messages.values()) - sum(counts.messages.values())
    return [
        ("flood: questions a second", f"{rate:.0f}"),
        ("flood: messages read a second", f"{read / seconds:.0f}"),
        ("flood: copies lost", str(after.lost - counts.lost)),
        ("flood: CPU of agent and resolver", f"{(_cpu() - cpu) / seconds:.0%} of a core"),
        ("flood: addresses known afterwards", str(after.addresses)),
    ], wrong


def _go_on(prober: Prober, seconds: float) -> int:
    wrong, tried = 0, 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        wrong += prober.arrives(prober.send(_STRANGE + tried % 50), 0.002)
        wrong += not prober.arrives(prober.send(_FIRST + tried % 50), 2)
        tried += 1
    return wrong


def _ask_on(asking: socket.socket, seconds: float) -> int:
    """How many questions the kernel took."""
    asking.setblocking(False)
    questions = [question(f"n{n}.example.com")[2:] for n in range(50)]
    number, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        number += 1
        head = struct.pack(">H", number & 0xFFFF)
        with suppress(BlockingIOError):
            asking.sendto(head + questions[number % 50], (RESOLVER[0], 53))
    return number


def _apart(function: Callable[[], T]) -> T:
    """What a function returns in another process, which must be plain JSON."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.write(writing, json.dumps(function()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    if os.waitpid(child, 0)[1] or not data:
        raise SystemExit("a pod of the measurement failed")
    found: T = json.loads(data)
    return found


def _established(world: NameWorld, prober: Prober) -> list[tuple[str, float]]:
    """Microseconds of a packet, without and with the rules that copy packets of DNS."""
    found: dict[str, list[float]] = {"without": [], "with": []}
    wanted = names_table(79, [(4, int(IPv4Address(RESOLVER[0])))])
    opened = NftSocket(world.node)
    table_ = NetlinkNft(opened, TABLE)
    world.agent.stop()  # it would write the table again
    for turn in range(40):
        what = "with" if turn % 2 else "without"
        if turn % 2:
            table_.replace(wanted)
        else:
            table_.delete()
        found[what].append(_apart(lambda: _send_on(prober, 5000)))
    opened.close()
    return [(what, statistics.median(each)) for what, each in found.items()]


def _send_on(prober: Prober, number: int) -> float:
    begin = time.perf_counter()
    for _ in range(number):
        prober.send(_FIRST)
    return (time.perf_counter() - begin) / number * 1e6


def fuzz(count: int) -> int:
    """How many of so many changed answers told what they should not."""
    rng, wrong, told = Random(1), 0, 0
    name = "api.example.com"
    chain = [(name, 60, "CNAME", "x.cdn.test."), ("x.cdn.test", 30, "A", "192.0.2.1")]
    seeds = [
        answer(name, [(name, 60, "A", "192.0.2.1"), (name, 60, "A", "192.0.2.2")]),
        answer(name, chain),
        answer(name, [(name, 60, "AAAA", "2001:db8::1")], "AAAA"),
    ]
    slowest = 0.0
    for _ in range(count):
        data = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.choice((rng.randrange(256), 0xC0, 0, 12))
        begin = time.process_time()
        head = read_head(bytes(data))
        found = () if head is None else read_addresses(bytes(data), head)
        slowest = max(slowest, time.process_time() - begin)
        told += bool(found)
        wrong += bool(found) and not _dnspython_agrees(bytes(data), {t.address for t in found})
    print(f"{count} answers, {told} told something, {wrong} wrong; at most {slowest * 1000:.1f} ms")
    return wrong


def _dnspython_agrees(data: bytes, addresses: set[At]) -> bool:
    try:
        message = dns.message.from_wire(data, ignore_trailing=True)
    except dns.exception.DNSException:
        return True  # something beside the answers, which is not read here
    every = (item for rrset in message.answer for item in rrset)
    texts = (item.address for item in every if item.rdclass == 1 and item.rdtype in (1, 28))
    return addresses <= {at(text) for text in texts}


def _cpu() -> float:
    found = resource.getrusage(resource.RUSAGE_SELF)
    return found.ru_utime + found.ru_stime


def _ms(found: list[float], share: float) -> str:
    if len(found) < 2:
        return "-"
    return f"{1000 * statistics.quantiles(found, n=100)[round(share * 100) - 1]:.1f} ms"


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--names", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--fuzz", type=int, default=0)
    options = parser.parse_args()
    if options.fuzz:
        return int(fuzz(options.fuzz) > 0)
    cache.LEAST = 600  # nothing ends while it is measured
    return int(measure(options.names, options.rounds, options.seconds) > 0)


if __name__ == "__main__":
    sys.exit(main())
