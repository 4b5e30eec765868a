"""Services: cluster addresses, the rules that rewrite them to endpoints, and the results of their
probes. Pure.

Rule: a table of its own rewrites addresses before the forward hook, so that policies are judged at
the backend pod's address and port (NP-45, NP-46) and podfence's own table stays as it is. A packet
of a pod that reaches itself through a Service gets the node's address as its source, because a pod
refuses a packet from its own address (NP-55).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from ipaddress import ip_address

from msgspec import Struct
from msgspec.structs import replace

from podfence.engine.evaluate import Evaluator
from podfence.lab.testbed.probeplan import LabNode, PartyKind, ProbeParty, ProbePlan
from podfence.lab.testbed.probes import Probe, ProbeOutcome
from podfence.lab.testbed.report import PacketCheck, PairResult, PortSeen, SentProbe
from podfence.lab.testbed.usable import is_usable
from podfence.model.cluster import Cluster
from podfence.model.objects import Pod, Service, ServicePort
from podfence.policy.flow import Flow, Verdict
from podfence.policy.index import PolicyIndex
from podfence.sets.addresses import IPAddress

TABLE = "podfence_lab_services"
MOST_PROBES = 20_000
"""Attempts on cluster addresses at most; beyond, fewer sources probe."""
_FIRST = {4: ip_address("10.96.0.1"), 6: ip_address("fd00:10:96::1")}
_FAMILY = {4: "ip", 6: "ip6"}
_TYPE = {4: "ipv4_addr", 6: "ipv6_addr"}


def with_cluster_addresses(cluster: Cluster, before: Cluster | None = None) -> Cluster:
    """Give every Service with a selector that has no cluster address one of each family that pods
    speak, the same as ``before``."""
    given = {a for service in cluster.services for a in service.cluster_ips}
    pods = {a for pod in cluster.pods for a in pod.addresses}
    nodes = {a for node in cluster.nodes.values() for a in node.addresses}
    earlier = {} if before is None else {s.ref: s.cluster_ips for s in before.services}
    taken = given | pods | nodes
    kept = {
        s.ref: before_it
        for s in cluster.services
        if (before_it := earlier.get(s.ref)) and not s.cluster_ips and taken.isdisjoint(before_it)
    }
    taken.update(a for addresses in kept.values() for a in addresses)
    pools = [_free(_FIRST[version], taken) for version in sorted({a.version for a in pods})]

    def addresses(service: Service) -> tuple[IPAddress, ...]:
        if service.cluster_ips or not service.selector or not service.ports:
            return service.cluster_ips
        return kept.get(service.ref) or tuple(next(pool) for pool in pools)

    services = (replace(s, cluster_ips=addresses(s)) for s in cluster.services)
    return replace(cluster, services=tuple(services))


def _free(address: IPAddress, taken: set[IPAddress]) -> Iterator[IPAddress]:
    while True:
        if address not in taken:
            taken.add(address)
            yield address
        address += 1


# -- endpoints


class Frontend(Struct, frozen=True):
    """One port of a Service at one of its addresses, and the backends behind it: address, port and
    name of the pod."""

    service: str
    address: IPAddress
    protocol: str
    port: int
    backends: tuple[tuple[IPAddress, int, str], ...]


def frontends(index: PolicyIndex, plan: ProbePlan) -> list[Frontend]:
    """Every port of every Service that has a cluster address; backends are pods of the lab."""
    pods = {party.name for party in plan.parties if party.side is PartyKind.POD}
    found: list[Frontend] = []
    for service in index.cluster.services:
        selected = selected_pods(index, service, pods)
        for address in filter(is_usable, service.cluster_ips):
            for port in service.ports:
                backends = tuple(_backends(selected, port, address.version))
                name = f"{service.ref.namespace}/{service.ref.name}"
                found.append(Frontend(name, address, port.protocol.value, port.port, backends))
    return found


def selected_pods(index: PolicyIndex, service: Service, pods: Set[str]) -> list[Pod]:
    """Those of ``pods``, by name, that are behind a Service."""
    return [pod for pod in index.cluster.pods if _selects(service, pod, pods)]


def _selects(service: Service, pod: Pod, pods: Set[str]) -> bool:
    here = pod.namespace == service.ref.namespace and f"{pod.namespace}/{pod.name}" in pods
    return here and bool(service.selector) and set(service.selector) <= set(pod.labels)


def _backends(
    pods: Iterable[Pod], port: ServicePort, version: int
) -> Iterator[tuple[IPAddress, int, str]]:
    for pod in pods:
        number = port.on(pod)
        for address in pod.addresses:
            if address.version == version and number is not None:
                yield address, number, f"{pod.namespace}/{pod.name}"


# -- rules


def services_text(node: LabNode, every: Sequence[Frontend]) -> str:
    """The whole table of a node for nft; it replaces any earlier one. It contains no name of a
    Service or pod."""
    served = [frontend for frontend in every if frontend.backends]
    lines = [f"table inet {TABLE} {{", "}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    for number, frontend in enumerate(served):
        lines.extend(_chain(number, frontend))
    for version in (4, 6):
        lines.extend(_map(version, [(n, f) for n, f in enumerate(served)]))
        lines.extend(_itself(version, served))
    for hook in ("prerouting", "output"):
        lines.append(f"chain {hook} {{ type nat hook {hook} priority -100;")
        lines.extend(
            f"{_FAMILY[v]} daddr . meta l4proto . th dport vmap @services{v}" for v in (4, 6)
        )
        lines.append("}")
    lines.append("chain postrouting { type nat hook postrouting priority 100;")
    for address in {a.version: a for a in reversed(node.addresses)}.values():
        family = _FAMILY[address.version]
        itself = f"@itself{address.version}"
        lines.append(f"{family} saddr . {family} daddr {itself} snat {family} to {address}")
    return "\n".join([*lines, "}", "}", ""])


def _chain(number: int, frontend: Frontend) -> Iterator[str]:
    family, protocol = _FAMILY[frontend.address.version], frontend.protocol.lower()
    for at, (address, port, _) in enumerate(frontend.backends):
        target = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
        yield f"chain s{number}_{at} {{ meta l4proto {protocol} dnat {family} to {target}; }}"
    ways = ", ".join(f"{at} : goto s{number}_{at}" for at in range(len(frontend.backends)))
    yield f"chain s{number} {{ numgen random mod {len(frontend.backends)} vmap {{ {ways} }}; }}"


def _map(version: int, served: Sequence[tuple[int, Frontend]]) -> Iterator[str]:
    keys = {
        f"{f.address} . {f.protocol.lower()} . {f.port}": number
        for number, f in served
        if f.address.version == version
    }
    elements = ", ".join(f"{key} : goto s{number}" for key, number in keys.items())
    yield f"map services{version} {{ type {_TYPE[version]} . inet_proto . inet_service : verdict;"
    yield f"elements = {{ {elements} }} }}" if elements else "}"


def _itself(version: int, served: Sequence[Frontend]) -> Iterator[str]:
    pods = {a for f in served for a, _, _ in f.backends if a.version == version}
    elements = ", ".join(f"{a} . {a}" for a in sorted(pods, key=str))
    yield f"set itself{version} {{ type {_TYPE[version]} . {_TYPE[version]};"
    yield f"elements = {{ {elements} }} }}" if elements else "}"


# -- probes of Services


class ServiceProbe(Struct, frozen=True):
    """One attempt of a party, by its index in the plan, on a cluster address. ``frontend``: by its
    index among the plan's."""

    source: int
    frontend: int
    address: str
    family: int
    protocol: str
    port: int


