"""The parts of a ClusterNetworkPolicy in plain words: tier, actions, peers, protocols.

Rule: as in ``words``: every phrase is exact, exclusions are stated, and no pod is looked at.
"""

from __future__ import annotations

from podfence.model.clusternetworkpolicy import (
    NamespacedPod,
    Peer,
    ProtocolMatch,
    RuleAction,
    Tier,
)
from podfence.model.selectors import LabelSelector
from podfence.policy.flow import Direction
from podfence.questions.phrases import words

ANYTHING = LabelSelector()


def tier(value: Tier, priority: int | None) -> str:
    """When the policy is evaluated (CNP-1, CNP-6). ``priority`` None: it has none."""
    order = (
        "it has no priority and is evaluated after all other policies of its tier"
        if priority is None
        else f"priority {priority}: in a tier lower numbers are evaluated first"
    )
    if value is Tier.ADMIN:
        meaning = (
            "The tier is evaluated before every NetworkPolicy, and what it accepts or denies is "
            "final for that direction."
        )
    else:
        meaning = (
            "The tier is evaluated last, and only for pods that no NetworkPolicy isolates in that "
            "direction; what no rule of it matches is accepted."
        )
    return f"{value.value} tier, {order}. {meaning}"


def direction(value: Tier, way: Direction, rules: int) -> str:
    """What a direction's rules are about (CNP-3, CNP-4)."""
    connections = "to these pods" if way is Direction.INGRESS else "that these pods open"
    if not rules:
        return f"Untouched: no rule is about connections {connections}."
    rest = (
        "goes on to the next policy, and in the end to NetworkPolicy"
        if value is Tier.ADMIN
        else "goes on to the next policy, and in the end is accepted"
    )
    return (
        f"Of connections {connections}, the first rule that matches decides; what none matches "
        f"{rest}."
    )


def action(value: RuleAction, where: Tier) -> str:
    """What a rule does with what it matches (CNP-10..CNP-12)."""
    if value is RuleAction.ACCEPT:
        return "accepts, and nothing later is evaluated"
    if value is RuleAction.DENY:
        return "denies: packets are dropped without an answer"
    if where is Tier.ADMIN:
        return "passes: the rest of this tier is skipped, NetworkPolicy decides, then Baseline"
    return "passes: the rest of this tier is skipped, so it is accepted"


def broken(value: RuleAction) -> str:
    """The effect of a rule with an element that cannot be read (CNP-25)."""
    if value is RuleAction.ACCEPT:
        return "should accept, but matches nothing"
    verb = "deny" if value is RuleAction.DENY else "pass"
    return f"should {verb}, and denies every connection of this direction"


def namespaced(value: NamespacedPod) -> str:
    """A pair of selectors; without a namespaceSelector it covers all namespaces (CNP-15)."""
    namespaces = value.namespace_selector or ANYTHING
    if value.pod_selector.selects_everything:
        return f"every pod in {words.namespaces(namespaces)}"
    if namespaces.selects_everything:
        return f"pods {words.conditions(value.pod_selector)}, in any namespace"
    return (
        f"pods that meet both conditions: {words.conditions(value.pod_selector)}, and in "
        f"{words.namespaces(namespaces)}"
    )


def peer(value: Peer) -> str:
    """One item of ``from``/``to`` (CNP-14..CNP-20)."""
    if value.networks:
        return f"addresses in {words.listed([str(n) for n in value.networks], 'or')}, pods included"
    if value.nodes is not None:
        labelled = "" if value.nodes.selects_everything else f" {words.conditions(value.nodes)}"
        which = "every node" if not labelled else f"nodes{labelled}"
        return f"the addresses of {which}, and so pods on the network of such a node"
    if value.domain_names:
        return f"the addresses that DNS returns for {words.listed(value.domain_names, 'or')}"
    if value.pods is not None:
        return f"{namespaced(value.pods)}{_nobody_else(value.pods)}"
    namespaces = value.namespaces or ANYTHING
    outside = ", but nothing outside the cluster" if namespaces.selects_everything else ""
    return f"every pod in {words.namespaces(namespaces)}{outside}"


def _nobody_else(value: NamespacedPod) -> str:
    everywhere = (value.namespace_selector or ANYTHING).selects_everything
    everyone = value.pod_selector.selects_everything and everywhere
    return ", but nothing outside the cluster" if everyone else ""


def protocol(item: ProtocolMatch) -> str:
    """``TCP port 80``, ``every UDP port``, ``the port named http``."""
    if item.named_port:
        return f"the port named {item.named_port}"
    name = item.protocol.value if item.protocol is not None else "no"
    if item.port is None:
        return f"every {name} port"
    if item.end_port is None or item.end_port == item.port:
        return f"{name} port {item.port}"
    return f"{name} ports {item.port} to {item.end_port}"
