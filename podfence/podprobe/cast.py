"""Which pods of a cluster get a container: a few that stand for all that tests are about.

Rule: pods of one workload that policies cannot tell apart are represented by one of them, and by
two where they may connect to each other. Pods that a test names go before those that it is about
because it is about everybody. Pods of Kubernetes' own namespaces are taken only where a test names
nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podfence.model.objects import Pod
from podfence.questions.tests.world import ClusterWorld

SYSTEM = ("kube-system", "kube-public", "kube-node-lease")
"""Namespaces of Kubernetes itself."""


class Cast:
    """Pods that take part, by name, the same in all documents of a run. ``most``: how many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._pods: dict[str, None] = {}
        self.left_out: set[str] = set()
        """Pods that ``most`` has left no room for."""

    def __contains__(self, pod: str) -> bool:
        return pod in self._pods

    def __iter__(self) -> Iterator[str]:
        return iter(self._pods)

    def take(self, world: ClusterWorld, pods: Iterable[int], of_each: int = 1) -> None:
        """Take up to so many pods of each workload and class among these, as long as there is
        room."""
        usable = [n for n in pods if can_take_part(world.endpoint(n).pod)]
        plain = [n for n in usable if world.endpoint(n).pod.namespace not in SYSTEM]
        groups: dict[tuple[int, int], list[str]] = {}
        for number in plain or usable:
            key = world.class_of[number], world.workloads[number]
            groups.setdefault(key, []).append(world.pods[number])
        for names in groups.values():
            missing = of_each - sum(name in self._pods for name in names)
            for name in sorted(n for n in names if n not in self._pods)[: max(0, missing)]:
                if len(self._pods) < self._most:
                    self._pods[name] = None
                else:
                    self.left_out.add(name)


def can_take_part(pod: Pod) -> bool:
    """Whether a pod of the input exists, runs somewhere, and has a network of its own."""
    exists = pod.has_status and bool(pod.node) and not (pod.finished or pod.deleting)
    return exists and not pod.host_network
