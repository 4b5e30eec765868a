"""The answers of a page's server about one pair, one workload or one policy.

Rule: the answers are those of ``why``, ``find`` and ``describe`` with ``-o json``, plus the texts
behind them. They are about one state of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from podfence.cli.beside import touched_pods
from podfence.cli.common import asking, require_certain, without_verdict
from podfence.cli.inputs import Inputs
from podfence.cli.pagefixes import PageFixes
from podfence.cli.policynames import no_policy, wanted_policies
from podfence.cli.reaching import reached
from podfence.cli.targets import port_of, protocol_of
from podfence.collector import collector_paused
from podfence.errors import PodfenceError, QuestionError
from podfence.manifests.load import Loaded
from podfence.manifests.rewrite import RewrittenFiles, rewritten
from podfence.manifests.yamledit import CannotEdit
from podfence.model.cluster import Cluster, Policy
from podfence.model.doubt import Doubt
from podfence.model.kindnames import kind_called
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.policy.domains import DomainTable
from podfence.policy.flow import Direction
from podfence.policy.index import PolicyIndex
from podfence.questions.can import Can, QueryEvaluator, asker_of
from podfence.questions.certainty import Certainty
from podfence.questions.find.removal import about, owners_of, purpose, selecting_policies
from podfence.questions.parties import Party, PartyLookup
from podfence.questions.plan.followed import FollowedState
from podfence.questions.plan.plan import plan
from podfence.questions.repair.allow import allowing
from podfence.questions.repair.changes import NewObject, ObjectPatch
from podfence.questions.selecting import SelectingPolicies, selecting
from podfence.questions.tests.form import NamedEnd, TargetEnd, UnionEnd
from podfence.questions.tests.world import ClusterWorld
from podfence.questions.why import why
from podfence.render.excerpts import excerpts
from podfence.render.find_json import FindEncoder
from podfence.render.repair import Proposal, repair_data
from podfence.render.selection import selection_data
from podfence.render.verdicts import VerdictEncoder

MOST_POLICIES: Final = 100
"""The most policies of a workload for which the answer says what depends on each."""
MOST_REMEMBERED: Final = 4096
"""Pairs that are asked before cached results are dropped, because each takes some memory."""
LookupQuery = Mapping[str, str]


class Lookups:
    """``inputs``: as they were named, for hints. ``state``: the input with pods to come, made on
    first use."""

    def __init__(
        self, loaded: Loaded, index: PolicyIndex, inputs: Inputs, state: Callable[[], FollowedState]
    ) -> None:
        self._loaded = loaded
        self._index = index
        self._inputs = inputs
        self._state = state
        self._asker: QueryEvaluator | None = None
        self._pairs = 0

    def answer(self, question: str, asked: LookupQuery) -> dict[str, Any]:
        """The answer to ``pair``, ``allow``, ``workload``, ``policy``, ``fixes`` or ``fix``. Raises
        PodfenceError."""
        questions = {
            "pair": self._pair,
            "allow": self._allow,
            "workload": self._workload,
            "policy": self._policy,
            "fixes": self._fixes.listed,
            "fix": self._fixes.made,
        }
        with collector_paused(), asking(self._loaded, self._inputs):
            return questions[question](asked)

    @cached_property
    def _fixes(self) -> PageFixes:
        return PageFixes(self._loaded, self._index, self._index.names)

    # -- a pair

    def _pair(self, asked: LookupQuery) -> dict[str, Any]:
        found = why(self._answering(), _question(asked))
        require_certain(self._loaded, found.can)
        data = self._verdicts.why(found)
        return {"answer": data, "excerpts": list(excerpts(data, self._loaded.positions.texts()))}

    def _allow(self, asked: LookupQuery) -> dict[str, Any]:
        """The answer of ``why --repair``, with the whole texts of the files that the repair
        edits."""
        question = _question(asked)
        found = why(self._answering(), question)
        require_certain(self._loaded, found.can)
        data = self._verdicts.why(found)
        if found.can.allowed:
            return {"answer": data, "texts": []}
        repair = proposal(self._loaded, self._index.names, question)
        texts = [
            {"file": file, "before": before, "after": after}
            for file, (before, after) in sorted(repair.texts.items())
        ]
        return {"answer": {**data, "repair": repair_data(repair)}, "texts": texts}

    def _answering(self) -> QueryEvaluator:
        """The object that answers about pairs. It is replaced from time to time, because it keeps
        every result."""
        if self._asker is None or self._pairs >= MOST_REMEMBERED:
            self._asker, self._pairs = QueryEvaluator(self._index), 0
        self._pairs += 1
        return self._asker

    @cached_property
    def _verdicts(self) -> VerdictEncoder:
        return VerdictEncoder(self._loaded.locate)

    # -- a workload

    def _workload(self, asked: LookupQuery) -> dict[str, Any]:
        name = _needed(asked, "name")
        party = PartyLookup(self._index).find(name)
        selection = selecting(self._index, party)
        self._require_known(Certainty(self._index).about(selection.pods))
        ends = [TargetEnd(_end(party))]
        return {
            "policies": selection_data(selection, self._loaded.locate),
            "in": self._reached("to", None, ends, Direction.INGRESS),
            "out": self._reached("from", ends, None, Direction.EGRESS),
            **self._hanging(selection),
            "uncertain": self._uncertain,
        }

    def _require_known(self, doubts: Sequence[Doubt]) -> None:
        """Raises PodfenceError where there are doubts."""
        if doubts:
            said = without_verdict(self._loaded, doubts)
            raise PodfenceError(f"not all policies are known: {said}", code="PF007")

    @cached_property
    def _uncertain(self) -> dict[str, object]:
        """The pods whose verdicts are uncertain, and why; or what else leaves an answer open."""
        doubts = self._loaded.doubts
        if not doubts:
            return {"pods": [], "because": ""}
        return {
            "pods": sorted(Certainty(self._index).open_pods()),
            "because": without_verdict(self._loaded, doubts),
        }

    def _reached(
        self,
        question: str,
        sources: list[TargetEnd] | None,
        targets: list[TargetEnd] | None,
        near: Direction,
    ) -> dict[str, object]:
        found, _ = reached(self._world, self._loaded, sources, targets, near)
        touched = touched_pods(self._loaded, self._world.index)
        return FindEncoder(question, self._loaded.locate, touched).reached(found)

    @cached_property
    def _world(self) -> ClusterWorld:
        state = self._state()
        return ClusterWorld(state.state.index, pairs=dict(state.pairs))

    def _hanging(self, selection: SelectingPolicies) -> dict[str, object]:
        policies = selecting_policies(self._index, selection)
        owners = owners_of(self._index, selection)
        purposes = [
            purpose(self._index, policy, self._state()) for policy in policies[:MOST_POLICIES]
        ]
        found = [(each, about(each.without, owners)) for each in purposes]
        return {
            "hanging": FindEncoder("policies", self._loaded.locate).purposes(found),
            "more": max(0, len(policies) - MOST_POLICIES),
        }

    # -- a policy

    def _policy(self, asked: LookupQuery) -> dict[str, Any]:
        name = _needed(asked, "name")
        wanted = wanted_policies(self._loaded, name, None)
        if not wanted:
            self._require_known(tuple(d for d in self._loaded.doubts if _may_be(d, name)))
            raise no_policy(self._loaded, name)
        self._require_known(self._about_selected(wanted[0]))
        found = purpose(self._index, wanted[0], self._state())
        data = FindEncoder("pods", self._loaded.locate).purposes([(found, found.without)])
        return {
            "answer": data,
            "excerpts": list(self._text(wanted[0])),
            "uncertain": self._uncertain,
        }

    def _about_selected(self, policy: Policy) -> tuple[Doubt, ...]:
        """Unreadable objects that may concern the pods that a policy selects: they may open or
        close these pods, or be among them."""
        members = self._index.selected.get(policy.ref, ())
        pods = (n for n, each in self._index.endpoints.items() if each.endpoint_class in members)
        return Certainty(self._index).about(pods)

    def _text(self, policy: Policy) -> Iterator[dict[str, object]]:
        """The whole document, where there is a file to open."""
        position = self._loaded.locate(policy.source, "")
        if policy.source is not None and position is not None:
            first, text = self._loaded.positions.lines_of(policy.source)
            lines = text.rstrip().split("\n")
            yield {
                "file": position.file,
                "from": first,
                "to": first + len(lines) - 1,
                "lines": lines,
                "marks": [],
            }


def _end(party: Party) -> UnionEnd:
    """Exactly these pods: a name may mean something else elsewhere."""
    pods = (NamedEnd(each.name, each.name, DEFAULT_NAMESPACE) for each in party.ends)
    return UnionEnd(party.name, tuple(pods))


def _may_be(doubt: Doubt, name: str) -> bool:
    """Whether an unreadable object may be the policy of this name."""
    if doubt.pods or (doubt.kind and not doubt.kind.endswith("NetworkPolicy")):
        return False
    *outer, last = name.split("/")
    if doubt.name not in ("", last):
        return False
    return not outer or bool(kind_called(outer[0])) or doubt.may_be_in(outer[0])


def _question(asked: LookupQuery) -> Can:
    """The question of a request about a pair. Raises QuestionError where it is none."""
    protocol = protocol_of(asked.get("protocol") or "TCP")
    port = port_of(asked.get("port"), protocol)
    return Can(_needed(asked, "from"), _needed(asked, "to"), port, protocol)


def _needed(asked: LookupQuery, name: str) -> str:
    """A word of a request. Raises QuestionError where it is missing."""
    if word := asked.get(name):
        return word
    raise QuestionError(f"{name} is missing; it takes NAMESPACE/NAME, for example shop/web")


# -- From a denied question to the edits that allow it, proved on the edited input


_ROUNDS = 4
"""Pods of one workload may need different edits, so the search is repeated this many times."""


def proposal(loaded: Loaded, names: DomainTable, asked: Can) -> Proposal:
    """The edits, with everything that they open and close. ``because``: why there are none."""
    if loaded.doubts:
        return Proposal(because="not every object could be read; fix that first")
    edits: list[ObjectPatch | NewObject] = []
    cluster: Cluster = loaded.cluster
    made: RewrittenFiles | None = None
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
