"""Notes about ports that are not the ports of the pods at the other end.

Rule: what counts is the pod that is connected to: the subject for ingress, the peer for egress
(NP-32).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from podfence.engine.connections import end_ports
from podfence.model.networkpolicy import NetworkPolicyPort, Protocol
from podfence.model.objects import Service, ServicePort
from podfence.policy.flow import DIRECTIONS, Direction
from podfence.policy.index import Endpoint
from podfence.policy.namedports import PortName, named_number
from podfence.questions.lint.note import LintedPolicy, Note, PortItem
from podfence.questions.phrases import words
from podfence.questions.phrases.ends import Ends

_DNS = 53
_SHOWN = 3
_COMPARED = 2_000
"""The most pairs of classes that are compared for one rule."""


def unknown_name(case: LintedPolicy) -> Iterator[Note]:
    """PF308: no destination has a port of this name and protocol (NP-33, NP-35)."""
    for item in case.ports:
        targets, name, protocol = item.targets, item.port.port, item.port.protocol.value
        if not isinstance(name, str) or not _can_judge(case, item.direction, targets):
            continue
        lists = case.matched.port_lists(targets)
        if any(named_number(ports, PortName(name, protocol)) for ports in lists):
            continue
        yield Note("PF308", _why_unknown(case, targets, name, protocol), item.path)


def _can_judge(case: LintedPolicy, direction: Direction, targets: Ends) -> bool:
    """Whether the destinations are known: if the selectors match nothing, PF306 and PF307 report
    it."""
    only_blocks = direction is Direction.EGRESS and any(
        rule.peers and all(peer.ip_block is not None for peer in rule.peers)
        for rule in case.policy.egress
    )
    return bool(targets) or only_blocks


def _why_unknown(case: LintedPolicy, targets: Ends, name: str, protocol: str) -> str:
    if not targets:
        return f"Addresses outside the cluster have no port names: {name} allows nothing there."
    others = sorted({p.protocol.value for e in targets for p in e.pod.ports if p.name == name})
    if others:
        return (
            f"{name} is declared for {words.listed(others)}, but this item says {protocol} (a "
            "port without protocol is TCP). Name and protocol must both match, so it allows "
            "nothing."
        )
    known = sorted({p.name for e in targets for p in e.pod.ports if p.name})
    declared = (
        f"The names declared there: {', '.join(known[:8])}." if known else "It declares none."
    )
    who = _who(case, targets)
    return f"No destination ({who}) declares a {protocol} port named {name}. {declared}"


def service_port(case: LintedPolicy) -> Iterator[Note]:
    """PF309: a number that a Service in front of the pods has, and the pods have not (NP-38,
    NP-46)."""
    for item in case.ports:
        direction, targets, port = item.direction, item.targets, item.port
        if not isinstance(port.port, int) or port.end_port is not None:
            continue
        if direction is Direction.EGRESS and len(targets) == len(case.index.endpoints):
            continue  # a rule for everyone may well mean addresses outside
        if case.matched.some_declares(targets, port.port, port.protocol):
            continue
        for service, service_port_ in services_in_front(case, targets, port):
            text = (
                f"{port.port} is the port of Service {service.ref}; the pods behind it are "
                f"reached on {_number(targets, service_port_)}. Policies see the container's "
                "port, so this item allows nothing that goes through the Service."
            )
            if _nothing_passes(case, item, service, service_port_):
                text += " No other rule allows it, so every connection through it is denied."
                yield Note("PF329", text, item.path)
            else:
                yield Note("PF309", text, item.path)


def _nothing_passes(
    case: LintedPolicy, item: PortItem, service: Service, port: ServicePort
) -> bool:
    """Whether the subject denies all connections of its rule to a port of a Service. The engine
    answers, so that every policy counts."""
    direction = item.direction
    remotes = case.matched.rule_peers(case.namespace, item.rule.peers)
    pairs = [
        (subject, remote, subject if direction is Direction.INGRESS else remote)
        for subject in _one_of_each(case.subjects)
        for remote in _one_of_each(remotes)
    ]
    behind = [pair for pair in pairs if _selects(service, pair[2])]
    if not behind or len(behind) > _COMPARED:
        return False
    return not any(
        (port.protocol.value, at)
        in end_ports(case.index, subject.endpoint_class, direction, remote.endpoint_class, family)
        for subject, remote, target in behind
        if (at := port.on(target.pod)) is not None
        for family in {a.version for a in remote.pod.addresses}
    )


def _one_of_each(endpoints: Iterable[Endpoint]) -> Iterable[Endpoint]:
    """One pod of each class: policies cannot tell the others from it."""
    return {end.endpoint_class: end for end in endpoints}.values()


def _number(targets: Iterable[Endpoint], port: ServicePort) -> str:
    """The target port; a name with the number that it means."""
    name = port.target_port
    if isinstance(name, int):
        return str(name)
    asked = PortName(name, port.protocol.value)
    found = {
        str(low)
        for endpoint in targets
        for _, low, _ in named_number(endpoint.pod.ports, asked).ranges()
    }
    return f"{name} ({words.listed(sorted(found), 'or')})" if found else name


def other_end(case: LintedPolicy) -> Iterator[Note]:
    """PF318: the pods connected to do not declare the number, those that connect do (NP-32,
    NP-38)."""
    for item in case.ports:
        port, targets = item.port, item.targets
        if not item.rule.peers or port.end_port is not None or not isinstance(port.port, int):
            continue
        if not targets or case.matched.some_declares(targets, port.port, port.protocol):
            continue
        if case.matched.some_declares_none(targets):
            continue
        openers = case.subjects
        if item.direction is Direction.INGRESS:
            openers = case.matched.rule_peers(case.namespace, item.rule.peers)
        if openers and case.matched.each_declares(openers, port.port, port.protocol):
            text = (
                f"{port.port} is declared by {_who(case, openers)}, the end that connects, and "
                f"not by {_who(case, targets)}, the end that is connected to. A rule names the "
                "port of the end that is connected to; replies need no rule."
            )
            yield Note("PF318", text, item.path)


def _who(case: LintedPolicy, endpoints: Ends) -> str:
    return case.matched.names(endpoints, _SHOWN)


def services_in_front(
    case: LintedPolicy, targets: Ends, port: NetworkPolicyPort
) -> Iterator[tuple[Service, ServicePort]]:
    """The ports of Services that have the number of a port item and lead to another one."""
    for service in case.index.cluster.services:
        if not any(_selects(service, endpoint) for endpoint in targets):
            continue
        for item in service.ports:
            same = item.port == port.port and item.protocol is port.protocol
            if same and item.target_port != port.port:
                yield service, item


def _selects(service: Service, endpoint: Endpoint) -> bool:
    return (
        bool(service.selector)
        and service.ref.namespace == endpoint.pod.namespace
        and set(service.selector) <= set(endpoint.pod.labels)
    )


def dns_over_tcp(case: LintedPolicy) -> Iterator[Note]:
    """PF312: ``port: 53`` without protocol is TCP, but DNS queries use UDP (NP-30)."""
    for direction in DIRECTIONS:
        items = [item for item in case.ports if item.direction is direction]
        if any(i.port.protocol is Protocol.UDP and i.port.port in (None, _DNS) for i in items):
            continue
        for item in items:
            port = item.port
            if port.protocol is Protocol.TCP and port.port == _DNS and port.end_port is None:
                if not _has_block(item) and case.dns.is_none_of(item.targets):
                    continue  # a zone transfer, say
                text = (
                    "This is TCP port 53; a port without protocol is TCP. Most DNS queries use "
                    "UDP and stay denied. Add {protocol: UDP, port: 53}."
                )
                yield Note("PF312", text, item.path)


def _has_block(item: PortItem) -> bool:
    """Whether the end that is connected to may be outside."""
    peers = item.rule.peers if item.direction is Direction.EGRESS else ()
    return any(peer.ip_block is not None for peer in peers)
