"""Notes about selectors and blocks that match other pods or addresses than it seems.

Rule: "no pod" refers only to objects that were read; the texts say "now".
"""

from __future__ import annotations

from collections.abc import Iterator

from podfence.model.networkpolicy import IPBlock, NetworkPolicyPeer
from podfence.model.selectors import LabelSelector
from podfence.policy.addressblocks import ip_block
from podfence.policy.flow import DIRECTIONS, Direction
from podfence.questions.describe import peer_path
from podfence.questions.lint.note import LintedPolicy, Note, PeerItem, rule_path
from podfence.questions.phrases import words
from podfence.questions.phrases.ends import Ends
from podfence.questions.whyempty import BROUGHT_BY_CLUSTER, left_out, wanted_by_policy
from podfence.sets import AddressSet

_ANYWHERE = LabelSelector()
_SHOWN = 3


def _now(case: LintedPolicy, peer: NetworkPolicyPeer) -> Ends:
    return case.matched.peers(case.namespace, peer)


def _path(item: PeerItem) -> str:
    return peer_path(item.direction, item.number, item.at)


def _names(case: LintedPolicy, endpoints: Ends) -> str:
    return case.matched.names(endpoints, _SHOWN)


def selects_nothing(case: LintedPolicy) -> Iterator[Note]:
    """PF306: no pod, or only pods that no policy can select (NP-50, NP-60)."""
    if case.subjects:
        return
    text = (
        f"No pod of namespace {case.namespace} is {_kind(case)} now, so the policy does nothing "
        "yet."
    )
    if case.policy.pod_selector.selects_everything:
        text = f"Namespace {case.namespace} has no pod now, so the policy does nothing yet."
    unreachable = [
        f"{pod.namespace}/{pod.name}"
        for pod in case.matched.unfindable
        if not pod.is_seen and case.policy.selects(pod.namespace, pod.labels)
    ]
    if unreachable:
        text += (
            f" It would match {', '.join(unreachable[:3])}, but no policy selects host-network "
            "pods or finished pods."
        )
    elsewhere = _now(case, NetworkPolicyPeer(case.policy.pod_selector, _ANYWHERE))
    if elsewhere and not case.policy.pod_selector.selects_everything:
        text += f" Such pods exist in another namespace: {_names(case, elsewhere)}."
    yield Note("PF306", text, "spec.podSelector")


def _kind(case: LintedPolicy) -> str:
    return words.conditions(case.policy.pod_selector)


def lost_or(case: LintedPolicy) -> Iterator[Note]:
    """PF314: both selectors in one item match nobody, either alone would (NP-19, NP-20)."""
    for item in case.peers:
        peer = item.peer
        if not _looks_like_lost_or(case, item):
            continue
        own = _now(case, NetworkPolicyPeer(peer.pod_selector))
        others = _now(case, NetworkPolicyPeer(None, peer.namespace_selector))
        text = (
            f"No pod is both {words.conditions(peer.pod_selector or _ANYWHERE)} and in "
            f"{words.namespaces(peer.namespace_selector or _ANYWHERE)}. As two items (a dash "
            f"before each selector) they would be alternatives: {_names(case, own)} of this "
            f"namespace, or {_names(case, others)}."
        )
        yield Note("PF314", text, _path(item))


def _looks_like_lost_or(case: LintedPolicy, item: PeerItem) -> bool:
    peer = item.peer
    return (
        not item.ends
        and all(
            selector is not None and not selector.selects_everything
            for selector in (peer.pod_selector, peer.namespace_selector)
        )
        and bool(_now(case, NetworkPolicyPeer(peer.pod_selector)))
        and bool(_now(case, NetworkPolicyPeer(None, peer.namespace_selector)))
    )


def lost_and(case: LintedPolicy) -> Iterator[Note]:
    """PF315: a podSelector alone that matches no pod of the own namespace, beside a
    namespaceSelector alone whose namespaces have such pods (NP-19, NP-20)."""
    for item in case.peers:
        for beside in and_partners(case, item):
            yield Note("PF315", _torn(case, item.peer, beside), _path(item))


def _torn(case: LintedPolicy, peer: NetworkPolicyPeer, beside: NetworkPolicyPeer) -> str:
    pods = words.pods(peer.pod_selector or _ANYWHERE)
    where = words.namespaces(beside.namespace_selector or _ANYWHERE)
    meant = _now(case, NetworkPolicyPeer(peer.pod_selector, beside.namespace_selector))
    return (
        f"This namespace ({case.namespace}) has no {pods} now, and the item beside it allows "
        f"every pod in {where} ({_names(case, _now(case, beside))} now). As one item, with one "
        f"dash for both selectors, they would match {pods} there ({_names(case, meant)} now)."
    )


def and_partners(case: LintedPolicy, item: PeerItem) -> list[NetworkPolicyPeer]:
    """Items of the rule with which ``item`` looks like one item torn apart."""
    peer = item.peer
    if item.ends or not _pods_alone(peer):
        return []
    return [
        beside
        for beside in case.policy.rules_of(item.direction.policy_type)[item.number].peers
        if beside.namespace_selector is not None
        and beside.pod_selector is None
        and _now(case, NetworkPolicyPeer(peer.pod_selector, beside.namespace_selector))
    ]


