"""A Service as the target of a question -> the ends and ports that a connection to it may reach.

Rule: policies are evaluated after a Service's address was rewritten (NP-45, NP-46, NP-49). So a
Service is judged as all its endpoints, by whichever address or name it was named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from podfence.errors import QuestionError
from podfence.model.kindnames import kind_called
from podfence.model.objects import EndpointSlice, Pod, Service, ServicePort
from podfence.policy.domains import resolve
from podfence.policy.index import PolicyIndex
from podfence.questions.parties import PartyEnd, PartyLookup, literal
from podfence.sets.addresses import IPAddress
from podfence.sets.ports import OTHER

_SHOWN = 5
_SERVICE_NAME = re.compile(r"(?P<name>[^.]+)\.(?P<namespace>[^.]+)\.svc(\.cluster\.local)?")
"""The name of a Service in the DNS of a cluster of the usual domain."""


class ServiceBackends(Struct, frozen=True):
    """What a connection to a Service may reach: each end with its port. ``note`` says that it was
    a Service."""

    service: Service
    ways: tuple[tuple[PartyEnd, int], ...]
    note: str


class Services:
    """Looks Services up in one index."""

    def __init__(self, index: PolicyIndex, directory: PartyLookup) -> None:
        self._cluster = index.cluster
        self._names = index.names
        self._directory = directory
        self._by_name = {str(service.ref): service for service in index.cluster.services}
        self._by_address = {
            address: service for service in index.cluster.services for address in service.addresses
        }

    def behind(
        self, name: str, namespace: str, port: int | str, protocol: str
    ) -> ServiceBackends | None:
        """What is behind a target, None if it is no Service. Pods and workloads of the same name
        go before; ``svc/NAME`` is always the Service.

        Raises QuestionError when nothing is behind it, or not on this port.
        """
        address = literal(name)
        service = self._called(name, namespace) if address is None else self._at(address)
        if service is None:
            return None
        ways = tuple(dict.fromkeys(self._ways(service, port, protocol)))
        known = (address,) if address else service.cluster_ips
        families = frozenset[int](a.version for a in known)
        kept = tuple(_of_families(ways, families) if families else ways)
        if not kept:
            raise QuestionError(f"nothing is behind Service {service.ref} in the family of {name}")
        shown = [f"{end.name}:{number}" for end, number in kept[:_SHOWN]]
        more = f" and {len(kept) - _SHOWN} more" if len(kept) > _SHOWN else ""
        note = f"{name} is Service {service.ref}, judged by what is behind it: {', '.join(shown)}"
        headless = "; it is headless, so no port is rewritten" if service.headless else ""
        if service.external_name:
            headless = f"; it is another name for {service.external_name}"
        return ServiceBackends(service, kept, f"{note}{more}{headless}")

    def has(self, name: str, namespace: str) -> bool:
        """Whether a Service is called so, or has this address."""
        return self._meant(name, namespace) is not None

    def ports(self, name: str, namespace: str) -> tuple[ServicePort, ...]:
        """All ports of a Service that rewrites them: through it there are no others. () for a
        headless one, for which every port is the pods' own, and for what is no Service."""
        service = self._meant(name, namespace)
        return () if service is None or service.headless else service.ports

    def _meant(self, name: str, namespace: str) -> Service | None:
        address = literal(name)
        return self._called(name, namespace) if address is None else self._at(address)

    def _at(self, address: IPAddress) -> Service | None:
        return self._by_address.get(address)

    def _called(self, name: str, namespace: str) -> Service | None:
        words = name.split("/")
        if len(words) == 3 and kind_called(words[1]) == "Service":
            return self._by_name.get(f"{words[0]}/{words[2]}")
        if self._directory.has_pods(name):
            return None
        if len(words) == 2 and kind_called(words[0]) == "Service" and name not in self._by_name:
            return self._by_name.get(f"{namespace}/{words[1]}")
        return self._by_name.get(name)

    def _ways(
        self, service: Service, port: int | str, protocol: str
    ) -> Iterator[tuple[PartyEnd, int]]:
        if service.external_name:
            yield from self._named_outside(service, port, protocol)
            return
        if protocol == OTHER:
            raise QuestionError(
                f"{service.ref} is a Service, which forwards only ports of TCP, UDP and SCTP; ask "
                "for the pods behind it"
            )
        found = service.headless and isinstance(port, int)
        ports = () if found else tuple(_asked(service, port, protocol))
        if service.selector:
            yield from self._pods(service, ports, port)
        else:
            yield from self._endpoints(service, ports, port)

    def _named_outside(
        self, service: Service, port: int | str, protocol: str
    ) -> Iterator[tuple[PartyEnd, int]]:
        """What an ExternalName leads to: another Service of the cluster, or the addresses that the
        table of names has."""
        name = service.external_name.lower().rstrip(".")
        if found := _SERVICE_NAME.fullmatch(name):
            other = self._by_name.get(f"{found['namespace']}/{found['name']}")
            if other is not None and not other.external_name:
                yield from self._ways(other, port, protocol)
                return
        addresses = resolve(name, self._names)
        if not addresses or not isinstance(port, int):
            raise QuestionError(
                f"Service {service.ref} is an ExternalName for {service.external_name}, and "
                + (
                    "the port needs a number"
                    if addresses
                    else "nothing tells its addresses; --resolve FILE does"
                )
            )
        for address in sorted(addresses, key=lambda a: (a.version, a)):
            yield self._directory.find(str(address)).ends[0], port

    def _pods(
        self, service: Service, ports: tuple[ServicePort, ...], asked: int | str
    ) -> Iterator[tuple[PartyEnd, int]]:
        pods = [pod for pod in self._cluster.pods if _selects(service, pod)]
        if not pods:
            raise QuestionError(
                f"Service {service.ref} selects no pod now, so nothing is behind it"
            )
        numbers = [(pod, number) for pod in pods for number in _numbers(ports, asked, pod)]
        if not numbers:
            raise QuestionError(
                f"no pod behind Service {service.ref} declares the port {ports[0].target_port!r}"
            )
        for pod, number in numbers:
            (end,) = self._directory.find(f"{pod.namespace}/pod/{pod.name}").ends
            yield end, number

    def _endpoints(
        self, service: Service, ports: tuple[ServicePort, ...], asked: int | str
    ) -> Iterator[tuple[PartyEnd, int]]:
        slices = [s for s in self._cluster.endpoint_slices if _is_of(s, service)]
        subsets = [subset for each in slices for subset in each.subsets]
        if not any(subset.addresses for subset in subsets):
            missing = (
                "none of its endpoints is ready"
                if slices
                else ("its endpoints are unknown; add its EndpointSlices")
            )
            raise QuestionError(
                f"Service {service.ref} has no selector, and {missing}, or ask for their addresses"
            )
        names = {(port.name, port.protocol) for port in ports}
        for subset in subsets:
            numbers = [n for name, protocol, n in subset.ports if (name, protocol) in names]
            if not ports and isinstance(asked, int):
                numbers = [asked]
            for address in subset.addresses:
                for number in numbers:
                    yield self._directory.find(str(address)).ends[0], number


