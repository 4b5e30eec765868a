"""From one state of a cluster to another, a single write at a time. Pure.

Rule: a step changes one object, so that there is no state between two steps but those of nodes that
have heard of it and nodes that have not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from random import Random

from podfence.engine.evaluate import Evaluator
from podfence.model.cluster import Cluster as Model
from podfence.model.cluster import ClusterObject
from podfence.model.meta import ObjectRef
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow

Key = tuple[str, ObjectRef | str]


def walk(before: Model, after: Model, rng: Random) -> Iterator[Model]:
    """The states on the way, the last one being ``after``. A policy that becomes another goes first
    and comes then."""
    now, wanted = _objects(before), _objects(after)
    for key in rng.sample(sorted(now, key=str), len(now)):
        if now[key] != wanted.get(key) and _comes_and_goes(key):
            del now[key]
            yield Model.of(now.values())
    for key in rng.sample(sorted(wanted, key=str), len(wanted)):
        if now.get(key) != wanted[key]:
            now[key] = wanted[key]
            yield Model.of(now.values())


def _objects(model: Model) -> dict[Key, ClusterObject]:
    named: dict[Key, ClusterObject] = {}
    named.update((("Namespace", name), each) for name, each in model.namespaces.items())
    named.update((("Node", name), each) for name, each in model.nodes.items())
    named.update((("Pod", pod.ref), pod) for pod in model.pods)
    named.update((("Policy", each.ref), each) for each in model.policies)
    named.update((("Policy", each.ref), each) for each in model.admin_policies)
    return named


def _comes_and_goes(key: Key) -> bool:
    return key[0] == "Policy"


Ends = tuple[bool, bool]
"""Whether the sender's node lets a flow out, and the receiver's node in."""


def verdicts(model: Model, flows: Iterable[Flow]) -> dict[Flow, Ends]:
    """What the engine says of each, at both ends."""
    judge = Evaluator(compile_cluster(model))
    found = {}
    for flow in flows:
        verdict = judge.verdict(flow)
        found[flow] = verdict.egress.allowed, verdict.ingress.allowed
    return found


def between(before: Ends, after: Ends) -> bool | None:
    """What is certain of a flow while one node may have heard of a change and the other not; None:
    nothing."""
    possible = {out and into for out in (before[0], after[0]) for into in (before[1], after[1])}
    return possible.pop() if len(possible) == 1 else None


def uncertain(before: Mapping[Flow, Ends], after: Mapping[Flow, Ends]) -> frozenset[Flow]:
    """The flows of which nothing is certain on the way from one state to another."""
    return frozenset(flow for flow in after if between(before[flow], after[flow]) is None)
