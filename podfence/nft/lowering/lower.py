"""PolicyIndex -> Ruleset: the compiled form that the engine reads, too, written for one kernel.

Rule: nothing is decided here about what a policy means. The size follows the pods of this node and
the peers that their policies name, never the number of policies of the cluster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec import Struct

from podfence.nft.lowering.dispatch import (
    audit_map_types,
    leads_of,
    map_types,
    range_sets,
    self_set,
    spoken,
)
from podfence.nft.lowering.groups import Groups
from podfence.nft.lowering.identifiers import Namer
from podfence.nft.lowering.peers import ClassMembers, PeerSets
from podfence.nft.lowering.ports import PortMatches
from podfence.nft.lowering.skeleton import (
    skeleton,
)
from podfence.nft.lowering.views import FAMILIES
from podfence.nft.objects import (
    Chain,
    ChainVerdict,
    Key,
    NamedObject,
    Set,
    Table,
    VerdictMap,
)
from podfence.nft.ruleset import AnySet, Ruleset
from podfence.policy.compile import audit_of
from podfence.policy.flow import Direction
from podfence.policy.index import CompiledTier, DirectionPolicy, Endpoint, PolicyIndex
from podfence.sets.addresses import IPAddress, IPNetwork

TABLE = "podfence"
LEAST_RUN = 0xFF


LOG_GROUP = 77
"""Whom copies of denied packets are for, where nobody says otherwise."""


class LocalNode(Struct, frozen=True):
    """The node whose kernel is written for."""

    name: str
    pods: frozenset[str] | None = None
    """Its pods as "namespace/name"; None: every endpoint of the index."""
    pod_cidrs: tuple[IPNetwork, ...] = ()
    """Ranges that its pods get addresses from. An address of these that no known pod has is cut
    off."""
    addresses: frozenset[IPAddress] = frozenset()
    """The node's own."""
    epoch: int = 1
    """1 up to what ``mark_mask`` holds. A new one makes every live connection be judged again (see
    ``epoch``)."""
    mark_mask: int = 0xFFFF0000
    """The bits of the conntrack mark that are ours, 8 or more in one run: fewer would soon count
    round."""
    log_group: int = LOG_GROUP
    """The netlink group that denied packets are copied to."""

    def __post_init__(self) -> None:
        """Raises ValueError for another mask, or an epoch that it cannot hold."""
        run = self.mark_mask // self._lowest if self.mark_mask > 0 else 0
        if run < LEAST_RUN or run & (run + 1) or self.mark_mask >> 32:
            raise ValueError(f"mark mask {self.mark_mask:#x} is not a single run of 8 to 32 bits")
        if not 1 <= self.epoch <= run:
            raise ValueError(f"epoch {self.epoch} is not within 1 to {run}")

    @property
    def _lowest(self) -> int:
        return self.mark_mask & -self.mark_mask

    @property
    def mark_value(self) -> int:
        """The epoch, shifted into the mask."""
        return self.epoch * self._lowest

    def runs(self, endpoint: Endpoint) -> bool:
        """Whether a pod runs on this node."""
        return self.pods is None or f"{endpoint.pod.namespace}/{endpoint.pod.name}" in self.pods


def lower(index: PolicyIndex, node: LocalNode) -> Ruleset:
    """The whole wanted content of our table on ``node``."""
    return _Lowering(index, node).ruleset()


def deniers(index: PolicyIndex, node: LocalNode) -> Mapping[str, DirectionPolicy | CompiledTier]:
    """The way back from a log message: from what ``deny.logged`` reads in its prefix to the
    policies that deny in ``lower(index, node)``."""
    return _Lowering(index, node).deniers


class _Lowering:
    """One node's rules in the making."""

    def __init__(self, index: PolicyIndex, node: LocalNode) -> None:
        self._node = node
        self._local = _local(index, node)
        namer = Namer()
        families = spoken((a.version for a in self._local), node.pod_cidrs)
        self._peers = PeerSets(ClassMembers(index), namer, families)
        self._ports = PortMatches(namer)
        self._groups = Groups(self._peers, self._ports, namer, node.log_group)
        denying = _denying(_policies(index, pod) for pod in _pods(index, node))
        denying = [policy for policy in denying if self._groups.denies(policy)]
        self._chains = [chain for policy in denying for chain in self._groups.chains(policy)]
        self._audit = _Audit.of(index, node, namer, self._ports, families)
        self._dispatch = _Dispatch(index, self._groups, self._audit, namer)

    @property
    def deniers(self) -> Mapping[str, DirectionPolicy | CompiledTier]:
        audits = {} if self._audit is None else self._audit.groups.deniers
        return {**self._groups.deniers, **audits}

    def ruleset(self) -> Ruleset:
        node, dispatch = self._node, self._dispatch
        objects: list[NamedObject] = [*range_sets(node.pod_cidrs), *_pairs(self._local)]
        objects += [*self._sets(), *self._ports.sets, *dispatch.maps(self._local)]
        objects += [*self._groups.maps, *self._chains, *dispatch.chains.values()]
        if self._audit is not None:
            objects += [*self._audit.groups.maps, *self._audit.chains]
        audits = dispatch.audits
        objects += skeleton(node.mark_mask, node.mark_value, node.log_group, audit=audits)
        return Ruleset.of(Table(TABLE, "managed by podfence"), objects)

    def _sets(self) -> Iterable[AnySet]:
        """Of one name, an audit means the same peers as what is enforced."""
        audited = () if self._audit is None else self._audit.peers.sets
        return {found.name: found for found in (*self._peers.sets, *audited)}.values()


