"""Notes about port numbers and names that only seem to be those of the pods.

Rule: declaring a port is optional in the API, so nothing is reported for pods that declare no port
at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podfence.errors import Severity
from podfence.model.networkpolicy import NetworkPolicyRule, Protocol
from podfence.model.objects import ContainerPort
from podfence.policy.flow import Direction
from podfence.policy.namedports import PortName, named_number
from podfence.policy.networkpolicies import rule_ports
from podfence.questions.lint.note import LintedPolicy, Note, PortItem
from podfence.questions.phrases import words
from podfence.sets import PortSet
from podfence.sets.ports import MAX_PORT

_DNS = 53
_SHOWN = 3
_WIDE = 10_000
"""Ports from which on a range is a wide one."""
_REGISTERED = 1024
"""The first port that any program may take: ranges of media streams over UDP begin there."""


def other_protocol(case: LintedPolicy) -> Iterator[Note]:
    """PF327: the pods declare the number for another protocol only (NP-30)."""
    for item in case.ports:
        rule, port, targets = item.rule, item.port, item.targets
        number = port.port
        if not isinstance(number, int) or port.end_port is not None or number == _DNS:
            continue
        if item.direction is Direction.EGRESS and not _selectors_alone(rule):
            continue
        if case.matched.some_declares(targets, number, port.protocol):
            continue
        declared = case.matched.protocols(targets, number)
        if not declared or case.matched.some_declares_none(targets):
            continue
        if any(p.port == number and p.protocol in declared for p in rule.ports):
            continue
        have = words.listed(sorted(protocol.value for protocol in declared))
        text = (
            f"This is {port.protocol.value} port {number}; {case.matched.names(targets, _SHOWN)} "
            f"declares {number} for {have} and for no other protocol, so this item allows no port "
            f"that is served. A port without protocol is TCP; use {{protocol: {have}, port: "
            f"{number}}}."
        )
        yield Note("PF327", text, item.path)


def _selectors_alone(rule: NetworkPolicyRule) -> bool:
    """Whether only pods are meant, and some."""
    return bool(rule.peers) and all(peer.ip_block is None for peer in rule.peers)


def name_of_some(case: LintedPolicy) -> Iterator[Note]:
    """PF326: pods that serve the number of a port name, and do not declare the name (NP-34)."""
    for item in case.ports:
        port, targets = item.port, item.targets
        if not isinstance(port.port, str):
            continue
        name = PortName(port.port, port.protocol.value)
        given = [(ports, named_number(ports, name)) for ports in case.matched.port_lists(targets)]
        meant = PortSet.union({numbers for _, numbers in given})
        unnamed = {id(ports) for ports, own in given if not own and _serves(ports, meant)}
        serving = [end for end in targets if id(end.pod.ports) in unnamed] if unnamed else []
        if serving:
            having = [end for end in targets if named_number(end.pod.ports, name)]
            text = (
                f"{case.matched.names(having, _SHOWN)} declares the port name {port.port} "
                f"({meant}); {case.matched.names(serving, _SHOWN)} declares the number without "
                "the name, and stays closed. A port name matches only pods that declare it: use "
                "the number, or declare the name there, too."
            )
            yield Note("PF326", text, item.path)


def _serves(ports: Iterable[ContainerPort], meant: PortSet) -> bool:
    return any((p.protocol.value, p.port) in meant for p in ports)


def range_of_all(case: LintedPolicy) -> Iterator[Note]:
    """PF328: from the first port to the last, or over a port that another item names (NP-37)."""
    for item in case.ports:
        port = item.port
        low, high = port.port, port.end_port
        if not isinstance(low, int) or high is None or high - low < _WIDE:
            continue
        if port.protocol is Protocol.UDP and low >= _REGISTERED:
            continue
        if low <= 1 and high == MAX_PORT:
            text = (
                f"{low} to {high} is every {port.protocol.value} port. {{protocol: "
                f"{port.protocol.value}}} without a number says the same, and costs one rule less "
                "in kernels that keep ranges apart; leaving out ports would allow every "
                "protocol, too."
            )
            yield Note("PF328", text, item.path, Severity.NOTE)
        elif inside := _named_inside(case, item):
            text = (
                f"{low} to {high} is a range of {high - low + 1} ports. It contains "
                f"{words.listed(inside)}, which another item of this policy names, so that item "
                "adds nothing."
            )
            yield Note("PF328", text, item.path)


def _named_inside(case: LintedPolicy, wide: PortItem) -> list[str]:
    whole, _ = rule_ports([wide.port])
    peers = set(wide.rule.peers)
    found = {
        f"{item.port.protocol.value}/{item.port.port}"
        for item in case.ports
        if item.direction is wide.direction
        and item is not wide
        and isinstance(item.port.port, int)
        and item.port.end_port is None
        and (not peers or (item.rule.peers and peers.issuperset(item.rule.peers)))
        and rule_ports([item.port])[0] <= whole
    }
    return sorted(found)
