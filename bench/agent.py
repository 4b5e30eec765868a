"""What an agent costs: from the moment in which a server sends an event to the kernel's answer.

    python -m bench.agent C10 [--events 10000] [--rate 200]

Rule: the server (``agentapi``) is a process of its own, and speaks TLS; the agent is the real one,
with all its threads, in a network namespace of its own. Latency is wall time, so that other load of
the machine is in it. Memory is that of the process of the agent.
"""

from __future__ import annotations

import gc
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import yaml

from bench.eventfeed import NODE, arguments
from bench.memory import resident
from podfence.agent.enforcer import Enforcer
from podfence.agent.inbox import Inbox
from podfence.agent.latency import Latencies
from podfence.agent.log import EventLog
from podfence.agent.process import Threads, keep_giving_back
from podfence.agent.sources import heard, read, resources
from podfence.agent.table import KernelTable
from podfence.kernel import netns
from podfence.kernel.nftables.notices import Notices
from podfence.kube.source import find_access
from podfence.kube.watch import Batch, Watch
from podfence.live.wire import ReadObject
from podfence.nft.lowering.lower import TABLE, LocalNode

MIB = 1 << 20
_PATIENCE = 300.0


class Exact(Latencies):
    """All of them, in ms."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[float] = []

    def add(self, name: str, seconds: float) -> None:
        """One more."""
        super().add(name, seconds)
        self.all.append(seconds * 1000)


class SentAt(Inbox):
    """As the agent's, with the times at which events were sent."""

    def feed(self, watch: Watch[ReadObject], stopped: threading.Event) -> None:
        """Until it is to stop."""
        watch.tell(self.hear)
        with watch:
            while not stopped.is_set():
                watch.next(0.5)

    def hear(self, batch: Batch[ReadObject]) -> None:
        """As the thread of a watch read it."""
        for change in batch.changes:
            sent = int(change.version or 0) / 1e6
            self.tell(heard([change]), sent or batch.at)
        self.stand(batch.state)


def kubeconfig(folder: Path) -> str:
    """A file that leads to the server, once that is ready."""
    until = time.monotonic() + _PATIENCE
    while not (folder / "port").exists():
        if time.monotonic() > until:
            raise TimeoutError("the server did not start")
        time.sleep(0.05)
    server = f"https://127.0.0.1:{(folder / 'port').read_text()}"
    cluster = {"server": server, "certificate-authority": str(folder / "cert.pem")}
    config = {
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": cluster}],
        "users": [{"name": "x", "user": {"token": "none"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return str(path)


def main() -> None:
    """Run and print."""
    options = arguments(__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "bench.agentapi", options.shape, name]
        command += ["--events", str(options.events), "--rate", str(options.rate)]
        with subprocess.Popen(command) as server:
            try:
                measure(folder, options.events, options.rate)
            finally:
                server.kill()


def measure(folder: Path, events: int, rate: float) -> None:
    """First sync, then event by event."""
    namespace = netns.create()
    access = find_access("", kubeconfig(folder), os.environ)
    wanted = resources(NODE)
    inbox = SentAt(NODE, ((each[0].kind, each[0].only) for each in wanted))
    node = LocalNode(NODE)
    notices = Notices(TABLE, namespace)
    table = KernelTable(node.mark_mask, notices, namespace)
    exact = Exact()
    with open(os.devnull, "w") as nowhere:
        log = EventLog(nowhere if rate else sys.stderr)
        print(f"{resident() / MIB:.0f} MiB at the start; load {os.getloadavg()[0]:.1f}")
        cpu = time.process_time()
        enforcer = Enforcer(node, table, inbox, log, time.monotonic, exact)
        watch = Watch(access, wanted, read)
        threads = Threads()
        stopped = threads.stopped
        threads.start("enforcer", enforcer.run)
        threads.start("heap", lambda: keep_giving_back(stopped))
        feeder = threads.start("feed", lambda: inbox.feed(watch, stopped))
        try:
            while not enforcer.status.in_sync:
                time.sleep(0.05)
            status = enforcer.status
            spent = time.process_time() - cpu
            print(f"in sync after {status.sync_seconds:.2f} s, {spent:.2f} s of CPU")
            time.sleep(12)  # sizes are counted
            status = enforcer.status
            print(f"{resident() / MIB:.0f} MiB; {status.pods} pods here; {status.sizes}")
            exact.all.clear()
            (folder / "go").touch()
            while not (folder / "begun").exists():
                time.sleep(0.01)
            cpu, begin = time.process_time(), time.monotonic()
            while not (folder / "done").exists():
                time.sleep(0.2)
            time.sleep(1)
            report(exact, events, time.process_time() - cpu, time.monotonic() - begin, folder)
            status = enforcer.status
        finally:
            stopped.set()
            inbox.end()
            feeder.join(10)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{resident() / MIB:.0f} MiB at the end, {peak:.0f} MiB at most")
    print(f"{status.writes.taken} writes, {status.bumps} epochs, {status.reads} readings")
    gc.collect()


def report(exact: Exact, events: int, cpu: float, wall: float, folder: Path) -> None:
    """Latencies of events that came to the kernel."""
    ordered = sorted(exact.all)
    p50, p90, p99 = (ordered[int(len(ordered) * q)] for q in (0.5, 0.9, 0.99))
    rate = (folder / "done").read_text()
    print(
        f"{events} events at {rate}/s, {len(ordered)} in writes: p50 {p50:.2f} p90 {p90:.2f} "
        f"p99 {p99:.2f} max {ordered[-1]:.2f} ms; CPU {1000 * cpu / events:.2f} ms an event, "
        f"{100 * cpu / wall:.0f} % of a core; "
        f"load {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