class _Audit(Struct, frozen=True):
    """What is asked of audited policies. In ``index`` they are enforced."""

    index: PolicyIndex
    enforced: PolicyIndex
    groups: Groups
    peers: PeerSets
    chains: tuple[Chain, ...]

    @classmethod
    def of(
        cls,
        enforced: PolicyIndex,
        node: LocalNode,
        namer: Namer,
        ports: PortMatches,
        families: Collection[int],
    ) -> _Audit | None:
        """None: nothing is audited."""
        index = audit_of(enforced)
        if index is None:
            return None
        peers = PeerSets(ClassMembers(index), namer, families)
        groups = Groups(peers, ports, namer, node.log_group, audit=True)
        found = cls(index, enforced, groups, peers, ())
        asked = _denying(found.policies(pod) for pod in _pods(enforced, node))
        chains = (chain for policy in asked for chain in groups.chains(policy))
        return cls(index, enforced, groups, peers, tuple(chains))

    def policies(self, pod: Endpoint) -> Iterator[DirectionPolicy]:
        """What would apply to a pod of the enforced index, in directions in which audited policies
        apply and something could be denied."""
        name = f"{pod.pod.namespace}/{pod.pod.name}"
        pairs = zip(
            _policies(self.index, self.index.endpoints[name]),
            _policies(self.enforced, pod),
            strict=True,
        )
        return (one for one, now in pairs if one.key != now.key and self.groups.denies(one))


Local = dict[IPAddress, tuple[Endpoint, ...]]
"""The pods of this node by address: only such can be met. Several have an address
when it is not clear whose it is (NP-60a). One that is being deleted has its own until another pod
of this node has it."""


def _local(index: PolicyIndex, node: LocalNode) -> Local:
    found: Local = {a: (pod,) for a, pod in index.by_address.items() if node.runs(pod)}
    for address, contested in index.contested.items():
        if here := tuple(pod for pod in contested.holders if node.runs(pod)):
            found[address] = here
    leaving: Local = {}
    for pod in _pods(index, node):  # the address may be another node's by now, its packets its own
        for address in pod.doubtful:
            if address not in found:
                leaving[address] = (*leaving.get(address, ()), pod)
    return {**found, **leaving}


def _policies(index: PolicyIndex, endpoint: Endpoint) -> Iterator[DirectionPolicy]:
    for direction in Direction:
        yield index.policies[endpoint.endpoint_class].of(direction)


def _pods(index: PolicyIndex, node: LocalNode) -> Iterator[Endpoint]:
    """The pods of this node. One that has no address yet has its groups already: when the address
    comes, only elements are left to write."""
    return (pod for pod in index.endpoints.values() if node.runs(pod))


def _denying(of_pods: Iterable[Iterable[DirectionPolicy]]) -> list[DirectionPolicy]:
    """The policies of pods, each once, in the order of the index."""
    found = {policy.number: policy for policies in of_pods for policy in policies}
    return [found[number] for number in sorted(found)]


def _pairs(local: Local) -> Iterator[Set]:
    """A pod and itself."""
    for family in FAMILIES:
        yield self_set(family, (int(a) for a in local if a.version == family))


class _Dispatch:
    """Leads the packets of each pod to its groups; ``chains``: those that lead to several.
    ``audits``: whether some pod has any that audit."""

    def __init__(
        self, index: PolicyIndex, groups: Groups, audit: _Audit | None, namer: Namer
    ) -> None:
        self._index = index
        self._groups = groups
        self._audit = audit
        self._namer = namer
        self.chains: dict[str, Chain] = {}
        self.audits = False

    def maps(self, local: Local) -> list[VerdictMap]:
        """The maps of every view, those of packets without a connection, then those of audits."""
        types = dict((*map_types(), *audit_map_types()))
        leads: dict[str, dict[Key, ChainVerdict]] = {name: {} for name in types}
        for address, pods in local.items():
            names = {direction: self._names(pods, direction) for direction in Direction}
            audits = {direction: self._audits(pods, direction) for direction in Direction}
            for name, verdict, chain in leads_of(address.version, names, audits, self._namer):
                leads[name][int(address),] = verdict
                if chain is not None:
                    self.chains[chain.name] = chain
            self.audits = self.audits or any(audits.values())
        for name in () if self.audits else dict(audit_map_types()):
            del leads[name]
        return [VerdictMap(name, types[name], elements) for name, elements in leads.items()]

    def _audits(self, pods: Iterable[Endpoint], direction: Direction) -> set[str]:
        """The groups that audit an address in one direction."""
        audit = self._audit
        if audit is None:
            return set()
        policies = (policy for pod in pods for policy in audit.policies(pod))
        return {audit.groups.name(each) for each in policies if each.direction is direction}

    def _names(self, pods: Iterable[Endpoint], direction: Direction) -> set[str]:
        """The groups that judge an address in one direction."""
        policies = (self._index.policies[pod.endpoint_class].of(direction) for pod in pods)
        return set(map(self._groups.name, filter(self._groups.denies, policies)))
