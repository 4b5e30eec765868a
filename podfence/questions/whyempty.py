"""Why a peer or a port of a rule matches nothing: what the compiled rule no longer shows.

Rule: only statements that are certain from the input. A selector matches pods that have an address
of their own. Host-network pods, finished pods and pods without an address are named where their
labels would match (NP-50, NP-58, NP-60). A port name means a number only on pods that declare it
(NP-32..NP-35, CNP-23).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from podfence.model.cluster import Cluster
from podfence.model.clusternetworkpolicy import Peer, TierRule
from podfence.model.networkpolicy import NetworkPolicyPeer, NetworkPolicyRule
from podfence.model.objects import Pod
from podfence.model.selectors import LabelSelector
from podfence.policy.namedports import PortName, named_number
from podfence.questions.phrases import words
from podfence.questions.phrases.matched import unfindable, workload_of

_SHOWN = 3
BROUGHT_BY_CLUSTER = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Namespaces that manifests rarely hold: that they are missing is no finding."""
_EVERY = LabelSelector()


class PodSelectors(Struct, frozen=True):
    """The selectors of a peer, as far as they ask for pods."""

    fits: Callable[[Pod], bool]
    """Whether a pod has the labels, wherever its address comes from."""
    no_namespace: str = ""
    """That no namespace matches, in words; "" if one does, or none is required."""


_NO_PODS = PodSelectors(lambda _: False)


def wanted_by_policy(cluster: Cluster, namespace: str, peer: NetworkPolicyPeer) -> PodSelectors:
    """What a peer of a policy in ``namespace`` asks for; an ipBlock asks for no pod."""
    if peer.ip_block is not None:
        return _NO_PODS
    pods, spaces = peer.pod_selector or _EVERY, peer.namespace_selector
    if spaces is None:
        return PodSelectors(
            lambda pod: pod.namespace == namespace and pods.matches(dict(pod.labels))
        )
    return _in_namespaces(cluster, spaces, pods)


def wanted_by_tier(cluster: Cluster, peer: Peer) -> PodSelectors:
    """The same for a peer of a ClusterNetworkPolicy (CNP-15, CNP-20)."""
    if peer.pods is not None:
        spaces = peer.pods.namespace_selector or _EVERY
        return _in_namespaces(cluster, spaces, peer.pods.pod_selector)
    if peer.namespaces is not None:
        return _in_namespaces(cluster, peer.namespaces, _EVERY)
    return _NO_PODS


def _in_namespaces(cluster: Cluster, spaces: LabelSelector, pods: LabelSelector) -> PodSelectors:
    found = {n for n, space in cluster.namespaces.items() if spaces.matches(dict(space.labels))}
    missing = ""
    if not found and not BROUGHT_BY_CLUSTER & {*words.namespace_names(spaces)}:
        missing = f"no namespace matches now ({words.namespaces(spaces)})"
    return PodSelectors(lambda p: p.namespace in found and pods.matches(dict(p.labels)), missing)


def left_out(pods: Iterable[Pod], peer: PodSelectors) -> str:
    """Which of ``pods`` have the labels and are found by no selector, and why; "" if none."""
    found: dict[str, dict[str, int]] = {}
    for pod in pods:
        if (reason := unfindable(pod)) and peer.fits(pod):
            name = workload_of(pod)[0]
            group = found.setdefault(reason, {})
            group[name] = group.get(name, 0) + 1
    return "; ".join(_would_fit(reason, group) for reason, group in found.items())


def _would_fit(reason: str, group: dict[str, int]) -> str:
    names = words.some(list(group), _SHOWN)
    if list(group.values()) == [1]:
        return f"{names} would match by its labels, but it is {reason}"
    return f"pods of {names} would match by their labels, but they are {reason}"


# -- ports


def named_ports(rule: NetworkPolicyRule | TierRule) -> tuple[PortName, ...]:
    """The port names that a rule asks for."""
    if isinstance(rule, TierRule):
        return tuple(PortName(p.named_port, "") for p in rule.protocols if p.named_port)
    return tuple(PortName(p.port, p.protocol.value) for p in rule.ports if isinstance(p.port, str))


def undeclared(names: Iterable[PortName], destination: Pod) -> Iterator[str]:
    """One sentence for each name that means no port on the pod that is connected to."""
    who = f"{destination.namespace}/{destination.name}"
    for name in names:
        if named_number(destination.ports, name):
            continue
        others = sorted({p.protocol.value for p in destination.ports if p.name == name.name})
        if others:
            yield (
                f"the rule's port {name.name} means {name.protocol}, and {who} declares that "
                f"name for {words.listed(others)}"
            )
            continue
        known = sorted({p.name for p in destination.ports if p.name})
        yield (
            f"the rule's port {name.name} is declared by no container of {who}; it declares "
            f"{words.listed(known) or 'no name'}"
        )
