"""Faults, restarts, pod starts and revocations under traffic, for as long as one likes.

    python -m tests.agent.atlength faults --count 1000 [--seed 0] [--minutes 30]
    python -m tests.agent.atlength starts --count 1000
    python -m tests.agent.atlength changes --count 1000
    python -m tests.agent.atlength restarts --count 200

Rule: every packet is judged by what was expected when it was sent (``traffic``); wrong ones are
told with the fault that was under way. Ends with status 1 where there was one. Needs root, and
etcd and kube-apiserver as the tests do; everything is in namespaces of its own. On a machine that
others use, PODFENCE_PATIENCE=600 waits longer for what should happen.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from math import inf
from pathlib import Path
from random import Random

from tests.agent.cluster import Cluster
from tests.agent.faults import CHANGES, FAULTS, RESTARTS, Day
from tests.agent.network import Node, node
from tests.agent.podstarts import Starts
from tests.agent.traffic import Traffic, traffic
from tests.agent.watched import DB, FAR, WEB, Watched
from tests.apiserver.build import assets
from tests.apiserver.server import ApiServer, running
from tests.support.golang import Unavailable

ROUND = 20
"""Faults of one node: then another is made, and the one of before is torn down."""
ROUND_OF_CHANGES = 200


class Tally:
    """What was done, what was judged, and what was wrong. ``ends``: when no more is begun, in
    monotonic seconds."""

    def __init__(self, ends: float) -> None:
        self._ends = ends
        self.done: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.judged = 0

    @property
    def has_time(self) -> bool:
        """Whether another round may begin."""
        return time.monotonic() < self._ends

    def judge(self, packets: Traffic, begun: list[tuple[float, str]]) -> None:
        """Packets of a round; ``begun``: what was done, and when."""
        self.judged += packets.judged()
        times = [at for at, _ in begun]
        for at, what in packets.wrong_ones():
            index = bisect_right(times, at) - 1
            name = begun[index][1] if index >= 0 else "before all"
            self.wrong[f"{name}: {what}"] += 1

    def __str__(self) -> str:
        lines = [f"{count:6} {name}" for name, count in sorted(self.done.items())]
        lines.append(f"{sum(self.done.values()):6} in all")
        lines.append(f"{self.judged} packets judged, {sum(self.wrong.values())} wrong")
        lines += [f"  wrong: {count} {name}" for name, count in self.wrong.most_common(20)]
        return "\n".join(lines)


class Site:
    """A cluster in which nodes come and go."""

    def __init__(self, server: ApiServer, folder: Path) -> None:
        self.server = server
        self._folder = folder
        self._numbers = iter(range(1, 10**6))

    @contextmanager
    def node(self) -> Iterator[tuple[Node, Cluster]]:
        """A node with ``web`` and ``db``, and ``far`` on another; a namespace of its own."""
        number = next(self._numbers)
        name, prefix = f"n{number}", f"10.{number % 250 + 1}"
        folder = self._folder / name
        folder.mkdir()
        with self.server.admin as admin, ExitStack() as stack:
            admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
            cluster = Cluster(admin, name)
            cluster.node(name, f"{prefix}.0.0/20")
            config = self.server.kubeconfig(folder / "kubeconfig")
            made = stack.enter_context(node(name, folder, config))
            made.prefix = prefix
            for last, pod in enumerate(("web", "db"), 1):
                made.add(pod, f"{prefix}.0.{last}")
                cluster.pod(pod, name, f"{prefix}.0.{last}")
            made.add("far", f"{prefix}.16.1")
            cluster.pod("far", "another", f"{prefix}.16.1")
            yield made, cluster
            for path in ("pods", "events"):
                admin.request("DELETE", f"/api/v1/namespaces/{name}/{path}?gracePeriodSeconds=0")
            admin.request("DELETE", f"/api/v1/nodes/{name}")


def faults(site: Site, count: int, rng: Random, tally: Tally) -> None:
    """Random faults, by weight; each node bears some, and is torn down after them."""
    while (left := count - sum(tally.done.values())) > 0 and tally.has_time:
        with site.node() as (made, cluster):
            day = Day(made, cluster, site.server, rng)
            begun: list[tuple[float, str]] = []
            with traffic(*day.watched.flows) as packets:
                day.settle()
                for fault in rng.choices(FAULTS, [f.weight for f in FAULTS], k=min(left, ROUND)):
                    begun.append((time.monotonic(), fault.name))
                    try:
                        fault.do(day)
                        day.settle()
                    except AssertionError as error:
                        before = ", ".join(name for _, name in begun[-4:-1])
                        raise RuntimeError(f"{fault.name}, after {before}: {error}") from error
                    time.sleep(0.1)
                    tally.done[fault.name] += 1
            day.end()
            tally.judge(packets, begun)
        tally.done["a node torn down, and another"] += 1
        print(
            f"{sum(tally.done.values())}: {tally.judged} judged, {sum(tally.wrong.values())} wrong"
        )
        sys.stdout.flush()


def restarts(site: Site, count: int, rng: Random, tally: Tally) -> None:
    """The agent ends straight after a random change, and the next one finds nothing to write."""
    while (left := count - sum(tally.done.values())) > 0 and tally.has_time:
        with site.node() as (made, cluster):
            day = Day(made, cluster, site.server, rng)
            begun: list[tuple[float, str]] = []
            with traffic(*day.watched.flows) as packets:
                day.settle()
                for change in rng.choices(CHANGES, k=min(left, ROUND)):
                    name = f"a restart after: {change.__name__}"
                    begun.append((time.monotonic(), name))
                    for each in (change, rng.choice(RESTARTS)):
                        each(day)
                        day.settle()
                    tally.done[name] += 1
            day.end()
            tally.judge(packets, begun)
        print(
            f"{sum(tally.done.values())}: {tally.judged} judged, {sum(tally.wrong.values())} wrong"
        )
        sys.stdout.flush()


def changes(site: Site, count: int, rng: Random, tally: Tally) -> None:
    """A policy that allows one of two pods, and then the other: what it takes away ends with the
    commit, and what others allow never pauses."""
    name = "a permission that ends"
    while tally.done[name] < count and tally.has_time:
        with site.node() as (made, cluster):
            cluster.policy("db", DB, WEB)
            watched = Watched(made, cluster)
            both = watched.flow("web", "far")
            made.agent("--http-port", "0")
            with traffic(*watched.flows) as packets:
                both.expect(True)
                watched.settle()
                for number in range(min(ROUND_OF_CHANGES, count - tally.done[name])):
                    sources = WEB if number % 2 else FAR
                    watched.kept.expect(None)
                    watched.denied.expect(None)
                    watched.after_commit(partial(cluster.policy, "db", DB, sources))
                    watched.kept.expect(sources is WEB)
                    watched.denied.expect(sources is FAR)
                    time.sleep(0.02 + 0.03 * rng.random())
                    tally.done[name] += 1
            watched.end()
            tally.judge(packets, [(0.0, "a change")])
        print(f"{tally.done[name]}: {tally.judged} judged, {sum(tally.wrong.values())} wrong")
        sys.stdout.flush()


def starts(site: Site, count: int, rng: Random, tally: Tally) -> None:
    """Pods that send and are sent to from the first moment that they have a network."""
    name = "a pod's start"
    while tally.done[name] < count and tally.has_time:
        with site.node() as (made, cluster):
            begun = Starts(made, cluster, rng)
            made.agent("--http-port", "0")
            for _ in range(min(100, count - tally.done[name])):
                begun.one()
                tally.done[name] += 1
            tally.judged += begun.judged
            tally.wrong.update(begun.wrong)
        print(f"{tally.done[name]}: {tally.judged} judged, {sum(tally.wrong.values())} wrong")
        sys.stdout.flush()


RUNS: dict[str, Callable[[Site, int, Random, Tally], None]] = {
    "faults": faults,
    "restarts": restarts,
    "changes": changes,
    "starts": starts,
}


def main() -> int:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=RUNS)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=inf, help="after which no round begins")
    asked = parser.parse_args()
    begin = time.monotonic()
    try:
        found = assets()
    except Unavailable as error:
        print(error, file=sys.stderr)
        return 3
    tally = Tally(begin + 60 * asked.minutes)
    try:
        with tempfile.TemporaryDirectory(prefix="podfence-") as folder, running(found) as server:
            site = Site(server, Path(folder))
            RUNS[asked.what](site, asked.count, Random(asked.seed), tally)
    finally:
        print(tally)
    print(f"seed {asked.seed}, {time.monotonic() - begin:.0f} s")
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
