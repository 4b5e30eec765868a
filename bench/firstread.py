"""How long the reader of a node takes to know a cluster: asked of an API server, decoded, indexed.

    python -m bench.firstread KUBECONFIG

Rule: the agent's own watches, inbox and index, in a process of its own; no kernel is written to.
The time runs from the first question until all that the node's rules follow from is known, and
again until these rules are made. ``bench.firstsync`` starts it beside a real API server.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
import time

from bench.eventfeed import NODE
from bench.memory import resident
from podfence.agent.inbox import Inbox
from podfence.agent.process import Threads
from podfence.agent.sources import feed, nodes_of_others, read, resources
from podfence.agent.wanted import DesiredState
from podfence.kube.source import find_access
from podfence.kube.watch import Watch
from podfence.nft.lowering.lower import LocalNode

MIB = 1 << 20
_TURN = 0.5


def main() -> None:
    """Run and print."""
    access = find_access("", sys.argv[1], os.environ)
    kinds, others = resources(NODE), nodes_of_others(NODE)
    parts = ((each[0].kind, each[0].only) for each in kinds)
    inbox = Inbox(NODE, (part for part in parts if part != others))
    threads = Threads()
    begin, spent = time.monotonic(), time.process_time()
    watch = Watch(access, kinds, read, later=[others], environment=os.environ)
    stopped = threads.stopped
    reading = threading.Thread(target=feed, args=(watch, inbox, stopped, others), daemon=True)
    reading.start()
    wanted = DesiredState(LocalNode(NODE))
    planned = []
    while not wanted.in_sync:
        taken = inbox.take(_TURN)
        planned = wanted.take((told.event for told in taken.events), whole=taken.whole)
    known = time.monotonic() - begin
    rules = planned[-1].wanted()
    made, cpu = time.monotonic() - begin, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    *_, sizes = wanted.sizing()
    assert sizes is not None
    print(
        f"the reader alone: all known after {known:.2f} s, rules made after {made:.2f} s, "
        f"{cpu:.2f} s of CPU; {resident() / MIB:.0f} MiB, {peak:.0f} MiB at most; "
        f"{len(rules.chains)} chains, {sizes.elements} elements; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    stopped.set()
    reading.join(10)


if __name__ == "__main__":
    main()
