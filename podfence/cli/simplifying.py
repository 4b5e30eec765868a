"""The edits that ``simplify`` makes to files, and their proof.

Rule: nothing is written here. A simplification that cannot be edited without other changes is left
out, with the reason. If the engine finds any verdict that differs, no edit is made at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from podfence.errors import PodfenceError, Source
from podfence.manifests.load import Loaded
from podfence.manifests.rewrite import edited_texts, rewritten
from podfence.manifests.yamledit import CannotEdit
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.origin import Origin
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.lint import lint
from podfence.questions.plan.plan import plan
from podfence.questions.repair.changes import (
    Append,
    FieldEdit,
    ObjectPatch,
    Remove,
    removals_last,
    steps,
    value_at,
)
from podfence.questions.simplify.covered import (
    CoverScope,
    RemovedPart,
    Simplification,
    simplifications,
)
from podfence.questions.simplify.probes import with_probes

PROBES = 300
"""Imaginary pods that the proof adds to the existing ones."""
_MOST = 100
"""Rules that are tried for existing pods: each needs the cluster compiled."""
_BUDGET = 5_000_000
"""Characters of documents that are read again for each edit; a document may be a whole cluster."""
_TOO_LARGE = "its document is too large to edit; put its objects into files of their own"


class SimplifyResult(Struct, frozen=True):
    """``made``: what is removed. ``left``: what could be removed but stays, with the reason.
    ``texts``: old and new by file. ``rules``: the number of rules of these policies."""

    made: tuple[Simplification, ...]
    left: tuple[tuple[Simplification, str], ...]
    texts: Mapping[str, tuple[str, str]]
    rules: int


def simplified(
    loaded: Loaded, namespaces: Sequence[str], *, join: bool, today: bool
) -> SimplifyResult:
    """Everything that can be removed. ``join``: also join rules. ``today``: also remove what only
    existing pods do not need.

    Raises PodfenceError where the proof fails: that is a bug in podfence.
    """
    cluster = loaded.cluster
    by_policy: dict[Source, list[Simplification]] = defaultdict(list)
    for each in simplifications(cluster.policies, namespaces, join=join):
        assert each.origin.source is not None
        by_policy[each.origin.source].append(each)
    made: list[Simplification] = []
    left: list[tuple[Simplification, str]] = []
    budget = _BUDGET
    for source, members in by_policy.items():
        size = _size(loaded, source) * len(members)
        if size > _BUDGET:
            left += ((each, _TOO_LARGE) for each in members)
            continue
        budget -= size
        if budget < 0:
            left += ((each, "too much to edit in one run; run it again") for each in members)
            continue
        kept, refused = _editable(loaded, members)
        made += kept
        left += refused
    if today:
        more, refused = _idle_today(loaded, namespaces, made)
        made += more
        left += refused
    now = rewritten(loaded, [*_patches(loaded, made)])
    if made:
        _prove(cluster, now.cluster, any(e.strength is CoverScope.TODAY for e in made))
    made.sort(key=lambda each: (each.origin.policy, _position(each)))
    return SimplifyResult(tuple(made), tuple(left), now.texts, _rules(cluster, namespaces))


def _position(each: Simplification) -> tuple[str, list[int]]:
    """Sorts in the order of the text."""
    return each.origin.path.partition("[")[0], _numbers(each.origin.path)


def _size(loaded: Loaded, source: Source) -> int:
    """The number of characters of the document that holds an object."""
    try:
        _, start, end, _ = loaded.positions.extent_of(source)
    except KeyError:  # it was not read from a file
        return 0
    return end - start


def _rules(cluster: Cluster, namespaces: Sequence[str]) -> int:
    return sum(
        len(policy.ingress) + len(policy.egress)
        for policy in cluster.policies
        if not namespaces or policy.ref.namespace in namespaces
    )


def _editable(
    loaded: Loaded, members: list[Simplification]
) -> tuple[list[Simplification], list[tuple[Simplification, str]]]:
    """The edits of one policy that are possible: all; otherwise all without the joined rules, which
    may need one another; otherwise one by one."""
    try:
        edited_texts(loaded, [*_patches(loaded, members)])
    except CannotEdit as error:
        joined = [each for each in members if each.joined]
        others = [each for each in members if not each.joined]
        if joined:
            kept, left = _editable(loaded, others) if others else ([], [])
            return kept, [*left, *((each, error.message) for each in joined)]
        if len(members) == 1:
            return [], [(members[0], error.message)]
        single = [_editable(loaded, [each]) for each in members]
        kept = [each for some, _ in single for each in some]
        try:
            edited_texts(loaded, [*_patches(loaded, kept)])
        except CannotEdit as again:
            return [], [(each, again.message) for each in members]
        return kept, [each for _, some in single for each in some]
    return members, []


def _patches(loaded: Loaded, made: Iterable[Simplification]) -> Iterator[ObjectPatch]:
    """One edit for each object."""
    by_source: dict[Source, list[Simplification]] = defaultdict(list)
    for each in made:
        assert each.origin.source is not None
        by_source[each.origin.source].append(each)
    for source, members in by_source.items():
        raw = loaded.raw(source)
        changes: list[FieldEdit] = [
            Append(f"{each.by[0].path}.{each.field}", item)
            for each in members
            if each.joined
            for item in _moved(raw, each)
        ]
        changes += [Remove(each.origin.path, remarks=not each.joined) for each in members]
        yield ObjectPatch(source, removals_last(changes))


def _numbers(path: str) -> list[int]:
    return [int(part.partition("]")[0]) for part in path.split("[")[1:]]


def _moved(raw: Any, each: Simplification) -> Iterator[Any]:
    rule: Any = value_at(raw, steps(each.origin.path))
    for at in each.moved:
        yield rule[each.field][at]


def _prove(old: Cluster, new: Cluster, today: bool) -> None:
    """Ask the engine for every verdict before and after. Raises PodfenceError."""
    if not today:
        old, new = (with_probes(each, old.policies, PROBES) for each in (old, new))
    if plan(old, new).changes_something:
        raise PodfenceError(
            "a verdict would change, so nothing was written; this is a bug in podfence, please "
            "report it with the input"
        )


def _idle_today(
    loaded: Loaded, namespaces: Sequence[str], made: Sequence[Simplification]
) -> tuple[list[Simplification], list[tuple[Simplification, str]]]:
    """Rules that are fully covered by others, for the existing pods and for pods to come without
    labels."""
    index = compile_cluster(loaded.cluster)
    known = {(each.origin.policy, each.origin.path) for each in made}
    policies = {policy.ref: policy for policy in loaded.cluster.policies}
    more: list[Simplification] = []
    left: list[tuple[Simplification, str]] = []
    found = [each for each in lint(index, loaded.raw) if each.code == "PF331"]
    for finding in found[:_MOST]:
        policy = policies.get(finding.object)
        asked = not namespaces or finding.object.namespace in namespaces
        if policy is None or policy.source is None or policy.audited or not asked:
            continue
        if (finding.object, finding.path) in known:
            continue
        each = _of_finding(finding, policy.source)
        try:
            then = rewritten(loaded, [*_patches(loaded, [*made, *more, each])])
        except CannotEdit as error:
            left.append((each, error.message))
            continue
        if plan(loaded.cluster, then.cluster).changes_something:
            left.append((each, "what allows it is removed already"))
            continue
        more.append(each)
    return more, left


def _of_finding(finding: LintFinding, source: Source) -> Simplification:
    origin = Origin(finding.object, finding.path, source)
    return Simplification(origin, RemovedPart.RULE, CoverScope.TODAY, ())
