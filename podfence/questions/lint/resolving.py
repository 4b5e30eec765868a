"""Findings about DNS: pods that may not resolve names.

Rule: the engine answers, for the pods of the cluster's DNS that were read: those of the settings,
or else those with the labels that distributions use. Where none was read, only pods that no rule
allows any DNS are reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from msgspec import Struct
from msgspec.structs import replace

from podfence.engine.connections import connections, end_ports
from podfence.errors import Severity
from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef
from podfence.model.networkpolicy import NetworkPolicy, PolicyType, Protocol
from podfence.model.objects import Pod, Service
from podfence.policy.flow import Direction
from podfence.policy.index import DirectionPolicy, Endpoint
from podfence.policy.networkpolicies import rule_ports
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.note import pod_spec
from podfence.questions.lint.reach import FAMILIES, LintIndex
from podfence.questions.lint.surroundings import NOWHERE, ClusterDns, Surroundings
from podfence.questions.phrases.matched import grouped
from podfence.sets import PortSet
from podfence.sets.addresses import IPAddress

_DNS = 53
_SYSTEM, _SERVICE = "kube-system", "kube-dns"
_LABELS = (("k8s-app", "kube-dns"), ("k8s-app", "coredns"))
_OPENSHIFT = ("openshift-dns", ("dns.operator.openshift.io/daemonset-dns", "default"))
_NODE_LOCAL = "node-local-dns"
_NODE_LOCAL_ADDRESS = ip_address("169.254.20.10")
_ASKED_OTHERWISE = frozenset({"None", "Default"})
_PORTS = (53, 5353, 8053)
"""Where DNS servers listen, behind a Service that has 53."""


class _Server(Struct, frozen=True):
    """A DNS server: a class of pods, and the ports that its Service leads to."""

    endpoint_class: int
    udp: PortSet
    tcp: PortSet


def resolving(reach: LintIndex, around: Surroundings = NOWHERE) -> Iterator[LintFinding]:
    """PF333 and PF334."""
    policies = {policy.ref: policy for policy in reach.index.cluster.policies}
    servers = list(_servers(reach, around.dns))
    at_node = around.dns.node_local or _asked_at_the_node(reach)
    said: dict[tuple[NetworkPolicy, str, bool], list[Endpoint]] = {}
    named = {ref for ref, policy in policies.items() if _names_dns(policy)}
    for policy, subjects in reach.holders[Direction.EGRESS].values():
        writers = _writers(reach, policy, policies)
        if not writers:
            continue
        names = any(writer.ref in named for writer in writers)
        for number in subjects:
            ends = [end for end in reach.index.members[number] if _asks_the_cluster(reach, end.pod)]
            if ends and (missing := _missing(reach, number, servers, names, at_node)):
                said.setdefault((writers[0], missing, names), []).extend(ends)
    for (writer, missing, names), ends in said.items():
        finding = _finding(reach, around.dns, writer, missing, ends)
        # A rule that allows DNS may mean pods that were not read.
        is_open = around.is_partial and names and finding.code == "PF333"
        yield replace(finding, severity=Severity.NOTE) if is_open else finding


def _writers(
    reach: LintIndex, policy: DirectionPolicy, policies: Mapping[ObjectRef, NetworkPolicy]
) -> list[NetworkPolicy]:
    """The NetworkPolicies that isolate egress, those with rules first; none if no rule allows
    anything, because a pod without connections needs no names."""
    found = [
        policies[origin.policy]
        for tier in policy.tiers
        for origin in tier.isolated_by
        if origin.policy in policies
    ]
    allowing = [each for each in found if each.egress]
    return [*allowing, *(each for each in found if not each.egress)] if allowing else []


def _asks_the_cluster(reach: LintIndex, pod: Pod) -> bool:
    return pod_spec(reach.written.raw(pod.source)).get("dnsPolicy") not in _ASKED_OTHERWISE


def _servers(reach: LintIndex, dns: ClusterDns) -> Iterator[_Server]:
    services = reach.index.cluster.services
    usual = next(
        (s for s in services if (s.ref.namespace, s.ref.name) == (_SYSTEM, _SERVICE)), None
    )
    seen = set[int]()
    for end in reach.index.endpoints.values():
        if end.endpoint_class in seen:
            continue
        service = usual
        if dns.pods is not None:
            if not dns.is_served_by(end.pod):
                continue
            service = next((each for each in services if _asks_for(each, end.pod)), None)
        if dns.pods is not None or _serves(end.pod, service):
            seen.add(end.endpoint_class)
            yield _Server(
                end.endpoint_class,
                _listening(end.pod, service, Protocol.UDP),
                _listening(end.pod, service, Protocol.TCP),
            )


def _asks_for(service: Service, pod: Pod) -> bool:
    """Whether a Service leads questions for names to a pod."""
    return (
        service.ref.namespace == pod.namespace
        and bool(service.selector)
        and set(service.selector) <= set(pod.labels)
        and any(port.port == _DNS for port in service.ports)
    )


def _serves(pod: Pod, service: Service | None) -> bool:
    if pod.namespace == _OPENSHIFT[0]:
        return _OPENSHIFT[1] in pod.labels
    if pod.namespace != _SYSTEM:
        return False
    if service is not None and service.selector:
        return set(service.selector) <= set(pod.labels)
    return any(label in pod.labels for label in _LABELS)


def _listening(pod: Pod, service: Service | None, protocol: Protocol) -> PortSet:
    if pod.namespace == _OPENSHIFT[0]:
        return PortSet.port(protocol.value, 5353)
    numbers = {
        number
        for port in (service.ports if service is not None else ())
        if port.port == _DNS and port.protocol is protocol and (number := port.on(pod)) is not None
    }
    return PortSet.union(PortSet.port(protocol.value, n) for n in numbers or {_DNS})


def _asked_at_the_node(reach: LintIndex) -> IPAddress | None:
    """The usual address of the cache, if the workload that listens there was read."""
    is_there = any(
        pod.host_network and pod.owner is not None and pod.owner.name == _NODE_LOCAL
        for pod in reach.index.cluster.pods
    )
    return _NODE_LOCAL_ADDRESS if is_there else None


def _missing(
    reach: LintIndex,
    number: int,
    servers: list[_Server],
    names_dns: bool,
    at_node: IPAddress | None,
) -> str:
    """What a class may not do: ``nothing`` (no rule names the port), ``UDP``, ``TCP``, ``node``; ""
    if nothing is missing. ``names_dns``: of its policies. ``at_node``: the address of the cache."""
    to_cache = PortSet.union(())
    if at_node is not None:
        # The cache asks for its part on the network of its node, which no policy closes.
        remote = reach.index.class_of(at_node)
        to_cache = end_ports(reach.index, number, Direction.EGRESS, remote, at_node.version)
    cached = ("UDP", _DNS) in to_cache
    if not servers:
        if not names_dns:
            return "nothing"
        return "node" if at_node is not None and not cached else ""
    udp, tcp = cached, ("TCP", _DNS) in to_cache
    for server in servers:
        for family in FAMILIES:
            if not _both_speak(reach, number, server.endpoint_class, family):
                continue
            passing = connections(reach.index, number, server.endpoint_class, family)
            udp = udp or bool(passing & server.udp)
            tcp = tcp or bool(passing & server.tcp)
    if not udp:
        return "UDP"
    if at_node is not None and not cached:
        return "node"
    return "" if tcp else "TCP"


def _both_speak(reach: LintIndex, one: int, other: int, family: int) -> bool:
    partitions = reach.partitions.get(family)
    return partitions is not None and one in partitions.pods and other in partitions.pods


def _names_dns(policy: NetworkPolicy) -> bool:
    """Whether some rule allows UDP where DNS servers listen, to whomever."""
    if PolicyType.EGRESS not in policy.policy_types:
        return False
    for rule in policy.egress:
        numbers, names = rule_ports(rule.ports)
        if any(name.protocol == "UDP" for name in names):
            return True
        if any(("UDP", port) in numbers for port in _PORTS):
            return True
    return False


def _finding(
    reach: LintIndex, dns: ClusterDns, writer: NetworkPolicy, missing: str, ends: list[Endpoint]
) -> LintFinding:
    who = reach.matched.names(ends, 3)
    namespace, labels = dns.pods or (_SYSTEM, _LABELS[:1])
    labelled = ", ".join(f"{key}: {value}" for key, value in labels)
    add = (
        "Add an egress rule to namespaceSelector {"
        f"{METADATA_NAME_LABEL}: {namespace}}} with podSelector {{{labelled}}}, ports 53 UDP "
        "and TCP."
    )
    code, severity = "PF333", None
    if missing == "UDP":
        text = f"{who} may not query the cluster's DNS over UDP, so no name resolves there. {add}"
    elif missing == "TCP":
        severity = Severity.WARNING
        text = (
            f"{who} may query the cluster's DNS over UDP but not over TCP: long answers are "
            "requested again over TCP, which fails. Add {protocol: TCP, port: 53}."
        )
    elif missing == "node":
        code = "PF334"
        address = dns.node_local or _NODE_LOCAL_ADDRESS
        cache = str(address) if dns.node_local else f"usually {address} (DaemonSet {_NODE_LOCAL})"
        text = (
            f"DNS queries of {who} go to the cache on the node, {cache}, which no rule allows. Add "
            f"an ipBlock of {address}/{address.max_prefixlen} with port 53 over UDP and TCP; where "
            "kube-proxy uses iptables, the cache also answers at the address of the Service."
        )
    else:
        severity = Severity.WARNING
        text = (
            f"No rule allows {who} UDP port 53 to any destination, so no name resolves there. (No "
            f"pod of the cluster's DNS was read.) {add}"
        )
    return LintFinding(
        code,
        writer.ref,
        writer.source,
        "spec.egress",
        text,
        severity,
        about=missing,
        names=tuple(group.full_name for group in grouped(ends)),
    )
