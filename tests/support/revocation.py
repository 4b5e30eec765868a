"""Live connections while policies change: what is revoked stops, what is kept loses nothing.

Rule: real packets in the real kernel. Clients hold TCP and UDP connections of both families to one
server, and both ends of each send all the time. Every change revokes one client and lets the one
before back in; some clients are never touched.
"""

from __future__ import annotations

import time
from collections import defaultdict

from podfence.lab.messages import LabInput
from podfence.lab.probing.process import LabProcess
from podfence.lab.probing.requests import StartTraffic, StopTraffic
from podfence.lab.session import Session, world
from podfence.lab.testbed.livetraffic import TimeSpan, TrafficLosses, account
from podfence.lab.testbed.probeplan import PlanLimits
from podfence.lab.testbed.probes import Probe
from podfence.lab.trial import LabOptions
from podfence.manifests.positions import Positions
from podfence.model.cluster import Cluster, ClusterObject
from podfence.testing.builders import peer, pod, policy, requirement, rule, selector

KEPT = 4
"""Clients that every change leaves alone."""
PORT = 7777
PAUSE = 0.03
"""Seconds between two changes, in which both ends of every connection send a dozen messages."""


def cluster(clients: int, revoked: int | None) -> LabInput:
    """One server, and clients of which one may not reach it now."""
    pods = [pod("bench/server", {"app": "server"})]
    pods += [pod(f"bench/c{n:02}", {"app": "client", "c": str(n)}) for n in range(clients)]
    allowed = selector({"app": "client"}, requirement("c", "NotIn", str(revoked)))
    only = policy("bench/server", {"app": "server"}, ingress=[rule(peer(pods=allowed))])
    objects: list[ClusterObject] = [*pods, only]
    return LabInput.of(Cluster.of(objects), Positions())


def flows(session: Session, clients: int) -> list[Probe]:
    """TCP and UDP, both families, from every client to the server."""
    names = [party.name for party in session.plan.parties]
    server = names.index("bench/server")
    return [
        Probe(names.index(f"bench/c{client:02}"), server, family, protocol, PORT)
        for client in range(clients)
        for family in (4, 6)
        for protocol in ("TCP", "UDP")
    ]


def measure(changes: int, clients: int, nodes: int) -> tuple[TrafficLosses, list[float]]:
    """Change policies ``changes`` times; what the connections saw, and the seconds of each."""
    options = LabOptions(nodes=nodes, limits=PlanLimits(outside=0))
    first = world(cluster(clients, None), options)
    revoked: dict[int, list[TimeSpan]] = defaultdict(list)
    seconds: list[float] = []
    with LabProcess(first.plan) as lab:
        session = Session("bench", lab, first, options)
        watched = flows(session, clients)
        lab.call(StartTraffic(watched))
        since, out = 0.0, -1
        for change in range(changes):
            time.sleep(PAUSE)
            start = time.monotonic()
            client = change % (clients - KEPT)
            session.apply(cluster(clients, client))
            seconds.append(session.committed - start)
            close(revoked, watched, out, (since, start))
            since, out = session.committed, client
        time.sleep(PAUSE)
        close(revoked, watched, out, (since, time.monotonic()))
        found = lab.call(StopTraffic()).value
    assert found is not None
    return account(found, revoked), seconds


def close(
    revoked: dict[int, list[TimeSpan]], watched: list[Probe], client: int, interval: TimeSpan
) -> None:
    """Remember for how long the connections of a client were forbidden."""
    each = len(watched) // len({probe.source for probe in watched})
    if client >= 0:
        for flow in range(client * each, client * each + each):
            revoked[flow].append(interval)
