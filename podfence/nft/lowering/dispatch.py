"""From the address of a pod of this node to the groups that judge it: elements of sets and maps.

Rule: this is what comes and goes with pods, and it follows from the groups of each address.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from podfence.nft.lowering.deny import STATELESS, prefix_of
from podfence.nft.lowering.groups import self_sets
from podfence.nft.lowering.identifiers import Namer
from podfence.nft.lowering.skeleton import range_set, stateless_map, verdict_map
from podfence.nft.lowering.views import AUDIT_VIEWS, FAMILIES, VIEWS, DirectionView
from podfence.nft.objects import (
    ADDRESS_TYPES,
    RETURN,
    Chain,
    ChainVerdict,
    DataType,
    RangeSet,
    Rule,
    Set,
    goto,
    jump,
)
from podfence.policy.flow import Direction
from podfence.sets import AddressSet
from podfence.sets.addresses import IPNetwork

GroupNames = Mapping[Direction, Collection[str]]
"""The groups of the pods that an address may belong to, those that can deny anything. Each has to
let its packets pass."""


def spoken(versions: Iterable[int], pod_cidrs: Iterable[IPNetwork]) -> list[int]:
    """The IP versions of the node's pods, by their addresses. A cluster of one family needs no
    rules for the other."""
    known = {*versions, *(network.version for network in pod_cidrs)}
    return [family for family in FAMILIES if family in known]


def range_sets(pod_cidrs: Iterable[IPNetwork]) -> Iterator[RangeSet]:
    """The ranges that pods of the node get addresses from."""
    ranges = AddressSet.of(pod_cidrs)
    for family in FAMILIES:
        spans = tuple(((low,), (high,)) for low, high in ranges.family(family))
        yield RangeSet(range_set(family), (ADDRESS_TYPES[family],), spans)


def self_set(family: int, addresses: Iterable[int]) -> Set:
    """The pairs of a pod's address and itself."""
    pairs = frozenset((address, address) for address in addresses)
    return Set(self_sets()[family], (ADDRESS_TYPES[family],) * 2, pairs)


def map_types() -> Iterator[tuple[str, tuple[DataType, ...]]]:
    """The maps that addresses of pods are in, those of every view before those of packets without
    a connection."""
    for view in VIEWS:
        for family in FAMILIES:
            yield verdict_map(view, family), (ADDRESS_TYPES[family],)
    for family in FAMILIES:
        yield stateless_map(family), (ADDRESS_TYPES[family],)


def audit_map_types() -> Iterator[tuple[str, tuple[DataType, ...]]]:
    """The maps that the addresses of pods are in for which something is audited."""
    for view in AUDIT_VIEWS:
        for family in FAMILIES:
            yield verdict_map(view, family), (ADDRESS_TYPES[family],)


AUDIT_MAPS = tuple(name for name, _ in audit_map_types())
"""Their names."""


def leads_of(
    family: int, names: GroupNames, audits: GroupNames, namer: Namer
) -> Iterator[tuple[str, ChainVerdict, Chain | None]]:
    """For each map of a family, where the packets of an address go, and the chain that leads on
    where several groups have to be asked. ``audits``: the groups that audit. An address without one
    has no element in the maps of audits."""
    for view in VIEWS:
        yield verdict_map(view, family), *_lead(names[view.direction], view, namer)
    judged = any(names.values())
    yield stateless_map(family), goto(f"{STATELESS}_d") if judged else RETURN, None
    for view in AUDIT_VIEWS:
        if audits[view.direction]:
            yield verdict_map(view, family), *_lead(audits[view.direction], view, namer)


def _lead(
    names: Collection[str], view: DirectionView, namer: Namer
) -> tuple[ChainVerdict, Chain | None]:
    targets = [f"{name}{view.suffix}" for name in sorted(names)]
    if not targets:
        return RETURN, None
    if len(targets) == 1:
        return goto(targets[0]), None
    prefix = prefix_of(view.direction, audit=view.audit)
    name = namer.name(f"{prefix}all_", " ".join(targets))
    return goto(name), Chain(name, tuple(Rule((jump(target),)) for target in targets))
