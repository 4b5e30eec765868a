"""Facts besides the policies and pods of an index that findings depend on.

Rule: an unknown fact is empty, and findings that need it are left out.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from msgspec import Struct

from podfence.model.entries import Controllers, Entries
from podfence.model.meta import Labels, ObjectRef
from podfence.model.objects import Pod
from podfence.policy.index import Endpoint
from podfence.questions.tenants import NO_TENANTS, Tenants
from podfence.questions.unjudged import UNTOUCHED, TouchedPods
from podfence.sets.addresses import IPAddress, IPNetwork

if TYPE_CHECKING:  # with plans, which the settings of most commands do without
    from podfence.questions.lint.conflicts import Twin

# -- Where a cluster resolves names, from its settings
# Rule: settings go before every guess by names and labels that distributions use.


class ClusterDns(Struct, frozen=True):
    """The pods that serve DNS, by namespace and labels, and the address of the cache on each node.
    None: not set."""

    pods: tuple[str, Labels] | None = None
    node_local: IPAddress | None = None

    def is_served_by(self, pod: Pod) -> bool:
        """Whether a pod serves DNS; False if the pods are not set."""
        if self.pods is None or pod.namespace != self.pods[0]:
            return False
        return set(self.pods[1]) <= set(pod.labels)

    def is_none_of(self, ends: Collection[Endpoint]) -> bool:
        """Whether pods, at least one, certainly do not serve DNS."""
        if self.pods is None or not ends:
            return False
        return not any(self.is_served_by(end.pod) for end in ends)


UNTOLD = ClusterDns()


class Surroundings(Struct, frozen=True):
    """``touched``: pods that policies of other APIs may touch; ``entries``: ways in from outside,
    with who serves them."""

    touched: TouchedPods = UNTOUCHED
    entries: Entries = Entries()
    controllers: Controllers = Controllers()
    api_server: tuple[IPAddress, ...] = ()
    """The addresses of the API server; none where they are unknown."""
    tenants: Tenants = NO_TENANTS
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


NOWHERE = Surroundings()
