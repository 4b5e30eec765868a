"""Answers of ``can`` and ``why`` about an entry, as text and as data."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from podfence.errors import Locate
from podfence.questions.entrynames import entry_name
from podfence.questions.entryrows import EntryState
from podfence.questions.entrywhy import EntryAnswer, EntryWay, PortRule
from podfence.questions.phrases.tierwords import origin_name
from podfence.questions.phrases.words import some
from podfence.questions.why import WhyAnswer
from podfence.render.entries import entries_data
from podfence.render.jsontext import position_data
from podfence.render.verdicts import VerdictEncoder, direction_lines, origin_text, position_text
from podfence.text import printable

_RULES = 4
Explain = Callable[[EntryWay], WhyAnswer | None]


def entry_can_text(answer: EntryAnswer, locate: Locate) -> str:
    """The answer in a word, then each way with what decides it."""
    lines = [_headline(answer)]
    for way in answer.ways:
        lines.append(f"  {_way(way)}")
        lines += (f"      {each}" for each in _decided(way, locate))
    return "".join(f"{line}\n" for line in lines)


def entry_why_text(answer: EntryAnswer, explain: Explain, locate: Locate) -> str:
    """The same with every policy and rule that was looked at."""
    lines = [_headline(answer)]
    for way in answer.ways:
        where = locate(way.row.entry.source, way.row.entry.path)
        lines += ["", f"{_way(way)}{f'  {printable(str(where))}' if where else ''}"]
        lines.append(f"  sent by {printable(way.sent)}")
        if way.row.because:
            lines.append(f"  {_because(way)}")
        if way.pair is not None and way.pair.note:
            lines.append(f"  note: {printable(way.pair.note)}")
        lines += (f"  {each}" for each in _explained(way, explain(way), locate))
    return "".join(f"{line}\n" for line in lines)


def _headline(answer: EntryAnswer) -> str:
    states = [way.row.state for way in answer.ways]
    word = {True: "yes", False: "no", None: "unknown"}[answer.allowed]
    said = f"{word}: {printable(answer.name)}"
    if len(states) > 1 and len(set(states)) > 1:
        others = [(states.count(state), state.value) for state in EntryState if state in states]
        said += f": of {len(states)} ways {', '.join(f'{n} {s}' for n, s in others)}"
    elif len(states) > 1:
        said += f": all {len(states)} ways are {states[0].value}"
    return said


def _way(way: EntryWay) -> str:
    row = way.row
    port = f" {row.port}" if row.port else ""
    return f"{row.state.value:<8}{printable(f'{entry_name(row.entry)} -> {row.to}{port}')}"


def _because(way: EntryWay) -> str:
    rules = some([printable(origin_name(origin)) for origin in way.row.by], _RULES, ", ")
    return f"{printable(way.row.because)}{f': {rules}' if rules else ''}"


def _decided(way: EntryWay, locate: Locate) -> Iterator[str]:
    row = way.row
    yield f"from {printable(row.sources) or 'nobody known'}"
    if row.because:
        yield f"{printable(row.because)}{':' if row.by else ''}"
    for origin in row.by:
        yield origin_text(origin, locate)
    if not row.because and not row.by:
        yield "no policy closes it"


def _explained(way: EntryWay, why: WhyAnswer | None, locate: Locate) -> Iterator[str]:
    if why is not None:
        for report, end in (
            (why.egress, why.case.source),
            (why.ingress, why.case.destination),
        ):
            yield from direction_lines(report, end, locate)
    elif way.row.pods:
        yield from _by_ports(way, locate)


def _by_ports(way: EntryWay, locate: Locate) -> Iterator[str]:
    """The rules of the pods, if the sender is unknown."""
    subject = printable(way.row.pods[0])
    if not way.isolated_by and not way.rules:
        yield f"ingress of {subject}: no policy selects it, so everything is allowed"
        return
    yield f"ingress of {subject}: depends on who connects"
    for origin in way.isolated_by:
        name, where = printable(str(origin.policy)), position_text(origin, locate)
        yield f"  - {name}: isolates{f'  {where}' if where else ''}"
        rules = [rule for rule in way.rules if rule.origin.policy == origin.policy]
        if not rules:
            yield "      it has no ingress rules, so it allows nothing"
        yield from (f"      {_port_rule(rule, locate)}" for rule in rules)
    isolating = {origin.policy for origin in way.isolated_by}
    for rule in way.rules:
        if rule.origin.policy not in isolating:
            yield f"  - {printable(str(rule.origin.policy))} {_port_rule(rule, locate)}"


def _port_rule(rule: PortRule, locate: Locate) -> str:
    where = position_text(rule.origin, locate)
    if rule.fits:
        said = f"decides if one of its peers is the sender ({rule.ports})"
    else:
        said = (
            f"near miss: it applies only to {rule.ports}" if rule.ports else "matches nothing now"
        )
    return f"{rule.origin.path}: {said}{f'  {where}' if where else ''}"


def entry_answer_data(
    answer: EntryAnswer, locate: Locate, explain: Explain | None = None
) -> dict[str, object]:
    """``entry`` of the schemas. ``explain``: with all policies and rules."""
    encoder = VerdictEncoder(locate)
    return {
        "entry": answer.name,
        "allowed": answer.allowed,
        "ways": [_data(way, locate, encoder, explain) for way in answer.ways],
    }


def _data(
    way: EntryWay, locate: Locate, encoder: VerdictEncoder, explain: Explain | None
) -> dict[str, object]:
    entry = way.row.entry
    [row] = entries_data([way.row], locate)
    data = {**row, "sentBy": way.sent, **position_data(locate(entry.source, entry.path))}
    if explain is None:
        return data
    if (why := explain(way)) is not None:
        data["example"] = encoder.why(why)
    elif way.row.pods:
        data["isolatedBy"] = [encoder.origin(origin) for origin in way.isolated_by]
        data["rules"] = [
            {
                **encoder.origin(rule.origin),
                "portFits": rule.fits,
                "ports": str(rule.ports).split(" "),
            }
            for rule in way.rules
        ]
    return data
