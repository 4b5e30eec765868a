"""Notes about peers: too many for a data store, or only pods that no policy reaches.

Rule: a peer that selects pods by a label was written on purpose, so it is not reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from podfence.errors import Severity
from podfence.model.networkpolicy import NetworkPolicyPeer, NetworkPolicyRule, Protocol
from podfence.model.objects import Pod
from podfence.model.selectors import LabelSelector
from podfence.policy.flow import Direction
from podfence.policy.networkpolicies import rule_ports
from podfence.questions.describe import peer_path
from podfence.questions.lint.note import LintedPolicy, Note, field_of, pod_spec, rule_path
from podfence.questions.phrases import words
from podfence.questions.whyempty import wanted_by_policy

_SHOWN = 3
_STORES: Final = {
    5432: "PostgreSQL",
    3306: "MySQL",
    1433: "SQL Server",
    1521: "Oracle",
    27017: "MongoDB",
    6379: "Redis",
    9200: "Elasticsearch",
    9042: "Cassandra",
    2379: "etcd",
    11211: "memcached",
    5672: "AMQP",
    9092: "Kafka",
}


def open_store(case: LintedPolicy) -> Iterator[Note]:
    """PF356: all namespaces, or the outside, may reach the port of a data store."""
    for direction, number, rule in case.rules:
        if not (rule.peers or rule.ports):
            continue  # PF310 says more
        if direction is Direction.EGRESS or not (who := _wide(rule)):
            continue
        open_ports, names = rule_ports(rule.ports)
        for port, store in _STORES.items():
            declaring = [
                end
                for end in case.subjects
                for p in end.pod.ports
                if p.port == port
                and p.protocol is Protocol.TCP
                and (("TCP", port) in open_ports or any(n.name == p.name for n in names))
            ]
            if declaring:
                text = (
                    f"{who} may connect to {case.matched.names(declaring, _SHOWN)} on port {port} "
                    f"({store}). Name the pods that need it: a podSelector beside the "
                    "namespaceSelector, or alone for this namespace."
                )
                yield Note("PF356", text, rule_path(direction, number))
                break


def _wide(rule: NetworkPolicyRule) -> str:
    """The peers of a rule that sets no condition on pods; "" for other rules."""
    if not rule.peers:
        return "Everyone, addresses outside the cluster included,"
    for peer in rule.peers:
        block = peer.ip_block
        if block is not None and block.cidr.prefixlen == 0:
            return f"Every IPv{block.cidr.version} address"
        spaces = peer.namespace_selector
        anybody = peer.pod_selector is None or peer.pod_selector.selects_everything
        if block is None and spaces is not None and spaces.selects_everything and anybody:
            return "Every pod of every namespace"
    return ""


def open_outside(case: LintedPolicy) -> Iterator[Note]:
    """PF352: all outside addresses may connect, and no Service offers the pods to the outside."""
    for direction, number, rule in case.rules:
        if direction is Direction.EGRESS or not rule.ports or not case.subjects:
            continue
        catch_all = any(p.ip_block and p.ip_block.cidr.prefixlen == 0 for p in rule.peers)
        if (rule.peers and not catch_all) or not _inside_only(case):
            continue
        text = (
            "Addresses outside the cluster may connect to "
            f"{case.matched.names(case.subjects, _SHOWN)}, but the Services in front are of type "
            "ClusterIP, which nothing outside can use. Name the peers that need it; to allow all "
            "pods of the cluster, write namespaceSelector: {}."
        )
        yield Note("PF352", text, rule_path(direction, number))


def _inside_only(case: LintedPolicy) -> bool:
    """Whether Services lead to all of the subjects, but none from outside and no hostPort."""
    for end in case.subjects:
        labels = set(end.pod.labels)
        services = [
            service
            for service in case.index.cluster.services
            if service.ref.namespace == case.namespace
            and service.selector
            and labels.issuperset(service.selector)
        ]
        specs = [field_of(case.written.raw(service.source), "spec") for service in services]
        if not specs or not all(_is_cluster_ip(spec) for spec in specs):
            return False
        if any(service.external_ips or service.balancer_ips for service in services):
            return False
        containers = pod_spec(case.written.raw(end.pod.source)).get("containers")
        for container in containers if isinstance(containers, list) else ():
            ports = field_of(container, "ports")
            if any(
                field_of(port, "hostPort") for port in (ports if isinstance(ports, list) else ())
            ):
                return False
    return True


def _is_cluster_ip(spec: object) -> bool:
    return isinstance(spec, Mapping) and spec.get("type", "ClusterIP") == "ClusterIP"


def on_the_host(case: LintedPolicy) -> Iterator[Note]:
    """PF360: selectors that fit only pods on the network of their node (NP-50)."""
    hosted = [pod for pod in case.matched.unfindable if pod.host_network and not pod.finished]
    if not hosted:
        return
    if not case.subjects and not case.policy.pod_selector.selects_everything:
        own = NetworkPolicyPeer(case.policy.pod_selector)
        if found := _fitting(case, own, hosted):
            text = (
                f"The selected pods use the network of their node ({found}), where no policy "
                "applies, so this policy does nothing. Use the firewall of the node instead."
            )
            yield Note("PF360", text, "spec.podSelector")
    for item in case.peers:
        if item.peer.ip_block is not None or item.ends:
            continue
        if _asks(item.peer) and (found := _fitting(case, item.peer, hosted)):
            text = (
                f"These pods use the network of their node ({found}): their packets have the "
                "node's address, and no selector matches them. Use an ipBlock with the addresses "
                "of the nodes."
            )
            path = peer_path(item.direction, item.number, item.at)
            yield Note("PF360", text, path, Severity.WARNING)


def _asks(peer: NetworkPolicyPeer) -> bool:
    return not (peer.pod_selector or LabelSelector()).selects_everything


def _fitting(case: LintedPolicy, peer: NetworkPolicyPeer, pods: list[Pod]) -> str:
    wanted = wanted_by_policy(case.index.cluster, case.namespace, peer)
    found = {
        f"{pod.namespace}/{pod.owner.name if pod.owner else pod.name}"
        for pod in pods
        if wanted.fits(pod)
    }
    return words.some(sorted(found), _SHOWN)
