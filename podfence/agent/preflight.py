"""Whether policies can be enforced on this node at all, or something else would keep them from
holding. A table in the kernel that packets never meet is worse than none.

Rule: an obstacle says what was seen, why it matters and what to do. It has a name, by which
somebody who knows better overrides it. Pure: ``nodefacts`` reads the facts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from msgspec import Struct

from podfence.agent.conditions import ConditionKind
from podfence.kernel.links import Link
from podfence.kernel.nftables.foreign import Flowtable, ForeignChain, MarkWriter
from podfence.sets.addresses import IPNetwork
from podfence.text import printable

SHOWN = 3
"""Things of a kind that a message names."""


class HostFacts(Struct, frozen=True):
    """What a node is like."""

    links: tuple[Link, ...] = ()
    bridge_filters: frozenset[int] = frozenset()
    """By IP version, whether the host's filters see what passes a bridge (br_netfilter); a version
    is missing without that module."""
    flowtables: tuple[Flowtable, ...] = ()
    chains: tuple[ForeignChain, ...] = ()
    mark_writers: tuple[MarkWriter, ...] = ()
    unsupported: str = ""
    """What the kernel said when our rules were tried; "" when it took them."""
    may_write: bool = True
    """Whether the process has CAP_NET_ADMIN."""


class Obstacle(Struct, frozen=True):
    """``kind``: the kind of condition. ``name``: for ``--override``; "" where nothing can be
    overridden."""

    kind: ConditionKind
    name: str
    seen: str
    matters: str
    fix: str

    @property
    def text(self) -> str:
        """All of it."""
        instead = f"; if this is wrong: --override {self.name}" if self.name else ""
        return f"{self.seen}: {self.matters}; {self.fix}{instead}"


def obstacles(
    facts: HostFacts,
    mark_mask: int,
    ranges: Iterable[IPNetwork] = (),
    override: Collection[str] = (),
) -> tuple[Obstacle, ...]:
    """Everything in the way but what is overridden. ``ranges``: of the node's pods, as far as they
    are known."""
    found = (
        *_kernel(facts),
        *intruders(facts, mark_mask),
        *bypasses(facts, ranges),
    )
    return tuple(each for each in found if not each.name or each.name not in override)


def intruders(facts: HostFacts, mark_mask: int) -> Iterator[Obstacle]:
    """Rules of others that keep ours from holding."""
    yield from _marks(facts.mark_writers, mark_mask)
    yield from _second_enforcers(facts)


# -- the kernel


def _kernel(facts: HostFacts) -> Iterator[Obstacle]:
    if not facts.may_write:
        yield Obstacle(
            ConditionKind.UNSUPPORTED,
            "",
            "the process lacks CAP_NET_ADMIN",
            "it cannot write nftables rules",
            "add the capability NET_ADMIN to the container, as deploy/install.yaml does",
        )
    elif facts.unsupported:
        yield Obstacle(
            ConditionKind.UNSUPPORTED,
            "",
            f"the kernel refuses rules of our form ({printable(facts.unsupported)})",
            "nothing could be enforced",
            "use a kernel with nf_tables (inet), nft_ct, nft_log, nft_limit and nft_counter, 5.15 "
            "or newer",
        )


def _marks(writers: Iterable[MarkWriter], mark_mask: int) -> Iterator[Obstacle]:
    clashing: dict[ForeignChain, int] = {}
    for each in writers:
        if each.bits & mark_mask:
            clashing[each.chain] = clashing.get(each.chain, 0) | each.bits
    if clashing:
        bits = 0
        for one in clashing.values():
            bits |= one
        where = _some(f"chain {chain}" for chain in clashing)
        yield Obstacle(
            ConditionKind.MARK_IN_USE,
            "mark",
            f"other rules write bits {bits & mark_mask:#x} of conntrack marks ({where})",
            f"podfence keeps there ({mark_mask:#x}) which connections were judged by which rules; "
            "a connection could pass without being judged",
            "name other bits with --mark-mask",
        )


# -- who else enforces

_ENFORCERS = (
    # name, in words, tables, chains
    ("calico", "Calico (also as part of Canal)", r"calico", r"(.*-)?cali-.*"),
    (
        "kube-router",
        "kube-router",
        r"",
        r"KUBE-(ROUTER-(FORWARD|INPUT|OUTPUT)|POD-FW-.*|NWPLCY-.*)",
    ),
    ("kube-network-policies", "kube-network-policies", r"kube-network-policies.*", r""),
    ("weave-npc", "weave-npc", r"", r"WEAVE-NPC.*"),
    ("antrea", "Antrea", r"antrea.*", r"ANTREA-.*"),
)


def _second_enforcers(facts: HostFacts) -> Iterator[Obstacle]:
    for name, words, tables, chains in _ENFORCERS:
        found = [
            chain
            for chain in facts.chains
            if (tables and re.fullmatch(tables, chain.table))
            or (chains and re.fullmatch(chains, chain.name))
        ]
        if found:
            yield Obstacle(
                ConditionKind.SECOND_ENFORCER,
                name,
                f"rules of {words} are on this node ({_some(f'chain {c}' for c in found)})",
                "it enforces the same policies in its own way: a connection that either denies is "
                "denied, and neither reports that for the other",
                "end it on this node and remove its rules",
            )


# -- what packets pass by


def bypasses(facts: HostFacts, ranges: Iterable[IPNetwork] = ()) -> Iterator[Obstacle]:
    """Ways on which packets of pods do not meet the forward hook of the host."""
    yield from _ebpf(facts.links)
    yield from _switches(facts.links)
    yield from _proxies(facts.links)
    yield from _shortcuts(facts.flowtables)
    yield from _bridges(facts, tuple(ranges))


_EBPF = re.compile(r"cilium_.*|lxc(_health|[0-9a-f]{12,})|bpf(in|out)\.cali")
_IPVS = re.compile(r"kube-ipvs0|kube-dummy-if")
"""Devices that hold the addresses of Services, of kube-proxy and of kube-router."""
_SWITCHES = re.compile(r"ovs-.*|br-int|ovn-k8s-.*|antrea-gw.*|genev_sys_.*")
_OTHERS_BRIDGES = re.compile(r"docker.*|br-[0-9a-f]{12}|podman.*|virbr.*|lxcbr.*|lxdbr.*")
"""Bridges of programs that run no pods."""


def _ebpf(links: Iterable[Link]) -> Iterator[Obstacle]:
    found = [each for each in links if _EBPF.fullmatch(each.name) or each.kind == "netkit"]
    if found:
        yield Obstacle(
            ConditionKind.BYPASSED,
            "ebpf",
            f"pods have an eBPF datapath ({_devices(found)})",
            "it hands packets from pod to pod past the host's forward hook, where rules are",
            "let that network plugin enforce policies, or use one that routes through the host",
        )


def _switches(links: Iterable[Link]) -> Iterator[Obstacle]:
    found = [e for e in links if e.kind == "openvswitch" or _SWITCHES.fullmatch(e.name)]
    if found:
        yield Obstacle(
            ConditionKind.BYPASSED,
            "ovs",
            f"pods are attached to Open vSwitch ({_devices(found)})",
            "it switches packets from pod to pod past the host's forward hook, where rules are",
            "let that network plugin enforce policies, or use one that routes through the host",
        )


def _proxies(links: Iterable[Link]) -> Iterator[Obstacle]:
    """What IPVS takes in the input hook it sends by the output hook, to pods of the node too."""
    found = [each for each in links if _IPVS.fullmatch(each.name)]
    if found:
        yield Obstacle(
            ConditionKind.BYPASSED,
            "ipvs",
            f"Services are served by IPVS ({_devices(found)})",
            "what comes to a pod of this node through a Service passes the host's forward hook on "
            "its way back alone, so nothing is asked of the pod's policies",
            "run kube-proxy in nftables or iptables mode, and remove that device",
        )


def _shortcuts(flowtables: Iterable[Flowtable]) -> Iterator[Obstacle]:
    found = _some(f"flowtable {each}" for each in flowtables)
    if found:
        yield Obstacle(
            ConditionKind.BYPASSED,
            "flowtable",
            f"connections are handed past the host's hooks ({found})",
            "one that is in there goes on when policies forbid it",
            "turn that off in the program that made it (a network plugin may call it a fast path)",
        )


def _bridges(facts: HostFacts, ranges: tuple[IPNetwork, ...]) -> Iterator[Obstacle]:
    for bridge in facts.links:
        ports = [each for each in facts.links if each.master == bridge.name and each.kind == "veth"]
        if bridge.kind != "bridge" or not ports or not _has_pods(bridge, ranges):
            continue
        missing = sorted({4, 6} - bridge.filters - facts.bridge_filters)
        if 4 in missing or (missing and _speaks(bridge, 6)):
            settings = " and ".join(_SETTINGS[version] for version in missing)
            yield Obstacle(
                ConditionKind.BYPASSED,
                f"bridge-{bridge.name}",
                f"pods are attached to the bridge {printable(bridge.name)}, and {settings} "
                f"{'is' if len(missing) == 1 else 'are'} not 1",
                "packets between pods of this node pass the bridge and no rules",
                "load br_netfilter and set it to 1 (sysctl, on the node), or use a network plugin "
                "that routes (ptp)",
            )


_SETTINGS = {4: "net.bridge.bridge-nf-call-iptables", 6: "net.bridge.bridge-nf-call-ip6tables"}


def _has_pods(bridge: Link, ranges: tuple[IPNetwork, ...]) -> bool:
    """Of known ranges, a bridge that pods hang on has an address, or it has none at all."""
    if ranges and bridge.addresses:
        return any(a.version == r.version and a in r for a in bridge.addresses for r in ranges)
    return not _OTHERS_BRIDGES.fullmatch(bridge.name)


def _speaks(bridge: Link, version: int) -> bool:
    return any(a.version == version and not a.is_link_local for a in bridge.addresses)


def _devices(links: Iterable[Link]) -> str:
    return _some(f"device {printable(each.name)}" for each in links)


def _some(items: Iterable[str]) -> str:
    found = [printable(each) for each in dict.fromkeys(items)]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"{', '.join(found[:SHOWN])}{more}"
