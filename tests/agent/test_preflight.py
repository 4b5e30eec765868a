"""What keeps policies from holding on a node: told from facts alone, and made for real."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from msgspec.structs import replace

from podfence.agent.conditions import ConditionKind
from podfence.agent.log import EventLog
from podfence.agent.machine import Meter
from podfence.agent.nodefacts import passing_facts, read_facts
from podfence.agent.outlook import Outlook, require_a_clear_way
from podfence.agent.preflight import HostFacts, bypasses, obstacles
from podfence.errors import HostError
from podfence.kernel import netns
from podfence.kernel.links import Link
from podfence.kernel.nftables.foreign import ALL_BITS, Flowtable, ForeignChain, MarkWriter

MASK = 0xFFFF0000
FILTERED = frozenset({4, 6})
CHAIN = ForeignChain("ip", "mangle", "FOO")
FAST_PATH = Flowtable("inet", "kindnet-fastpath", "ft")
RANGE = ip_network("10.244.1.0/24")


def bridge(name: str = "cni0", *addresses: str, filters: frozenset[int] = frozenset()) -> Link:
    return Link(name, "bridge", addresses=tuple(map(ip_address, addresses)), filters=filters)


def port(master: str = "cni0", kind: str = "veth") -> Link:
    return Link("veth1", kind, master)


def named(*names: str) -> HostFacts:
    return HostFacts(tuple(map(Link, names)), FILTERED)


def chained(*chains: tuple[str, str, str]) -> HostFacts:
    return HostFacts(chains=tuple(ForeignChain(*each) for each in chains))


def found(facts: HostFacts, **options: Any) -> list[tuple[str, str]]:
    return [(each.kind.value, each.name) for each in obstacles(facts, MASK, **options)]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (HostFacts(), []),
        (
            named("lo", "eth0", "cali12345", "tunl0", "flannel.1", "veth1", "kube-ipvs1", "dummy0"),
            [],
        ),
        # eBPF
        (named("cilium_host", "cilium_net"), [("Bypassed", "ebpf")]),
        (named("lxc0123456789ab"), [("Bypassed", "ebpf")]),
        (named("lxc_health"), [("Bypassed", "ebpf")]),
        (named("lxcbr0"), []),
        (named("bpfin.cali"), [("Bypassed", "ebpf")]),
        (HostFacts((Link("eth1", "netkit"),)), [("Bypassed", "ebpf")]),
        # switches
        (named("ovs-system", "br-int"), [("Bypassed", "ovs")]),
        (named("ovn-k8s-mp0"), [("Bypassed", "ovs")]),
        (named("antrea-gw0"), [("Bypassed", "ovs")]),
        (HostFacts((Link("x", "openvswitch"),)), [("Bypassed", "ovs")]),
        # Services that IPVS serves, and fast paths
        (named("kube-ipvs0", "kube-dummy-if"), [("Bypassed", "ipvs")]),
        (HostFacts(flowtables=(FAST_PATH,)), [("Bypassed", "flowtable")]),
        # bridges
        (HostFacts((bridge(), port())), [("Bypassed", "bridge-cni0")]),
        (HostFacts((bridge(), port()), FILTERED), []),
        (HostFacts((bridge(filters=FILTERED), port())), []),
        (HostFacts((bridge(), port()), frozenset({6})), [("Bypassed", "bridge-cni0")]),
        (HostFacts((bridge(), port()), frozenset({4})), []),
        (
            HostFacts((bridge("cni0", "fd00::1"), port()), frozenset({4})),
            [("Bypassed", "bridge-cni0")],
        ),
        (HostFacts((bridge("cni0", "fe80::1"), port()), frozenset({4})), []),
        (HostFacts((bridge(),)), []),
        (HostFacts((bridge(), port("other"))), []),
        (HostFacts((bridge(), port(kind="bond"))), []),
        (HostFacts((Link("cni0", "bond"), port())), []),
        (HostFacts((bridge("docker0"), port("docker0"))), []),
        (HostFacts((bridge("br-0123456789ab"), port("br-0123456789ab"))), []),
        # second enforcers
        (chained(("ip", "filter", "cali-FORWARD")), [("SecondEnforcer", "calico")]),
        (chained(("ip", "calico", "filter-cali-FORWARD")), [("SecondEnforcer", "calico")]),
        (chained(("ip6", "calico", "x")), [("SecondEnforcer", "calico")]),
        (chained(("ip", "filter", "KUBE-ROUTER-FORWARD")), [("SecondEnforcer", "kube-router")]),
        (chained(("ip", "filter", "KUBE-POD-FW-ABC")), [("SecondEnforcer", "kube-router")]),
        (
            chained(("inet", "kube-network-policies", "postrouting")),
            [("SecondEnforcer", "kube-network-policies")],
        ),
        (chained(("ip", "filter", "WEAVE-NPC")), [("SecondEnforcer", "weave-npc")]),
        (chained(("ip", "filter", "ANTREA-FORWARD")), [("SecondEnforcer", "antrea")]),
        (
            chained(
                ("ip", "filter", "KUBE-FORWARD"),
                ("ip", "nat", "KUBE-SERVICES"),
                ("ip", "kube-proxy", "services"),
                ("ip", "filter", "FLANNEL-FWD"),
                ("ip", "filter", "DOCKER-USER"),
                ("ip", "filter", "local-policy"),
            ),
            [],
        ),
        # marks
        (HostFacts(mark_writers=(MarkWriter(CHAIN, 0xFF),)), []),
        (HostFacts(mark_writers=(MarkWriter(CHAIN, 0x10000),)), [("MarkInUse", "mark")]),
        (HostFacts(mark_writers=(MarkWriter(CHAIN, ALL_BITS),)), [("MarkInUse", "mark")]),
        # the kernel and the process
        (HostFacts(unsupported="no such thing"), [("Unsupported", "")]),
        (HostFacts(may_write=False), [("Unsupported", "")]),
    ],
)
def test_an_obstacle(facts: HostFacts, expected: list[tuple[str, str]]) -> None:
    assert found(facts) == expected


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (bridge("cni0", "10.244.1.1"), ["bridge-cni0"]),
        (bridge("cni0", "192.168.0.1"), []),
        (bridge("docker0", "10.244.1.1"), ["bridge-docker0"]),
        (bridge("docker0", "172.17.0.1"), []),
        (bridge("cni0"), ["bridge-cni0"]),
    ],
)
def test_a_bridge_counts_when_it_is_in_the_pods_range(link: Link, expected: list[str]) -> None:
    facts = HostFacts((link, port(link.name)))
    assert [each.name for each in bypasses(facts, [RANGE])] == expected


def test_everything_in_the_way_is_told_at_once() -> None:
    facts = HostFacts(
        (bridge(), port(), Link("cilium_net")), chains=(ForeignChain("ip", "f", "cali-x"),)
    )
    assert [name for _, name in found(facts)] == ["calico", "ebpf", "bridge-cni0"]


def test_who_knows_better_overrides_one_by_name() -> None:
    facts = replace(named("cilium_net", "ovs-system"), unsupported="x")
    assert found(facts, override={"ebpf", "typo"}) == [("Unsupported", ""), ("Bypassed", "ovs")]


@pytest.mark.parametrize(
    "facts",
    [
        named("cilium_host"),
        named("ovs-system"),
        named("kube-ipvs0"),
        HostFacts(flowtables=(FAST_PATH,)),
        HostFacts((bridge(), port())),
        chained(("ip", "filter", "cali-FORWARD")),
        HostFacts(mark_writers=(MarkWriter(CHAIN, ALL_BITS),)),
    ],
)
def test_it_says_what_was_seen_why_it_matters_and_what_to_do(facts: HostFacts) -> None:
    (one,) = obstacles(facts, MASK)
    assert all((one.seen, one.matters, one.fix))
    assert one.text.endswith(f"; if this is wrong: --override {one.name}")


def test_names_of_others_are_hostile() -> None:
    facts = HostFacts((Link("ovs-\x1b[31m"),), chains=(ForeignChain("ip", "\n", "cali-\x1b"),))
    found = list(obstacles(facts, MASK))
    assert len(found) == 2
    assert all(each.text.isprintable() for each in found)


def test_many_are_counted() -> None:
    (one,) = obstacles(named(*(f"ovs-{n}" for n in range(9))), MASK)
    assert "device ovs-2 and 6 more" in one.seen


# --- for real ------------------------------------------------------------------------------------


@pytest.fixture
def node() -> Iterator[int]:
    fd = netns.create()
    yield fd
    os.close(fd)


def sh(fd: int, *lines: str) -> None:
    for line in lines:
        subprocess.run(
            ["nsenter", f"--net=/proc/self/fd/{fd}", *line.split()],
            pass_fds=[fd],
            check=True,
            timeout=30,
        )


def unfiltered(fd: int) -> None:
    """As where br_netfilter is off."""
    with netns.inside(fd):
        for name in ("iptables", "ip6tables"):
            if os.path.exists(f"/proc/sys/net/bridge/bridge-nf-call-{name}"):
                netns.write_sysctl(f"net/bridge/bridge-nf-call-{name}", "0")


BRIDGED = (
    "ip link add cni0 type bridge",
    "ip address add 10.244.1.1/24 dev cni0",
    "ip link add v0 type veth peer v1",
    "ip link set v0 master cni0",
)


def names(fd: int) -> list[str]:
    return [each.name for each in obstacles(read_facts(fd), MASK)]


@pytest.mark.kernel
def test_a_fresh_node_is_clear_and_nothing_is_left_behind(node: int) -> None:
    facts = read_facts(node)
    assert obstacles(facts, MASK) == ()
    assert facts.unsupported == ""
    sh(node, "ip link add v0 type veth peer v1")
    assert names(node) == []
    out = subprocess.run(
        ["nsenter", f"--net=/proc/self/fd/{node}", "nft", "list", "ruleset"],
        pass_fds=[node],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert out == ""


@pytest.mark.kernel
def test_a_real_bridge_without_filters(node: int) -> None:
    unfiltered(node)
    sh(node, *BRIDGED)
    assert names(node) == ["bridge-cni0"]
    sh(node, "ip link set cni0 type bridge nf_call_iptables 1 nf_call_ip6tables 1")
    assert names(node) == []
    sh(node, "ip link set v0 nomaster", "ip link set cni0 type bridge nf_call_iptables 0")
    assert names(node) == []


DEVICES = {"cilium_host": "ebpf", "lxc0a1b2c3d4e5f": "ebpf", "ovs-system": "ovs"}
DEVICES |= {"kube-ipvs0": "ipvs", "kube-dummy-if": "ipvs"}


@pytest.mark.kernel
@pytest.mark.parametrize("device", DEVICES)
def test_real_devices(node: int, device: str) -> None:
    sh(node, f"ip link add {device} type veth peer other")
    assert names(node) == [DEVICES[device]]


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["nft add table ip filter", "nft add chain ip filter cali-FORWARD"], ["calico"]),
        (
            ["nft add table ip6 filter", "nft add chain ip6 filter KUBE-POD-FW-ABCD"],
            ["kube-router"],
        ),
        (
            [
                "nft add table inet kube-network-policies",
                "nft add chain inet kube-network-policies x",
            ],
            ["kube-network-policies"],
        ),
        (["nft add table inet podfence", "nft add chain inet podfence cali-x"], []),
    ],
)
def test_real_chains(node: int, lines: list[str], expected: list[str]) -> None:
    sh(node, *lines)
    assert names(node) == expected


@pytest.mark.kernel
@pytest.mark.parametrize("family", ["ip", "inet", "ip6"])
@pytest.mark.parametrize(
    ("rule", "bits"),
    [
        ("ct mark set 0x1", ALL_BITS),
        ("ct mark set meta mark", ALL_BITS),
        ("ct mark set ct mark or 0x80", 0x80),
        ("ct mark set ct mark and 0xffffff00 or 0x7", 0xFF),
        ("ct mark set ct mark and 0xffff", MASK),
        ("ct mark set ct mark xor 0x10000", 0x10000),
        ("ct mark set ip saddr map { 10.0.0.1 : 0x1 }", ALL_BITS),
        ("ct mark and 0xff == 0x1 ct mark set ct mark or 0x2", 0x2),
        ("ct mark 0x1 counter", 0),
        ("meta mark set ct mark", 0),
        ("meta mark set 0x10000", 0),
        ("ct state new accept", 0),
        ("ct label set 1", 0),
    ],
)
def test_real_rules_that_write_marks(node: int, family: str, rule: str, bits: int) -> None:
    if family == "ip6" and "ip saddr" in rule:
        pytest.skip("an address of the other version")
    sh(node, f"nft add table {family} other", f"nft add chain {family} other c")
    sh(node, f"nft add rule {family} other c {rule}")
    chain = ForeignChain(family, "other", "c")
    expected = (MarkWriter(chain, bits),) if bits else ()
    assert read_facts(node).mark_writers == expected


@pytest.mark.kernel
@pytest.mark.skipif(shutil.which("iptables-nft") is None, reason="iptables-nft is missing")
@pytest.mark.parametrize(
    ("target", "bits"),
    [
        ("--set-xmark 0x80/0x80", 0x80),
        ("--set-mark 0x10000/0x10000", 0x10000),
        ("--set-mark 0x1", ALL_BITS),
        ("--save-mark --nfmask 0xff --ctmask 0xff", 0xFF),
        ("--restore-mark", 0),
    ],
)
def test_real_targets_of_iptables(node: int, target: str, bits: int) -> None:
    line = f"iptables-nft -t mangle -A PREROUTING -j CONNMARK {target}"
    try:
        sh(node, line)
    except subprocess.CalledProcessError:
        pytest.skip("this kernel has no target CONNMARK")
    expected = (MarkWriter(ForeignChain("ip", "mangle", "PREROUTING"), bits),) if bits else ()
    assert read_facts(node).mark_writers == expected


@pytest.mark.kernel
def test_a_start_is_refused_before_anything_is_written(node: int) -> None:
    sh(node, "ip link add cilium_host type veth peer cilium_net")
    sh(node, "nft add table ip calico", "nft add chain ip calico cali-x")
    logged = io.StringIO()
    with pytest.raises(HostError) as caught:
        require_a_clear_way(EventLog(logged), MASK, (), (), node)
    lines = caught.value.message.splitlines()
    assert [line.partition(":")[0] for line in lines[1:]] == ["SecondEnforcer", "Bypassed"]
    assert re.findall(r'"override":"([^"]*)"', logged.getvalue()) == ["calico", "ebpf"]
    require_a_clear_way(EventLog(logged), MASK, (), {"calico", "ebpf"}, node)


@pytest.mark.kernel
def test_a_bridge_that_comes_later_is_a_condition_until_it_goes(node: int) -> None:
    logged = io.StringIO()
    outlook = Outlook(EventLog(logged), lambda: (RANGE,), (), None, lambda: passing_facts(node))
    unfiltered(node)

    def held() -> list[tuple[ConditionKind, str]]:
        outlook.look()
        return [(each.kind, each.subject) for each in outlook.conditions]

    assert held() == []
    sh(node, *BRIDGED)
    assert held() == held() == [(ConditionKind.BYPASSED, "bridge-cni0")]
    sh(node, "ip link delete cni0")
    assert held() == []
    assert logged.getvalue().count("\n") == 2


class FixedMeter(Meter):
    """``numbers``: what it reads."""

    numbers: tuple[int, int] | None = None

    def conntrack(self) -> tuple[int, int] | None:
        return self.numbers


@pytest.mark.parametrize(
    ("numbers", "is_full"),
    [(None, False), ((0, 100), False), ((89, 100), False), ((90, 100), True), ((100, 100), True)],
)
def test_a_full_table_of_connections_is_told(
    numbers: tuple[int, int] | None, is_full: bool
) -> None:
    meter = FixedMeter("podfence")
    meter.numbers = numbers
    outlook = Outlook(EventLog(io.StringIO()), tuple, (), meter, HostFacts)
    outlook.look()
    kinds = [each.kind for each in outlook.conditions]
    assert kinds == ([ConditionKind.CONNTRACK_FULL] if is_full else [])
    meter.numbers = (1, 100)
    outlook.look()
    assert outlook.conditions == ()
