"""What is made by hand is as sound as what is read: a value that could mean nothing is refused."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from msgspec.structs import replace
from pyroaring import FrozenBitMap

from podfence.model.clusternetworkpolicy import (
    BASELINE_ADMIN_PRIORITY,
    NamespacedPod,
    Peer,
    ProtocolMatch,
    RuleAction,
    Subject,
    TierRule,
)
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import IPBlock, NetworkPolicyPeer, NetworkPolicyPort, Protocol
from podfence.model.objects import Pod
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from podfence.nft.objects import (
    RETURN,
    BaseChain,
    Between,
    Compare,
    CtMark,
    CtState,
    CtStateBit,
    DataType,
    Field,
    Hook,
    Limit,
    Log,
    Lookup,
    RangeSet,
    Set,
    Vmap,
)
from podfence.nft.transaction import AddElements, DeleteElements
from podfence.policy.addressblocks import Block
from podfence.policy.flow import Decision, Reason
from podfence.policy.index import AddressPeers, EndpointClass
from podfence.policy.origin import Origin
from podfence.sets import AddressSet, IntervalSet, PortSet
from podfence.sets.members import Members
from podfence.testing.builders import cluster_policy, policy

ALL = LabelSelector()
V4_ADDRESS = ip_address("10.0.0.1")
ORIGIN = Origin(ObjectRef("NetworkPolicy", "a", "b"), "spec", None)
BLOCK = IPBlock(ip_network("10.0.0.0/8"))
V4 = AddressSet.of([ip_network("10.0.0.0/8")])

Made = Callable[[], Any]

REFUSED: list[tuple[str, Made]] = [
    ("an ip_block alone", lambda: NetworkPolicyPeer()),
    ("an ip_block alone", lambda: NetworkPolicyPeer(ALL, None, BLOCK)),
    ("an ip_block alone", lambda: NetworkPolicyPeer(None, ALL, BLOCK)),
    ("no port", lambda: NetworkPolicyPort(port=0)),
    ("no port", lambda: NetworkPolicyPort(port=65536)),
    ("no port and no range of ports: 90-80", lambda: NetworkPolicyPort(port=90, end_port=80)),
    ("no port", lambda: NetworkPolicyPort(port=80, end_port=65536)),
    ("needs a number", lambda: NetworkPolicyPort(port="http", end_port=80)),
    ("needs a number", lambda: NetworkPolicyPort(end_port=80)),
    ("policy_types is empty", lambda: replace(policy("a/b"), policy_types=frozenset())),
    ("In of 0 values", lambda: LabelSelectorRequirement("a", Operator.IN)),
    ("NotIn of 0 values", lambda: LabelSelectorRequirement("a", Operator.NOT_IN)),
    ("Exists of 1 values", lambda: LabelSelectorRequirement("a", Operator.EXISTS, ("b",))),
    ("exactly one", lambda: Subject()),
    ("exactly one", lambda: Subject(ALL, NamespacedPod(ALL))),
    ("exactly one", lambda: Subject(ALL, unknown="bad")),
    ("exactly one", lambda: Peer()),
    ("exactly one", lambda: Peer(ALL, nodes=ALL)),
    ("exactly one", lambda: Peer(networks=(BLOCK.cidr,), domain_names=("a.example",))),
    ("exactly one", lambda: ProtocolMatch()),
    ("exactly one", lambda: ProtocolMatch(Protocol.TCP, named_port="http")),
    ("port needs protocol", lambda: ProtocolMatch(port=80, named_port="http")),
    ("end_port needs port", lambda: ProtocolMatch(Protocol.TCP, end_port=80)),
    ("no port", lambda: ProtocolMatch(Protocol.TCP, 2, 1)),
    ("names its peers", lambda: TierRule(RuleAction.DENY, ())),
    ("priority -1", lambda: replace(cluster_policy("a"), priority=-1)),
    (
        f"priority {BASELINE_ADMIN_PRIORITY + 1}",
        lambda: replace(cluster_policy("a"), priority=BASELINE_ADMIN_PRIORITY + 1),
    ),
    ("family 6", lambda: Block("k", 6, V4)),
    ("family 5", lambda: Block("k", 5, AddressSet())),
    ("two addresses", lambda: Pod("a", "b", (), (V4_ADDRESS, V4_ADDRESS))),
    ("no interval", lambda: IntervalSet(((9, 3),))),
    ("out of order", lambda: IntervalSet(((5, 6), (1, 2)))),
    ("touch", lambda: IntervalSet(((1, 2), (3, 4)))),
    ("empty", lambda: IntervalSet(((1, 2), (9, 8)))),
    ("no addresses", lambda: AddressSet(v4=IntervalSet.of((0, 2**32)))),
    ("no addresses", lambda: AddressSet(v6=IntervalSet.of((-1, 1)))),
    ("no range of ports", lambda: PortSet.port("TCP", 65536)),
    ("no range of ports", lambda: PortSet.port("TCP", 9, 3)),
    ("no IP version", lambda: Members(5)),
    ("no IP version", lambda: AddressPeers("k", 5, IntervalSet(), FrozenBitMap())),
    ("of pods and", lambda: EndpointClass(0, "a", outside=AddressSet())),
    ("not-isolated never denies", lambda: Decision(False, Reason.NOT_ISOLATED)),
    ("not named", lambda: Decision(True, Reason.RULE)),
    ("names no policy", lambda: Decision(True, Reason.SELF, (ORIGIN,))),
    ("never 65536", lambda: Compare(Field.TH_DPORT, 65536)),
    ("never -1", lambda: Between(Field.TH_DPORT, -1, 80)),
    ("lookup of nothing", lambda: Lookup((), "s")),
    ("lookup of nothing", lambda: Vmap((), "m")),
    ("no state", lambda: CtState(CtStateBit(0))),
    ("has bits outside", lambda: CtMark(0xFF, 0x100)),
    ("0 packets", lambda: Limit(0, 5)),
    ("no log group", lambda: Log(65536, "p")),
    ("log prefix", lambda: Log(1, "p" * 64)),
    ("never ends in return", lambda: BaseChain(Hook.INPUT, 0, RETURN)),
    ("holds nothing", lambda: RangeSet("s", (DataType.INET_SERVICE,), (((9,), (3,)),))),
    ("no elements", lambda: AddElements(Set("s", (DataType.INET_SERVICE,)))),
    ("no elements", lambda: DeleteElements(Set("s", (DataType.INET_SERVICE,)))),
]


@pytest.mark.parametrize(
    ("said", "made"), REFUSED, ids=[f"{i} {said}" for i, (said, _) in enumerate(REFUSED)]
)
def test_what_could_mean_nothing_cannot_be_made(said: str, made: Made) -> None:
    with pytest.raises(ValueError, match=said):
        made()


def test_what_is_empty_and_means_something_can_be_made() -> None:
    """Empty is never refused where the API gives it a meaning."""
    assert NetworkPolicyPeer(ALL).pod_selector == ALL  # every pod of the namespace (NP-4)
    assert NetworkPolicyPort().port is None  # every port (NP-31)
    assert NetworkPolicyPort(port=1, end_port=65535).end_port == 65535
    assert Peer(ALL).namespaces == ALL  # every pod (CNP-20)
    assert Subject(ALL).namespaces == ALL
    assert ProtocolMatch(Protocol.UDP).port is None  # every port of UDP (CNP-22)
    assert Block("k", 4, AddressSet(), volatile=True).family == 4  # a name without an address yet
