"""Random clusters pushed to where ``random_clusters`` never goes.

Rule: legal objects alone, and the judges need no more than the cluster itself. What is made: pods
and policies of one name in several namespaces; the label key of namespace names on pods; addresses
at the edges of the address space; nodes that share an address with one another or with a pod of
another node; policies of which some are audited; with ``LONG``, lists as long as the API allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from random import Random
from typing import Any

from msgspec import Struct
from msgspec.structs import fields, replace

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.meta import METADATA_NAME_LABEL, Labels
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Namespace, Node, Pod
from podfence.model.selectors import LabelSelector
from podfence.sets.addresses import IPNetwork
from tests.support.random_clusters import Size, objects_of, random_cluster

LONG = Size(policies=2, rules=25, items=25, admin_policies=2)
"""Few policies, with as many rules and peers as a ClusterNetworkPolicy may have."""
AUDITED_SHARE = 0.15
_VALUES = {"a": "x", "b": "y", "": ""}
"""Label values that are names of namespaces, too."""
_MOVES: tuple[tuple[str, str], ...] = (
    ("0.0.0.0", "::"),
    ("10.0.0.15", "fd00::f"),  # to 0.0.0.0 and ::, in the order turned round
    ("245.255.255.255", "2ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),  # to the last addresses
    ("117.255.255.240", "8d00::ffff:ffff:0"),  # to the middle of IPv4; to 7000::ffff:ffff:0
    ("202.168.0.0", "3::1:0:0:0:0"),  # 192.168.0.0; fe00::1:0:0:0 beyond the link-local ones
)
"""What is combined with each address, bit by bit: nets stay nets, neighbours stay neighbours."""


def moved_alike(rng: Random) -> Callable[[Random, Size], Cluster]:
    """What makes odd clusters whose addresses are all in the same strange places, so that objects
    of several fit one another."""
    move = _Move.drawn(rng)
    return lambda each, size: odd_cluster(each, size, move)


def odd_cluster(rng: Random, size: Size, move: _Move | None = None) -> Cluster:
    """One cluster; the same random state gives the same cluster."""
    things = objects_of(random_cluster(rng, size))
    if rng.random() < 0.5:
        things = [_with_key_of_namespaces(thing) for thing in things]
    things = [_named_again(rng, thing) for thing in things]
    things = _sharing_node_addresses(rng, things)
    move = move or _Move.drawn(rng)
    return Cluster.of(_audited(rng, move.of(thing)) for thing in things)


def _named_again(rng: Random, thing: ClusterObject) -> ClusterObject:
    """Of few names, so that one name is in several namespaces; of two in one the later counts."""
    if isinstance(thing, Pod):
        return replace(thing, name=f"p{rng.randrange(5)}")
    if isinstance(thing, NetworkPolicy):
        return replace(thing, ref=replace(thing.ref, name=f"np{rng.randrange(5)}"))
    return thing


def _with_key_of_namespaces(thing: Any) -> Any:
    """The key ``app`` becomes that of the names of namespaces, in labels and in selectors."""
    if isinstance(thing, LabelSelector):
        return LabelSelector(
            _renamed(thing.match_labels),
            tuple(
                replace(
                    each,
                    key=METADATA_NAME_LABEL if each.key == "app" else each.key,
                    values=tuple(_VALUES.get(value, value) for value in each.values),
                )
                for each in thing.match_expressions
            ),
        )
    if isinstance(thing, tuple):
        return tuple(_with_key_of_namespaces(each) for each in thing)
    if not isinstance(thing, Struct):
        return thing
    changed = {
        each.name: _with_key_of_namespaces(getattr(thing, each.name)) for each in fields(thing)
    }
    if isinstance(thing, Pod | Namespace | Node):
        changed["labels"] = _renamed(thing.labels)
    return replace(thing, **changed)


def _renamed(labels: Labels) -> Labels:
    known = dict(labels)
    app = known.pop("app", None)
    values = {key: _VALUES.get(value, value) for key, value in known.items()}
    if app is not None:  # a namespace keeps its name
        values = {METADATA_NAME_LABEL: _VALUES.get(app, app)} | values
    return tuple(sorted(values.items()))


def _sharing_node_addresses(rng: Random, things: list[ClusterObject]) -> list[ClusterObject]:
    """Some nodes have an address of another node, or of a pod that runs elsewhere, as well. What a
    node sends to an address of its own never leaves it, so no pod of its own has that one."""
    owners = [
        (_node_of(thing), thing.addresses) for thing in things if isinstance(thing, Pod | Node)
    ]
    found: list[ClusterObject] = []
    for thing in things:
        if isinstance(thing, Node) and rng.random() < 0.3:
            own = {a for node, addresses in owners if node in ("", thing.name) for a in addresses}
            others = {a for _, addresses in owners for a in addresses} - own
            taken = rng.sample(sorted(others, key=str), min(1, len(others)))
            thing = replace(thing, addresses=(*thing.addresses, *taken))
        found.append(thing)
    return found


def _node_of(thing: Pod | Node) -> str:
    """The node of a pod, "" where it is not known; a node itself."""
    return thing.node if isinstance(thing, Pod) else thing.name


def _audited(rng: Random, thing: ClusterObject) -> ClusterObject:
    if isinstance(thing, NetworkPolicy | ClusterNetworkPolicy):
        return replace(thing, audited=rng.random() < AUDITED_SHARE)
    return thing


@dataclass(frozen=True)
class _Move:
    """A change of every address and net: some of their bits are turned."""

    bits: Mapping[int, int]

    @classmethod
    def drawn(cls, rng: Random) -> _Move:
        """One of those for each family."""
        return cls(
            {4: int(ip_address(rng.choice(_MOVES)[0])), 6: int(ip_address(rng.choice(_MOVES)[1]))}
        )

    def of(self, thing: Any) -> Any:
        """A value with all addresses in it moved."""
        if isinstance(thing, IPv4Address | IPv6Address):
            return type(thing)(int(thing) ^ self.bits[thing.version])
        if isinstance(thing, IPv4Network | IPv6Network):
            return self._net(thing)
        if isinstance(thing, tuple):
            return tuple(self.of(each) for each in thing)
        if isinstance(thing, Struct):
            return replace(
                thing, **{each.name: self.of(getattr(thing, each.name)) for each in fields(thing)}
            )
        return thing

    def _net(self, net: IPNetwork) -> IPNetwork:
        first = (int(net.network_address) ^ self.bits[net.version]) & int(net.netmask)
        if net.version == 4:
            return IPv4Network((first, net.prefixlen))
        return IPv6Network((first, net.prefixlen))
