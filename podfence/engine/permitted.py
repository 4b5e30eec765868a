"""permitted(index, a, b) -> PortSet: what may pass from one address to another, all facts counted.

Rule: the two facts about single pods, which classes cannot hold, are known here alone: a pod cannot
block itself (NP-54), and a pod's own node reaches the pod (NP-52).
"""

from __future__ import annotations

from collections.abc import Sequence, Sized

from podfence.engine.connections import allowed_ports
from podfence.engine.porttable import EVERYTHING_ID, PortTable
from podfence.policy.flow import Direction
from podfence.policy.index import Endpoint, PolicyIndex
from podfence.sets import PortSet
from podfence.sets.addresses import IPAddress

Subjects = tuple[Endpoint, ...]
"""The pods whose policies judge an end: none, one, or several that may have its address."""


def permitted(index: PolicyIndex, source: IPAddress, destination: IPAddress) -> PortSet:
    """Everything that passes from one address to another of the same family: ``evaluate`` for all
    ports at once."""
    return Permitted(index).ports(source, destination)


def is_itself(source: Sequence[object], destination: Sequence[object]) -> bool:
    """NP-54: whether both ends are one pod, which no policy keeps from itself. Ends that may be
    several pods (NP-60a) are one address if they have a pod in common. Each pod is one object."""
    return any(a is b for a in source for b in destination)


def is_one_pod(pods: Sized) -> bool:
    """NP-54 for many pods that are judged as one: whether what goes from them to them is what a
    single pod sends to itself, so that no policy judges it."""
    return len(pods) == 1


def from_own_node(index: PolicyIndex, source: IPAddress, destination: Endpoint) -> bool:
    """NP-52: whether ``source``, which is no pod's, is an address of the node that runs the pod."""
    pod = destination.pod
    return source in pod.host_addresses or index.is_of_node(source, pod.node)


class Permitted:
    """``permitted`` for many pairs of one index: what pairs have in common is worked out once.

    ``table``: the port sets of the answers, by number.
    """

    def __init__(self, index: PolicyIndex) -> None:
        self._index = index
        self.table = PortTable()
        self._ends: dict[tuple[int, int, int], int] = {}

    def ports(self, source: IPAddress, destination: IPAddress) -> PortSet:
        """Everything that passes from one address to another; see :func:`permitted`."""
        return self.table.sets[self.number(source, destination)]

    def number(self, source: IPAddress, destination: IPAddress) -> int:
        """The same as a number of ``table``: equal numbers, equal sets."""
        near = self._index.subjects_at(source)
        far = self._index.subjects_at(destination)
        number = EVERYTHING_ID  # NP-1: for an end that is no pod
        if is_itself(near, far):
            return number
        for subject in near:
            number = self._both(number, self._end(subject, Direction.EGRESS, destination))
        for subject in far:
            if near or not from_own_node(self._index, source, subject):
                number = self._both(number, self._end(subject, Direction.INGRESS, source))
        return number

    def _both(self, one: int, other: int) -> int:
        return other if one == EVERYTHING_ID else self.table.intersection(one, other)

    def _end(self, subject: Endpoint, direction: Direction, remote: IPAddress) -> int:
        """What the policies of a pod permit."""
        policy = self._index.policies[subject.endpoint_class].of(direction)
        key = policy.number, self._index.class_of(remote), remote.version
        number = self._ends.get(key)
        if number is None:
            ports = allowed_ports(policy, key[1], remote.version)
            number = self._ends[key] = self.table.number(ports)
        return number
