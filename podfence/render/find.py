"""Answers of ``find`` as text: tables, and who has no connection at all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from podfence.errors import Locate
from podfence.policy.flow import AS_WRITTEN, Direction
from podfence.questions.find.deciding import DecidingRules, Via
from podfence.questions.find.openness import Openness
from podfence.questions.find.path import PathHop
from podfence.questions.find.reach import ReachRow, ReachTable, Rest, RowEnd
from podfence.questions.find.removal import PolicyPurpose
from podfence.questions.find.selectors import UnusedSelector
from podfence.questions.phrases.tierwords import policy_name
from podfence.questions.phrases.words import count, listed, some
from podfence.questions.plan.outcomes import Outcome
from podfence.questions.unjudged import UNTOUCHED, TouchedPods
from podfence.render.map_table import UNJUDGED
from podfence.render.plan_text import outcome_words, short_ports
from podfence.render.tables import table
from podfence.render.verdicts import origin_text
from podfence.text import printable

_RULES = 2
_NAMES = 6
NOBODY = "nobody (proved for all addresses and ports that were asked for)"


def reached_text(
    answer: ReachTable,
    near: Direction,
    locate: Locate,
    *,
    whole: bool = False,
    certain: bool = True,
    touched: TouchedPods = UNTOUCHED,
) -> str:
    """The connections of one end, or of several. ``near`` INGRESS: who reaches it. ``whole``: the
    ends are all pods, so the line about everyone else is left out. ``certain``: nothing is left
    out. ``touched``: pods that policies of other APIs may touch."""
    if not answer.rows:
        return f"{NOBODY}\n" if certain else "nobody of those that are certain\n"
    own = {_own((row.sources, row.destinations), near).names for row in answer.rows}
    several = whole or len(own) > 1
    writer = _RowWriter(near, locate, several, touched)
    today = writer.rows(answer.today)
    pieces = [today] if answer.today else []
    coming = [row for row in answer.rows if row.is_to_come]
    if coming:
        title = "pods to come (+ is a pod without labels that nobody has made yet):\n"
        pieces += [*(["\n"] if pieces else []), title, writer.rows(coming)]
    if writer.marked:
        pieces.append(
            f"\n{UNJUDGED.strip()} a policy of another API may decide as well, unjudged\n"
        )
    if not whole:
        pieces += ["\n", rest_text(answer.rest), "\n"]
    return "".join(pieces)


class _RowWriter:
    """Writes rows. ``several``: the end that was asked about has a column of its own."""

    def __init__(
        self, near: Direction, locate: Locate, several: bool, touched: TouchedPods
    ) -> None:
        self.marked = False
        self._near = near
        self._locate = locate
        self._several = several
        self._touched = touched

    def rows(self, rows: Sequence[ReachRow]) -> str:
        """A table."""
        inward = self._near is Direction.INGRESS
        header = ["FROM", "PORTS"] if inward else ["TO", "PORTS"]
        if self._several:
            header = ["TO", "FROM", *header[1:]] if inward else ["FROM", *header]
        lines = []
        for row in rows:
            sides = row.sources, row.destinations
            far = sides[0] if inward else sides[1]
            cells = [self._names(far), _ports(row)]
            own = self._names(_own(sides, self._near))
            lines.append([own, *cells] if self._several else cells)
        if any(row.via for row in rows):
            return with_lines(table(header, lines), [via_lines(r.via, self._locate) for r in rows])
        decided = [_by(row.by, self._locate) for row in rows]
        whole = [[*line, by] for line, by in zip(lines, decided, strict=True)]
        return table([*header, "BY"], whole)

    def _names(self, side: RowEnd) -> str:
        names = printable(some(side.names, _NAMES, ", "))
        if not self._touched.any(side.pods):
            return names
        self.marked = True
        return names + UNJUDGED


def _own(sides: tuple[RowEnd, RowEnd], near: Direction) -> RowEnd:
    return sides[1] if near is Direction.INGRESS else sides[0]


def _ports(row: ReachRow) -> str:
    return short_ports(row.ports) + (f" (IPv{row.family} only)" if row.family else "")


def via_lines(via: Via, locate: Locate) -> list[str]:
    """A line for each rule that lets something through, where it leaves first."""
    lines = []
    for direction, by in via:
        said = [origin_text(origin, locate) for origin in by.rules]
        said += ["no policy closes it"] if by.free else []
        lines += [f"  {direction.value:<8}{each}" for each in said]
    return lines


def with_lines(text: str, below: Iterable[Sequence[str]]) -> str:
    """A table with lines below each of its rows."""
    header, *rows = text.splitlines()
    every = [header]
    for row, lines in zip(rows, below, strict=True):
        every += [row, *lines]
    return "".join(f"{line}\n" for line in every)


def _by(by: DecidingRules, locate: Locate) -> str:
    said = [origin_text(origin, locate) for origin in by.rules]
    if by.free:
        said.append("no policy closes it")
    return some(said, _RULES, ", ")


def rest_text(rest: Rest) -> str:
    """``nobody else: no such connection for 2 workloads and every address outside``."""
    parts = [count(rest.workloads, "workload")] if rest.workloads else []
    if rest.outside:
        parts.append("every address outside" if rest.whole else "all other addresses outside")
    if rest.coming:
        parts.append(f"{count(rest.coming, 'pod')} to come")
    if not parts:
        return "and there is nobody else"
    return f"nobody else: no such connection for {listed(parts)}"


def openness_text(
    found: Iterable[Openness], *, closed: bool = False, touched: TouchedPods = UNTOUCHED
) -> str:
    """Pods, and the directions in which they are open. ``closed``: also the pods that are not open;
    ``touched``: pods that policies of other APIs may close."""
    lines = []
    for each in found:
        number = len(each.pods)
        name = printable(each.name) + (f" ({number} pods)" if number > 1 else "")
        name += UNJUDGED if touched.any(each.pods) else ""
        state = [_open(each, direction) for direction in AS_WRITTEN]
        if each.open or closed:
            lines.append([name, *state])
    return table(["PODS", "INGRESS", "EGRESS"], lines) if lines else "nobody\n"


def _open(each: Openness, direction: Direction) -> str:
    return "open" if direction in each.open else "closed"


def selectors_text(found: Iterable[UnusedSelector], locate: Locate) -> str:
    """Selectors that match nothing, each with its position."""
    lines = [f"{_unused(each, locate)}\n" for each in found]
    return "".join(lines) or "every selector fits some pod\n"


def _unused(each: UnusedSelector, locate: Locate) -> str:
    said = f": {printable(each.words)}" if each.words else ""
    return f"{origin_text(each.origin, locate)}{said}"


def path_text(hops: Sequence[PathHop], most: int, locate: Locate | None = None) -> str:
    """A way, a line a hop. ``locate``: where the rules are, to tell what lets each hop through."""
    if not hops:
        said = "proved over all pods but those on the host network"
        return f"no way of at most {count(most, 'hop')} ({said})\n"
    lines = [
        [printable(hop.source), printable(hop.destination), short_ports(hop.ports)] for hop in hops
    ]
    said = table(["FROM", "TO", "PORTS"], lines)
    if locate is not None:
        said = with_lines(said, [via_lines(hop.via, locate) for hop in hops])
    return f"{count(len(hops), 'hop')}, IPv{hops[0].family}\n{said}"


def purpose_text(purpose: PolicyPurpose, without: Sequence[Outcome], locate: Locate) -> str:
    """One policy: the pods that it selects, and what changes without it."""
    return "".join(f"{line}\n" for line in _purpose(purpose, without, locate))


def _purpose(purpose: PolicyPurpose, without: Sequence[Outcome], locate: Locate) -> Iterator[str]:
    policy = purpose.policy
    position = locate(policy.source, "")
    where = f"  ({printable(str(position))})" if position else ""
    yield f"{printable(policy_name(policy.ref))}{where}"
    if purpose.audited:
        yield "  is audited and enforces nothing"
    pods = [str(group) for group in purpose.selects]
    yield f"  selects {printable(some(pods, _NAMES)) if pods else 'nobody'}"
    ways = listed([d.value for d in AS_WRITTEN if d in purpose.directions])
    decides = "would decide" if purpose.audited else "decides"
    yield f"  {decides} {ways or 'nothing'}"
    today = [each for each in without if not each.newcomers]
    coming = [each for each in without if each.newcomers]
    for title, found in (("without it", today), ("without it, for pods to come", coming)):
        lines = [outcome_words(each) for each in found]
        if not lines:
            yield f"  {title}: nothing changes"
        else:
            yield f"  {title}:"
            yield from (f"    {line}" for line in lines[:12])
            if len(lines) > 12:
                yield f"    and {len(lines) - 12} more (-o json)"
