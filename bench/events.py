"""What one event costs a node: from the line of a watch to the netlink that is sent.

    python -m bench.events C10 [--events 10000] [--dual-stack]

Rule: CPU of this process alone; the cluster is made in another one, so that memory is that of an
agent. Every event is a batch of its own, and what it takes away is decided too. A row that ends in
``-`` is of events that the kernel never hears of.
"""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import IO

from bench.eventfeed import NODE, arguments
from bench.memory import resident
from podfence.kernel.nftables.encode import encode
from podfence.live import wire
from podfence.live.node import LiveIndex
from podfence.model.facts import Event
from podfence.nft.difference import load
from podfence.nft.lowering.assembly import Assembly
from podfence.nft.lowering.lower import LocalNode

MIB = 1 << 20


def told(lines: IO[bytes]) -> Iterator[Event]:
    """Events up to the empty line."""
    for line in lines:
        if line == b"\n":
            return
        event = _event(line)
        if event is not None:
            yield event


def _event(line: bytes) -> Event | None:
    kind, _, data = line.partition(b" ")
    return wire.event(kind.decode(), data)


class Times:
    """CPU of events, in ms."""

    def __init__(self) -> None:
        self.all: list[float] = []
        self.by_kind: dict[str, list[float]] = defaultdict(list)

    def add(self, kind: str, spent: float) -> None:
        """One event."""
        self.all.append(spent)
        self.by_kind[kind].append(spent)

    def rows(self) -> Iterator[str]:
        """p50, p99 and the largest, of all and of each kind."""
        for name, found in (("all", self.all), *sorted(self.by_kind.items())):
            ordered = sorted(found)
            p50, p99 = (ordered[int(len(ordered) * q)] for q in (0.5, 0.99))
            yield f"{name:<28}{len(found):>7}{p50:>9.3f}{p99:>9.3f}{ordered[-1]:>9.3f}"


def kind_of(line: bytes, operations: int) -> str:
    """What an event is, and whether the kernel hears of it."""
    kind, _, data = line.partition(b" ")
    what = data[9 : data.index(b'"', 9)].decode().lower()
    return f"{kind.decode()} {what}{'' if operations else ' -'}"


def main() -> None:
    """Run and print."""
    options = arguments(__doc__)
    command = [sys.executable, "-m", "bench.eventfeed", options.shape]
    command += ["--events", str(options.events)]
    command += ["--dual-stack"] if options.dual_stack else []
    print(f"{resident() / MIB:.0f} MiB at the start")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as feed:
        assert feed.stdout is not None
        measure(feed.stdout)


def measure(lines: IO[bytes]) -> None:
    """First list, then event by event."""
    index = LiveIndex(NODE)
    assembly = Assembly(LocalNode(NODE), index.selections)
    start = time.process_time()
    change = index.apply(told(lines))
    listed = time.process_time()
    print(f"first list {listed - start:.2f} s, {resident() / MIB:.0f} MiB")
    assembly.apply(change)
    ruleset = assembly.ruleset()
    lowered = time.process_time()
    size = sum(len(message.body) for message in encode(load(ruleset)))
    encoded = time.process_time()
    sets, elements = len(ruleset.sets), sum(len(s.elements) for s in ruleset.sets.values())
    rules = sum(len(chain.rules) for chain in ruleset.chains.values())
    print(
        f"lowered {lowered - listed:.2f} s, encoded {encoded - lowered:.2f} s, {size / MIB:.1f} MiB"
        f": {sets} sets, {elements} elements, {len(ruleset.chains)} chains, {rules} rules"
    )
    del ruleset, change
    print(f"{resident() / MIB:.0f} MiB after the first list")
    gc.freeze()
    times = Times()
    for line in lines:
        begin = time.process_time()
        event = _event(line)
        delta = assembly.apply(index.apply(() if event is None else (event,)))
        operations = len([*encode(delta.transaction)]) if delta.transaction else 0
        spent = (time.process_time() - begin) * 1000
        times.add(kind_of(line, operations), spent)
    print(f"{'':<28}{'events':>7}{'p50':>9}{'p99':>9}{'max':>9}   CPU ms")
    print("\n".join(times.rows()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{resident() / MIB:.0f} MiB at the end, {peak:.0f} MiB at most")


if __name__ == "__main__":
    main()