def _asked(service: Service, port: int | str, protocol: str) -> Iterator[ServicePort]:
    """The ports of a Service that a question means, by number or name."""
    found = [
        each
        for each in service.ports
        if each.protocol.value == protocol and port in (each.port, each.name or None)
    ]
    if not found:
        names = (
            f"{p.protocol.value}/{p.port}{f' ({p.name})' * bool(p.name)}" for p in service.ports
        )
        raise QuestionError(
            f"Service {service.ref} has no port {protocol}/{port}; it has: "
            f"{', '.join(names) or 'none'}"
        )
    yield from found


def _numbers(ports: tuple[ServicePort, ...], asked: int | str, pod: Pod) -> Iterator[int]:
    if not ports and isinstance(asked, int):  # headless: no port is rewritten
        yield asked
    for port in ports:
        if (number := port.on(pod)) is not None:
            yield number


def _selects(service: Service, pod: Pod) -> bool:
    same = pod.namespace == service.ref.namespace and not pod.finished
    return same and set(service.selector) <= set(pod.labels)


def _is_of(each: EndpointSlice, service: Service) -> bool:
    return (each.ref.namespace, each.service) == (service.ref.namespace, service.ref.name)


def _of_families(
    ways: tuple[tuple[PartyEnd, int], ...], families: frozenset[int]
) -> Iterator[tuple[PartyEnd, int]]:
    """A pod that waits for its address stays (NP-58)."""
    for end, port in ways:
        addresses = tuple(a for a in end.addresses if a.version in families)
        if addresses or not end.addresses:
            yield replace(end, addresses=addresses), port
