"""Tenants: namespaces with different values of one label, which are not to meet.

Rule: a namespace without the label has no tenant, and one that all tenants share has none either.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from podfence.model.meta import Labels
from podfence.model.objects import Namespace


class Tenants(Struct, frozen=True):
    """``label``: of namespaces, "" for no tenants. ``shared``: namespaces that every tenant may
    meet, by name; ``shared_labels``: more of them, those that have all the labels of one."""

    label: str = ""
    shared: frozenset[str] = frozenset()
    shared_labels: tuple[Labels, ...] = ()

    def of(self, namespaces: Mapping[str, Namespace]) -> dict[str, str]:
        """The tenant of each namespace that has one."""
        if not self.label:
            return {}
        found = {}
        for name, each in namespaces.items():
            tenant = dict(each.labels).get(self.label)
            if tenant is not None and not self._is_shared(each):
                found[name] = tenant
        return found

    def _is_shared(self, namespace: Namespace) -> bool:
        held = set(namespace.labels)
        return namespace.name in self.shared or any(
            held.issuperset(each) for each in self.shared_labels
        )


NO_TENANTS = Tenants()
