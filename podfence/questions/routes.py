"""Conditions of a route besides policies: a Gateway that accepts it, and a grant for its target.

Rule: a route that a Gateway would refuse is not reported as open. An object that was not read may
allow it, so it is not reported as closed either.
"""

from __future__ import annotations

from collections.abc import Mapping

from podfence.model.entries import Entries, EntryPoint, Gateway
from podfence.model.objects import Namespace


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