def service_probes(plan: ProbePlan, every: Sequence[Frontend]) -> list[ServiceProbe]:
    """Every pod dials every port that has backends; at most MOST_PROBES attempts."""
    pods = [at for at, party in enumerate(plan.parties) if party.side is PartyKind.POD]
    wanted = [(n, f) for n, f in enumerate(every) if f.backends and f.protocol in ("TCP", "UDP")]
    some = pods[: max(1, MOST_PROBES // max(1, len(wanted)))]
    return [
        ServiceProbe(source, n, str(f.address), f.address.version, f.protocol, f.port)
        for source in some
        for n, f in wanted
        if f.address.version in plan.parties[source].families
    ]


def listeners(plan: ProbePlan, every: Sequence[Frontend]) -> list[Probe]:
    """What the backends have to listen on, as probes of their own."""
    index_of = {
        party.name: at for at, party in enumerate(plan.parties) if party.side is PartyKind.POD
    }
    return [
        Probe(index_of[name], index_of[name], address.version, frontend.protocol, port)
        for frontend in every
        for address, port, name in frontend.backends
        if frontend.protocol in ("TCP", "UDP")
    ]


JudgedFlows = dict[str, tuple[Flow, Verdict]]
"""What the engine says of every backend that may get a probe, by the name of the backend's pod."""


def judge_service_probes(
    index: PolicyIndex, plan: ProbePlan, every: Sequence[Frontend], made: Sequence[ServiceProbe]
) -> list[JudgedFlows]:
    """What the engine says of each attempt."""
    judge = Evaluator(index)

    def judged(probe: ServiceProbe) -> Iterator[tuple[str, tuple[Flow, Verdict]]]:
        source = plan.parties[probe.source].address(probe.family)
        for address, port, name in every[probe.frontend].backends:
            flow = Flow(source, address, probe.protocol, port)
            yield name, (flow, judge.verdict(flow, through=True))

    return [dict(judged(probe)) for probe in made]


def due(judged: Sequence[JudgedFlows]) -> list[int]:
    """Numbers of the attempts that have to be answered, whichever backend gets them."""
    return [
        at for at, said in enumerate(judged) if all(verdict.allowed for _, verdict in said.values())
    ]


def service_results(
    plan: ProbePlan,
    every: Sequence[Frontend],
    made: Sequence[ServiceProbe],
    judged: Sequence[JudgedFlows],
    answered: Sequence[int],
) -> tuple[list[PairResult], list[PacketCheck]]:
    """The results of probes of Services, with those that are wrong. ``answered``: for each probe
    the index of the party that answered, -1: none.

    A Service allows what the chosen backend allows, and it chooses at random. Where its backends
    differ, either result is right.
    """
    parties = {f.service: _party(every, f.service) for f in every}
    seen: dict[tuple[int, str], list[PortSeen]] = {}
    wrong: list[PacketCheck] = []
    for probe, said, by in zip(made, judged, answered, strict=True):
        service = every[probe.frontend].service
        who = plan.parties[by].name if by >= 0 else ""
        refusing = any(not verdict.allowed for _, verdict in said.values())
        agrees = said[who][1].allowed if who in said else refusing and not who
        if len({verdict.allowed for _, verdict in said.values()}) == 1:
            port = PortSeen(probe.family, probe.protocol, probe.port, by >= 0, agrees)
            seen.setdefault((probe.source, service), []).append(port)
        if not agrees:
            outcome = _outcome(who, said)
            flow, verdict = said[who if who in said else next(iter(said))]
            source, family = plan.parties[probe.source], probe.family
            backend = flow.protocol, flow.port
            packet = SentProbe(source, parties[service], family, *backend, outcome)
            wrong.append(PacketCheck(packet, verdict))
    pairs = [
        PairResult(plan.parties[source], parties[service], tuple(ports))
        for (source, service), ports in seen.items()
    ]
    return pairs, wrong


def _outcome(who: str, said: JudgedFlows) -> ProbeOutcome:
    if who in said:
        return ProbeOutcome.OPEN
    return ProbeOutcome.WRONG_PEER if who else ProbeOutcome.TIMEOUT


def _party(every: Sequence[Frontend], service: str) -> ProbeParty:
    own = dict.fromkeys(f.address for f in every if f.service == service)
    return ProbeParty(f"service {service}", PartyKind.SERVICE, tuple(own))
