"""PolicyIndex -> Ruleset: the same compiled form that the engine reads, written for one kernel.

Rule: nothing is decided here about what a policy means. The size follows the pods of this node and
the peers that their policies name, never the number of policies of the cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from podfence.model.networkpolicy import IPNetwork
from podfence.model.objects import IPAddress
from podfence.nft.lowering.groups import Groups, self_sets
from podfence.nft.lowering.identifiers import Namer
from podfence.nft.lowering.peers import ADDRESS_TYPES, PeerSets
from podfence.nft.lowering.ports import PortQuestions
from podfence.nft.lowering.skeleton import (
    STATELESS,
    range_set,
    skeleton,
    stateless_map,
    verdict_map,
)
from podfence.nft.lowering.views import FAMILIES, VIEWS, View
from podfence.nft.objects import (
    RETURN,
    IntervalSet,
    Key,
    NamedObject,
    Set,
    Table,
    Verdict,
    VerdictMap,
    goto,
)
from podfence.nft.ruleset import Ruleset
from podfence.policy.flow import Direction
from podfence.policy.index import DirectionPolicy, Endpoint, PolicyIndex
from podfence.sets import AddressSet

TABLE = "podfence"
LEAST_RUN = 0xFF


@dataclass(frozen=True, slots=True)
class LocalNode:
    """The node whose kernel is written for.

    ``pods``: its pods as "namespace/name"; None: every endpoint of the index. ``pod_cidrs``: ranges
    that its pods get addresses from; an address of these that no known pod has is cut off.
    ``addresses``: the node's own. ``generation``: 1 up to what ``mark_mask`` holds; a new one makes
    every live connection be judged again (see ``generation.succeed``). ``mark_mask``: the conntrack
    mark bits that are ours, 8 or more in one run: fewer would soon count round. ``log_group``:
    netlink group that denied packets are copied to.
    """

    name: str
    pods: frozenset[str] | None = None
    pod_cidrs: tuple[IPNetwork, ...] = ()
    addresses: frozenset[IPAddress] = frozenset()
    generation: int = 1
    mark_mask: int = 0xFFFF0000
    log_group: int = 77

    def __post_init__(self) -> None:
        """Raises ValueError for another mask, or a generation that it cannot hold."""
        run = self.mark_mask // self._lowest if self.mark_mask > 0 else 0
        if run < LEAST_RUN or run & (run + 1) or self.mark_mask >> 32:
            raise ValueError(f"mark mask {self.mark_mask:#x} is no single run of 8 to 32 bits")
        if not 1 <= self.generation <= run:
            raise ValueError(f"generation {self.generation} is not within 1 to {run}")

    @property
    def _lowest(self) -> int:
        return self.mark_mask & -self.mark_mask

    @property
    def mark_value(self) -> int:
        """The generation, in place within the mask."""
        return self.generation * self._lowest

    def runs(self, endpoint: Endpoint) -> bool:
        """Whether a pod runs on this node."""
        return self.pods is None or f"{endpoint.pod.namespace}/{endpoint.pod.name}" in self.pods


def lower(index: PolicyIndex, node: LocalNode) -> Ruleset:
    """The whole wanted content of our table on ``node``."""
    local = {a: e for a, e in index.by_address.items() if node.runs(e)}
    namer = Namer()
    peers, ports = PeerSets(index, namer, _families(local, node)), PortQuestions(namer)
    groups = Groups(peers, ports, namer, node.log_group)
    chains = [chain for policy in _denying(index, local, groups) for chain in groups.chains(policy)]
    objects: list[NamedObject] = [*_local_sets(local, node), *peers.sets, *ports.sets]
    objects += _verdict_maps(index, local, groups)
    objects += [*groups.maps, *chains]
    objects += skeleton(node.mark_mask, node.mark_value, node.log_group)
    return Ruleset.of(Table(TABLE, "managed by podfence"), objects)


Local = dict[IPAddress, Endpoint]
"""The pods of this node by address: only pods with an address can be met."""


def _families(local: Local, node: LocalNode) -> list[int]:
    """IP versions of the node's pods: a cluster of one family needs no rules for the other."""
    spoken = {known.version for known in (*local, *node.pod_cidrs)}
    return [family for family in FAMILIES if family in spoken]


def _policies(index: PolicyIndex, endpoint: Endpoint) -> Iterator[DirectionPolicy]:
    for direction in Direction:
        yield index.policies[endpoint.endpoint_class].of(direction)


def _denying(index: PolicyIndex, local: Local, groups: Groups) -> list[DirectionPolicy]:
    """The groups of this node, each once, in the order of the index."""
    found = {p.number: p for e in local.values() for p in _policies(index, e) if groups.denies(p)}
    return [found[number] for number in sorted(found)]


def _local_sets(local: Local, node: LocalNode) -> Iterator[Set | IntervalSet]:
    ranges = AddressSet.of(node.pod_cidrs)
    for family in FAMILIES:
        spans = tuple(((low,), (high,)) for low, high in ranges.family(family))
        yield IntervalSet(range_set(family), (ADDRESS_TYPES[family],), spans)
    for family, name in self_sets().items():
        pairs = frozenset((int(a), int(a)) for a in local if a.version == family)
        yield Set(name, (ADDRESS_TYPES[family],) * 2, pairs)


def _verdict_maps(index: PolicyIndex, local: Local, groups: Groups) -> Iterator[VerdictMap]:
    for view in VIEWS:
        for family in FAMILIES:
            elements = {
                key: _verdict(index.policies[e.endpoint_class].of(view.direction), view, groups)
                for key, e in _keys(local, family)
            }
            yield VerdictMap(verdict_map(view, family), (ADDRESS_TYPES[family],), elements)
    for family in FAMILIES:
        closed = goto(f"{STATELESS}_d")
        elements = {
            key: closed if any(groups.denies(p) for p in _policies(index, e)) else RETURN
            for key, e in _keys(local, family)
        }
        yield VerdictMap(stateless_map(family), (ADDRESS_TYPES[family],), elements)


def _keys(local: Local, family: int) -> Iterator[tuple[Key, Endpoint]]:
    return (((int(a),), e) for a, e in local.items() if a.version == family)


def _verdict(policy: DirectionPolicy, view: View, groups: Groups) -> Verdict:
    """Where the packets of a pod go in one view."""
    return goto(f"{groups.name(policy)}{view.suffix}") if groups.denies(policy) else RETURN
