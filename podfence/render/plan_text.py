"""A plan as text for people: ways in and out first, then what each edit does.

Rule: however much changes, the text has a fixed length, and says by number what it leaves out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from podfence.errors import Position
from podfence.questions.phrases.words import count, some
from podfence.questions.plan.blame import Blame, BlameMode
from podfence.questions.plan.edits import Edit, EditKind
from podfence.questions.plan.outcomes import Outcome, OutcomeEnd, OutcomeScope
from podfence.questions.plan.plan import Plan, Summary, summary
from podfence.render.plan_edits import SIGNS, EditedField
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING
from podfence.text import printable

Spots = Callable[[Edit], Sequence[EditedField]]

LINES = 60
"""Lines of a text at most; wide has no bound."""
_OUTCOMES = 6
"""Outcomes of one cause that are shown one by one."""
_NAMES = 3


def render_plan(plan: Plan, spots: Spots, *, top: int = 20, wide: bool = False) -> str:
    """The whole text. ``top``: causes shown at most, 0 for all; ``wide``: everything by name."""
    writer = PlanWriter(plan, spots, wide=wide)
    lines = [headline(plan)]
    lines += writer.section("", plan.outcomes, top, LINES - 12)
    room = max(8, LINES - 4 - len(lines))
    lines += writer.section(_COMING, plan.newcomers, top, room)
    lines += _remarks(plan, wide=wide)
    return "".join(f"{line}\n" for line in lines)


_COMING = "pods to come (+ is a pod without labels that nobody has made yet):"


def headline(plan: Plan) -> str:
    """One sentence: how much opens and closes, from how many edits."""
    edits = count(len(plan.edits), "edit")
    if not plan.changes_something:
        certain = "no verdict changes" if not plan.undecided else "no verdict surely changes"
        return f"{certain} ({edits})"
    said = _summed(summary(plan.outcomes))
    if plan.used is not None and plan.used.cut:
        said += f"; cuts {count(len(plan.used.cut), 'connection')} that passed when seen"
    if not plan.outcomes:
        coming = _summed(summary(plan.newcomers))
        return f"{edits}: nothing changes for existing pods; for pods to come: {coming}"
    return f"{edits}: {said}"


def _summed(total: Summary) -> str:
    pairs = [
        f"{number} {verb}"
        for number, verb in ((total.opened, "opened"), (total.closed, "closed"))
        if number
    ]
    words = [f"pairs of workloads: {' and '.join(pairs)}"] if pairs else []
    words += [
        f"{label}: {count(number, 'workload')}"
        for label, number in (
            ("new ways in from outside", total.ways_in),
            ("new ways out", total.ways_out),
            ("ways in that close", total.shut_in),
            ("ways out that close", total.shut_out),
        )
        if number
    ]
    return "; ".join(words)


def _remarks(plan: Plan, *, wide: bool) -> Iterator[str]:
    remarks = []
    if plan.changes_something and not plan.newcomers:
        remarks.append("pods to come: nothing changes")
    shown = None if wide else _NAMES
    for title, lines in (("arrives", plan.arrives), ("leaves", plan.leaves)):
        if lines:
            remarks.append(f"{title}: {_some([printable(line.name) for line in lines], shown)}")
    for was, ref in plan.became:
        remarks.append(
            f"now {printable(ref.kind)}: {printable(str(ref))} (was {printable(was.kind)})"
        )
    renamed = plan.renamed
    names = [f"{edit_name(a)} to {printable(str(b.ref))}" for a, b in renamed]
    if names:
        remarks.append(f"renamed, and means the same: {_some(names, shown)}")
    told = {edit.number for pair in renamed for edit in pair}
    silent = [f"{SIGNS[e.kind]} {edit_name(e)}" for e in plan.silent if e.number not in told]
    if silent:
        nothing = "no certain effect" if plan.undecided else "changes nothing"
        remarks.append(f"{nothing}: {_some(silent, shown)}")
    for family in plan.families:
        remarks.append(f"not compared: IPv{family}, which only the pods of one side have")
    if remarks:
        yield ""
        yield from remarks


def _some(items: Sequence[str], shown: int | None) -> str:
    return ", ".join(items) if shown is None else some(items, shown, ", ")


def edit_name(edit: Edit) -> str:
    """``NetworkPolicy shop/db``, and what becomes of its audit if it has one."""
    was, is_now = edit.audited
    audit = ""
    if is_now:
        since = " from now on" if edit.before and not was else ""
        audit = f" (audited{since}: enforces nothing)"
    elif was and edit.after:
        audit = " (audited until now, enforced from now on)"
    return f"{printable(f'{edit.ref.kind} {edit.ref}')}{audit}"


class _Cause(Struct, frozen=True):
    """All outcomes of one cause."""

    blame: Blame
    outcomes: tuple[Outcome, ...]

    @property
    def rank(self) -> tuple[object, ...]:
        """Ways in and out that open come first, then tenants that meet, then other ways, then the
        most pairs."""
        opens = any(o.scope is not OutcomeScope.PODS and o.opened for o in self.outcomes)
        outside = any(o.scope is not OutcomeScope.PODS for o in self.outcomes)
        meet = any(o.meetings for o in self.outcomes)
        pairs = sum(o.pairs for o in self.outcomes)
        return not opens, not meet, not outside, -pairs, self.blame.edits


class PlanWriter:
    """Writes the parts of one plan. ``wide``: everything by name."""

    def __init__(self, plan: Plan, spots: Spots, *, wide: bool) -> None:
        self._plan = plan
        self._spots = spots
        self._wide = wide

    def section(
        self, title: str, outcomes: Iterable[Outcome], top: int, room: int
    ) -> Iterator[str]:
        """All causes, as far as there is room."""
        causes = causes_of(outcomes)
        if not causes:
            return
        if title:
            yield ""
            yield title
        used, left = 0, list(causes)
        for number, cause in enumerate(causes):
            block = list(self._block(cause))
            fits = self._wide or number == 0 or used + len(block) <= room
            if not fits or (top and number >= top):
                break
            yield from block
            used += len(block)
            left.pop(0)
        if left:
            pairs = sum(o.pairs for cause in left for o in cause.outcomes)
            yield ""
            yield f"and {count(len(left), 'cause')} more with {count(pairs, 'pair')} (-o wide)"

    def cause(self, blame: Blame) -> Iterator[str]:
        """The edits, and how they work together."""
        edits = [self._plan.edits[number] for number in blame.edits]
        shown = edits if self._wide else edits[:_NAMES]
        for edit in shown:
            yield from self._edit(edit)
        if len(edits) > len(shown):
            yield f"  and {count(len(edits) - len(shown), 'edit')} more"
        if remark := mode_words(blame, len(edits)):
            yield f"  {remark}"

    def _block(self, cause: _Cause) -> Iterator[str]:
        yield ""
        yield from self.cause(cause.blame)
        if self._wide or len(cause.outcomes) <= _OUTCOMES:
            for outcome in cause.outcomes:
                yield f"    {outcome_words(outcome, shown=None if self._wide else _NAMES)}"
        else:
            yield from (f"    {line}" for line in counted(cause.outcomes))

    def _edit(self, edit: Edit) -> Iterator[str]:
        spots = self._spots(edit)
        shown = spots if self._wide else spots[:_NAMES]
        title = f"{SIGNS[edit.kind]} {edit_name(edit)}"
        if edit.kind is not EditKind.CHANGED:
            [spot] = spots
            yield f"{title} {edit.kind.value}{_position(spot.position)}"
            return
        if len(shown) == 1:
            yield f"{title} {printable(shown[0].words)}{_position(shown[0].position)}"
            return
        yield f"{title} {edit.kind.value}"
        for spot in shown:
            yield f"    {printable(spot.words)}{_position(spot.position)}"
        if len(spots) > len(shown):
            yield f"    and {count(len(spots) - len(shown), 'field')} more"


def _position(position: Position | None) -> str:
    return f"  ({printable(str(position))})" if position else ""


def causes_of(outcomes: Iterable[Outcome]) -> list[_Cause]:
    """The outcomes by cause, the weightiest first."""
    found: dict[Blame, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        found[outcome.blame].append(outcome)
    causes = [_Cause(blame, tuple(members)) for blame, members in found.items()]
    return sorted(causes, key=lambda cause: cause.rank)


def mode_words(blame: Blame, edits: int) -> str:
    """How several edits cause a change together; "" for one alone."""
    if edits < 2:
        return ""
    return {
        BlameMode.ALONE: "",
        BlameMode.ALL: "each of these is needed: taking any one back undoes it",
        BlameMode.ANY: "each of these is enough: taking one back does not undo it",
        BlameMode.TOGETHER: "together (not taken apart)",
    }[blame.mode]


def outcome_words(outcome: Outcome, shown: int | None = _NAMES) -> str:
    """``shop/web -> shop/db: opens TCP/5432``."""
    ways = f"{who_words(outcome.sources, shown)} -> {who_words(outcome.destinations, shown)}"
    family = f" (IPv{outcome.family} only)" if outcome.family else ""
    mark = "!! " if outcome.scope is not OutcomeScope.PODS and outcome.opened else ""
    meet = [f"{one} -> {other}" for one, other in outcome.meetings]
    across = f" (across tenants: {printable(some(meet, _NAMES))})" if meet else ""
    return f"{mark or ('!! ' if meet else '')}{ways}: {ports_words(outcome)}{family}{across}"


def ports_words(outcome: Outcome) -> str:
    """``opens TCP/80``, ``closes all but UDP/53``, or both."""
    words = []
    if outcome.opened:
        words.append(f"opens {short_ports(outcome.opened)}")
    if outcome.closed:
        words.append(f"closes {short_ports(outcome.closed)}")
    return ", ".join(words)


def short_ports(ports: PortSet) -> str:
    """A set of ports, by what it lacks where that is shorter."""
    text, rest = str(ports), EVERYTHING - ports
    lacking = f"all but {rest}"
    return lacking if rest and len(lacking) < len(text) else text


def who_words(who: OutcomeEnd, shown: int | None = _NAMES) -> str:
    """Names, or the first of them and the number of the others."""
    return _some([printable(name) for name in who.names], shown)


def counted(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Many outcomes in a few lines: by where they lead, and what they do."""
    for scope, way in (
        (OutcomeScope.IN, "from outside addresses to"),
        (OutcomeScope.OUT, "to outside addresses from"),
        (OutcomeScope.PODS, "between"),
    ):
        for opens in (True, False):
            found = [o for o in outcomes if o.scope is scope and (o.opened if opens else o.closed)]
            if found:
                yield _counted(found, way, opens=opens)


def _counted(outcomes: Sequence[Outcome], way: str, *, opens: bool) -> str:
    namespaces = Counter(
        namespace
        for namespace, _ in {
            (line.workload.namespace, line.name) for o in outcomes for line in o.subjects
        }
    )
    by_size = sorted(namespaces.items(), key=lambda each: (-each[1], each[0]))
    largest = [f"{printable(name)} {number}" for name, number in by_size[:_NAMES]]
    if len(namespaces) > len(largest):
        largest.append(f"{count(len(namespaces) - len(largest), 'namespace')} more")
    pairs = sum(o.pairs for o in outcomes)
    ports = {o.opened if opens else o.closed for o in outcomes}
    said = short_ports(next(iter(ports))) if len(ports) == 1 else f"{len(ports)} sets of ports"
    mark = "!! " if opens and "outside" in way else ""
    number = count(namespaces.total(), "workload")
    verb = "opens" if opens else "closes"
    return f"{mark}{verb} {said} {way} {number} ({', '.join(largest)}): {count(pairs, 'pair')}"
