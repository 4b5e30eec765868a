"""What is kept of pods while policies change gives the notes that a fresh look gives."""

from __future__ import annotations

from random import Random

import pytest
from msgspec.structs import replace

from podfence.live.clusterevents import gone, put
from podfence.live.clusterindex import ClusterIndex
from podfence.model.cluster import ClusterObject
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.index import PolicyIndex
from podfence.questions.lint.note import WrittenObjects
from podfence.questions.lint.notes import notes_for
from podfence.questions.phrases.matched import MatchedPods
from tests.support.random_clusters import Size, random_cluster


def nothing_written(source: object) -> None:
    return None


def notes(index: PolicyIndex, matched: MatchedPods) -> list[tuple[object, ...]]:
    written = WrittenObjects(index, nothing_written)
    return [notes_for(index, each, None, matched, written) for each in index.cluster.policies]


def edited(rng: Random, policies: tuple[NetworkPolicy, ...]) -> list[ClusterObject | ObjectRef]:
    """Some go, some come under another name, some say what another says."""
    found: list[ClusterObject | ObjectRef] = []
    for policy in rng.sample(policies, min(3, len(policies))):
        kind = rng.randrange(3)
        if kind == 0:
            found.append(policy.ref)
        elif kind == 1:
            found.append(
                replace(policy, ref=ObjectRef("NetworkPolicy", policy.ref.namespace, "a-new"))
            )
        else:
            other = rng.choice(policies)
            found.append(replace(policy, ingress=other.ingress, egress=other.egress))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_notes_are_those_of_a_fresh_look(seed: int) -> None:
    rng = Random(seed)
    state = ClusterIndex.of(random_cluster(rng, Size(pods=8, policies=8)))
    matched = MatchedPods(state.index)
    notes(state.index, matched)  # so that there is something to keep
    events = [
        gone(each) if isinstance(each, ObjectRef) else put(each)
        for each in edited(rng, state.index.cluster.policies)
    ]
    new, _ = state.apply(events)
    changed = {e.ref: e.thing if isinstance(e.thing, NetworkPolicy) else None for e in events}
    after = matched.after(new.index, changed)
    assert notes(new.index, after) == notes(new.index, MatchedPods(new.index))
    for namespace in new.index.cluster.namespaces:
        kept, fresh = after.policies_of(namespace), MatchedPods(new.index).policies_of(namespace)
        assert [each.ref for each in kept] == [each.ref for each in fresh]
    assert notes(state.index, matched) == notes(state.index, MatchedPods(state.index)), (
        "left as it was"
    )
