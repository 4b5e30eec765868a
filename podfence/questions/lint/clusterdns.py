"""Where a cluster resolves names, from its settings.

Rule: settings go before every guess by names and labels that distributions use.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from podfence.model.meta import Labels
from podfence.model.objects import Pod
from podfence.policy.index import Endpoint
from podfence.sets.addresses import IPAddress


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
