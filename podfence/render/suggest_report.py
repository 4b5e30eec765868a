"""What is to be said of suggested policies: what was read, and the proof. As text and as data.

Rule: the proof is always there; what a list leaves out of the text is in the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from podfence.errors import Locate
from podfence.flows.seen import FlowRecords
from podfence.model.networkpolicy import NetworkPolicyRule
from podfence.policy.flow import Direction, Verdict
from podfence.policy.origin import Origin
from podfence.questions.phrases.tierwords import origin_name
from podfence.questions.phrases.words import count, listed, some
from podfence.questions.suggest.against import ExistingRules
from podfence.questions.suggest.rules import LeftOpen, SuggestedPolicy
from podfence.questions.suggest.suggest import DeniedConnection, Suggestion
from podfence.render.plan_json import outcome_data
from podfence.render.plan_text import outcome_words
from podfence.render.policies import policy_manifest
from podfence.render.suggest import (
    SCHEMA,
    connection_data,
    connection_text,
    evidence_data,
    few,
    port_text,
    reading_lines,
)
from podfence.render.suggest_tests import GivenTests, given_data, given_lines
from podfence.render.verdicts import VerdictEncoder, origin_text
from podfence.text import printable

_SHOWN: Final = 10
_DNS: Final = 53


class SuggestReport(Struct, frozen=True):
    """The report on a suggestion. ``every_unresolved``: with each record that could not be
    resolved; ``given``: tests that policies were made for."""

    found: Suggestion
    seen: FlowRecords
    locate: Locate
    every_unresolved: bool = False
    given: GivenTests | None = None

    def text(self) -> str:
        """What was read, what is suggested, and the proof."""
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        found = self.found
        if self.seen.records or self.given is None:
            yield from reading_lines(
                self.seen, found.evidence, every_unresolved=self.every_unresolved
            )
        if self.given is not None:
            needs = count(len(found.promised.connections), "connection")
            yield f"tests need {needs} of workloads"
        yield from _suggested(found)
        yield from _deaf(found)
        yield from _denied(found)
        yield from _proof(found)
        if found.against is not None:
            yield from _against(found, found.against, self.locate)
        if self.given is not None:
            yield from given_lines(self.given, self.locate)

    def data(self) -> dict[str, Any]:
        """The answer for ``-o json``."""
        given = self.given
        extra = {} if given is None else {"fromTests": given_data(given, self.locate)}
        return _data(self.found, self.seen, self.locate) | extra


def _suggested(found: Suggestion) -> Iterator[str]:
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
    yield from few([f"  {_left(each)}" for each in found.left_open])


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
        seen = any(each.count for each in found.needed)
        query = f"no DNS query was seen from {said}" if seen else f"no test needs DNS of {said}"
        yield f"  {query}: names will not resolve there"


def _denied(found: Suggestion) -> Iterator[str]:
    if not found.evidence.denied:
        return
    yield f"denied when it was seen: {count(len(found.evidence.denied), 'connection')}"
    yield from few([f"  {connection_text(each)}" for each in found.evidence.denied])


def _proof(found: Suggestion) -> Iterator[str]:
    replay = found.replay
    total = replay.allowed + len(replay.refused)
    yield f"replay: {replay.allowed} of {count(total, 'connection')} allowed"
    yield from few([f"  {_refused(each)}" for each in replay.refused])
    if replay.unjudged:
        judged = count(replay.unjudged, "connection")
        yield f"  {judged} not judged: the ends have no address of the same IP version"
    yield from _rare(found)
    wide = [line for each in found.policies for line in _everywhere(each)]
    more = [line for each in found.policies for line in _wider(each)]
    if found.beyond:
        yield f"beyond the evidence: {count(len(found.beyond), 'connection')} allowed"
        yield from few([f"  {connection_text(each, bare=True)}" for each in found.beyond])
    elif found.policies and not wide and not more:
        yield "beyond the evidence: nothing between workloads"
    yield from wide
    if more:
        yield f"beyond the evidence: {count(len(more), 'block')} wider than what was seen"
        yield from few(more)
    if found.policies:
        yield _change(found)
        yield from _coming(found)
    yield from _once(found)


def _coming(found: Suggestion) -> Iterator[str]:
    """Where the next pod would be open."""
    said = [
        f"{printable(each.name.partition('/')[0])} ({listed([way.value for way in each.open])})"
        for each in found.coming
    ]
    if said:
        words = "a pod without labels is still open in"
        yield f"{words} {some(said, _SHOWN, ', ')}: a default deny closes that"
    else:
        yield "a pod without labels is closed in every namespace of these policies"


def _rare(found: Suggestion) -> Iterator[str]:
    """What was seen too seldom."""
    if found.rare:
        lost = sum(not each.allowed for each in found.rare)
        yield f"seen too seldom: {count(len(found.rare), 'connection')}, {lost} of them not allowed"
        words = {True: "allowed", False: "not allowed"}
        yield from few(
            [f"  {connection_text(each.connection)}: {words[each.allowed]}" for each in found.rare]
        )


def _once(found: Suggestion) -> Iterator[str]:
    """What was seen once, where other things were seen more often: a job of every month?"""
    bases = (needed for each in found.policies for needed in each.basis.values())
    about = dict.fromkeys(each for needed in bases for each in needed) or found.needed
    once = [each for each in about if each.count == 1]
    if once and any(each.count > 1 for each in about):
        yield f"seen once only: {count(len(once), 'connection')}"
        yield from few([f"  {connection_text(each)}" for each in once])


def _everywhere(each: SuggestedPolicy) -> Iterator[str]:
    for direction, block, rule in each.everywhere:
        what = f"every IPv{block.version} address, those of pods too"
        yield f"beyond the evidence: {_wide(each, direction, rule, what)}"


def _wider(each: SuggestedPolicy) -> Iterator[str]:
    for direction, block, seen, rule in each.wider:
        what = f"{block}: {seen} of {block.num_addresses:,} addresses were seen"
        yield f"  {_wide(each, direction, rule, what)}"


def _wide(each: SuggestedPolicy, direction: Direction, rule: NetworkPolicyRule, what: str) -> str:
    ports = ", ".join(port_text(port.protocol.value, int(port.port or 0)) for port in rule.ports)
    way = "from" if direction is Direction.INGRESS else "to"
    name = f"{printable(each.policy.ref.namespace)}/{printable(each.policy.ref.name)}"
    return f"{name} allows {ports} {way} {what}"


def _change(found: Suggestion) -> str:
    change = found.change
    used = "few flows or none used" if found.rare else "no flow used"
    if not any(each.count for each in found.needed):
        used = "no test needs"
    closes = [f"{count(change.closed, 'pair')} of workloads that {used}"]
    if change.shut_in:
        closes.append(f"ways in from outside to {count(change.shut_in, 'workload')}")
    if change.shut_out:
        closes.append(f"ways out from {count(change.shut_out, 'workload')}")
    opens = f"; opens {count(change.opened, 'pair')}" if change.opened else ""
    return f"closes {listed(closes)}{opens}"


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


def _against(found: Suggestion, compared: ExistingRules, locate: Locate) -> Iterator[str]:
    """Rules that exist and let nothing of it through, then what closes."""
    used = compared.rules - len(compared.unused)
    yield f"of the policies that exist: {used} of {count(compared.rules, 'rule')} used by a record"
    yield from few([f"  not used: {origin_text(each, locate)}" for each in compared.unused])
    closes = [each for each in found.changes if each.closed]
    if closes:
        yield f"allowed today, and closed: {count(len(closes), 'line')}"
        yield from few([f"  {outcome_words(each)}" for each in closes])
    elif found.policies:
        yield "allowed today, and closed: nothing"


# -- JSON


def _data(found: Suggestion, seen: FlowRecords, locate: Locate) -> dict[str, Any]:
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
        "open": [
            {
                "namespace": each.name.partition("/")[0],
                "directions": [way.value for way in each.open],
            }
            for each in found.coming
        ],
        "rare": [
            connection_data(each.connection) | {"allowed": each.allowed} for each in found.rare
        ],
        "wider": [
            {
                "policy": each.policy.ref.name,
                "namespace": each.policy.ref.namespace,
                "direction": direction.value,
                "block": str(block),
                "seen": seen_there,
            }
            for each in found.policies
            for direction, block, seen_there, _ in each.wider
        ],
        **_against_data(found, locate),
    }


def _against_data(found: Suggestion, locate: Locate) -> dict[str, Any]:
    """Absent where it was not asked for."""
    if found.against is None:
        return {}
    encoder = VerdictEncoder(locate)
    closes = [each for each in found.changes if each.closed]
    return {
        "against": {
            "rules": found.against.rules,
            "unused": [encoder.origin(each) for each in found.against.unused],
            "closes": [_without_blame(outcome_data(each)) for each in closes],
        }
    }


def _without_blame(outcome: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in outcome.items() if key != "blame"}
