"""A doubt: an object whose meaning is not known, or not in full, or a kind that was not listed.

Rule: whatever is still known of the object stands here, so that it takes away exactly the verdicts
that it could change. ``questions.certainty`` knows which these are.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.errors import Source
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import PolicyType
from podfence.model.selectors import LabelSelector
from podfence.sets.addresses import IPAddress

BOTH_TYPES = frozenset(PolicyType)
_OF_PODS = frozenset(
    {
        "",
        "CronJob",
        "DaemonSet",
        "Deployment",
        "Job",
        "Pod",
        "ReplicaSet",
        "ReplicationController",
        "StatefulSet",
    }
)
"""Kinds of objects that may be pods, or run them; "" is any."""


class Doubt(Struct, frozen=True):
    """One object that could not be read, or a policy that was read and asks for labels whose values
    are not known."""

    kind: str
    """"" when even the kind is not known: it may be any object."""
    namespace: str = ""
    """"" for kinds without one, and when it is not known."""
    name: str = ""
    """"" when it is not known."""
    source: Source | None = None
    path: str = ""
    """The first field that could not be read, "" for the object as a whole."""
    selector: LabelSelector = LabelSelector()
    """NetworkPolicy: the pods that it selects, as far as that could be read; else every pod."""
    types: frozenset[PolicyType] = BOTH_TYPES
    """NetworkPolicy: the directions that it may be about."""
    keys: frozenset[str] | None = None
    """Namespace: the keys of the labels that could not be read; None: no label is known."""
    addresses: tuple[IPAddress, ...] | None = ()
    """Pod, Service, Node, unknown kind: the addresses that it may have; None: any."""
    node_addresses: tuple[IPAddress, ...] = ()
    """Pod: the addresses that it tells of its node."""
    owner: ObjectRef | None = None
    """Pod: the workload that it belongs to, as far as that could be read."""
    listed_in: frozenset[str] | None = None
    """Of a kind that could not be listed: the namespaces in which it could. None: one object."""

    pods: frozenset[str] = frozenset()
    """A policy that was read: the pods (``namespace/name``) that it may select or not, as subjects
    or as peers, by the value of a label that only running pods have. Only they are in doubt."""

    @property
    def may_have_pods(self) -> bool:
        """Whether it is an object that may be an unknown pod, or run unknown pods."""
        return self.kind in _OF_PODS and self.listed_in is None and not self.pods

    def may_be_in(self, namespace: str) -> bool:
        """Whether the object may be in a namespace."""
        return self.namespace in ("", namespace) and namespace not in (self.listed_in or ())

    def __str__(self) -> str:
        """``NetworkPolicy shop/db`` as far as it is known."""
        if self.listed_in is not None:
            where = f" outside {', '.join(sorted(self.listed_in))}" if self.listed_in else ""
            return f"any {self.kind}{where}"
        if not self.kind:
            return "an object of unknown kind"
        name = self.name or "(name unknown)"
        return f"{self.kind} {self.namespace}/{name}" if self.namespace else f"{self.kind} {name}"
