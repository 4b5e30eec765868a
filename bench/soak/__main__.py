"""A soak: churn and faults at random on a cluster of real nodes, with every packet judged.

    python -m bench.soak --hours 2 [--rate 100] [--pause 2] [--seed 0]

Rule: policies, labels and faults are drawn from the seed. Each minute a line says how many packets
were wrong, what the agents hold in memory, and whether each node's table is that of a compile from
nothing. Exit 0: nothing was wrong, and memory was flat; 1: something was; 3: there can be no
cluster here. Needs root; it uses the cluster that is up (./dev cluster up), or starts one.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from random import Random

from bench.soak.faults import clear, strike
from bench.soak.field import Field, Late, sums
from bench.soak.report import WELL, Minute, Soak, line, summary
from bench.soak.walk import walk
from podfence.model.cluster import Cluster as Model
from podfence.policy.flow import Flow
from tests.cluster import agents, agreement, build, suites
from tests.cluster.cluster import Cluster, borrowed
from tests.cluster.population import populated

TCP = tuple(port for port in agreement.PORTS if port[0] == "TCP")
UDP = tuple(port for port in agreement.PORTS if port[0] == "UDP")
FAULTS = 0.15
"""How often a step is a fault, rather than a change."""
EMPTY_EACH = 5
"""After so many random states one without policies comes: what grew must have gone."""
_MINUTE = 60.0


def states(field: Field, seed: int) -> Iterator[Model]:
    """States of the cluster without end, each one write from the one before."""
    number = seed * 1_000_000
    while True:
        number += 1
        size = agreement.TIERS if number % 2 else agreement.POLICIES
        target = (
            agreement.nothing(field.population, field.nodes)
            if number % EMPTY_EACH == 0
            else agreement.case(number, field.population, field.nodes, size).model
        )
        yield from walk(field.model, target, Random(number))


class Run:
    """What has happened so far."""

    def __init__(self, field: Field, seed: int, pause: float) -> None:
        self._field = field
        self._rng = Random(seed)
        self._states = states(field, seed)
        self._pause = pause
        self._changes = 0
        self._before = (0, 0)
        self._began = time.monotonic()
        self.minutes: list[Minute] = []
        self.done: Counter[str] = Counter()
        self.late: list[str] = []

    def step(self) -> None:
        """A change or a fault, and a pause. Raises Late."""
        if self._rng.random() < FAULTS:
            self.done[strike(self._field, lambda: next(self._states), self._rng)] += 1
        else:
            self._field.become(next(self._states))
            self._changes += 1
        time.sleep(self._pause * (0.5 + self._rng.random()))

    def minute(self, number: int) -> None:
        """Look at everything, and say it. ``number``: minutes since the beginning."""
        field = self._field
        flows = [flow for flow in field.population.flows() if flow.protocol == "TCP"]
        tried = agreement.settle(field.population, agreement.expected(field.model, flows))
        judged = sums(field.traffic.counts)
        faults = sum(self.done.values()) - sum(each.faults for each in self.minutes)
        found = Minute(
            number=number,
            packets=judged[0] - self._before[0],
            wrong=judged[1] - self._before[1],
            changes=self._changes,
            faults=faults,
            tried=tried.flows,
            tried_wrong=len(tried.wrong),
            slowest=field.slowest,
            rss=field.memory(),
            elements={node.name: field.elements(node) for node in field.nodes},
            connections={node.name: field.connections(node) for node in field.nodes},
            same={node.name: field.is_as_from_nothing(node) for node in field.nodes},
        )
        self._before, self._changes, field.slowest = judged, 0, 0.0
        self.minutes.append(found)
        print(line(found), flush=True)

    def go_on(self, seconds: float) -> str:
        """Until the time is up; why it ended before that, or nothing."""
        ends = time.monotonic() + seconds
        looked = time.monotonic()
        try:
            while (now := time.monotonic()) < ends:
                if now >= looked + _MINUTE:
                    self.minute(round((now - self._began) / 60))
                    looked = now
                self.step()
                if self._field.traffic.failure is not None:
                    return f"packets: {self._field.traffic.failure!r}"
            self.minute(round((time.monotonic() - self._began) / 60))
        except Late as error:
            self.late.append(str(error))
        except KeyboardInterrupt:
            return "it was interrupted"
        except Exception as error:  # noqa: BLE001 - what was found until then is told
            traceback.print_exception(error)
            return f"{type(error).__name__}: {error}"
        return ""


def soak(cluster: Cluster, seconds: float, rate: float, pause: float, seed: int) -> bool:
    """In a cluster of two nodes; whether it went well, and enough was looked at to say so."""
    suites.install_tiers(cluster)
    with (
        cluster.admin as admin,
        populated(cluster, agreement.pods(), TCP) as population,
        agents.from_sources(cluster) as running,
    ):
        flows = [
            Flow(flow.source, flow.destination, *port)
            for flow in dict.fromkeys(population.flows())
            if (flow.protocol, flow.port) == TCP[0]
            for port in UDP
        ]
        with closing(Field(cluster, admin, population, running, flows, rate)) as field:
            field.wait_in_force()
            field.traffic.start()
            run = Run(field, seed, pause)
            try:
                failure = run.go_on(seconds)
            finally:
                field.traffic.end()
                clear(field)
                agreement.apply(admin, field.model, agreement.nothing(population, field.nodes))
        found = Soak(
            run.minutes,
            field.traffic.counts,
            run.done,
            run.late,
            frozenset({field.nodes[1].name}),
            [str(each) for each in field.traffic.wrong],
            failure,
        )
        print("\n".join(summary(found, seed)), flush=True)
        return found.said == WELL


def main() -> int:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Churn and faults.")
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--rate", type=float, default=100.0, help="packets a second, in all")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between two steps")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    if asked.hours <= 0 or asked.rate <= 0 or asked.pause < 0:
        parser.error("--hours and --rate are above 0, and --pause is not below it")
    if obstacle := build.obstacle():
        print(f"no cluster: {obstacle}", file=sys.stderr)
        return build.UNAVAILABLE
    with borrowed(2) as cluster:
        is_well = soak(cluster, asked.hours * 3600, asked.rate, asked.pause, asked.seed)
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
