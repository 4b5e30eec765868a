"""NetworkPolicy -> its tier: the only module that knows what its rules *mean*.

Rule: nothing here knows about nftables or about questions; nothing elsewhere reads a peer, a port
or a default of a NetworkPolicy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache, partial

from pyroaring import FrozenBitMap

from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyPort, NetworkPolicyRule
from podfence.policy.flow import Action, Direction
from podfence.policy.index import EVERYONE, NETWORK_POLICY_TIER, Peers
from podfence.policy.namedports import PortName
from podfence.policy.origin import Origin
from podfence.policy.rulecompiler import PolicyRules, ReadRule
from podfence.policy.select import PeerSelector
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING


def selected_by(policy: NetworkPolicy, select: PeerSelector) -> FrozenBitMap:
    """The classes that a policy selects (NP-3)."""
    return select.subjects(policy.ref.namespace, policy.pod_selector)


def rules_of(
    policy: NetworkPolicy, selected: FrozenBitMap, direction: Direction
) -> PolicyRules | None:
    """What a policy says in a direction, None if it does not have it. NP-5: it isolates the classes
    that it selects in each of its directions. NP-7: what its rules permit is joined to what those
    of others permit."""
    if direction.policy_type not in policy.policy_types:
        return None
    return PolicyRules(
        policy.ref,
        NETWORK_POLICY_TIER,
        direction,
        (0, policy.ref.namespace, policy.ref.name),
        selected,
        partial(_read, policy, direction),
        Origin(policy.ref, "spec.podSelector", policy.source),
        policy.audited,
    )


def _read(policy: NetworkPolicy, direction: Direction, select: PeerSelector) -> Iterator[ReadRule]:
    for at, rule in enumerate(policy.rules_of(direction.policy_type)):
        path = f"spec.{direction.value}[{at}]"
        peers = tuple(_peers(policy, rule, f"{path}.{direction.peer_field}", path, select))
        origin = Origin(policy.ref, path, policy.source)
        yield ReadRule(Action.ACCEPT, origin, peers, *rule_ports(rule.ports))


def _peers(
    policy: NetworkPolicy, rule: NetworkPolicyRule, field: str, path: str, select: PeerSelector
) -> Iterator[tuple[Peers, str]]:
    """The alternatives of ``from``/``to`` (NP-14), each with its own path."""
    if not rule.peers:
        yield EVERYONE, path  # NP-12
    for at, peer in enumerate(rule.peers):
        yield select.peers(policy.ref.namespace, peer), f"{field}[{at}]"


def rule_ports(ports: Iterable[NetworkPolicyPort]) -> tuple[PortSet, tuple[PortName, ...]]:
    """The numbers that a rule's ``ports`` hold, and the names still to be resolved."""
    return _rule_ports(tuple(ports))


@lru_cache(maxsize=1 << 14)
def _rule_ports(ports: tuple[NetworkPolicyPort, ...]) -> tuple[PortSet, tuple[PortName, ...]]:
    if not ports:
        return EVERYTHING, ()  # NP-13
    numbers: list[PortSet] = []
    names: dict[PortName, None] = {}
    for item in ports:
        if item.port is None:
            numbers.append(PortSet.protocol(item.protocol.value))  # NP-31
        elif isinstance(item.port, int):
            numbers.append(PortSet.port(item.protocol.value, item.port, item.end_port))  # NP-37
        else:
            names[PortName(item.port, item.protocol.value)] = None
    return PortSet.union(numbers), tuple(names)
