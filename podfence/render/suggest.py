"""Suggested policies as YAML for kubectl, and the report about them.

Rule: text from flow records appears only in comments, escaped, so that the name of a pod cannot
become a line of a manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from podfence.flows.seen import FlowRecords
from podfence.policy.flow import AS_WRITTEN, Direction
from podfence.questions.phrases.words import count, listed, some
from podfence.questions.suggest.evidence import Evidence, ObservedConnection, UnresolvedFlow
from podfence.questions.suggest.resolver import KnownEnd
from podfence.questions.suggest.rules import SuggestedPolicy
from podfence.questions.suggest.suggest import Suggestion
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


def policy_yaml(each: SuggestedPolicy) -> str:
    """One policy, under the evidence that it was made of."""
    comments = "".join(f"# {line}\n" for line in _evidence(each))
    return comments + "".join(yaml_lines(policy_manifest(each.policy)))


def _evidence(each: SuggestedPolicy) -> Iterator[str]:
    names = sorted({_own(c, d).name for d, basis in each.basis.items() for c in basis})
    yield f"{printable(some(names, _SHOWN))}: {_evidence_words(each)}"
    for direction in AS_WRITTEN:
        for connection in each.basis.get(direction, ()):
            yield f"  {_way(connection, direction)}: {_weight(connection)}"
    for _, block, seen, _ in each.wider:
        yield f"  {block} is wider than what was seen: {seen} of {block.num_addresses:,} addresses"


def _evidence_words(each: SuggestedPolicy) -> str:
    every = [c for basis in each.basis.values() for c in basis]
    seen, needed = any(c.count for c in every), any(c.promised for c in every)
    words = ["flows that were seen"] * seen + ["tests"] * needed
    return f"from {listed(words)}"


def _own(connection: ObservedConnection, direction: Direction) -> KnownEnd:
    return connection.destination if direction is Direction.INGRESS else connection.source


def _way(connection: ObservedConnection, direction: Direction) -> str:
    ports = port_text(connection.protocol, connection.port)
    if direction is Direction.INGRESS:
        return f"from {printable(connection.source.name)} on {ports}"
    return f"to {printable(connection.destination.name)} on {ports}"


def _weight(connection: ObservedConnection) -> str:
    """``12 flows, 2026-11-21T09:00:00Z to 2026-11-28T09:41:00Z``."""
    if not connection.count:
        return "needed by a test"
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


def reading_lines(
    seen: FlowRecords, found: Evidence, *, every_unresolved: bool = False
) -> Iterator[str]:
    """What was read, and what of it is no evidence. ``every_unresolved``: with each record that
    could not be resolved, instead of the reasons alone."""
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
        if every_unresolved:
            yield from (f"    {_nameless(each)}" for each in found.nameless)
            return
        reasons = dict.fromkeys(each.because for each in found.nameless)
        yield from few([f"    {printable(reason)}" for reason in reasons], "    ")


def _nameless(each: UnresolvedFlow) -> str:
    flow = each.flow
    ends = f"{printable(str(flow.source))} -> {printable(str(flow.destination))}"
    number = f"{flow.count:,} flow{'s' * (flow.count != 1)}"
    return f"{ends} {port_text(flow.protocol, flow.port)} ({number}): {printable(each.because)}"


def connection_text(each: ObservedConnection, *, bare: bool = False) -> str:
    """``shop/web -> shop/db TCP/5432 (12 flows)``."""
    ends = f"{printable(each.source.name)} -> {printable(each.destination.name)}"
    text = f"{ends} {port_text(each.protocol, each.port)}"
    return text if bare else f"{text} ({_weight(each)})"


def few(lines: Sequence[str], indent: str = "  ") -> Iterator[str]:
    """The first lines, and how many more there are."""
    yield from lines[:_SHOWN]
    if len(lines) > _SHOWN:
        yield f"{indent}and {len(lines) - _SHOWN} more (-o json)"


# -- JSON


def evidence_data(seen: FlowRecords, found: Evidence) -> dict[str, Any]:
    """What was read, and which of it is not evidence."""
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
