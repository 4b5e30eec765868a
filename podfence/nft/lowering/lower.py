"""PolicyIndex -> Ruleset: the same compiled form that the engine reads, written for one kernel.

Rule: nothing is decided here about what a policy means. The size follows the pods of this node and
the peers that their policies name, never the number of policies of the cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from podfence.model.networkpolicy import IPNetwork
from podfence.model.objects import IPAddress
from podfence.nft.lowering.deny import STATELESS
from podfence.nft.lowering.groups import Groups, self_sets
from podfence.nft.lowering.identifiers import Namer
from podfence.nft.lowering.peers import PeerSets
from podfence.nft.lowering.ports import PortQuestions
from podfence.nft.lowering.skeleton import (
    range_set,
    skeleton,
    stateless_map,
    verdict_map,
)
from podfence.nft.lowering.tierchains import PREFIXES
from podfence.nft.lowering.views import FAMILIES, VIEWS, View
from podfence.nft.objects import (
    ADDRESS_TYPES,
    RETURN,
    Chain,
    Key,
    NamedObject,
    RangeSet,
    Rule,
    Set,
    Table,
    Verdict,
    VerdictMap,
    goto,
    jump,
)
from podfence.nft.ruleset import Ruleset
from podfence.policy.flow import Direction
from podfence.policy.index import CompiledTier, DirectionPolicy, Endpoint, PolicyIndex
from podfence.sets import AddressSet

TABLE = "podfence"
LEAST_RUN = 0xFF


class LocalNode(Struct, frozen=True):
    """The node whose kernel is written for.

    ``pods``: its pods as "namespace/name"; None: every endpoint of the index. ``pod_cidrs``: ranges
    that its pods get addresses from; an address of these that no known pod has is cut off.
    ``addresses``: the node's own. ``epoch``: 1 up to what ``mark_mask`` holds; a new one makes
    every live connection be judged again (see ``epoch.succeed``). ``mark_mask``: the conntrack
    mark bits that are ours, 8 or more in one run: fewer would soon count round. ``log_group``:
    netlink group that denied packets are copied to.
    """

    name: str
    pods: frozenset[str] | None = None
    pod_cidrs: tuple[IPNetwork, ...] = ()
    addresses: frozenset[IPAddress] = frozenset()
    epoch: int = 1
    mark_mask: int = 0xFFFF0000
    log_group: int = 77

    def __post_init__(self) -> None:
        """Raises ValueError for another mask, or an epoch that it cannot hold."""
        run = self.mark_mask // self._lowest if self.mark_mask > 0 else 0
        if run < LEAST_RUN or run & (run + 1) or self.mark_mask >> 32:
            raise ValueError(f"mark mask {self.mark_mask:#x} is no single run of 8 to 32 bits")
        if not 1 <= self.epoch <= run:
            raise ValueError(f"epoch {self.epoch} is not within 1 to {run}")

    @property
    def _lowest(self) -> int:
        return self.mark_mask & -self.mark_mask

    @property
    def mark_value(self) -> int:
        """The epoch, in place within the mask."""
        return self.epoch * self._lowest

    def runs(self, endpoint: Endpoint) -> bool:
        """Whether a pod runs on this node."""
        return self.pods is None or f"{endpoint.pod.namespace}/{endpoint.pod.name}" in self.pods


def lower(index: PolicyIndex, node: LocalNode) -> Ruleset:
    """The whole wanted content of our table on ``node``."""
    return _Lowering(index, node).ruleset()


def deniers(index: PolicyIndex, node: LocalNode) -> Mapping[str, DirectionPolicy | CompiledTier]:
    """The way back from a log message: by what ``deny.denier_of`` reads from its prefix, the
    policies that deny in ``lower(index, node)``."""
    return _Lowering(index, node).groups.deniers


class _Lowering:
    """One node's rules in the making."""

    def __init__(self, index: PolicyIndex, node: LocalNode) -> None:
        self._node = node
        self._local = _local(index, node)
        namer = Namer()
        self._peers = PeerSets(index, namer, _families(self._local, node))
        self._ports = PortQuestions(namer)
        self.groups = Groups(self._peers, self._ports, namer, node.log_group)
        denying = _denying(index, self._local, self.groups)
        self._chains = [chain for policy in denying for chain in self.groups.chains(policy)]
        self._dispatch = _Dispatch(index, self.groups, namer)

    def ruleset(self) -> Ruleset:
        node, dispatch = self._node, self._dispatch
        objects: list[NamedObject] = [*_local_sets(self._local, node)]
        objects += [*self._peers.sets, *self._ports.sets, *dispatch.maps(self._local)]
        objects += [*self.groups.maps, *self._chains, *dispatch.chains.values()]
        objects += skeleton(node.mark_mask, node.mark_value, node.log_group)
        return Ruleset.of(Table(TABLE, "managed by podfence"), objects)


