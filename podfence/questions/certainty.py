"""Which verdicts stay open because an object could not be read, or not be understood in full.

Rule: a verdict is open only where a doubt could turn it. A direction that no doubt touches is
certain, and a connection that is certainly denied in one direction needs nothing of the other. A
verdict that is called certain is certain; where a closer look would cost more than it is worth, a
verdict is left open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, Tier
from podfence.model.doubt import Doubt
from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef
from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyRule
from podfence.model.objects import Pod, Service
from podfence.model.selectors import LabelSelector
from podfence.model.workloads import WORKLOAD_KINDS
from podfence.policy.flow import Decision, Direction, Reason, Verdict
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.policy.origin import Origin
from podfence.questions.parties import PartyEnd
from podfence.sets.addresses import IPAddress

_TIER_KINDS = frozenset({"ClusterNetworkPolicy", "AdminNetworkPolicy"})
_MAKES_PODS = WORKLOAD_KINDS | {"Pod"}
_ENDPOINT_KINDS = frozenset({"Endpoints", "EndpointSlice"})
_BASELINE = "BaselineAdminNetworkPolicy"
_LIST_INDEX = r"\[(\d+)\]"
_UNDECIDED = frozenset({Reason.NOT_ISOLATED, Reason.DEFAULT})
_FINAL = frozenset({Reason.SELF, Reason.NOT_A_POD, Reason.OWN_NODE})
"""No policy decides this, so a missing policy could not change it."""


class Certainty:
    """The doubts of one cluster, applied to one verdict after the other."""

    def __init__(self, index: PolicyIndex) -> None:
        self._index = index
        self.doubts = index.cluster.doubts
        self._asked: dict[frozenset[str] | None, bool] = {}

    def open(self, source: PartyEnd, destination: PartyEnd, verdict: Verdict) -> tuple[Doubt, ...]:
        """The doubts that could turn a verdict; () when it is certain."""
        if not self.doubts:
            return ()
        egress = self._of_direction(Direction.EGRESS, source, destination, verdict.egress)
        ingress = self._of_direction(Direction.INGRESS, destination, source, verdict.ingress)
        ends = [doubt for doubt in self.doubts if self._is_end(doubt, source, destination)]
        if not ends and (
            (not egress and not verdict.egress.allowed)
            or (not ingress and not verdict.ingress.allowed)
        ):
            return ()
        return tuple(dict.fromkeys((*ends, *egress, *ingress)))

    def pods_of(self, workload: ObjectRef | None) -> tuple[Doubt, ...]:
        """The pods of a workload that could not be read. Its other pods do not represent them."""
        if workload is None:
            return ()
        return tuple(doubt for doubt in self.doubts if doubt.owner == workload)

    def behind(self, service: Service) -> tuple[Doubt, ...]:
        """What could not be read and may be behind a Service: pods of its namespace, whose labels
        it selects, or the endpoints that are written for it."""
        kinds = _MAKES_PODS if service.selector else _ENDPOINT_KINDS
        return tuple(
            doubt
            for doubt in self.doubts
            if doubt.kind in ("", *kinds) and doubt.may_be_in(service.ref.namespace)
        )

    def open_pods(self) -> frozenset[str]:
        """``namespace/name`` of the pods about which a map cannot be certain."""
        return frozenset(
            name
            for name, endpoint in self._index.endpoints.items()
            if any(self._may_touch(doubt, endpoint) for doubt in self.doubts)
        )

    def about(self, names: Iterable[str]) -> tuple[Doubt, ...]:
        """The doubts that may be about one of these pods (``namespace/name``)."""
        asked = [self._index.endpoints[name] for name in names if name in self._index.endpoints]
        return tuple(
            doubt
            for doubt in self.doubts
            if any(self._may_touch(doubt, endpoint) for endpoint in asked)
        )

    # -- one direction of one flow

    def _of_direction(
        self, direction: Direction, subject: PartyEnd, peer: PartyEnd, decision: Decision
    ) -> list[Doubt]:
        endpoint = subject.endpoint
        if endpoint is None:
            return []
        return [
            doubt
            for doubt in self.doubts
            if self._turns(doubt, direction, endpoint, peer, decision)
        ]

    def _turns(
        self,
        doubt: Doubt,
        direction: Direction,
        subject: Endpoint,
        peer: PartyEnd,
        decision: Decision,
    ) -> bool:
        if doubt.kind == "Node":
            return self._node_turns(doubt, direction, subject, peer, decision)
        if decision.reason in _FINAL:
            return False
        if doubt.pods and not _is_named(doubt, subject, peer.endpoint):
            return False
        if doubt.kind == "NetworkPolicy":
            if doubt.pods and self._rests_on(doubt, decision):
                return True
            return self._asks_network_policy(decision) and _selects(doubt, direction, subject.pod)
        if doubt.kind == _BASELINE:
            return decision.reason in _UNDECIDED or self._tier(decision) is Tier.BASELINE
        if doubt.kind == "Namespace":
            return self._namespace_turns(doubt, direction, subject, peer, decision)
        return doubt.kind in _TIER_KINDS or not doubt.kind

    def _asks_network_policy(self, decision: Decision) -> bool:
        """Whether one more NetworkPolicy could change a decision: it may allow what is denied for
        want of a rule, and isolate what nothing isolates. What a rule allows stays allowed."""
        if decision.reason is Reason.RULE:
            return self._tier(decision) is Tier.BASELINE
        return True

    def _rests_on(self, doubt: Doubt, decision: Decision) -> bool:
        """Whether a policy that was read is what allows, or isolates, as far as its rules go: it
        may not be about these pods at all."""
        policies = {(origin.policy.namespace, origin.policy.name) for origin in decision.origins}
        return self._tier(decision) is None and policies == {(doubt.namespace, doubt.name)}

    def _tier(self, decision: Decision) -> Tier | None:
        """The tier of the policy whose rule decided, None for the tier of NetworkPolicy."""
        if decision.reason is not Reason.RULE or not decision.origins:
            return None
        policy = self._tier_policies.get(decision.origins[0].policy)
        return policy.tier if policy else None

    @cached_property
    def _tier_policies(self) -> Mapping[ObjectRef, ClusterNetworkPolicy]:
        return {policy.ref: policy for policy in self._index.cluster.admin_policies}

    @cached_property
    def _policies(self) -> Mapping[ObjectRef, NetworkPolicy]:
        return {policy.ref: policy for policy in self._index.cluster.policies}

    # -- objects other than policies

    def _is_end(self, doubt: Doubt, source: PartyEnd, destination: PartyEnd) -> bool:
        """Whether one of the ends may be the object that could not be read."""
        return any(
            any(self._may_have(doubt, address) for address in end.addresses)
            or (end.endpoint is not None and _is_of(end.endpoint.pod, doubt))
            for end in (source, destination)
        )

    def _may_have(self, doubt: Doubt, address: IPAddress) -> bool:
        """Whether an address may belong to the object, or to an unlisted node. An object without
        any known address does not share addresses that are known to be others'."""
        if doubt.addresses is None:
            known = address in self._index.by_address or address in self._index.by_node_address
            return not known
        if address in doubt.addresses:
            return True
        return address in doubt.node_addresses and address not in self._index.by_node_address

    def _node_turns(
        self,
        doubt: Doubt,
        direction: Direction,
        subject: Endpoint,
        peer: PartyEnd,
        decision: Decision,
    ) -> bool:
        """A node may be the own node of a pod (NP-52), and a peer of egress rules (CNP-18)."""
        if peer.endpoint is not None:
            return False
        known = [self._index.by_node_address.get(address) for address in peer.addresses]
        node = next(filter(None, known), None)
        if direction is Direction.INGRESS:
            runs_there = not subject.pod.node or self._may_be_node(doubt, subject.pod.node)
            return node is None and not decision.allowed and runs_there
        if node is not None and not self._may_be_node(doubt, node):
            return False
        return any(
            item.nodes is not None
            for policy in self._index.cluster.admin_policies
            for rule in policy.egress
            for item in rule.peers
        )

    def _may_be_node(self, doubt: Doubt, name: str) -> bool:
        """Whether a Node that could not be read may be the one of this name."""
        return name == doubt.name if doubt.name else name not in self._index.cluster.nodes

    def _namespace_turns(
        self,
        doubt: Doubt,
        direction: Direction,
        subject: Endpoint,
        peer: PartyEnd,
        decision: Decision,
    ) -> bool:
        if self._is_about(doubt, subject.pod.namespace) and any(
            _asks(selector, doubt.keys)
            for policy in self._index.cluster.admin_policies
            for selector in _subject_selectors(policy)
        ):
            return True
        if peer.endpoint is None or not self._is_about(doubt, peer.endpoint.pod.namespace):
            return False
        by_tiers = any(
            _asks(selector, doubt.keys)
            for policy in self._index.cluster.admin_policies
            if subject.endpoint_class in self._index.selected.get(policy.ref, ())
            for selector in _peer_selectors(policy, direction)
        )
        if by_tiers or self._tier(decision) is Tier.ADMIN:
            return by_tiers
        return not self._surely_accepted(decision, direction, doubt) and any(
            _asks_rule(rule, doubt.keys)
            for policy in self._index.cluster.policies
            if subject.endpoint_class in self._index.selected[policy.ref]
            for rule in policy.rules_of(direction.policy_type)
        )

    def _surely_accepted(self, decision: Decision, direction: Direction, doubt: Doubt) -> bool:
        """Whether a NetworkPolicy rule that does not depend on the unread labels accepts."""
        return decision.reason is Reason.RULE and any(
            not _asks_rule(rule, doubt.keys)
            for origin in decision.origins
            for rule in self._rule_of(origin, direction)
        )

    def _rule_of(self, origin: Origin, direction: Direction) -> Iterator[NetworkPolicyRule]:
        policy, number = self._policies.get(origin.policy), re.search(_LIST_INDEX, origin.path)
        if policy is not None and number is not None:
            yield policy.rules_of(direction.policy_type)[int(number[1])]

    def _is_about(self, doubt: Doubt, namespace: str) -> bool:
        """Whether a Namespace that could not be read may be this one. One without a name may be any
        that no other object declares."""
        if doubt.name:
            return doubt.name == namespace
        return self._index.cluster.namespaces[namespace].source is None

    # -- maps

    def _may_touch(self, doubt: Doubt, endpoint: Endpoint) -> bool:
        pod = endpoint.pod
        if doubt.pods:
            return _is_named(doubt, endpoint)
        if doubt.kind == "NetworkPolicy":
            return any(_selects(doubt, direction, pod) for direction in Direction)
        if doubt.kind == "Namespace":
            return self._is_about(doubt, pod.namespace) and self._somebody_asks(doubt.keys)
        if doubt.kind in _TIER_KINDS or doubt.kind in ("", _BASELINE):
            return True
        return _is_of(pod, doubt)

    def _somebody_asks(self, keys: frozenset[str] | None) -> bool:
        """Whether any policy asks for these labels of namespaces; worked out once, not for each
        pod."""
        if keys not in self._asked:
            self._asked[keys] = self._asks_anywhere(keys)
        return self._asked[keys]

    def _asks_anywhere(self, keys: frozenset[str] | None) -> bool:
        cluster = self._index.cluster
        return any(
            _asks_rule(rule, keys)
            for policy in cluster.policies
            for rule in (*policy.ingress, *policy.egress)
        ) or any(
            _asks(selector, keys)
            for policy in cluster.admin_policies
            for selector in (
                *_subject_selectors(policy),
                *_peer_selectors(policy, Direction.INGRESS),
                *_peer_selectors(policy, Direction.EGRESS),
            )
        )


