"""Notes about a name or an address whose answer alone would mislead.

Rule: a Service is translated into its pods, never judged: its address is rewritten before policies
are evaluated (NP-45), and the port is the pod's (NP-46).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from podfence.model.claims import UNCLEAR_OWNER, AddressClaim, claims
from podfence.model.cluster import Cluster
from podfence.model.objects import Node, Pod, Service
from podfence.sets.addresses import IPAddress

_SHOWN = 3


class ObjectLookup:
    """Looks up Services, nodes and finished pods of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._said: dict[IPAddress, str] = {}

    def name(self, name: str) -> str:
        """What to ask instead of ``namespace/service``; "" when no Service is called so."""
        found = next((s for s in self._cluster.services if str(s.ref) == name), None)
        return "" if found is None else f"{name} is a Service: {self._instead(found)}"

    def address(self, address: IPAddress) -> str:
        """What an address outside every pod is; "" when nothing of the input has it."""
        if address not in self._said:
            self._said[address] = self._about(address)
        return self._said[address]

    def _about(self, address: IPAddress) -> str:
        match self._owners.get(address):
            case Service() as service:
                if address in service.balancer_ips:
                    return (
                        f"{address} is the load balancer of Service {service.ref} (ipMode Proxy): "
                        "packets go there, so policies see this address"
                    )
                kind = "the ClusterIP" if address in service.cluster_ips else "an external address"
                known = f"{kind} of Service {service.ref}"
                return f"{address} is {known}: {self._instead(service)}"
            case Node() as node:
                return f"{address} is an address of node {node.name}"
            case Pod() as pod:
                return f"{address} was the address of {pod.namespace}/{pod.name}, which is finished"
            case AddressClaim() as claim:
                return (
                    f"{address} is the address of {_names(claim.holders)}: {UNCLEAR_OWNER} (NP-60a)"
                )
            case _:
                return ""

    def doubt(self, pod: str, address: IPAddress) -> str:
        """The note for an address of a pod that other pods may have too."""
        claim = self._claims[address]
        others = [each for each in claim.holders if f"{each.namespace}/{each.name}" != pod]
        meant = (
            f"this answer is about {pod}; its address {address} is also that of {_names(others)}"
        )
        if len(claim.holders) == 1:
            return f"{meant}, which owns it, because it is not being deleted (NP-60a)"
        return f"{meant}: {UNCLEAR_OWNER} (NP-60a)"

    @cached_property
    def _claims(self) -> Mapping[IPAddress, AddressClaim]:
        return {claim.address: claim for claim in claims(self._cluster.pods)}

    @cached_property
    def _owners(self) -> Mapping[IPAddress, Service | Node | Pod | AddressClaim]:
        # Of several of one kind the first by name: no order of the input decides.
        gone = sorted((p for p in self._cluster.pods if p.finished), key=_by_name, reverse=True)
        finished = ((a, pod) for pod in gone for a in pod.addresses)
        known = sorted(self._cluster.nodes.items(), reverse=True, key=lambda item: item[0])
        nodes = ((a, node) for _, node in known for a in node.addresses)
        services = (
            (address, service)
            for service in sorted(self._cluster.services, key=lambda s: s.ref, reverse=True)
            for address in (*service.addresses, *service.balancer_ips)
        )
        return {**dict(finished), **dict(nodes), **dict(services), **self._claims}

    def _instead(self, service: Service) -> str:
        if not service.selector:
            return "it has no selector, so its endpoints are unknown; ask for their addresses"
        ports = dict.fromkeys(_port(p.target_port, p.protocol.value) for p in service.ports)
        names = [f"{pod.namespace}/{pod.name}" for pod in self._backends(service)]
        if not names:
            return "policies see its pods, and its selector matches none"
        asks = [f"{name}{port}" for name in names for port in ports or ("",)]
        more = f" (and {len(asks) - _SHOWN} more)" if len(asks) > _SHOWN else ""
        return f"policies see its pods; ask for {' or '.join(asks[:_SHOWN])}{more}"

    def _backends(self, service: Service) -> Iterator[Pod]:
        wanted = set(service.selector)
        for pod in self._cluster.pods:
            same = pod.namespace == service.ref.namespace
            if same and not pod.finished and wanted <= set(pod.labels):
                yield pod


def _names(pods: Iterable[Pod]) -> str:
    return " and ".join(f"{pod.namespace}/{pod.name}" for pod in sorted(pods, key=_by_name))


def _port(target: int | str, protocol: str) -> str:
    return f":{target}" if protocol == "TCP" else f":{target}/{protocol.lower()}"


def _by_name(pod: Pod) -> tuple[str, str]:
    return pod.namespace, pod.name