Local = dict[IPAddress, tuple[Endpoint, ...]]
"""The pods of this node by address: only pods with an address can be met. Several have an address
when it is not clear whose it is (NP-60a)."""


def _local(index: PolicyIndex, node: LocalNode) -> Local:
    found: Local = {a: (pod,) for a, pod in index.by_address.items() if node.runs(pod)}
    for address, contested in index.contested.items():
        if here := tuple(pod for pod in contested.holders if node.runs(pod)):
            found[address] = here
    return found


def _families(local: Local, node: LocalNode) -> list[int]:
    """IP versions of the node's pods: a cluster of one family needs no rules for the other."""
    spoken = {known.version for known in (*local, *node.pod_cidrs)}
    return [family for family in FAMILIES if family in spoken]


def _policies(index: PolicyIndex, endpoint: Endpoint) -> Iterator[DirectionPolicy]:
    for direction in Direction:
        yield index.policies[endpoint.endpoint_class].of(direction)


def _denying(index: PolicyIndex, local: Local, groups: Groups) -> list[DirectionPolicy]:
    """The groups of this node, each once, in the order of the index."""
    pods = (pod for here in local.values() for pod in here)
    found = {p.number: p for pod in pods for p in _policies(index, pod) if groups.denies(p)}
    return [found[number] for number in sorted(found)]


def _local_sets(local: Local, node: LocalNode) -> Iterator[Set | RangeSet]:
    ranges = AddressSet.of(node.pod_cidrs)
    for family in FAMILIES:
        spans = tuple(((low,), (high,)) for low, high in ranges.family(family))
        yield RangeSet(range_set(family), (ADDRESS_TYPES[family],), spans)
    for family, name in self_sets().items():
        pairs = frozenset((int(a), int(a)) for a in local if a.version == family)
        yield Set(name, (ADDRESS_TYPES[family],) * 2, pairs)


class _Dispatch:
    """Leads the packets of each pod to its groups; ``chains``: those that lead to several."""

    def __init__(self, index: PolicyIndex, groups: Groups, namer: Namer) -> None:
        self._index = index
        self._groups = groups
        self._namer = namer
        self.chains: dict[str, Chain] = {}

    def maps(self, local: Local) -> Iterator[VerdictMap]:
        """The maps of every view, then those of packets without a connection."""
        for view in VIEWS:
            for family in FAMILIES:
                elements = {key: self._verdict(pods, view) for key, pods in _keys(local, family)}
                yield VerdictMap(verdict_map(view, family), (ADDRESS_TYPES[family],), elements)
        closed = goto(f"{STATELESS}_d")
        for family in FAMILIES:
            elements = {
                key: closed if self._is_judged(pods) else RETURN
                for key, pods in _keys(local, family)
            }
            yield VerdictMap(stateless_map(family), (ADDRESS_TYPES[family],), elements)

    def _is_judged(self, pods: Iterable[Endpoint]) -> bool:
        policies = (policy for pod in pods for policy in _policies(self._index, pod))
        return any(map(self._groups.denies, policies))

    def _verdict(self, pods: Iterable[Endpoint], view: View) -> Verdict:
        """Where the packets of a pod go in one view; all of several pods have to let them pass."""
        policies = (self._index.policies[pod.endpoint_class].of(view.direction) for pod in pods)
        names = dict.fromkeys(map(self._groups.name, filter(self._groups.denies, policies)))
        targets = [f"{name}{view.suffix}" for name in names]
        if not targets:
            return RETURN
        return goto(targets[0] if len(targets) == 1 else self._all_of(targets, view))

    def _all_of(self, targets: list[str], view: View) -> str:
        """The chain that asks several groups, each of which returns what it lets pass."""
        prefix = f"{PREFIXES[view.direction]}all_"
        name = self._namer.name(prefix, " ".join(targets))
        self.chains[name] = Chain(name, tuple(Rule((jump(target),)) for target in targets))
        return name


def _keys(local: Local, family: int) -> Iterator[tuple[Key, tuple[Endpoint, ...]]]:
    return (((int(a),), pods) for a, pods in local.items() if a.version == family)
