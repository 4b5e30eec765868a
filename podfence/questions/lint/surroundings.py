"""Facts besides the policies and pods of an index that findings depend on.

Rule: an unknown fact is empty, and findings that need it are left out.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.model.entries import Controllers, Entries
from podfence.model.meta import Labels, ObjectRef
from podfence.questions.lint.clusterdns import UNTOLD, ClusterDns
from podfence.questions.lint.conflicts import Twin
from podfence.questions.unjudged import UNTOUCHED, TouchedPods
from podfence.sets.addresses import IPAddress, IPNetwork


class Surroundings(Struct, frozen=True):
    """``touched``: pods that policies of other APIs may touch; ``entries``: ways in from outside,
    with who serves them."""

    touched: TouchedPods = UNTOUCHED
    entries: Entries = Entries()
    controllers: Controllers = Controllers()
    api_server: tuple[IPAddress, ...] = ()
    """The addresses of the API server."""
    tenant_label: str = ""
    """A label of namespaces: namespaces with different values must not connect."""
    shared: frozenset[str] = frozenset()
    """Namespaces that every tenant may meet, by name."""
    shared_labels: tuple[Labels, ...] = ()
    """Further shared namespaces: those that have all labels of one entry."""
    plugin: str = ""
    """The network plugin, with its version where that is known: ``calico 3.30``."""
    service_cidrs: tuple[IPNetwork, ...] = ()
    """The ranges from which the cluster gives addresses to Services."""
    twins: tuple[Twin, ...] = ()
    """Policies that others of the same name took the place of."""
    apart: frozenset[ObjectRef] = frozenset()
    """Workloads and pods that somebody has written a remark about: what is said of several has to
    be said of each of these alone."""
    dns: ClusterDns = UNTOLD
    metadata_allowed: frozenset[str] = frozenset()
    """Namespaces whose pods are meant to reach the metadata service of a cloud."""
    is_partial: bool = False
    """Whether the cluster has pods and namespaces that the input does not hold."""

    def is_shared(self, namespace: str, labels: Labels) -> bool:
        """Whether every tenant may meet a namespace."""
        held = set(labels)
        return namespace in self.shared or any(held.issuperset(each) for each in self.shared_labels)


NOWHERE = Surroundings()
