"""``check --fix`` and ``--fix-diff``: clear repairs, each proved by the engine.

Rule: a fix that opens what the edited policy does not say is withdrawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from podfence.cli.editedfiles import line_end_of, require_as_read, show_diff
from podfence.cli.terminal import echo
from podfence.errors import PodfenceError, Source
from podfence.manifests.load import Loaded
from podfence.manifests.rewrite import RewrittenFiles, edited_cluster, edited_texts
from podfence.manifests.yamledit import MAX_EDITED, CannotEdit
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import NO_NAMES, DomainTable
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.fixes import Fix, Fixes
from podfence.questions.lint.note import WrittenObjects
from podfence.questions.phrases.words import count
from podfence.questions.plan.plan import Plan, plan
from podfence.questions.repair.changes import (
    FieldEdit,
    NewObject,
    ObjectPatch,
    clash,
    removals_last,
)
from podfence.questions.repair.harmless import judged
from podfence.questions.repair.textedits import Offer, text_edits
from podfence.render.plan_text import outcome_words
from podfence.sets.addresses import IPNetwork
from podfence.text import printable

MOST = 200
"""Fixes that are proved in one run: each needs the cluster compiled."""
_BUDGET = 10_000_000
"""Characters of documents that are read again in one run."""
_SHOWN = 20


class FixResult(Struct, frozen=True):
    """``made``: fixes that are clear and harmless; ``withdrawn``: the other fixes, with the reason.
    ``texts``: old and new by file. ``plan``: the effect of all fixes that were made."""

    made: tuple[Fix, ...] = ()
    withdrawn: tuple[tuple[Fix, str], ...] = ()
    texts: Mapping[str, tuple[str, str]] = {}
    plan: Plan | None = None
    unasked: int = 0
    """Fixes that were left out because they are unsafe and ``--unsafe`` was not given."""


def fixes_for(
    loaded: Loaded,
    findings: Iterable[LintFinding],
    *,
    unsafe: bool = False,
    pod_cidrs: tuple[IPNetwork, ...] = (),
    is_partial: bool = False,
) -> FixResult:
    """The fixes of findings, each proved with those before it. ``unsafe``: also make fixes that
    open or close what no text names; they are shown and not withdrawn.

    Raises PodfenceError where nothing can be fixed: in a cluster, on standard input, or beside
    objects that cannot be read.
    """
    if loaded.live:
        raise PodfenceError("--fix edits files; a cluster is never changed, use -f")
    if loaded.doubts:
        raise PodfenceError("--fix: not every object can be read; fix that first", code="PF007")
    index = compile_cluster(loaded.cluster)
    written = WrittenObjects(index, loaded.raw)
    fixes = Fixes(index, written, pod_cidrs, is_partial=is_partial)
    every = [fix for finding in findings if (fix := fixes.of(finding)) is not None]
    wanted = [fix for fix in every if unsafe or not fix.unsafe]
    made: list[Fix] = []
    withdrawn: list[tuple[Fix, str]] = [
        (fix, "this run has made its maximum of fixes; run it again") for fix in wanted[MOST:]
    ]
    now = RewrittenFiles({}, loaded.cluster)
    budget = _BUDGET
    for fix in wanted[:MOST]:
        if any(_clash(fix, other) for other in made):
            withdrawn.append((fix, "another fix edits the same item; run it again"))
            continue
        budget -= _size(loaded, fix, made)
        if budget < 0:
            withdrawn.append((fix, "this run has edited as much as it may; run it again"))
            continue
        try:
            now = proved(loaded, fix, made, now)
        except CannotEdit as error:
            withdrawn.append((fix, error.message))
            continue
        made.append(fix)
    found = plan(loaded.cluster, now.cluster) if made else None
    return FixResult(tuple(made), tuple(withdrawn), now.texts, found, len(every) - len(wanted))


def proved(
    loaded: Loaded,
    fix: Fix,
    made: Sequence[Fix] = (),
    now: RewrittenFiles | None = None,
    names: DomainTable = NO_NAMES,
) -> RewrittenFiles:
    """What a fix and those ``made`` before it make of the files; ``now``: what these did, None:
    there are none. Raises CannotEdit, also for a safe fix that would open what its policy does not
    say."""
    before = now or RewrittenFiles({}, loaded.cluster)
    then = _tried(loaded, [*made, fix], before.texts)
    _, harm = judged(before.cluster, then.cluster, names, fix.policy)
    if harm is not None and not fix.unsafe:
        raise CannotEdit(f"it would open more: {outcome_words(harm)}")
    return then


def _tried(
    loaded: Loaded, fixes: Sequence[Fix], known: Mapping[str, tuple[str, str]]
) -> RewrittenFiles:
    """What fixes make of the files. ``known``: what all of them but the last made. Raises
    CannotEdit."""
    beside = [each for each in fixes if _file(each) == _file(fixes[-1])]
    texts = edited_texts(loaded, [*_edits(beside)])
    require_as_read(texts)
    cluster = edited_cluster(loaded, [*_edits(fixes)])
    if len(cluster.doubts) > len(loaded.cluster.doubts):
        raise CannotEdit("a server would refuse the result")
    return RewrittenFiles({**known, **texts}, cluster)


def _source(fix: Fix) -> Source:
    return fix.edit.after if isinstance(fix.edit, NewObject) else fix.edit.source


def _file(fix: Fix) -> str:
    return _source(fix).file


def _size(loaded: Loaded, fix: Fix, made: Iterable[Fix]) -> int:
    """Characters that are read again to make a fix: its document, and others of its file that
    are edited. One that is too large to edit is not read again."""
    edited = {_source(each) for each in (*made, fix) if _file(each) == _file(fix)}
    documents = {(each.file, each.document): each for each in edited}
    sizes = (len(loaded.positions.text_of(each)) for each in documents.values())
    return sum(size for size in sizes if size <= MAX_EDITED)


def _clash(fix: Fix, other: Fix) -> bool:
    one, two = fix.edit, other.edit
    if isinstance(one, NewObject) or isinstance(two, NewObject):
        return False
    return one.source == two.source and clash(one.changes, two.changes)


def _edits(fixes: Sequence[Fix]) -> Iterator[ObjectPatch | NewObject]:
    """One edit for each object, because fixes refer to positions of the text as it was read."""
    by_source: dict[Source, list[FieldEdit]] = defaultdict(list)
    for fix in fixes:
        if isinstance(fix.edit, NewObject):
            yield fix.edit
        else:
            by_source[fix.edit.source] += fix.edit.changes
    for source, changes in by_source.items():
        yield ObjectPatch(source, removals_last(changes))


def show_fixes(fixed: FixResult, loaded: Loaded, *, diff: bool) -> None:
    """Show what was done, or with ``diff`` what would be done."""
    if diff:
        show_diff(fixed.texts)
    verb = "would fix" if diff else "fixed"
    err = not diff
    for fix in fixed.made:
        asked = " (unsafe)" if fix.unsafe else ""
        echo(_said(fix, loaded, f"{verb}{asked}: {fix.words}"), err=err)
    for fix, because in fixed.withdrawn:
        echo(_said(fix, loaded, f"not fixed: {because}"), err=err)
    if fixed.plan is not None:
        found = [outcome_words(each) for each in (*fixed.plan.outcomes, *fixed.plan.newcomers)]
        number = count(len(fixed.made), "edit")
        together = ", which together" if len(fixed.made) > 1 else ""
        said = f"{number}{together}:" if found else f"{number}: no verdict changes"
        echo(said, err=err)
        for line in found[:_SHOWN]:
            echo(f"  {line}", err=err)
        if len(found) > _SHOWN:
            echo(f"  and {len(found) - _SHOWN} more (podfence plan shows them)", err=err)
    if fixed.unasked:
        more = f"{count(fixed.unasked, 'more edit')} with --unsafe"
        echo(
            f"{more}, which open or close connections that no text names: --fix-diff --unsafe",
            err=err,
        )


def _said(fix: Fix, loaded: Loaded, what: str) -> str:
    position = loaded.locate(fix.finding.source, fix.finding.path)
    where = f"{printable(str(position))}: " if position else ""
    finding = fix.finding
    return f"{where}{finding.code}: NetworkPolicy {printable(str(fix.policy))}: {what}"


# -- Fixes that are offered beside their findings, for editors to make
# Rule: each is proved by itself, on the input as it is: who makes one need not make another.


def offers_for(
    loaded: Loaded,
    findings: Iterable[LintFinding],
    pod_cidrs: tuple[IPNetwork, ...] = (),
    *,
    is_partial: bool = False,
) -> tuple[dict[LintFinding, Offer], int]:
    """The fixes by finding, and how many there are too many to be proved. None in a cluster: what
    it holds stands in no file."""
    if loaded.live or loaded.doubts:
        return {}, 0
    index = compile_cluster(loaded.cluster)
    fixes = Fixes(index, WrittenObjects(index, loaded.raw), pod_cidrs, is_partial=is_partial)
    every = [fix for finding in findings if (fix := fixes.of(finding)) is not None]
    found = {}
    for fix in every[:MOST]:
        try:
            made = proved(loaded, fix)
        except CannotEdit:
            continue
        edits = [
            edit
            for file, (before, after) in sorted(made.texts.items())
            for edit in text_edits(file, before, after, line_end_of(file, before))
        ]
        found[fix.finding] = Offer(fix.words, not fix.unsafe, tuple(edits))
    return found, max(0, len(every) - MOST)
