"""Fixes that are offered beside their findings, for editors to make.

Rule: each is proved by itself, on the input as it is: who makes one need not make another.
"""

from __future__ import annotations

from collections.abc import Iterable

from podfence.cli.editedfiles import line_end_of
from podfence.cli.fixing import MOST, proved
from podfence.manifests.load import Loaded
from podfence.manifests.yamledit import CannotEdit
from podfence.policy.compile import compile_cluster
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.fixes import Fixes
from podfence.questions.lint.note import WrittenObjects
from podfence.questions.repair.textedits import Offer, text_edits
from podfence.sets.addresses import IPNetwork


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
