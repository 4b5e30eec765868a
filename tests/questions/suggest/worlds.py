"""A small cluster as a list of pods shows it, and flows in words."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network

from msgspec.structs import replace

from podfence.flows.seen import RecordedEnd, RecordedFlow, RecordedVerdict
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.meta import ObjectRef, labels_of
from podfence.model.networkpolicy import NetworkPolicy, PolicyType, Protocol
from podfence.model.objects import Pod, Service, ServicePort
from podfence.testing.builders import namespace, node, pod


def running(
    name: str,
    workload: str,
    labels: dict[str, str],
    *addresses: str,
    space: str = "shop",
    kind: str = "Deployment",
    on: str = "",
    ports: Iterable[str] = (),
) -> Pod:
    """A pod that has these addresses."""

    made = pod(f"{space}/{name}", labels, addresses=addresses, node=on, ports=ports)
    owner = ObjectRef(kind, space, workload) if workload else None
    return replace(made, owner=owner, has_status=True)


WEB = running("web-9b649846d-bxqfc", "web", {"app": "web", "pod-template-hash": "9b649846d"},
              "10.244.1.7")  # fmt: skip
DB = running("db-0", "db", {"app": "db"}, "10.244.2.9", kind="StatefulSet")
PROMETHEUS = running("prometheus-0", "prometheus", {"app": "prometheus"}, "10.244.3.1",
                     space="monitoring", kind="StatefulSet")  # fmt: skip


def service(name: str, ip: str, selector: dict[str, str], port: int, target: int) -> Service:
    """A Service of one TCP port."""
    return Service(
        ObjectRef("Service", "shop", name),
        labels_of(selector),
        (ip_address(ip),),
        (ServicePort("", port, target, Protocol.TCP),),
    )


def cluster(*more: ClusterObject) -> Cluster:
    """Web, its database, Prometheus, and a node whose pods are in 10.244.0.0/16."""

    worker = replace(node("worker-1", "172.18.0.2"), pod_cidrs=(ip_network("10.244.0.0/16"),))
    spaces = namespace("shop"), namespace("monitoring")
    return Cluster.of([*spaces, worker, WEB, DB, PROMETHEUS, *more])


def flow(
    source: str,
    destination: str,
    port: int = 5432,
    protocol: str = "TCP",
    *,
    denied: bool = False,
    count: int = 1,
) -> RecordedFlow:
    """A flow between names (``shop/web``) or addresses."""
    verdict = RecordedVerdict.DENIED if denied else RecordedVerdict.ALLOWED
    return RecordedFlow(end(source), end(destination), protocol, port, verdict, count, "", "")


def end(text: str) -> RecordedEnd:
    """An end as CSV has it."""
    is_address = text.replace(".", "").isdecimal() or ":" in text
    return RecordedEnd(address=text) if is_address else RecordedEnd(word=text)


def closed(space: str = "shop") -> NetworkPolicy:
    """A policy that denies a namespace all that comes."""
    return NetworkPolicy(
        ObjectRef("NetworkPolicy", space, "default-deny"),
        policy_types=frozenset({PolicyType.INGRESS}),
    )