def _pods_alone(peer: NetworkPolicyPeer) -> bool:
    return (
        peer.namespace_selector is None
        and peer.pod_selector is not None
        and not peer.pod_selector.selects_everything
    )


def means_nobody(case: LintedPolicy) -> Iterator[Note]:
    """PF307: a peer without a pod or an address; PF314 and PF315 say it better where they apply."""
    for item in case.peers:
        if _looks_like_lost_or(case, item) or and_partners(case, item):
            continue
        text = _why_nobody(case, item)
        if text:
            yield Note("PF307", text, _path(item))


def _why_nobody(case: LintedPolicy, item: PeerItem) -> str:
    """ "" if the peer matches something, or if the answer depends on a namespace that was not
    read."""
    peer = item.peer
    if peer.ip_block is not None:
        empty = not ip_block(peer.ip_block).addresses
        return "Its except lists cover the whole cidr: no address is left." if empty else ""
    if item.ends or _not_read(case, peer):
        return ""
    selector = peer.namespace_selector
    if selector is not None and not case.matched.namespaces(selector):
        return f"No namespace matches now ({words.namespaces(selector)})."
    cluster = case.index.cluster
    text = f"No pod matches now ({words.peer(peer, case.namespace)})."
    hidden = case.matched.unfindable
    if hidden and (unfindable := left_out(hidden, wanted_by_policy(cluster, case.namespace, peer))):
        return f"{text[:-1]}: {unfindable}."
    elsewhere = _now(case, NetworkPolicyPeer(peer.pod_selector, _ANYWHERE))
    if peer.pod_selector is not None and elsewhere:
        text += f" Pods with these labels exist elsewhere: {_names(case, elsewhere)}."
        if selector is None:
            text += " A podSelector alone matches only pods of the policy's own namespace."
    return text


def _not_read(case: LintedPolicy, peer: NetworkPolicyPeer) -> bool:
    names = words.namespace_names(peer.namespace_selector) if peer.namespace_selector else ()
    known = case.index.cluster.namespaces
    return bool(names) and all(n in BROUGHT_BY_CLUSTER and n not in known for n in names)


def inside_block(case: LintedPolicy) -> Iterator[Note]:
    """PF311: an ipBlock, not a catch-all, over addresses that a cluster gives and takes (NP-27,
    NP-47)."""
    for item in case.peers:
        block = item.peer.ip_block
        if block is None or block.cidr.prefixlen == 0:
            continue
        path = _path(item)
        if services := _services_alone(case, block):
            text = (
                f"{block.cidr} contains only addresses of Services "
                f"({words.some(services, _SHOWN)}). Policies are evaluated after the Service "
                "address is replaced by a pod's. No packet ever has it, so this item allows "
                "nothing. Select the pods behind the Service."
            )
            yield Note("PF340", text, path)
            continue
        pods = case.matched.in_block(block)
        if pods or ip_block(block).addresses & case.matched.pod_range:
            who = f" ({_names(case, pods)} now)" if pods else ""
            text = (
                f"{block.cidr} contains addresses of pods{who}. Pods get new addresses when they "
                "are recreated; a podSelector follows them."
            )
            yield Note("PF311", text, path)
        if item.direction is Direction.EGRESS:
            yield from _service_addresses(case, block, path)


def _services_alone(case: LintedPolicy, block: IPBlock) -> list[str]:
    """The Services, if every address of a block is one of theirs."""
    addresses = ip_block(block).addresses
    found = {
        address: f"{service.ref} ({address})"
        for service in case.index.cluster.services
        for address in service.cluster_ips
        if address in addresses
    }
    return list(found.values()) if found and addresses <= AddressSet.of(found) else []


def _service_addresses(case: LintedPolicy, block: IPBlock, path: str) -> Iterator[Note]:
    addresses = ip_block(block).addresses
    hit = [
        f"{service.ref} ({address})"
        for service in case.index.cluster.services
        for address in service.cluster_ips
        if address in addresses
    ]
    if hit:
        text = (
            f"{block.cidr} contains the address of Service {', '.join(hit[:3])}. Policies are "
            "evaluated after the Service address is replaced by a pod's, and never see it. "
            "Select the pods behind the Service."
        )
        yield Note("PF311", text, path)


def one_family(case: LintedPolicy) -> Iterator[Note]:
    """PF313: 0.0.0.0/0 without ::/0, or the reverse, for pods that speak both (NP-25)."""
    versions = {
        address.version for e in case.subjects for address in e.addresses if e.pod.has_status
    }
    if versions != {4, 6}:
        return
    for direction in DIRECTIONS:
        found = {
            block.cidr.version: rule_path(direction, number)
            for counted, number, rule in case.rules
            if counted is direction
            for peer in rule.peers
            if (block := peer.ip_block) is not None and block.cidr.prefixlen == 0
            if ip_block(block).addresses  # where excepts take all, nothing is allowed (PF307)
        }
        if len(found) == 1:
            [(version, path)] = found.items()
            other = 6 if version == 4 else 4
            text = (
                f"Every IPv{version} address is allowed and no IPv{other} address, but these pods "
                "have both. To allow all addresses, add "
                f"{('::/0' if other == 6 else '0.0.0.0/0')}, or leave out "
                f"{('from' if direction is Direction.INGRESS else 'to')}."
            )
            yield Note("PF313", text, path)
