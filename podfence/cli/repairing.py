"""From a denied question to the edits that allow it, proved on the edited input."""

from __future__ import annotations

from podfence.manifests.load import Loaded
from podfence.manifests.rewrite import Rewritten, rewritten
from podfence.manifests.yamledit import CannotEdit
from podfence.model.cluster import Cluster
from podfence.policy.domains import DomainTable
from podfence.questions.can import Can, asker_of
from podfence.questions.plan.plan import plan
from podfence.questions.repair.allow import allowing
from podfence.questions.repair.changes import NewObject, ObjectPatch
from podfence.render.repair import Proposal

_ROUNDS = 4
"""Pods of one workload may need different edits, so the search is repeated this many times."""


def proposal(loaded: Loaded, names: DomainTable, asked: Can) -> Proposal:
    """The edits, with everything that they open and close. ``because``: why there are none."""
    if loaded.doubts:
        return Proposal(because="not every object could be read; fix that first")
    edits: list[ObjectPatch | NewObject] = []
    cluster: Cluster = loaded.cluster
    made: Rewritten | None = None
    for _ in range(_ROUNDS):
        asker = asker_of(cluster, names, asked, explains=True)
        answer = asker.can(asked)
        if answer.allowed and made is not None:
            return Proposal(made.texts, plan(loaded.cluster, cluster, names))
        case = next(case for case in answer.cases if not case.verdict.allowed)
        repair = allowing(asker.index, case)
        if repair.because:
            return Proposal(because=repair.because)
        edits += [step.edit for step in repair.steps]
        try:
            made = rewritten(loaded, edits)
        except CannotEdit as error:
            return Proposal(because=error.message)
        cluster = made.cluster
    return Proposal(because="no small set of edits allows it for every pod that is meant")