def may_turn(doubt: Doubt, direction: Direction, pod: Pod) -> bool:
    """Whether what could not be read may be about this direction of a pod: a NetworkPolicy is about
    the pods that it may select, and anything else may be about all."""
    return doubt.kind != "NetworkPolicy" or _selects(doubt, direction, pod)


def _selects(doubt: Doubt, direction: Direction, pod: Pod) -> bool:
    return (
        doubt.may_be_in(pod.namespace)
        and direction.policy_type in doubt.types
        and doubt.selector.matches(dict(pod.labels))
    )


def _is_named(doubt: Doubt, *ends: Endpoint | None) -> bool:
    """Whether a doubt about single pods is about one of these."""
    pods = (end.pod for end in ends if end is not None)
    return any(f"{pod.namespace}/{pod.name}" in doubt.pods for pod in pods)


def _is_of(pod: Pod, doubt: Doubt) -> bool:
    """Whether a pod that was read has the name of an object that was not."""
    if doubt.kind == "Pod":
        return (doubt.namespace, doubt.name) == (pod.namespace, pod.name)
    owner = pod.owner
    return owner is not None and (doubt.kind, doubt.namespace, doubt.name) == (
        owner.kind,
        owner.namespace,
        owner.name,
    )


def _asks(selector: LabelSelector | None, keys: frozenset[str] | None) -> bool:
    """Whether a selector asks for one of these labels of a namespace; None: for any but its name,
    which is known (NP-21)."""
    if selector is None:
        return False
    asked = selector.asked_keys - {METADATA_NAME_LABEL}
    return bool(asked if keys is None else asked & keys)


def _asks_rule(rule: NetworkPolicyRule, keys: frozenset[str] | None) -> bool:
    return any(_asks(peer.namespace_selector, keys) for peer in rule.peers)


def _subject_selectors(policy: ClusterNetworkPolicy) -> Iterator[LabelSelector | None]:
    yield policy.subject.namespaces
    if policy.subject.pods is not None:
        yield policy.subject.pods.namespace_selector


def _peer_selectors(
    policy: ClusterNetworkPolicy, direction: Direction
) -> Iterator[LabelSelector | None]:
    rules = policy.rules_of(direction.policy_type)
    for peer in (peer for rule in rules for peer in rule.peers):
        yield peer.namespaces
        if peer.pods is not None:
            yield peer.pods.namespace_selector
