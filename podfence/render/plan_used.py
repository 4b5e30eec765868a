"""Recorded traffic that a change cuts and lets through, for people and as data.

Rule: the text has a bound of its own, and says by number what it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from podfence.flows.seen import FlowRecords, SkipReason
from podfence.questions.phrases.words import count
from podfence.questions.plan.blame import Blame
from podfence.questions.plan.plan import Plan
from podfence.questions.plan.used import ChangedUse, TrafficImpact
from podfence.render.plan_text import PlanWriter, Spots
from podfence.render.suggest import connection_data, connection_text, evidence_data, reading_lines
from podfence.text import printable

_CAUSES: Final = 4
_CONNECTIONS: Final = 4
"""Shown of each cause at most; wide shows all."""


def render_used(plan: Plan, seen: FlowRecords, spots: Spots, *, wide: bool = False) -> str:
    """The section of a plan's text; "" where no flows were given."""
    if plan.used is None:
        return ""
    lines = [*_lines(plan, plan.used, seen, PlanWriter(plan, spots, wide=wide), wide=wide)]
    return "".join(f"{line}\n" for line in lines)


def _lines(
    plan: Plan, used: TrafficImpact, seen: FlowRecords, writer: PlanWriter, *, wide: bool
) -> Iterator[str]:
    yield ""
    yield "traffic that was seen:"
    yield from (f"  {line}" for line in reading_lines(seen, used.evidence))
    for ref in used.assumed:
        label = "k8s-app=kube-dns"
        yield f"  assumed that the pods of {printable(str(ref))} are labelled {label}"
    yield f"  {used_words(used)}"
    yield from _section("cuts what passed", used.cut, writer, wide=wide)
    yield from _section("lets through", used.opened, writer, wide=wide)


def used_words(used: TrafficImpact) -> str:
    """The summary in numbers."""
    cut = count(len(used.cut), "connection") if used.cut else "nothing"
    said = [f"{cut} that passed would be cut"]
    if used.opened:
        said.append(f"{len(used.opened)} would be let through")
    others = [f"{used.kept} that passed"] if used.kept else []
    others += [f"{used.refused} that were denied"] if used.refused else []
    if others:
        said.append(f"{' and '.join(others)} stay as they are")
    if used.shut:
        said.append(f"{used.shut} that passed {'is' if used.shut == 1 else 'are'} denied by both")
    for number, words in (
        (len(used.gone), "of workloads that the change removes"),
        (used.unsure, "of workloads that are not certain"),
        (used.unjudged, "not judged: the verdict depends on an unknown address"),
    ):
        if number:
            said.append(f"{number} {words}")
    return "; ".join(said)


def ungrounded(used: TrafficImpact, seen: FlowRecords) -> str:
    """Why the flows do not show that nothing is cut; "" if they do."""
    evidence = used.evidence
    found = [
        f"{number:,} {words}"
        for number, words in (
            (sum(each.flow.count for each in evidence.nameless), "with an unknown end"),
            (used.unjudged, "not judged"),
            (used.unsure, "of workloads that are not certain"),
            (seen.left[SkipReason.EMPTY], SkipReason.EMPTY.value),
            (seen.left[SkipReason.TOO_MANY], SkipReason.TOO_MANY.value),
        )
        if number
    ]
    if not evidence.seen and not evidence.denied:
        found.append("no connection of workloads at all")
    return ", ".join(found)


def _section(
    title: str, uses: Sequence[ChangedUse], writer: PlanWriter, *, wide: bool
) -> Iterator[str]:
    by_cause: dict[tuple[Blame, ...], list[ChangedUse]] = {}
    for use in uses:
        by_cause.setdefault(use.blames, []).append(use)
    causes = sorted(by_cause.items(), key=lambda item: -sum(u.connection.count for u in item[1]))
    shown = causes if wide else causes[:_CAUSES]
    for blames, members in shown:
        yield ""
        for blame in blames:
            yield from writer.cause(blame)
        some = members if wide else members[:_CONNECTIONS]
        yield f"    {title}:"
        yield from (f"      {_use(each)}" for each in some)
        if len(members) > len(some):
            yield f"      and {count(len(members) - len(some), 'connection')} more (-o wide)"
    if len(causes) > len(shown):
        left = sum(len(members) for _, members in causes[len(shown) :])
        number = count(len(causes) - len(shown), "cause")
        yield ""
        yield f"and {number} more with {count(left, 'connection')} (-o wide)"


def _use(use: ChangedUse) -> str:
    return connection_text(use.connection)


def used_data(used: TrafficImpact, seen: FlowRecords) -> dict[str, Any]:
    """The same for ``-o json``."""
    return {
        **evidence_data(seen, used.evidence),
        "assumed": [ref.name for ref in used.assumed],
        "cut": [_data(each) for each in used.cut],
        "opened": [_data(each) for each in used.opened],
        "kept": used.kept,
        "refused": used.refused,
        "deniedByBoth": used.shut,
        "gone": [connection_data(each) for each in used.gone],
        "unsure": used.unsure,
        "unjudged": used.unjudged,
    }


def _data(use: ChangedUse) -> dict[str, Any]:
    return {
        **connection_data(use.connection),
        "denied": use.denied,
        "blame": [
            {"edits": each.edits, "mode": each.mode.value, "proved": each.proved}
            for each in use.blames
        ],
    }
