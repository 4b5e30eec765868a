"""Suggested policies as YAML that kubectl takes, and what is to be said of them.

Rule: what came from flow records stands in comments alone, escaped, so that no name of a pod can
become a line of a manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from podfence.flows.seen import FlowRecords
from podfence.policy.flow import AS_WRITTEN, Direction, Verdict
from podfence.policy.origin import Origin
from podfence.questions.phrases.tierwords import origin_name
from podfence.questions.phrases.words import count, listed, some
from podfence.questions.suggest.evidence import Evidence, ObservedConnection
from podfence.questions.suggest.resolver import KnownEnd
from podfence.questions.suggest.rules import LeftOpen, Suggested
from podfence.questions.suggest.suggest import DeniedConnection, Suggestion
from podfence.render.policies import policy_manifest
from podfence.render.yamltext import yaml_lines
from podfence.sets.ports import OTHER
from podfence.text import printable

SCHEMA: Final = "podfence.suggest/v1"
_SHOWN: Final = 10
_DNS: Final = 53


# -- YAML


def policies_yaml(found: Suggestion) -> str:
    """All policies, a document each; "" where there are none."""
    return "---\n".join(policy_yaml(each) for each in found.policies)


def policy_yaml(each: Suggested) -> str:
    """One policy, under the evidence that it was made of."""
    comments = "".join(f"# {line}\n" for line in _evidence(each))
    return comments + "".join(yaml_lines(policy_manifest(each.policy)))


def _evidence(each: Suggested) -> Iterator[str]:
    names = sorted({_own(c, d).name for d, basis in each.basis.items() for c in basis})
    yield f"{printable(some(names, _SHOWN))}: from flows that were seen"
    for direction in AS_WRITTEN:
        for connection in each.basis.get(direction, ()):
            yield f"  {_way(connection, direction)}: {_weight(connection)}"


def _own(connection: ObservedConnection, direction: Direction) -> KnownEnd:
    return connection.destination if direction is Direction.INGRESS else connection.source


def _way(connection: ObservedConnection, direction: Direction) -> str:
    ports = port_text(connection.protocol, connection.port)
    if direction is Direction.INGRESS:
        return f"from {printable(connection.source.name)} on {ports}"
    return f"to {printable(connection.destination.name)} on {ports}"


def _weight(connection: ObservedConnection) -> str:
    """``12 flows, 2026-11-21T09:00:00Z to 2026-11-28T09:41:00Z``."""
    number = f"{connection.count:,} flow{'s' * (connection.count != 1)}"
    first, last = _time(connection.first), _time(connection.last)
    if not last:
        return number
    return f"{number}, {first} to {last}" if first != last else f"{number}, {last}"


def _time(text: str) -> str:
    """Without fractions of a second."""
    head, dot, rest = text.partition(".")
    return printable(f"{head}Z" if dot and rest.endswith("Z") else text)


def port_text(protocol: str, port: int) -> str:
    """``TCP/5432``; ``ICMP`` for all protocols without ports."""
    return "ICMP" if protocol == OTHER else f"{protocol}/{port}"


# -- text


def suggest_text(found: Suggestion, seen: FlowRecords) -> str:
    """What was read, what is suggested, and the proof."""
    return "".join(f"{line}\n" for line in _lines(found, seen))


def reading_lines(seen: FlowRecords, found: Evidence) -> Iterator[str]:
    """What was read, and what of it is no evidence."""
    first, last = _time(found.first), _time(found.last)
    when = f" ({first} to {last})" if last else ""
    connections = len(found.seen) + len(found.denied)
    records = "1 record" if seen.records == 1 else f"{seen.records:,} records"
    yield f"read {records}{when}: {count(connections, 'connection')} of workloads"
    for reason, number in sorted(seen.left.items(), key=lambda item: -item[1]):
        yield f"  left out {number:,} {reason.value}"
    for aside, number in sorted(found.aside.items(), key=lambda item: -item[1]):
        yield f"  left out {number:,} {aside.value}"
    if found.nameless:
        total = sum(each.flow.count for each in found.nameless)
        yield f"  left out {total:,} with an unknown end:"
        reasons = dict.fromkeys(each.because for each in found.nameless)
        yield from _few([f"    {printable(reason)}" for reason in reasons], "    ")


def _lines(found: Suggestion, seen: FlowRecords) -> Iterator[str]:
    yield from reading_lines(seen, found.evidence)
    rules = sum(len(p.policy.ingress) + len(p.policy.egress) for p in found.policies)
    if found.policies:
        yield f"suggested {count(len(found.policies), 'policy')} with {count(rules, 'rule')}"
    else:
        yield "nothing to suggest"
    if found.settled:
        what = count(found.settled, "direction")
        yield f"  {what} of workloads: the policies that exist allow all of it"
    for ref in found.assumed:
        label = "k8s-app=kube-dns"
        yield f"  assumed that the pods of {printable(str(ref))} are labelled {label}"
    yield from _few([f"  {_left(each)}" for each in found.left_open])
    yield from _deaf(found)
    yield from _denied(found)
    yield from _proof(found)


def _left(each: LeftOpen) -> str:
    names = printable(some(each.names, _SHOWN))
    return f"{names}: {each.direction.value} stays as it is: {printable(each.because)}"


def _deaf(found: Suggestion) -> Iterator[str]:
    """Who may send, and was never seen to ask for a name."""
    names = {
        connection.source.name
        for each in found.policies
        if Direction.EGRESS in each.closes
        and not any(c.port == _DNS for c in each.basis[Direction.EGRESS])
        for connection in each.basis[Direction.EGRESS]
    }
    if names:
        said = printable(some(sorted(names), _SHOWN))
        yield f"  no DNS query was seen from {said}: names will not resolve there"


def _denied(found: Suggestion) -> Iterator[str]:
    if not found.evidence.denied:
        return
    yield f"denied when it was seen: {count(len(found.evidence.denied), 'connection')}"
    yield from _few([f"  {connection_text(each)}" for each in found.evidence.denied])


def _proof(found: Suggestion) -> Iterator[str]:
    replay = found.replay
    total = replay.allowed + len(replay.refused)
    yield f"replay: {replay.allowed} of {count(total, 'connection')} allowed"
    yield from _few([f"  {_refused(each)}" for each in replay.refused])
    if replay.unjudged:
        yield f"  {count(replay.unjudged, 'connection')} not judged: an end has no address"
    wide = [line for each in found.policies for line in _everywhere(each)]
    if found.beyond:
        yield f"beyond the evidence: {count(len(found.beyond), 'connection')} allowed"
        yield from _few([f"  {connection_text(each, bare=True)}" for each in found.beyond])
    elif found.policies and not wide:
        yield "beyond the evidence: nothing between workloads"
    yield from wide
    if found.policies:
        yield _change(found)


def _everywhere(each: Suggested) -> Iterator[str]:
    name = printable(each.policy.ref.name)
    for direction, block, rule in each.everywhere:
        ports = ", ".join(
            port_text(port.protocol.value, int(port.port or 0)) for port in rule.ports
        )
        way = "from" if direction is Direction.INGRESS else "to"
        what = f"{ports} {way} every IPv{block.version} address, those of pods too"
        yield f"beyond the evidence: {printable(each.policy.ref.namespace)}/{name} allows {what}"


def _change(found: Suggestion) -> str:
    change = found.change
    closes = [f"{count(change.closed, 'pair')} of workloads that no flow used"]
    if change.shut_in:
        closes.append(f"ways in from outside to {count(change.shut_in, 'workload')}")
    if change.shut_out:
        closes.append(f"ways out from {count(change.shut_out, 'workload')}")
    opens = f"; opens {count(change.opened, 'pair')}" if change.opened else ""
    return f"closes {listed(closes)}{opens}"


def connection_text(each: ObservedConnection, *, bare: bool = False) -> str:
    """``shop/web -> shop/db TCP/5432 (12 flows)``."""
    ends = f"{printable(each.source.name)} -> {printable(each.destination.name)}"
    text = f"{ends} {port_text(each.protocol, each.port)}"
    return text if bare else f"{text} ({_weight(each)})"


def _refused(each: DeniedConnection) -> str:
    by = some([printable(origin_name(origin)) for origin in _origins(each.verdict)], 2)
    return f"denied: {connection_text(each.connection)}" + (f", by {by}" if by else "")


def _origins(verdict: Verdict) -> Sequence[Origin]:
    return [
        origin
        for side in (verdict.egress, verdict.ingress)
        if not side.allowed
        for origin in side.origins
    ]


def _few(lines: Sequence[str], indent: str = "  ") -> Iterator[str]:
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"{indent}and {len(lines) - _SHOWN} more (-o json)"


# -- JSON


def suggest_data(found: Suggestion, seen: FlowRecords) -> dict[str, Any]:
    """The answer for ``-o json``."""
    evidence, replay = found.evidence, found.replay
    return {
        "schema": SCHEMA,
        **evidence_data(seen, evidence),
        "connections": [connection_data(each) for each in evidence.seen],
        "denied": [connection_data(each) for each in evidence.denied],
        "policies": [policy_manifest(each.policy) for each in found.policies],
        "leftOpen": [
            {"workloads": list(e.names), "direction": e.direction.value, "because": e.because}
            for e in found.left_open
        ],
        "settled": found.settled,
        "assumed": [ref.name for ref in found.assumed],
        "replay": {
            "allowed": replay.allowed,
            "of": replay.allowed + len(replay.refused),
            "unjudged": replay.unjudged,
            "denied": [connection_data(each.connection) for each in replay.refused],
        },
        "beyond": [connection_data(each) for each in found.beyond],
        "change": {
            "opens": found.change.opened,
            "closes": found.change.closed,
            "shutIn": found.change.shut_in,
            "shutOut": found.change.shut_out,
        },
    }


def evidence_data(seen: FlowRecords, found: Evidence) -> dict[str, Any]:
    """What was read, and what of it is no evidence."""
    return {
        "records": seen.records,
        "unread": seen.unread,
        "left": [
            {"because": reason.value, "count": number}
            for reason, number in (*seen.left.items(), *found.aside.items())
        ],
        "unplaced": [
            {
                "from": str(each.flow.source),
                "to": str(each.flow.destination),
                "protocol": each.flow.protocol,
                "port": each.flow.port,
                "count": each.flow.count,
                "because": each.because,
            }
            for each in found.nameless
        ],
    }


def connection_data(each: ObservedConnection) -> dict[str, Any]:
    """One connection."""
    found: dict[str, Any] = {
        "from": each.source.name,
        "to": each.destination.name,
        "protocol": each.protocol,
        "port": each.port,
        "count": each.count,
    }
    if each.last:
        found |= {"first": each.first, "last": each.last}
    return found
