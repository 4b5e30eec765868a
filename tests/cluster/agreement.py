"""Random policies in a cluster: what its nodes do and what the engine says.

Rule: a case is made from its number. The pods stay; labels, namespaces' labels and policies are
those of a random cluster (tests/support), its addresses moved to where the pods really are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from podfence.admission.decode import decode
from podfence.engine.evaluate import Evaluator
from podfence.errors import Source
from podfence.model.cluster import Cluster as Model
from podfence.model.cluster import ClusterObject
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, Peer, TierRule
from podfence.model.meta import METADATA_NAME_LABEL, Labels, labels_of
from podfence.model.networkpolicy import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyRule,
)
from podfence.model.objects import ContainerPort, Namespace, Node, Pod
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from podfence.sets.addresses import IPNetwork
from podfence.testing.manifest import to_manifest
from tests.apiserver.client import Client
from tests.cluster.layout import Node as HostNode
from tests.cluster.population import Population, declared
from tests.support.random_clusters import NODE_ADDRESSES, Size, random_cluster
from tests.support.random_policies import KEYS, NAMESPACES, V4_PODS, V6_PODS

POLICIES = Size(policies=6)
TIERS = Size(policies=3, admin_policies=4)
SETTLED_SECONDS = 10.0
"""What the suites of others allow, too."""
PORTS = (("TCP", 53), ("TCP", 80), ("TCP", 81), ("TCP", 8080), ("UDP", 53), ("UDP", 80))
_NODES = tuple(NODE_ADDRESSES)
_WINDOW = 256
"""The random clusters have their addresses among the first of a range."""
_SOURCE = Source("random")
_TIERS = "/apis/policy.networking.k8s.io/v1beta1/clusternetworkpolicies"


def pods() -> list[Pod]:
    """Four pods on each of two nodes, in four namespaces; some ports have a name, of which one
    means different numbers.
    """
    ports: Sequence[tuple[ContainerPort, ...]] = (
        (declared("http", 80, "TCP"), declared("p-1", 53, "UDP")),
        (declared("http", 8080, "TCP"),),
        (declared("http", 80, "UDP"), declared("p-1", 81, "TCP")),
        (),
    )
    return [
        Pod(NAMESPACES[n // 2], f"p{n}", ports=ports[n % 4], node=HostNode(1 + n % 2).name)
        for n in range(8)
    ]


class Case(Struct, frozen=True):
    """What is in the cluster."""

    number: int
    model: Model


def case(number: int, population: Population, nodes: Sequence[HostNode], size: Size) -> Case:
    """The case of a number."""
    rng = Random(number)
    drawn = random_cluster(rng, size)
    mover = _Mover(rng.choice(nodes))
    labels = {pod.name: pod.labels for pod in drawn.pods}
    namespaces = [
        Namespace(name, _named(name, drawn.namespaces[name].labels))
        if name in drawn.namespaces
        else Namespace(name, _named(name, ()))
        for name in NAMESPACES
    ]
    objects: list[ClusterObject] = [
        *namespaces,
        *(_node(node, _labels_of(drawn, old)) for node, old in zip(nodes, _NODES, strict=False)),
        *(replace(pod, labels=labels.get(pod.name, ())) for pod in population.pods),
        *(mover.policy(policy) for policy in drawn.policies),
        *(mover.admin_policy(policy) for policy in _sound(drawn.admin_policies)),
    ]
    return Case(number, Model.of(objects))


def nothing(population: Population, nodes: Sequence[HostNode]) -> Model:
    """The pods without labels and policies."""
    return Model.of(
        [
            *(Namespace(name, _named(name, ())) for name in NAMESPACES),
            *(_node(node, ()) for node in nodes),
            *(replace(pod, labels=()) for pod in population.pods),
        ]
    )


def _labels_of(drawn: Model, node: str) -> Labels:
    return drawn.nodes[node].labels if node in drawn.nodes else ()


def _named(name: str, labels: Labels) -> Labels:
    return labels_of({**dict(labels), METADATA_NAME_LABEL: name})


def _node(node: HostNode, labels: Labels) -> Node:
    """The node as its object is: ``labels`` come to those that it has."""
    addresses = (IPv4Address(node.addresses[0]), IPv6Address(node.addresses[1]))
    ranges = tuple(ip_network(text) for text in node.pods)
    return Node(node.name, labels, addresses, ranges)


def _sound(policies: Iterable[ClusterNetworkPolicy]) -> Iterator[ClusterNetworkPolicy]:
    """What a server takes of them, without names that somebody would have to resolve: the random
    ones hold what only older servers store, too.
    """
    for policy in policies:
        made = replace(
            policy,
            ingress=tuple(filter(None, map(_sound_rule, policy.ingress))),
            egress=tuple(filter(None, map(_sound_rule, policy.egress))),
        )
        if policy.ref.kind != "ClusterNetworkPolicy" or policy.subject.unknown:
            continue
        if not decode(to_manifest(made), _SOURCE).problems:
            yield made


def _sound_rule(rule: TierRule) -> TierRule | None:
    peers = tuple(peer for peer in rule.peers if not (peer.unknown or peer.domain_names))
    has_addresses = any(peer.networks or peer.nodes is not None for peer in peers)
    protocols = tuple(
        match
        for match in rule.protocols
        if match.port is not None or (match.named_port and not has_addresses)
    )
    return replace(rule, peers=peers, protocols=protocols) if peers else None


class _Mover:
    """Addresses of random clusters -> those of the pods of one node."""

    def __init__(self, node: HostNode) -> None:
        v4, v6 = (ip_network(text) for text in node.pods)
        self._bases = {4: (V4_PODS, int(v4.network_address)), 6: (V6_PODS, int(v6.network_address))}

    def network(self, network: IPNetwork) -> IPNetwork:
        old, new = self._bases[network.version]
        first = int(network.network_address)
        if not old <= first < old + _WINDOW:
            return network
        kind = IPv4Network if network.version == 4 else IPv6Network
        return kind((first - old + new, network.prefixlen))

    def policy(self, policy: NetworkPolicy) -> NetworkPolicy:
        return replace(
            policy,
            ingress=tuple(map(self._rule, policy.ingress)),
            egress=tuple(map(self._rule, policy.egress)),
        )

    def _rule(self, rule: NetworkPolicyRule) -> NetworkPolicyRule:
        return replace(rule, peers=tuple(map(self._peer, rule.peers)))

    def _peer(self, peer: NetworkPolicyPeer) -> NetworkPolicyPeer:
        if peer.ip_block is None:
            return peer
        excepted = tuple(map(self.network, peer.ip_block.except_))
        return replace(peer, ip_block=IPBlock(self.network(peer.ip_block.cidr), excepted))

    def admin_policy(self, policy: ClusterNetworkPolicy) -> ClusterNetworkPolicy:
        return replace(
            policy,
            ingress=tuple(map(self._admin_rule, policy.ingress)),
            egress=tuple(map(self._admin_rule, policy.egress)),
        )

    def _admin_rule(self, rule: TierRule) -> TierRule:
        return replace(rule, peers=tuple(map(self._admin_peer, rule.peers)))

    def _admin_peer(self, peer: Peer) -> Peer:
        return replace(peer, networks=tuple(map(self.network, peer.networks)))


# ------------------------------------------------------------------------------- into the cluster


def apply(admin: Client, before: Model | None, after: Model) -> None:
    """Makes the cluster hold what a case says, by no more writes than that takes; nothing of it may
    be refused.
    """
    for name, namespace in after.namespaces.items():
        old = before.namespaces[name].labels if before else ()
        _label(admin, f"/api/v1/namespaces/{name}", old, namespace.labels)
    for name, node in after.nodes.items():
        _label(
            admin, f"/api/v1/nodes/{name}", before.nodes[name].labels if before else (), node.labels
        )
    earlier = {pod.ref: pod.labels for pod in before.pods} if before else {}
    for pod in after.pods:
        path = f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"
        _label(admin, path, earlier.get(pod.ref, ()), pod.labels)
    there = {_path(policy): policy for policy in policies_of(before)} if before else {}
    wanted = {_path(policy): policy for policy in policies_of(after)}
    for path, policy in there.items():
        if wanted.get(path) != policy:
            _delete(admin, path)
    for path, policy in wanted.items():
        if there.get(path) != policy:
            admin.create(path.rpartition("/")[0], to_manifest(policy))


def forget_labels(admin: Client, model: Model) -> None:
    """Nodes outlive a run: what one that was ended has left would be labels of the first case."""
    for name in model.nodes:
        _label(admin, f"/api/v1/nodes/{name}", labels_of(dict.fromkeys(KEYS, "")), ())


def policies_of(model: Model) -> tuple[NetworkPolicy | ClusterNetworkPolicy, ...]:
    """Of both kinds."""
    return (*model.policies, *model.admin_policies)


def _path(policy: NetworkPolicy | ClusterNetworkPolicy) -> str:
    folder = _policies(policy) if isinstance(policy, NetworkPolicy) else _TIERS
    return f"{folder}/{policy.ref.name}"


def _policies(policy: NetworkPolicy) -> str:
    return f"/apis/networking.k8s.io/v1/namespaces/{policy.ref.namespace}/networkpolicies"


def _delete(admin: Client, path: str) -> None:
    answer = admin.request("DELETE", path)
    assert answer.status == 200, answer


def _label(admin: Client, path: str, old: Labels, new: Labels) -> None:
    if old == new:
        return
    wanted: dict[str, Any] = {**dict.fromkeys(dict(old)), **dict(new)}
    body = {"metadata": {"labels": wanted}}
    answer = admin.request("PATCH", path, body, "application/merge-patch+json")
    assert answer.status == 200, answer


# ------------------------------------------------------------------------------------- the answer


class Found(Struct, frozen=True):
    """``flows`` tried; ``wrong`` after ``seconds``, with what the engine says of them."""

    flows: int
    wrong: Mapping[Flow, bool]
    seconds: float


def expected(model: Model, flows: Iterable[Flow]) -> dict[Flow, bool]:
    """What the engine says."""
    judge = Evaluator(compile_cluster(model))
    return {flow: judge.verdict(flow).allowed for flow in flows}


def settle(population: Population, wanted: Mapping[Flow, bool]) -> Found:
    """Tries all flows until all are as they should be, twice in a row, for up to 10 seconds."""
    started = time.monotonic()
    right_before = False
    settled = 0.0
    while True:
        now = time.monotonic() - started
        reached = population.reached(wanted)
        wrong = {flow: may for flow, may in wanted.items() if may != (flow in reached)}
        if not wrong and right_before:
            return Found(len(wanted), wrong, settled)
        if now > SETTLED_SECONDS:
            return Found(len(wanted), wrong, now)
        if not wrong and not right_before:
            settled = now
        right_before = not wrong


def describe(made: Case, found: Found) -> str:
    """What to read when a case fails."""
    return "\n".join(
        [
            f"case {made.number}: {len(found.wrong)} of {found.flows} flows after 10 s, e.g.",
            *(f"  {flow}: the engine says {may}" for flow, may in list(found.wrong.items())[:10]),
            *(f"  {pod.ref} {pod.labels} {pod.addresses}" for pod in made.model.pods),
            *(str(to_manifest(policy)) for policy in policies_of(made.model)),
        ]
    )
