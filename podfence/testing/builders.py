"""Short ways to write model values in tests.

Rule: builders only spell; but for ``source``, they return what a manifest with the same content
decodes to, defaults included (NP-8, NP-21, NP-30). A malformed text raises ValueError.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network

from podfence.model.clusternetworkpolicy import (
    ClusterNetworkPolicy,
    NamespacedPod,
    Peer,
    ProtocolMatch,
    RuleAction,
    Subject,
    Tier,
    TierRule,
)
from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef, labels_of
from podfence.model.networkpolicy import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
    Protocol,
)
from podfence.model.objects import ContainerPort, Namespace, Node, Pod
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator

SelectorLike = LabelSelector | Mapping[str, str]

UNKNOWN_FIELD = 'unknown field "future"'
"""Why an element with the single field ``future`` is unknown."""


def namespace(name: str, labels: Mapping[str, str] | None = None) -> Namespace:
    """A namespace with the automatic name label, which wins over ``labels`` (NP-21)."""
    return Namespace(name, labels_of({**(labels or {}), METADATA_NAME_LABEL: name}))


def node(name: str, *addresses: str, labels: Mapping[str, str] | None = None) -> Node:
    """A node with its IP addresses."""
    return Node(name, labels_of(labels), tuple(ip_address(text) for text in addresses))


def pod(
    name: str,
    labels: Mapping[str, str] | None = None,
    *,
    addresses: Iterable[str] = (),
    ports: Iterable[str] = (),
    node: str = "",
    host_addresses: Iterable[str] = (),
    host_network: bool = False,
    finished: bool = False,
    has_status: bool | None = None,
) -> Pod:
    """A pod, ``name`` being ``namespace/name``.

    ``ports``: container ports as ``http:8080`` or ``dns:53/UDP``; ``:8080`` has no name.
    ``has_status``: whether the cluster reported it; by default when it has addresses (NP-58).
    """
    own_namespace, own_name = _split_name(name)
    own = tuple(ip_address(text) for text in addresses)
    return Pod(
        namespace=own_namespace,
        name=own_name,
        labels=labels_of(labels),
        addresses=own,
        ports=tuple(_container_port(text) for text in ports),
        node=node,
        host_addresses=tuple(ip_address(text) for text in host_addresses),
        host_network=host_network,
        finished=finished,
        has_status=bool(own) if has_status is None else has_status,
    )


def selector(
    match_labels: Mapping[str, str] | None = None, *requirements: LabelSelectorRequirement
) -> LabelSelector:
    """A label selector; without arguments it selects everything (NP-4)."""
    return LabelSelector(labels_of(match_labels), requirements)


def requirement(key: str, operator: Operator | str, *values: str) -> LabelSelectorRequirement:
    """One ``matchExpressions`` item: ``requirement("app", "NotIn", "web", "db")``."""
    return LabelSelectorRequirement(key, Operator(operator), values)


def peer(
    *,
    pods: SelectorLike | None = None,
    namespaces: SelectorLike | None = None,
    cidr: str | None = None,
    except_: Iterable[str] = (),
) -> NetworkPolicyPeer:
    """One item of ``from`` or ``to``; a mapping is read as matchLabels, host bits are masked."""
    block = None
    if cidr is not None:
        excepted = tuple(ip_network(text, strict=False) for text in except_)
        block = IPBlock(ip_network(cidr, strict=False), excepted)
    return NetworkPolicyPeer(
        None if pods is None else _selector(pods),
        None if namespaces is None else _selector(namespaces),
        block,
    )


def port(item: int | str) -> NetworkPolicyPort:
    """One item of ``ports``: ``80``, ``"80/UDP"``, ``"8000-9000/TCP"``, ``"http"``, ``"/SCTP"``.

    TCP unless said otherwise (NP-30); ``"/SCTP"`` is every port of SCTP (NP-31).
    """
    number, _, protocol_name = str(item).partition("/")
    protocol = Protocol(protocol_name or "TCP")
    if not number:
        return NetworkPolicyPort(protocol)
    low, dash, high = number.partition("-")
    if low.isdecimal():
        return NetworkPolicyPort(protocol, int(low), int(high) if dash else None)
    return NetworkPolicyPort(protocol, number)


def rule(*peers: NetworkPolicyPeer, ports: Iterable[int | str] = ()) -> NetworkPolicyRule:
    """An ingress or egress rule; ``rule()`` allows everything (NP-11)."""
    return NetworkPolicyRule(peers, tuple(port(item) for item in ports))


def policy(
    name: str,
    pods: SelectorLike | None = None,
    *,
    ingress: Iterable[NetworkPolicyRule] = (),
    egress: Iterable[NetworkPolicyRule] = (),
    types: Iterable[PolicyType | str] = (),
) -> NetworkPolicy:
    """A policy, ``name`` being ``namespace/name``; without ``types`` they are defaulted (NP-8)."""
    own_namespace, own_name = _split_name(name)
    egress_rules = tuple(egress)
    declared = frozenset(PolicyType(item) for item in types)
    defaulted = {PolicyType.INGRESS} | ({PolicyType.EGRESS} if egress_rules else set())
    return NetworkPolicy(
        ref=ObjectRef("NetworkPolicy", own_namespace, own_name),
        pod_selector=_selector(pods or {}),
        policy_types=declared or frozenset(defaulted),
        ingress=tuple(ingress),
        egress=egress_rules,
        declared_types=bool(declared),
    )


_UNKNOWN = Peer(unknown=UNKNOWN_FIELD)


def cluster_peer(
    *,
    namespaces: SelectorLike | None = None,
    pods: SelectorLike | None = None,
    nodes: SelectorLike | None = None,
    networks: Iterable[str] = (),
    domain_names: Iterable[str] = (),
) -> Peer:
    """One item of ``from`` or ``to`` of a ClusterNetworkPolicy; host bits are masked.

    ``pods`` makes ``namespaces`` the selector of their namespaces: None is all of them (CNP-15).
    Without any argument the peer is one of a newer API version: unknown (CNP-25).
    """
    given = (
        None if namespaces is None or pods is not None else _selector(namespaces),
        _namespaced_pods(pods, namespaces),
        None if nodes is None else _selector(nodes),
        tuple(ip_network(text, strict=False) for text in networks),
        tuple(name.lower().removesuffix(".") for name in domain_names),
    )
    return Peer(*given) if any(each is not None and each != () for each in given) else _UNKNOWN


def protocol(item: str) -> ProtocolMatch:
    """An item of ``protocols``: ``"80/TCP"``, ``"80-90/UDP"``, ``"/SCTP"``, ``"http"`` or ``""``.

    No protocol is the default (CNP-22); a text without one names a container port. ``"/SCTP"`` is
    every port of SCTP; ``""`` is an item of a newer API version: unknown (CNP-25).
    """
    number, slash, protocol_name = item.partition("/")
    if not slash:
        return ProtocolMatch(named_port=item) if item else ProtocolMatch(unknown=UNKNOWN_FIELD)
    low, dash, high = number.partition("-")
    start, end = int(low) if low else None, int(high) if dash else None
    return ProtocolMatch(Protocol(protocol_name), start, end)


def cluster_rule(
    action: RuleAction | str, *peers: Peer, protocols: Iterable[str] = (), name: str = ""
) -> TierRule:
    """A rule of a ClusterNetworkPolicy; without ``peers`` it is about every pod (CNP-20)."""
    every_pod = (cluster_peer(namespaces={}),)
    matches = tuple(protocol(item) for item in protocols)
    return TierRule(RuleAction(action), peers or every_pod, matches, name)


def cluster_policy(
    name: str,
    *,
    namespaces: SelectorLike | None = None,
    pods: SelectorLike | None = None,
    tier: Tier | str = Tier.ADMIN,
    priority: int = 0,
    ingress: Iterable[TierRule] = (),
    egress: Iterable[TierRule] = (),
) -> ClusterNetworkPolicy:
    """A ClusterNetworkPolicy about ``pods`` in ``namespaces``; without both about every pod."""
    subject = Subject(_selector(namespaces or {}))
    if (selected := _namespaced_pods(pods, namespaces)) is not None:
        subject = Subject(pods=selected)
    return ClusterNetworkPolicy(
        ref=ObjectRef("ClusterNetworkPolicy", "", name),
        tier=Tier(tier),
        priority=priority,
        subject=subject,
        ingress=tuple(ingress),
        egress=tuple(egress),
    )


def _namespaced_pods(
    pods: SelectorLike | None, namespaces: SelectorLike | None
) -> NamespacedPod | None:
    if pods is None:
        return None
    return NamespacedPod(_selector(pods), None if namespaces is None else _selector(namespaces))


def _split_name(name: str) -> tuple[str, str]:
    own_namespace, slash, own_name = name.partition("/")
    if not slash:
        raise ValueError(f"{name!r} is not of the form namespace/name")
    return own_namespace, own_name


def _selector(like: SelectorLike) -> LabelSelector:
    return like if isinstance(like, LabelSelector) else LabelSelector(labels_of(like))


def _container_port(text: str) -> ContainerPort:
    name, colon, rest = text.partition(":")
    if not colon:
        raise ValueError(f"{text!r} is not of the form name:number or name:number/PROTOCOL")
    number, _, protocol = rest.partition("/")
    return ContainerPort(name, int(number), Protocol(protocol or "TCP"))
