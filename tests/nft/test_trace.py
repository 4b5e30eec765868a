"""Packets walked through rulesets: what passes, what does not, and where it is decided."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from podfence.nft import objects as nft
from podfence.nft.objects import CtDirectionValue, CtStateBit, Hook
from podfence.nft.trace import Packet, at_hook, first_packet, reply_packet, trace, trace_packet
from podfence.policy.flow import Flow
from podfence.sets.ports import OTHER
from podfence.testing.builders import peer, policy, rule
from tests.nft.cases import DB_ALLOW, DENY_ALL, NODE, WEB_OUT, Case, index_of

NAMES = {
    "web": "10.1.0.1",
    "db": "10.1.0.2",
    "job": "10.1.0.4",
    "stranger": "10.1.0.77",
    "node": "172.18.0.2",
    "outside": "192.0.2.1",
    "block": "10.3.0.1",
    "hole": "10.2.0.1",
    "web6": "fd00:1::1",
    "db6": "fd00:1::2",
    "stranger6": "fd00:1::77",
    "outside6": "2001:db8::1",
    "node6": "fd18::2",
}


def flow(text: str) -> Flow:
    """``web -> db TCP/5432``; a protocol without ports stands alone: ``web -> db ICMP``."""
    ends, _, what = text.rpartition(" ")
    source, _, destination = ends.partition(" -> ")
    protocol, slash, port = what.partition("/")
    return Flow(
        ip_address(NAMES[source]),
        ip_address(NAMES[destination]),
        protocol if slash else OTHER,
        int(port or 0),
    )


RULESETS = {
    "open": Case("open", index_of()).ruleset,
    "closed": Case("closed", index_of(DENY_ALL)).ruleset,
    "shop": Case("shop", index_of(DB_ALLOW, WEB_OUT)).ruleset,
    "to node": Case(
        "to node", index_of(policy("shop/out", {}, egress=[rule(peer(cidr="172.18.0.2/32"))]))
    ).ruleset,
    "all ports": Case(
        "all ports", index_of(policy("shop/in", {}, ingress=[rule(peer(pods={"app": "web"}))]))
    ).ruleset,
}
OPEN, CLOSED, SHOP = RULESETS["open"], RULESETS["closed"], RULESETS["shop"]


@pytest.mark.parametrize(
    ("rules", "text", "accepted"),
    [
        ("open", "web -> db TCP/1", True),
        ("open", "outside -> db UDP/1", True),
        ("open", "outside -> outside TCP/1", True),
        ("open", "stranger -> db TCP/1", False),  # a pod range address without a known pod
        ("open", "outside -> stranger TCP/1", False),
        ("open", "outside6 -> stranger6 TCP/1", False),
        ("closed", "web -> db TCP/1", False),  # NP-9
        ("closed", "web -> db ICMP", False),  # NP-39
        ("closed", "web -> web TCP/1", True),  # NP-54
        ("closed", "web6 -> web6 TCP/1", True),  # NP-54
        ("closed", "node -> web TCP/1", True),  # NP-52
        ("closed", "web -> node TCP/1", False),  # NP-53
        ("closed", "web6 -> node6 UDP/1", False),  # NP-53
        ("closed", "outside -> node TCP/22", True),  # not about pods
        ("closed", "outside -> outside TCP/1", True),  # not about pods
        ("to node", "web -> node TCP/1", True),  # NP-51
        ("to node", "web -> outside TCP/1", False),
        ("shop", "web -> db TCP/8080", False),  # egress allows, ingress does not (NP-6)
        ("shop", "web -> db TCP/5432", False),  # ingress allows, egress does not (NP-6)
        ("shop", "block -> db TCP/5432", True),  # NP-24, NP-32
        ("shop", "block -> db UDP/53", True),
        ("shop", "block -> db TCP/53", False),  # NP-30
        ("shop", "block -> db SCTP/7", True),  # NP-31, NP-40
        ("shop", "hole -> db TCP/5432", False),  # NP-24
        ("shop", "outside6 -> db6 TCP/5432", False),  # NP-25
        ("shop", "web -> outside TCP/8050", True),  # NP-37
        ("shop", "web -> outside TCP/8101", False),  # NP-37
        ("shop", "web -> outside TCP/443", False),  # NP-25: ::/0 says nothing of IPv4
        ("shop", "web6 -> outside6 TCP/443", True),
        ("shop", "job -> outside TCP/1", True),  # NP-2
        ("all ports", "web -> db ICMP", True),  # NP-39
        ("all ports", "web6 -> db6 ICMP", True),  # NP-39
        ("all ports", "outside -> db ICMP", False),  # NP-39
    ],
)
@pytest.mark.parametrize("reply", [False, True], ids=["first packet", "old connection's reply"])
def test_flow(rules: str, text: str, accepted: bool, reply: bool) -> None:
    judged = flow(text)
    if reply and judged.destination in NODE.addresses:
        accepted = True  # the node's own answers meet no hook
    found = trace(RULESETS[rules], judged, own_addresses=NODE.addresses, reply=reply)
    assert found.accepted is accepted


def test_answers_to_the_node_pass_from_isolated_pods() -> None:
    """NP-41, NP-52."""
    answer = reply_packet(flow("node -> web TCP/1"))
    assert trace_packet(CLOSED, answer, NODE.addresses).accepted


def test_an_accepted_flow_carries_the_epoch_and_other_marks_stay() -> None:
    packet = replace(first_packet(flow("web -> db TCP/1")), mark=0xABCD)
    assert at_hook(OPEN, packet, Hook.FORWARD).mark == 0x1ABCD


def test_a_denied_flow_carries_no_epoch() -> None:
    assert trace(CLOSED, flow("web -> db TCP/1")).mark == 0


@pytest.mark.parametrize(
    ("mark", "accepted"),
    [
        pytest.param(0x10000, True, id="NP-41 judged under this epoch"),
        pytest.param(0x1ABCD, True, id="the low bits belong to others"),
        pytest.param(0x20000, False, id="NP-42 judged under another epoch"),
        pytest.param(0, False, id="never judged"),
    ],
)
@pytest.mark.parametrize("reply", [False, True])
def test_fast_path(mark: int, accepted: bool, reply: bool) -> None:
    judged = flow("web -> db TCP/1")
    packet = reply_packet(judged) if reply else first_packet(judged)
    assert at_hook(CLOSED, replace(packet, mark=mark), Hook.FORWARD).accepted is accepted


def neighbour(hop_limit: int, kind: int) -> Packet:
    return Packet(
        ip_address(NAMES["web6"]),
        ip_address(NAMES["db6"]),
        nft.ICMPV6,
        icmpv6_type=kind,
        hop_limit=hop_limit,
        state=CtStateBit.UNTRACKED,
        direction=None,
    )


@pytest.mark.parametrize("hook", [Hook.FORWARD, Hook.INPUT])
@pytest.mark.parametrize(
    ("hop_limit", "kind", "accepted"),
    [
        (255, 133, True),
        (255, 135, True),
        (255, 137, True),
        (255, 132, False),
        (255, 138, False),
        (254, 135, False),  # it came through a router: no neighbour
    ],
)
def test_neighbour_discovery(hook: Hook, hop_limit: int, kind: int, accepted: bool) -> None:
    """NP-39."""
    assert at_hook(CLOSED, neighbour(hop_limit, kind), hook).accepted is accepted


THIS_EPOCH, ANOTHER = 0x10000, 0x20000


@pytest.mark.parametrize("hook", [Hook.FORWARD, Hook.INPUT])
@pytest.mark.parametrize("direction", CtDirectionValue)
@pytest.mark.parametrize(
    ("protocol", "mark", "accepted"),
    [
        (nft.ICMP, THIS_EPOCH, True),
        (nft.ICMPV6, THIS_EPOCH, True),
        (nft.ICMP, ANOTHER, False),
        (nft.ICMPV6, 0, False),
        (nft.TCP, THIS_EPOCH, False),
        (nft.UDP, 0, False),
    ],
)
def test_an_error_passes_with_its_connection_alone(
    hook: Hook, direction: CtDirectionValue, protocol: int, mark: int, accepted: bool
) -> None:
    """NP-39, NP-42: errors pass with the connection that they are about, and that one alone. A data
    connection that a helper announced has the mark of its control connection, and is judged."""
    source, destination = ip_address(NAMES["web"]), ip_address(NAMES["db"])
    state = CtStateBit.RELATED
    packet = Packet(source, destination, protocol, state=state, direction=direction, mark=mark)
    found = at_hook(CLOSED, packet, hook)
    to_the_node = hook is Hook.INPUT and direction is CtDirectionValue.REPLY
    assert found.accepted is (accepted or to_the_node)
    assert found.mark == mark


@pytest.mark.parametrize("protocol", [nft.ICMP, nft.ICMPV6])
@pytest.mark.parametrize("hook", [Hook.FORWARD, Hook.INPUT])
def test_an_error_never_marks_its_connection(hook: Hook, protocol: int) -> None:
    """It would count as judged, and nobody has judged it."""
    source, destination = ip_address(NAMES["web"]), ip_address(NAMES["db"])
    packet = Packet(source, destination, protocol, state=CtStateBit.RELATED, mark=ANOTHER)
    found = at_hook(OPEN, packet, hook)
    assert (found.accepted, found.mark) == (True, ANOTHER)


@pytest.mark.parametrize("rules", ["open", "closed"])
@pytest.mark.parametrize(
    ("source", "came_by", "direction", "accepted"),
    [
        ("fe80::1", "veth", CtDirectionValue.ORIGINAL, False),
        ("febf:ffff::1", "veth", CtDirectionValue.ORIGINAL, False),
        ("fe80::1", "veth", None, False),
        ("fe80::1", "veth", CtDirectionValue.REPLY, True),  # the node has asked
        ("fe80::1", "", CtDirectionValue.ORIGINAL, True),  # a router, by a card of the node
        ("fe80::1", "bridge", CtDirectionValue.ORIGINAL, True),
        ("fe7f::1", "veth", CtDirectionValue.ORIGINAL, True),
        ("fec0::1", "veth", CtDirectionValue.ORIGINAL, True),
        ("169.254.7.7", "veth", CtDirectionValue.ORIGINAL, True),
    ],
)
def test_a_pod_reaches_its_node_by_no_address_that_nobody_knows(
    rules: str, source: str, came_by: str, direction: CtDirectionValue | None, accepted: bool
) -> None:
    """NP-53: every pod has a link-local address of its own, and no policy can name it."""
    ends = ip_address(source), ip_address("fe80::1" if ":" in source else "169.254.1.1")
    state = CtStateBit.UNTRACKED if direction is None else CtStateBit.NEW
    packet = Packet(*ends, nft.TCP, state=state, direction=direction, came_by=came_by)
    assert at_hook(RULESETS[rules], packet, Hook.INPUT).accepted is accepted


@pytest.mark.parametrize("state", [CtStateBit.INVALID, CtStateBit.UNTRACKED])
@pytest.mark.parametrize(
    ("ends", "accepted"),
    [
        ("web -> job TCP/1", False),  # isolated source
        ("job -> db TCP/1", False),  # isolated destination
        ("block -> db TCP/5432", False),  # even where a connection would be allowed
        ("job -> outside TCP/1", True),
        ("outside -> outside TCP/1", True),
        ("stranger -> outside TCP/1", False),
        ("outside6 -> stranger6 TCP/1", False),
    ],
)
def test_packets_without_connection_are_closed_for_isolated_pods(
    state: CtStateBit, ends: str, accepted: bool
) -> None:
    packet = replace(first_packet(flow(ends)), state=state, direction=None)
    assert at_hook(SHOP, packet, Hook.FORWARD).accepted is accepted


@pytest.mark.parametrize(
    ("rules", "accepted"), [("closed", False), ("to node", True), ("open", True)]
)
def test_packets_without_connection_to_the_node_are_judged(rules: str, accepted: bool) -> None:
    """NP-53."""
    packet = replace(
        first_packet(flow("web -> node TCP/1")), state=CtStateBit.UNTRACKED, direction=None
    )
    assert at_hook(RULESETS[rules], packet, Hook.INPUT).accepted is accepted


def test_steps_lead_to_the_deciding_rule() -> None:
    last = trace(SHOP, flow("hole -> db TCP/5432")).steps[-2:]
    group = last[1].chain.removesuffix("_d")
    assert [step.verdict for step in last] == [nft.goto(f"{group}_d"), nft.DROP]
