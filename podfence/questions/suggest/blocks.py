"""Addresses outside -> the blocks that a rule names.

Rule: a block holds what was seen and nothing else, unless wider ones are asked for; and no wider
one holds an address of a pod, a node or a Service.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network, collapse_addresses
from typing import Final

from msgspec import Struct

from podfence.model.cluster import Cluster
from podfence.model.networkpolicy import IPBlock
from podfence.questions.phrases.outside import lines_of, shortest_blocks
from podfence.sets import AddressSet
from podfence.sets.addresses import IPNetwork

FEW: Final = 8
"""Blocks of a rule that are written as they are, however wide they may be made."""


class Widening(Struct, frozen=True):
    """``widths``: by IP version, the shortest prefix that a block may have. ``held``: addresses
    that no wider block may hold."""

    widths: Mapping[int, int]
    held: AddressSet


def widening(cluster: Cluster, widths: Mapping[int, int]) -> Widening:
    """What holds in a cluster."""
    nodes = cluster.nodes.values()
    held = [
        *(cidr for node in nodes for cidr in node.pod_cidrs),
        *(address for node in nodes for address in node.addresses),
        *(address for pod in cluster.pods for address in pod.addresses),
        *(address for service in cluster.services for address in service.addresses),
    ]
    return Widening(widths, AddressSet.of(held))


def blocks_of(seen: Iterable[IPNetwork], wider: Widening | None = None) -> tuple[IPBlock, ...]:
    """The fewest blocks that hold ``seen`` and nothing else, with what is left out of them where
    that is shorter; where these are more than ``FEW``, and wider ones are asked for, fewer that
    hold more."""
    found = tuple(_joined(seen))
    exact = shortest_blocks(AddressSet.of(found))
    if wider is None or lines_of(exact) <= FEW:
        return exact
    every = sorted(_widened(found, wider), key=lambda b: (b.version, b.network_address))
    return tuple(map(IPBlock, every))


def _joined(blocks: Iterable[IPNetwork]) -> Iterator[IPNetwork]:
    every = list(blocks)
    yield from collapse_addresses(b for b in every if isinstance(b, IPv4Network))
    yield from collapse_addresses(b for b in every if isinstance(b, IPv6Network))


def _widened(blocks: Sequence[IPNetwork], wider: Widening) -> Iterator[IPNetwork]:
    """Those that share a block of the width: the smallest block that holds them."""
    groups: dict[IPNetwork, list[IPNetwork]] = defaultdict(list)
    for block in blocks:
        width = min(wider.widths[block.version], block.prefixlen)
        groups[block.supernet(new_prefix=width)].append(block)
    for members in groups.values():
        low = min(int(each.network_address) for each in members)
        high = max(int(each.broadcast_address) for each in members)
        length = members[0].max_prefixlen - (low ^ high).bit_length()
        whole = members[0].supernet(new_prefix=length)
        if wider.held & AddressSet.of([whole]):
            yield from members
        else:
            yield whole
