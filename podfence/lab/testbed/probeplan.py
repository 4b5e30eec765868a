"""PolicyIndex -> ProbePlan: who takes part in the lab, and which packets are to be sent.

Rule: pure and without chance; the same index gives the same plan. Nothing here knows what a policy
allows: the plan probes what could make a difference, the comparison judges.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from podfence.lab.testbed.ports import PortChoice, RelevantPorts, choose_ports
from podfence.lab.testbed.probes import Port, Probes
from podfence.lab.testbed.usable import is_usable, representative
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.questions.phrases.words import some
from podfence.sets import AddressSet
from podfence.sets.addresses import IPAddress, IPNetwork
from podfence.sets.ports import OTHER

PROTOCOLS = ("TCP", "UDP")
"""Protocols that are probed on every chosen port. SCTP is probed on the ports that some rule or
container names for it. An ICMP echo stands for every protocol without ports (NP-39)."""
FAMILIES = (4, 6)
_NAMED = 3
_FEW_OUTSIDE = 8
Item = TypeVar("Item")


class PartyKind(Enum):
    """What kind of end a party is."""

    POD = "pod"
    NODE = "node"
    OUTSIDE = "outside"
    SERVICE = "service"


class ProbeParty(Struct, frozen=True):
    """One end of probes. ``name``: ``namespace/pod``, the node's name, the outside address, or
    ``service namespace/name``, which is only a target and not a party of a plan.

    ``addresses``: the ones that probes use, at most one for each family. ``node``: the node of a
    pod, or the node itself; "" outside.
    """

    name: str
    side: PartyKind
    addresses: tuple[IPAddress, ...]
    node: str = ""

    def address(self, family: int) -> IPAddress:
        """Its address of one IP version. Raises LookupError when it has none."""
        for address in self.addresses:
            if address.version == family:
                return address
        raise LookupError(f"{self.name} has no IPv{family} address")

    @property
    def families(self) -> frozenset[int]:
        """The IP versions it speaks."""
        return frozenset(address.version for address in self.addresses)


class LabNode(Struct, frozen=True):
    """A node of the lab with every address that it has, and the ranges that its pods' addresses
    come from."""

    name: str
    addresses: tuple[IPAddress, ...]
    pod_cidrs: tuple[IPNetwork, ...] = ()


class ProbePlan(Struct, frozen=True):
    """Everything that the lab builds and sends.

    ``ports``: of TCP and UDP. ``notes``: one sentence for each thing that was left out. ``sctp``:
    ports that are probed by SCTP.
    """

    nodes: tuple[LabNode, ...]
    parties: tuple[ProbeParty, ...]
    ports: tuple[int, ...]
    probes: Probes
    notes: tuple[str, ...] = ()
    sctp: tuple[int, ...] = ()


class PlanLimits(Struct, frozen=True):
    """Bounds of a plan: probes in all, port numbers, outside addresses."""

    probes: int = 400_000
    ports: int = 32
    outside: int = 64
    asked: tuple[tuple[str, int], ...] = ()
    """Protocols with ports that are probed whatever policies name."""


def make_plan(
    index: PolicyIndex, limits: PlanLimits = PlanLimits(), families: Sequence[int] = FAMILIES
) -> ProbePlan:
    """Plan probes of every ordered pair with a pod in it, on every port that matters.

    ``index`` must be that of a cluster after ``lab.testbed.scheduling``. ``families``: the IP
    versions that this machine has. Beyond ``limits`` the plan takes fewer ports, then fewer pods;
    it says so in ``notes``.
    """
    notes: list[str] = []
    pods = _pods(index, families, notes)
    outside = _outside(index, families, limits.outside, notes)
    nodes = _nodes(index, families)
    choice = choose_ports(index, limits.ports, limits.asked)
    notes.extend(choice.notes)
    parties = tuple(map(_node_party, nodes))
    everything = _Cast(index, pods, parties, outside, choice.ports, choice.sctp)
    cast = _bounded(everything, choice, limits.probes, notes)
    return ProbePlan(
        nodes=nodes,
        parties=cast.parties,
        ports=choice.ports,
        probes=Probes.of_pairs(cast.probes()),
        notes=tuple(notes),
        sctp=choice.sctp,
    )


def _pods(index: PolicyIndex, families: Sequence[int], notes: list[str]) -> list[ProbeParty]:
    """Pods with an address that an interface can have and that no other pod has."""
    parties: list[ProbeParty] = []
    absent: dict[str, list[str]] = {}
    for name, endpoint in index.endpoints.items():
        own = endpoint.addresses
        usable = tuple(a for a in own if a.version in families and is_usable(a))
        if usable:
            parties.append(ProbeParty(name, PartyKind.POD, usable, endpoint.pod.node))
        else:
            absent.setdefault(_why_absent(endpoint), []).append(name)
    for why, names in absent.items():
        notes.append(f"not probed, with {why}: {some(names, _NAMED, ', ')}")
    return parties


def _why_absent(endpoint: Endpoint) -> str:
    if not endpoint.addresses:
        return "no address of their own"
    return "no address that an interface can have"


def _nodes(index: PolicyIndex, families: Sequence[int]) -> tuple[LabNode, ...]:
    return tuple(
        LabNode(
            node.name,
            tuple(a for a in node.addresses if a.version in families),
            tuple(r for r in node.pod_cidrs if r.version in families),
        )
        for node in index.cluster.nodes.values()
    )


def _node_party(node: LabNode) -> ProbeParty:
    first: dict[int, IPAddress] = {}
    for address in node.addresses:
        first.setdefault(address.version, address)
    return ProbeParty(node.name, PartyKind.NODE, tuple(first.values()), node.name)


def _outside(
    index: PolicyIndex, families: Sequence[int], limit: int, notes: list[str]
) -> list[ProbeParty]:
    """One address of every outside class that has a usable one, none in a node's pod ranges."""
    services = (a for service in index.cluster.services for a in service.cluster_ips)
    taken = {*index.by_address, *index.by_node_address, *services}
    ranges = AddressSet.of(r for node in index.cluster.nodes.values() for r in node.pod_cidrs)
    found = [
        address
        for endpoint_class in index.classes
        if endpoint_class.outside is not None
        for family in families
        if (address := representative(endpoint_class.outside - ranges, family, taken)) is not None
    ]
    if len(found) > limit:
        notes.append(f"only {limit} of {len(found)} kinds of outside addresses are probed")
    return [ProbeParty(str(a), PartyKind.OUTSIDE, (a,)) for a in spread(found, limit)]


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """At most ``count`` items, evenly spaced."""
    if len(items) <= count:
        return list(items)
    return [items[at * len(items) // count] for at in range(count)]


def _pairs(parties: Sequence[ProbeParty]) -> Iterator[tuple[int, int, int]]:
    """``(source, target, family)`` of ordered pairs with at least one pod."""
    pods = [party.side is PartyKind.POD for party in parties]
    speaks = [party.families for party in parties]
    for source in range(len(parties)):
        for target in range(len(parties)):
            if pods[source] or pods[target]:
                for family in sorted(speaks[source] & speaks[target]):
                    yield source, target, family


class _Cast(Struct, frozen=True):
    """Some of the parties, and the ports of their pairs. ``relevant`` None: every port for all."""

    index: PolicyIndex
    pods: Sequence[ProbeParty]
    nodes: Sequence[ProbeParty]
    outside: Sequence[ProbeParty]
    ports: Sequence[int]
    sctp: Sequence[int]
    relevant: RelevantPorts | None = None

    @property
    def parties(self) -> tuple[ProbeParty, ...]:
        return (*self.pods, *self.nodes, *self.outside)

    def ports_of(self) -> Iterator[tuple[tuple[int, int, int], Sequence[int]]]:
        """Every pair with its ports."""
        ends = [self.index.endpoints.get(p.name) for p in self.pods]
        ends.extend(None for _ in (*self.nodes, *self.outside))
        for pair in _pairs(self.parties):
            if self.relevant is None:
                yield pair, self.ports
            else:
                yield pair, self.relevant.between(ends[pair[0]], ends[pair[1]])

    def probes(self) -> Iterator[tuple[tuple[int, int, int], tuple[Port, ...]]]:
        """Every pair with all that is sent between its ends."""
        known: dict[tuple[int, ...], tuple[Port, ...]] = {}
        for pair, ports in self.ports_of():
            key = tuple(ports)
            if key not in known:
                known[key] = tuple(self._all_protocols(key))
            yield pair, known[key]

    def _all_protocols(self, ports: Sequence[int]) -> Iterator[Port]:
        for protocol in PROTOCOLS:
            yield from ((protocol, port) for port in ports)
        yield from (("SCTP", port) for port in self.sctp)
        yield OTHER, 0

    def fits(self, limit: int) -> bool:
        """Whether there are at most ``limit`` probes."""
        pairs = _count_pairs(self.pods, (*self.nodes, *self.outside))
        others = pairs * (len(self.sctp) + 1)
        if self.relevant is None:
            return pairs * len(self.ports) * len(PROTOCOLS) + others <= limit
        if pairs * len(PROTOCOLS) + others > limit:
            return False
        return sum(len(p) for _, p in self.ports_of()) * len(PROTOCOLS) + others <= limit


def _count_pairs(pods: Sequence[ProbeParty], others: Sequence[ProbeParty]) -> int:
    """Number of pairs in all families, without listing them."""
    total = 0
    for family in FAMILIES:
        inside = sum(family in party.families for party in pods)
        beyond = sum(family in party.families for party in others)
        total += inside * (inside + 2 * beyond)
    return total


def _bounded(everything: _Cast, choice: PortChoice, limit: int, notes: list[str]) -> _Cast:
    """As much as the limit bears: all; else the ports that concern each pair; else as many pods of
    each class and node as fit; else not every class."""
    if everything.fits(limit):
        return everything
    notes.append(
        f"each pair is probed on the ports that its own rules name and its target declares: every "
        f"port for every pair would be more than {limit} probes"
    )
    concerned = replace(everything, relevant=RelevantPorts(everything.index, choice))
    if concerned.fits(limit):
        return concerned
    kept = _fewer_of_each(concerned, limit)
    notes.append(
        f"{len(kept.pods)} of {len(everything.pods)} pods are probed, chosen to cover as many "
        f"kinds as possible, with {len(kept.outside)} outside addresses: all pairs would be more "
        f"than {limit} probes"
    )
    return kept


def _fewer_of_each(cast: _Cast, limit: int) -> _Cast:
    """As many pods as fit: the first of each class on each node before the second of any, for
    policies cannot tell them apart. Not even all the first, where these are too many."""
    seen: Counter[tuple[int, str]] = Counter()
    ranks: list[int] = []
    for party in cast.pods:
        key = (cast.index.endpoints[party.name].endpoint_class, party.node)
        ranks.append(seen[key])
        seen[key] += 1
    order = sorted(range(len(ranks)), key=ranks.__getitem__)

    def first(number: int) -> _Cast:
        return replace(cast, pods=[cast.pods[at] for at in sorted(order[:number])])

    numbers = range(len(seen), len(order) + 1)
    most = bisect_left(numbers, True, key=lambda number: not first(number).fits(limit))
    return first(numbers[most - 1]) if most else _thinned(first(len(seen)), limit)


def _thinned(cast: _Cast, limit: int) -> _Cast:
    """The largest share of the pods, and of the outside addresses beyond a few, that fits."""
    steps = max(len(cast.pods), 1)

    def share(part: int) -> _Cast:
        outside = max(_FEW_OUTSIDE, len(cast.outside) * part // steps)
        return replace(cast, pods=spread(cast.pods, part), outside=spread(cast.outside, outside))

    def too_many(part: int) -> bool:
        return not share(part).fits(limit)

    return share(max(1, bisect_left(range(1, steps + 1), True, key=too_many)))
