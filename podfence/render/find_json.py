"""Answers of ``find`` as data; the schema is docs/schemas/find.schema.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from podfence.errors import Locate
from podfence.policy.flow import AS_WRITTEN
from podfence.questions.entryrows import EntryRow
from podfence.questions.find.deciding import DecidingRules, Via
from podfence.questions.find.openness import Openness
from podfence.questions.find.path import PathHop
from podfence.questions.find.reach import ReachRow, ReachTable, RowEnd
from podfence.questions.find.removal import PolicyPurpose
from podfence.questions.find.selectors import UnusedSelector
from podfence.questions.plan.outcomes import Outcome
from podfence.questions.unjudged import UNTOUCHED, TouchedPods
from podfence.render.entries import entries_data
from podfence.render.jsontext import position_data
from podfence.render.plan_json import outcome_data
from podfence.render.verdicts import VerdictEncoder

FIND_SCHEMA = "podfence.find/v1"


class FindEncoder:
    """Makes data of answers. ``question``: the word after ``find``."""

    def __init__(self, question: str, locate: Locate, touched: TouchedPods = UNTOUCHED) -> None:
        self._touched = touched
        self._head = {"schema": FIND_SCHEMA, "question": question}
        self._locate = locate
        self._verdicts = VerdictEncoder(locate)

    def reached(self, answer: ReachTable) -> dict[str, object]:
        """Connections."""
        rest = answer.rest
        return self._head | {
            "connections": [self._row(row) for row in answer.rows],
            "without": {
                "workloads": rest.workloads,
                "toCome": rest.coming,
                "outside": [str(network) for network in rest.outside.networks()],
            },
        }

    def entries(self, rows: Iterable[EntryRow]) -> dict[str, object]:
        """What an entry leads to."""
        return self._head | {"entries": entries_data(rows, self._locate)}

    def _row(self, row: ReachRow) -> dict[str, object]:
        family = {"family": f"IPv{row.family}"} if row.family else {}
        return family | {
            "from": self._side(row.sources),
            "to": self._side(row.destinations),
            "ports": str(row.ports).split(" "),
            "toCome": row.is_to_come,
            "by": self._by(row.by),
            **self._via(row.via),
        }

    def _via(self, via: Via) -> dict[str, object]:
        """Absent where it was not asked for."""
        found = {direction.value: self._by(by) for direction, by in via}
        return {"via": found} if found else {}

    def _side(self, side: RowEnd) -> dict[str, object]:
        data: dict[str, object] = {
            "names": side.names,
            "pods": side.pods,
            "addresses": [str(network) for network in side.addresses.networks()],
        }
        policies = self._touched.by(side.pods)
        return data | ({"unjudged": [str(each) for each in policies]} if policies else {})

    def _by(self, by: DecidingRules) -> dict[str, object]:
        return {"rules": [self._verdicts.origin(rule) for rule in by.rules], "noPolicy": by.free}

    def openness(self, found: Iterable[Openness]) -> dict[str, object]:
        """Pods, and in which directions they are open."""
        return self._head | {
            "pods": [
                {
                    "name": each.name,
                    "pods": each.pods,
                    "open": [d.value for d in AS_WRITTEN if d in each.open],
                }
                for each in found
            ]
        }

    def selectors(self, found: Iterable[UnusedSelector]) -> dict[str, object]:
        """Selectors that match nothing."""
        return self._head | {
            "selectors": [
                {**self._verdicts.origin(each.origin), "words": each.words} for each in found
            ]
        }

    def path(self, hops: Sequence[PathHop], *, via: bool = False) -> dict[str, object]:
        """The hops of a way; none where there is none. ``via``: with what lets them through."""
        return self._head | {
            "hops": [
                {
                    "from": hop.source,
                    "to": hop.destination,
                    "ports": str(hop.ports).split(" "),
                    "family": f"IPv{hop.family}",
                    **(self._via(hop.via) if via else {}),
                }
                for hop in hops
            ]
        }

    def purposes(
        self, found: Iterable[tuple[PolicyPurpose, Sequence[Outcome]]]
    ) -> dict[str, object]:
        """Policies, and what changes without each."""
        return self._head | {"policies": [self._purpose(*each) for each in found]}

    def _purpose(self, purpose: PolicyPurpose, without: Sequence[Outcome]) -> dict[str, object]:
        policy = purpose.policy
        position = position_data(self._locate(policy.source, ""))
        audited = {"audited": True} if purpose.audited else {}
        return (
            position
            | audited
            | {
                "kind": policy.ref.kind,
                "namespace": policy.ref.namespace,
                "name": policy.ref.name,
                "selects": [
                    {"name": group.name, "kind": group.kind, "pods": group.pods}
                    for group in purpose.selects
                ],
                "directions": [d.value for d in AS_WRITTEN if d in purpose.directions],
                "without": [_outcome(each) for each in without],
            }
        )


def _outcome(outcome: Outcome) -> dict[str, object]:
    """Without the edits that cause it: the cause is the removal."""
    data = {key: value for key, value in outcome_data(outcome).items() if key != "blame"}
    return {**data, "toCome": outcome.newcomers}
