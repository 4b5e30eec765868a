"""The pods behind an entry, grouped where policies cannot tell them apart, with their port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Final

from msgspec import Struct

from podfence.model.entries import Entries, EntryPoint, Gateway
from podfence.model.objects import Namespace, Pod, Service
from podfence.policy.index import Endpoint
from podfence.sets import AddressSet, PortSet

_EXAMPLES: Final = tuple(
    map(ip_address, ("203.0.113.1", "198.51.100.1", "192.0.2.1", "2001:db8::1"))
)
"""Addresses that stand for anybody outside (RFC 5737, RFC 3849)."""


class EntryTarget(Struct, frozen=True):
    """Pods behind an entry that policies cannot tell apart, and their port."""

    name: str
    endpoint_class: int
    port: int
    wanted: PortSet
    pods: tuple[str, ...]
    families: tuple[int, ...]


def numbers_of(entry: EntryPoint, service: Service | None, pod: Pod) -> Iterable[int]:
    """The ports of a pod that an entry leads to."""
    if service is None or entry.is_target:
        return (entry.port,) if isinstance(entry.port, int) else ()
    ports = [
        port
        for port in service.ports
        if port.protocol is entry.protocol and entry.port in (None, port.port, port.name or None)
    ]
    return dict.fromkeys(number for port in ports if (number := port.on(pod)) is not None)


def pods_of(ends: Iterable[Endpoint]) -> tuple[str, ...]:
    """``namespace/name`` of each."""
    return tuple(f"{end.pod.namespace}/{end.pod.name}" for end in ends)


def emptiness(entry: EntryPoint, service: Service | None, *, has_pods: bool) -> str:
    """Why an entry leads to no pod. ``has_pods``: whether some are behind its Service."""
    if service is None:
        return "no pod has the port now"
    if service.external_name:
        return f"Service {service.ref} stands for a name outside the cluster"
    if not service.selector:
        return f"Service {service.ref} has no selector, so no policy of pods is asked"
    if not has_pods:
        return f"no pod is behind Service {service.ref} now"
    return f"Service {service.ref} leads to no pod on port {entry.port}"


def shared_families(end: Endpoint, target: EntryTarget) -> tuple[int, ...]:
    """The IP versions that both speak."""
    own = {address.version for address in end.addresses}
    return tuple(family for family in target.families if family in own)


def example_of(addresses: AddressSet) -> str:
    """One of some addresses, to show what becomes of them; "" of none."""
    for each in _EXAMPLES:
        if each in addresses:
            return str(each)
    first = next(addresses.networks(), None)
    return "" if first is None else str(first.network_address)


# -- Conditions of a route besides policies: a Gateway that accepts it, and a grant for its target
# Rule: a route that a Gateway would refuse is not reported as open. An object that was not read may
# allow it, so it is not reported as closed either.


def refusal(entry: EntryPoint, entries: Entries, namespaces: Mapping[str, Namespace]) -> str:
    """Why Gateways do not serve a route now; "" if there is no known reason."""
    if not entry.gateways:
        return ""
    known = [entries.gateways.get(ref) for ref in entry.gateways]
    own = entry.ref.namespace
    if not any(each is None or _takes(each, own, namespaces) for each in known):
        names = ", ".join(f"{ref.namespace}/{ref.name}" for ref in entry.gateways)
        return f"Gateway {names} takes no routes of namespace {own} (allowedRoutes)"
    service = entry.service
    if service is None or service.namespace == own:
        return ""
    granted = any(
        (grant.kind, grant.namespace, grant.to_namespace)
        == (entry.ref.kind, own, service.namespace)
        and grant.service in ("", service.name)
        for grant in entries.grants
    )
    if granted:
        return ""
    return f"no ReferenceGrant of namespace {service.namespace} allows routes of {own} to it"


def _takes(gateway: Gateway, namespace: str, namespaces: Mapping[str, Namespace]) -> bool:
    if not gateway.takes or (namespace == gateway.ref.namespace and None in gateway.takes):
        return True
    found = namespaces.get(namespace)
    selectors = [each for each in gateway.takes if each is not None]
    if found is None or found.source is None:  # its labels are not known
        return bool(selectors)
    return any(each.matches(dict(found.labels)) for each in selectors)
