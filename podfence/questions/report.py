"""The content of a report: the map, every pod on it, and the compiled rules behind each pair.

Rule: nothing is decided here. Pods with uncertain verdicts stay on the map and are marked, so that
a reader sees where there is no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from podfence.engine.partition import speakers
from podfence.policy.index import PolicyIndex
from podfence.questions.certainty import Certainty
from podfence.questions.connectivity import Connectivity, Group, connectivity


class Report(Struct, frozen=True):
    """``families``: the IP versions that a pod has an address of, each with its classes.
    ``open_groups``: numbers of the groups with a pod whose verdicts an object that could not be
    read may turn."""

    index: PolicyIndex
    map: Connectivity
    families: tuple[tuple[int, frozenset[int]], ...]
    open_groups: frozenset[int]

    def families_of(self, group: Group) -> tuple[int, ...]:
        """The IP versions of a group, among those that pods speak."""
        if group.addresses is not None:
            return tuple(family for family, _ in self.families if group.addresses.family(family))
        return tuple(family for family, classes in self.families if group.endpoint_class in classes)

    def class_in(self, group: Group, family: int) -> int:
        """The class that represents a group in one of its IP versions. Outside groups may hold
        several classes with equal verdicts, but different rules; then it is the class of the first
        address."""
        if group.addresses is None:
            return group.endpoint_class
        first = next(iter(group.addresses.family(family)))[0]
        address = IPv4Address(first) if family == 4 else IPv6Address(first)
        return self.index.outside_lookup.find(address)

    def classes(self) -> dict[int, int]:
        """The classes of the groups, renumbered from 0 in the order of the groups."""
        numbers: dict[int, int] = {}
        for group in self.map.groups:
            for family in self.families_of(group):
                numbers.setdefault(self.class_in(group, family), len(numbers))
        return numbers


def report(index: PolicyIndex, only: frozenset[str] = frozenset()) -> Report:
    """The report of a cluster. ``only``: when not empty, pairs with an end in one of these
    namespaces."""
    found = connectivity(index, only=only)
    families = sorted({a.version for a in index.by_address})
    speaking = tuple((family, _speakers(index, family)) for family in families)
    return Report(index, found, speaking, frozenset(_open_groups(index, found)))


def _speakers(index: PolicyIndex, family: int) -> frozenset[int]:
    pods, outside = speakers(index, family)
    return frozenset(pods | outside)


def _open_groups(index: PolicyIndex, found: Connectivity) -> Iterator[int]:
    certainty = Certainty(index)
    if not certainty.doubts:
        return
    pods = certainty.open_pods()
    for group in found.groups:
        owner = group.workload
        if owner is None:
            continue
        named = (f"{owner.namespace}/{pod}" for pod in group.pods)
        if certainty.pods_of(owner) or not pods.isdisjoint(named):
            yield group.number
