"""Findings about the network plugin: parts of a policy that the plugin does not implement.

Rule: the table holds only what a plugin's own pages or issues say, with the source. A plugin or
version that is not in the table has no findings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Final

from msgspec import Struct

from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyRule, Protocol
from podfence.policy.flow import Direction
from podfence.policy.index import PolicyIndex
from podfence.questions.describe import peer_path
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.note import rule_path


class _Lack(Enum):
    """What a plugin may lack."""

    EVERYTHING = "everything"
    RANGE = "endPort"
    SCTP = "SCTP"
    POD_BLOCK = "ipBlock"


class _PluginDefect(Struct, frozen=True):
    """``until``: the first version that no longer has the defect; () if all have it. ``says``: what
    happens instead. ``page``: the source."""

    plugin: str
    lack: _Lack
    until: tuple[int, ...]
    says: str
    page: str


_TABLE: Final = (
    _PluginDefect(
        "flannel",
        _Lack.EVERYTHING,
        (),
        "it enforces no NetworkPolicy by itself, so this one does nothing",
        "https://github.com/flannel-io/flannel#networking-details",
    ),
    _PluginDefect(
        "cilium",
        _Lack.RANGE,
        (1, 16),
        "it accepts the policy and ignores endPort, so the ports above the first stay closed",
        "https://github.com/cilium/cilium/issues/28684",
    ),
    _PluginDefect(
        "cilium",
        _Lack.SCTP,
        (),
        "it enforces rules for SCTP only where sctp.enabled is set, a beta feature",
        "https://docs.cilium.io/en/stable/configuration/sctp/",
    ),
    _PluginDefect(
        "cilium",
        _Lack.POD_BLOCK,
        (),
        "it does not match pods by their addresses, so this block matches none of them",
        "https://docs.cilium.io/en/stable/network/kubernetes/policy/",
    ),
    _PluginDefect(
        "kube-router",
        _Lack.SCTP,
        (),
        "it has no rules for SCTP",
        "https://github.com/cloudnativelabs/kube-router/issues/1019",
    ),
)


ANY = "any"
"""Stands for every plugin of the table that enforces policies at all, in any version: for policies
that are to work anywhere."""
PLUGINS: Final = frozenset(
    {
        ANY,
        "antrea",
        "calico",
        "canal",
        "cilium",
        "flannel",
        "kube-router",
        "ovn-kubernetes",
        "weave",
    }
)
"""Names of plugins, in the table or not, by which a misspelt one is told."""


def plugin_findings(index: PolicyIndex, plugin: str) -> Iterator[LintFinding]:
    """PF364. ``plugin``: a name, and perhaps a version, as ``cilium 1.15.3``, or ``any``."""
    name, _, version = plugin.strip().lower().partition(" ")
    number = tuple(map(int, re.findall(r"\d{1,6}", version)[:3]))
    for known in _TABLE:
        is_old = not known.until or (bool(number) and number < known.until)
        if name == ANY:
            if known.lack is _Lack.EVERYTHING:
                continue
        elif known.plugin != name or not is_old:
            continue
        which = f"the plugin is {name}, and" if name != ANY else _older(known)
        for policy in index.cluster.policies:
            for path, what in _USES[known.lack](index, policy):
                text = f"{what}; {which} {known.says} ({known.page})."
                about = known.lack.name if name != ANY else f"{known.lack.name} {known.plugin}"
                yield LintFinding("PF364", policy.ref, policy.source, path, text, about=about)


def _older(known: _PluginDefect) -> str:
    """The plugin, and which versions of it."""
    before = f" before {'.'.join(map(str, known.until))}" if known.until else ""
    return f"where the plugin is {known.plugin}{before},"


def _every(index: PolicyIndex, policy: NetworkPolicy) -> Iterator[tuple[str, str]]:
    yield "spec", "This is a NetworkPolicy"


def _ranges(index: PolicyIndex, policy: NetworkPolicy) -> Iterator[tuple[str, str]]:
    for direction, at, rule in _rules(policy):
        for number, port in enumerate(rule.ports):
            if port.end_port is not None and port.end_port != port.port:
                path = f"{rule_path(direction, at)}.ports[{number}].endPort"
                yield path, f"The rule is for ports {port.port} to {port.end_port}"


def _sctp(index: PolicyIndex, policy: NetworkPolicy) -> Iterator[tuple[str, str]]:
    for direction, at, rule in _rules(policy):
        for number, port in enumerate(rule.ports):
            if port.protocol is Protocol.SCTP:
                yield f"{rule_path(direction, at)}.ports[{number}]", "The rule is for SCTP"


def _pod_blocks(index: PolicyIndex, policy: NetworkPolicy) -> Iterator[tuple[str, str]]:
    """Blocks with the address of a pod that was read, except blocks of all addresses: these are
    meant for outside, and PF341 covers them."""
    real = [end for end in index.endpoints.values() if end.pod.has_status]
    for direction, at, rule in _rules(policy):
        for number, peer in enumerate(rule.peers):
            block = peer.ip_block
            if block is None or block.cidr.prefixlen == 0:
                continue
            for end in real:
                if any(a.version == block.cidr.version and a in block.cidr for a in end.addresses):
                    path = peer_path(direction, at, number)
                    name = f"{end.pod.namespace}/{end.pod.name}"
                    yield path, f"{block.cidr} contains addresses of pods ({name})"
                    break


_USES: Final[dict[_Lack, Callable[[PolicyIndex, NetworkPolicy], Iterator[tuple[str, str]]]]] = {
    _Lack.EVERYTHING: _every,
    _Lack.RANGE: _ranges,
    _Lack.SCTP: _sctp,
    _Lack.POD_BLOCK: _pod_blocks,
}


def _rules(policy: NetworkPolicy) -> Iterator[tuple[Direction, int, NetworkPolicyRule]]:
    for direction in Direction:
        if direction.policy_type in policy.policy_types:
            for at, rule in enumerate(policy.rules_of(direction.policy_type)):
                yield direction, at, rule
