"""What a page's server answers about one pair, one workload or one policy.

Rule: the answers are those of ``why``, ``find`` and ``describe``, as their ``-o json`` has them;
what is added is the text behind them. They are about one state of the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final

from podfence.cli.beside import touched_pods
from podfence.cli.common import asking, require_certain, without_verdict
from podfence.cli.ends import end_of
from podfence.cli.inputs import Inputs
from podfence.cli.policynames import Policy, wanted_policies
from podfence.cli.reaching import reached
from podfence.cli.targets import port_of, protocol_of
from podfence.collector import collector_paused
from podfence.errors import PodfenceError, QuestionError, UnknownObject
from podfence.manifests.load import Loaded
from podfence.model.meta import DEFAULT_NAMESPACE, ObjectRef
from podfence.policy.flow import Direction
from podfence.policy.index import PolicyIndex
from podfence.questions.can import Asker, Can
from podfence.questions.certainty import Certainty
from podfence.questions.find.removal import about, purpose
from podfence.questions.parties import Directory
from podfence.questions.plan.followed import Followed
from podfence.questions.selecting import selecting
from podfence.questions.tests.form import Target
from podfence.questions.tests.world import World
from podfence.questions.why import why
from podfence.render.excerpts import excerpts
from podfence.render.find_json import FindEncoder
from podfence.render.selection import selection_data
from podfence.render.verdicts import VerdictEncoder

MOST_POLICIES: Final = 100
"""Policies of one workload of which is told what hangs on each."""
Asked = Mapping[str, str]


class Lookups:
    """``inputs``: as they were named, for hints. ``state``: the input with pods to come; it is made
    when first wanted."""

    def __init__(
        self, loaded: Loaded, index: PolicyIndex, inputs: Inputs, state: Callable[[], Followed]
    ) -> None:
        self._loaded = loaded
        self._index = index
        self._inputs = inputs
        self._state = state

    def answer(self, question: str, asked: Asked) -> dict[str, Any]:
        """The answer to ``pair``, ``workload`` or ``policy``. Raises PodfenceError."""
        questions = {"pair": self._pair, "workload": self._workload, "policy": self._policy}
        with collector_paused(), asking(self._loaded, self._inputs):
            return questions[question](asked)

    # -- a pair

    def _pair(self, asked: Asked) -> dict[str, Any]:
        protocol = protocol_of(asked.get("protocol") or "TCP")
        port = port_of(asked.get("port"), protocol)
        found = why(self._asker, Can(_needed(asked, "from"), _needed(asked, "to"), port, protocol))
        require_certain(self._loaded, found.can)
        data = self._verdicts.why(found)
        return {"answer": data, "excerpts": list(excerpts(data, self._loaded.positions.texts()))}

    @cached_property
    def _asker(self) -> Asker:
        return Asker(self._index)

    @cached_property
    def _verdicts(self) -> VerdictEncoder:
        return VerdictEncoder(self._loaded.locate)

    # -- a workload

    def _workload(self, asked: Asked) -> dict[str, Any]:
        name = _needed(asked, "name")
        party = Directory(self._index).find(name)
        selection = selecting(self._index, party)
        if doubts := Certainty(self._index).about(selection.pods):
            said = without_verdict(self._loaded, doubts)
            raise PodfenceError(f"not all policies are known: {said}", code="PF007")
        ends = [Target(end_of(name, DEFAULT_NAMESPACE))]
        refs = {each.policy for each in (*selection.ingress, *selection.egress)}
        return {
            "policies": selection_data(selection, self._loaded.locate),
            "in": self._reached("to", None, ends, Direction.INGRESS),
            "out": self._reached("from", ends, None, Direction.EGRESS),
            **self._hanging(selection.pods, refs),
        }

    def _reached(
        self,
        question: str,
        sources: list[Target] | None,
        targets: list[Target] | None,
        near: Direction,
    ) -> dict[str, object]:
        found, _ = reached(self._world, self._loaded, sources, targets, near)
        touched = touched_pods(self._loaded, self._world.index)
        return FindEncoder(question, self._loaded.locate, touched).reached(found)

    @cached_property
    def _world(self) -> World:
        state = self._state()
        return World(state.state.index, pairs=dict(state.pairs))

    def _hanging(self, pods: tuple[str, ...], refs: set[ObjectRef]) -> dict[str, object]:
        every: list[Policy] = [*self._index.cluster.admin_policies, *self._index.cluster.policies]
        selecting_ones = [policy for policy in every if policy.ref in refs]
        known = [self._index.endpoints[pod].pod for pod in pods]
        owners = frozenset(pod.owner or pod.ref for pod in known)
        purposes = [
            purpose(self._index, policy, self._state()) for policy in selecting_ones[:MOST_POLICIES]
        ]
        found = [(each, about(each.without, owners)) for each in purposes]
        return {
            "hanging": FindEncoder("policies", self._loaded.locate).purposes(found),
            "more": max(0, len(selecting_ones) - MOST_POLICIES),
        }

    # -- a policy

    def _policy(self, asked: Asked) -> dict[str, Any]:
        name = _needed(asked, "name")
        wanted = wanted_policies(self._loaded, name, None)
        if not wanted:
            raise UnknownObject(f"no policy is called {name!r}")
        found = purpose(self._index, wanted[0], self._state())
        data = FindEncoder("pods", self._loaded.locate).purposes([(found, found.without)])
        return {"answer": data, "excerpts": list(self._text(wanted[0]))}

    def _text(self, policy: Policy) -> Iterator[dict[str, object]]:
        """The whole document, where a person can open it."""
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


def _needed(asked: Asked, name: str) -> str:
    """A word of a request. Raises QuestionError where it is missing."""
    if word := asked.get(name):
        return word
    raise QuestionError(f"{name} is missing; it takes NAMESPACE/NAME, for example shop/web")
