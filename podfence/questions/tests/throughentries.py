"""A test whose connections come through entries -> its result.

Rule: an entry that is unknown neither passes nor fails a test, unless another way fails it already.
What does not lead to the target of a test proves nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from podfence.errors import UnknownObject
from podfence.model.entries import Controllers, Entries
from podfence.questions.entries import judge_entries
from podfence.questions.entrynames import called, entry_name
from podfence.questions.entryrows import EntryRow, EntryState
from podfence.questions.find.entries import leading_to
from podfence.questions.phrases.tierwords import origin_name
from podfence.questions.phrases.words import some
from podfence.questions.tests.ends import NOBODY, NOT_JUDGED, ResolvedTarget, Resolver, UnmatchedEnd
from podfence.questions.tests.form import EntryEnd, Expect, PolicyTest
from podfence.questions.tests.judge import Result, ResultStatus, expected
from podfence.questions.tests.world import ClusterWorld

_SHOWN = 3
_WRONG = {Expect.ALLOW: EntryState.CLOSED, Expect.DENY: EntryState.OPEN}


class KnownEntries(Struct, frozen=True):
    """The entries of an input, and who serves which class, as the configuration says."""

    entries: Entries
    controllers: Controllers


FindEntries = Callable[[], KnownEntries]
"""Finds the entries of one input, when they are asked for."""


def judge_entries_of(
    test: PolicyTest, world: ClusterWorld, resolver: Resolver, known: KnownEntries
) -> Result:
    """Judge a test about entries."""
    rows, misses = rows_of(test, world, resolver, known)
    if test.allow_empty and not rows:
        return expected(Result(test, ResultStatus.PASSED))
    if misses and not test.allow_empty:
        return Result(test, ResultStatus.VACUOUS, misses=misses)
    return expected(_result(test, rows))


def rows_of(
    test: PolicyTest, world: ClusterWorld, resolver: Resolver, known: KnownEntries
) -> tuple[tuple[EntryRow, ...], tuple[UnmatchedEnd, ...]]:
    """What comes through the entries of a test to its targets, and what of it means nothing."""
    aims = resolver.aims(test.targets or (), test.ports)
    misses = [miss for aim in aims for miss in aim.found.misses]
    rows: list[EntryRow] = []
    for end in test.entries:
        try:
            found = _rows(end, world, known)
        except UnknownObject as error:
            is_near = "did you mean" in error.message
            misses.append(UnmatchedEnd(NOBODY, error.message, is_near=is_near))
            continue
        leading = list(leading_to(found, aims, world))
        misses += _leading_nowhere(end, found, aims, world)
        rows += leading
    return tuple(rows), tuple(misses)


def _rows(end: EntryEnd, world: ClusterWorld, known: KnownEntries) -> tuple[EntryRow, ...]:
    named = called(known.entries.entries, end.text, end.namespace)
    return judge_entries(world.index, replace(known.entries, entries=named), known.controllers)


def _leading_nowhere(
    end: EntryEnd, rows: Sequence[EntryRow], aims: Sequence[ResolvedTarget], world: ClusterWorld
) -> Iterator[UnmatchedEnd]:
    """The targets to which an entry does not lead."""
    for aim in aims:
        if aim.found.misses or any(True for _ in leading_to(rows, (aim,), world)):
            continue
        pods = some([world.pods[pod] for pod in aim.found.pods], _SHOWN) or "no pod"
        ways = list(dict.fromkeys(f"{row.to} {row.port}".rstrip() for row in rows))
        text = f"{end.text} does not lead to {pods} on {aim.ports.text}"
        yield UnmatchedEnd(NOT_JUDGED, f"{text}; it leads to {some(ways, _SHOWN)}")


def _result(test: PolicyTest, rows: Sequence[EntryRow]) -> Result:
    assert test.expect is not None
    states = {row.state for row in rows}
    if test.expect is Expect.SOME:
        wrong = [] if EntryState.OPEN in states else [r for r in rows if _is(r, EntryState.CLOSED)]
        unknown = [r for r in rows if _is(r, EntryState.UNKNOWN)]
        if EntryState.OPEN in states:
            return Result(test, ResultStatus.PASSED, len(rows))
        if unknown:
            return _undecided(test, rows, unknown)
    else:
        wrong = [row for row in rows if _is(row, _WRONG[test.expect])]
        unknown = [row for row in rows if _is(row, EntryState.UNKNOWN)]
        if unknown and not wrong:
            return _undecided(test, rows, unknown)
    if wrong:
        text = _words(wrong)
        return Result(test, ResultStatus.FAILED, len(rows), total=len(wrong), text=text)
    return Result(test, ResultStatus.PASSED, len(rows))


def _undecided(test: PolicyTest, rows: Sequence[EntryRow], unknown: Sequence[EntryRow]) -> Result:
    return Result(test, ResultStatus.UNDECIDED, len(rows), unknown=_words(unknown))


def _is(row: EntryRow, state: EntryState) -> bool:
    return row.state is state


def _words(rows: Sequence[EntryRow]) -> str:
    """The first of some ways, and how many more there are."""
    row = rows[0]
    sender = f" from {row.sources}" if row.sources else ""
    rules = some([origin_name(origin) for origin in row.by], _SHOWN, ", ")
    because = ": ".join(part for part in (row.because, rules) if part)
    said = f"{entry_name(row.entry)}{sender} to {row.to} {row.port} is {row.state.value}"
    more = f"; and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"{said}{f' ({because})' if because else ''}{more}"
