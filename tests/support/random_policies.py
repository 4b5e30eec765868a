"""Small adversarial NetworkPolicies from a random source, as in ``random_clusters``."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_address
from random import Random

from podfence.model.meta import METADATA_NAME_LABEL, Labels, ObjectRef, labels_of
from podfence.model.networkpolicy import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
    Protocol,
)
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from podfence.sets.addresses import IPNetwork
from tests.support.random_tiers import Parts

NAMESPACES = ("x", "y", "z", "w")
KEYS = ("app", "tier")
VALUES = ("a", "b", "")
PORT_NAMES = ("http", "p-1")
PROTOCOLS = (Protocol.TCP, Protocol.TCP, Protocol.UDP, Protocol.SCTP)
TYPES: tuple[frozenset[PolicyType], ...] = (
    frozenset(),
    frozenset({PolicyType.INGRESS}),
    frozenset({PolicyType.EGRESS}),
    frozenset(PolicyType),
)
PORTS = (53, 80, 81, 8080, 65535, 1)
V4_PODS = int(ip_address("10.0.0.0"))
V6_PODS = int(ip_address("fd00::"))
POOL = 16
"""Pods and some outside addresses share the first 16 addresses of a family."""


def leaning(rng: Random, most: int) -> int:
    """Leans towards ``most``: few pods stay without a policy and few rules without peers."""
    return max(rng.randint(0, most), rng.randint(0, most))


def random_labels(rng: Random) -> Labels:
    return labels_of({key: rng.choice(VALUES) for key in KEYS if rng.random() < 0.7})


def random_policy(rng: Random, namespace: str, name: str, rules: int, items: int) -> NetworkPolicy:
    """``rules``, ``items``: most of each list."""
    ingress, egress = _rules(rng, rules, items), _rules(rng, rules, items)
    declared = rng.choice(TYPES)
    defaulted = {PolicyType.INGRESS} | ({PolicyType.EGRESS} if egress else set())
    return NetworkPolicy(
        ref=ObjectRef("NetworkPolicy", namespace, name),
        pod_selector=_selector(rng),
        policy_types=declared or frozenset(defaulted),
        ingress=ingress,
        egress=egress,
        declared_types=bool(declared),
    )


def _rules(rng: Random, rules: int, items: int) -> tuple[NetworkPolicyRule, ...]:
    return tuple(_rule(rng, items) for _ in range(rng.randint(0, rules)))


def _rule(rng: Random, items: int) -> NetworkPolicyRule:
    return NetworkPolicyRule(
        peers=tuple(_peer(rng) for _ in range(leaning(rng, items))),
        ports=tuple(_port(rng) for _ in range(leaning(rng, items))),
    )


def _peer(rng: Random) -> NetworkPolicyPeer:
    kind = rng.choice(("pods", "namespaces", "both", "block", "block"))
    if kind == "block":
        return NetworkPolicyPeer(ip_block=_block(rng))
    return NetworkPolicyPeer(
        pod_selector=None if kind == "namespaces" else _selector(rng),
        namespace_selector=None if kind == "pods" else _namespace_selector(rng),
    )


def _selector(rng: Random) -> LabelSelector:
    kind = rng.choice(("empty", "labels", "labels", "expressions", "both"))
    labels: Labels = ()
    expressions: tuple[LabelSelectorRequirement, ...] = ()
    if kind in ("labels", "both"):
        labels = ((rng.choice(KEYS), rng.choice(VALUES)),)
    if kind in ("expressions", "both"):
        expressions = tuple(_requirement(rng) for _ in range(rng.randint(1, 2)))
    return LabelSelector(labels, expressions)


def _requirement(rng: Random) -> LabelSelectorRequirement:
    operator = rng.choice(tuple(Operator))
    if operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST):
        return LabelSelectorRequirement(rng.choice(KEYS), operator)
    values = tuple(rng.choice(VALUES) for _ in range(rng.randint(1, 2)))
    return LabelSelectorRequirement(rng.choice(KEYS), operator, values)


def _namespace_selector(rng: Random) -> LabelSelector:
    if rng.random() < 0.5:
        return _selector(rng)
    names = tuple(rng.choice(NAMESPACES) for _ in range(rng.randint(1, 2)))
    if rng.random() < 0.5:
        return LabelSelector(((METADATA_NAME_LABEL, names[0]),))
    operator = rng.choice((Operator.IN, Operator.NOT_IN))
    return LabelSelector((), (LabelSelectorRequirement(METADATA_NAME_LABEL, operator, names),))


def _block(rng: Random) -> IPBlock:
    family = rng.choice((4, 4, 6))
    bits = 32 if family == 4 else 128
    length = rng.choice((0, 0, bits - 8, bits - 4, bits - 3, bits - 2, bits - 1, bits))
    cidr = _network(rng, family, length)
    if length == bits:
        return IPBlock(cidr)
    return IPBlock(cidr, tuple(_inside(rng, cidr) for _ in range(rng.choice((0, 0, 1, 1, 2, 3)))))


def _network(rng: Random, family: int, length: int) -> IPNetwork:
    base = V4_PODS if family == 4 else V6_PODS
    if family == 4:
        return IPv4Network((base + rng.randrange(POOL), length), strict=False)
    return IPv6Network((base + rng.randrange(POOL), length), strict=False)


def _inside(rng: Random, cidr: IPNetwork) -> IPNetwork:
    """A strict subnet, about the pods' addresses when they are inside, as validation demands."""
    bits = cidr.max_prefixlen
    length = rng.choice([n for n in range(bits - 4, bits + 1) if n > cidr.prefixlen])
    found = _network(rng, cidr.version, length)
    if cidr.version == 4:
        within = (int(found.network_address) & int(cidr.hostmask)) | int(cidr.network_address)
        return IPv4Network((within, length), strict=False)
    within = (int(found.network_address) & int(cidr.hostmask)) | int(cidr.network_address)
    return IPv6Network((within, length), strict=False)


def _port(rng: Random) -> NetworkPolicyPort:
    protocol = rng.choice(PROTOCOLS)
    kind = rng.choice(("number", "number", "number", "range", "name", "name", "any"))
    if kind == "number":
        return NetworkPolicyPort(protocol, rng.choice(PORTS))
    if kind == "name":
        return NetworkPolicyPort(protocol, rng.choice((*PORT_NAMES, "nobody")))
    if kind == "range":
        low, high = sorted((rng.choice(PORTS), rng.choice(PORTS)))
        return NetworkPolicyPort(protocol, low, high)
    return NetworkPolicyPort(protocol)


PARTS = Parts(_selector, _namespace_selector, _network, PORTS, (*PORT_NAMES, "nobody"))
