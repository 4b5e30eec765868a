"""Every change is blamed on an edit, and taking that edit back undoes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.engine.connections import connections
from podfence.model.cluster import Cluster, ClusterObject
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.plan.blame import BlamedChange, BlameLimits, BlameMode
from podfence.questions.plan.difference import ReachChange
from podfence.questions.plan.edits import Edit
from podfence.questions.plan.ends import JointClass
from podfence.sets import PortSet
from podfence.testing.builders import namespace, peer, pod, policy, rule
from tests.support.planlaws import Compared
from tests.support.random_changes import random_change
from tests.support.random_clusters import objects_of


def whole_world(base: Cluster, edit: Edit, *, back: bool) -> PolicyIndex:
    """The whole cluster with an edit taken back, or done, compiled anew."""
    gone, instead = (edit.after, edit.before) if back else (edit.before, edit.after)
    kept = [t for t in objects_of(base) if not any(is_same_object(t, g) for g in gone)]
    return compile_cluster(Cluster.of([*kept, *instead]))


def is_same_object(thing: object, gone: object) -> bool:
    if type(thing) is not type(gone):
        return False
    name = getattr(thing, "ref", None) or getattr(thing, "name", None)
    return bool(name == (getattr(gone, "ref", None) or getattr(gone, "name", None)))


def verdict(
    index: PolicyIndex, seen: Compared, source: int, destination: int, family: int
) -> PortSet:
    """What passes in a whole world between representatives of two joint classes."""
    near, far = (class_in(index, seen, seen.ends.joint[n]) for n in (source, destination))
    return connections(index, near, far, family)


def class_in(index: PolicyIndex, seen: Compared, end: JointClass) -> int:
    if end.outside is not None:
        for network in end.outside.networks():
            for address in network:
                if address not in index.by_address and address not in index.contested:
                    return index.outside_lookup.find(address)
    line = end.lines[0]
    return index.endpoints[f"{end.namespace}/{line.after[0]}"].endpoint_class


def pairs_of(part: BlamedChange | ReachChange) -> Iterator[tuple[int, int]]:
    for source in part.sources:
        for destination in part.destinations:
            yield source, destination


@pytest.mark.law
def test_one_edit_is_blamed_for_everything() -> None:
    changed = 0
    for number in range(150):
        seen = Compared(*random_change(Random(f"one/{number}"), 1))
        if len(seen.edits) == 1:
            assert {part.blame.edits for part in seen.blamed} <= {(0,)}
            assert all(part.blame.proved for part in seen.blamed)
            changed += bool(seen.blamed)
    assert changed > 30


@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_what_is_blamed_is_the_whole_difference(rng: Random, edits: int) -> None:
    """Port by port: nothing is lost, nothing is said twice."""
    seen = Compared(*random_change(rng, edits))
    expected: dict[tuple[int, int, int], PortSet] = {}
    for change in seen.changes:
        for source, destination in pairs_of(change):
            for family in families_of(seen, change, source, destination):
                expected[source, destination, family] = change.opened | change.closed
    for part in seen.blamed:
        for source, destination in pairs_of(part):
            for family in families_of(seen, part, source, destination):
                ports = part.opened | part.closed
                assert ports
                assert ports <= expected[source, destination, family]
                expected[source, destination, family] -= ports
    assert not any(expected.values())


@pytest.mark.law
@pytest.mark.parametrize("start", range(0, 200, 50))
def test_taking_the_edit_back_undoes_the_change(start: int) -> None:
    """The proof, done again with whole clusters."""
    done = 0
    for number in range(start, start + 50):
        old, new = random_change(Random(f"back/{number}"), 1 + number % 4)
        seen = Compared(old, new)
        for part in seen.blamed:
            if part.blame.proved and part.blame.mode in (BlameMode.ALONE, BlameMode.ALL):
                for edit in part.blame.edits:
                    done += undone(seen, new, part, seen.edits[edit])
    assert done > 20


def undone(seen: Compared, new: Cluster, part: BlamedChange, edit: Edit) -> int:
    """Whether every pair of a part turns back; how many were asked."""
    world = whole_world(new, edit, back=True)
    asked = 0
    for source, destination in pairs_of(part):
        if any(_moved(seen, world, n) for n in (source, destination)):
            continue
        for family in families_of(seen, part, source, destination):
            now = connections(
                seen.new,
                seen.ends.joint[source].after,
                seen.ends.joint[destination].after,
                family,
            )
            then = verdict(world, seen, source, destination, family)
            turned = (now - then) | (then - now)
            assert part.opened | part.closed <= turned
            asked += 1
    return asked


def _moved(seen: Compared, world: PolicyIndex, number: int) -> bool:
    """Whether a pod lost or got an address by the edit: then it is another pair."""
    end = seen.ends.joint[number]
    if end.outside is not None:
        return False
    name = f"{end.namespace}/{end.lines[0].after[0]}"
    return world.endpoints[name].addresses != seen.new.endpoints[name].addresses


def families_of(
    seen: Compared, part: BlamedChange | ReachChange | None, *numbers: int
) -> list[int]:
    """The IP versions over which a pair of a part changes; of any pair those that it speaks."""
    if part is not None and part.family:
        return [part.family]
    spoken = {4, 6}
    for number in numbers:
        end = seen.ends.joint[number]
        if end.outside is not None:
            spoken &= {4} if end.outside.v4 else {6}
        else:
            for index, of_side in ((seen.old, end.before), (seen.new, end.after)):
                spoken &= {a.version for a in index.members[of_side][0].addresses}
    return sorted(spoken)


# -- how edits work together


def blames(
    old: Sequence[ClusterObject], new: Sequence[ClusterObject]
) -> set[tuple[str, tuple[str, ...]]]:
    """Mode and names of the edits, of everything that changes between two pods."""
    seen = Compared(Cluster.of(old), Cluster.of(new))
    return {
        (part.blame.mode.value, tuple(seen.edits[n].ref.name for n in part.blame.edits))
        for part in seen.blamed
    }


WORLD: list[ClusterObject] = [
    namespace("shop"),
    pod("shop/web", {"app": "web"}, addresses=["10.0.0.1"]),
    pod("shop/db", {"app": "db"}, addresses=["10.0.0.2"]),
]
FROM_WEB = rule(peer(pods={"app": "web"}), ports=[5432])


def deny(name: str, app: str = "db") -> ClusterObject:
    return policy(f"shop/{name}", {"app": app}, types=["Ingress"])


def test_two_policies_that_isolate_are_both_needed() -> None:
    assert blames([*WORLD, deny("a"), deny("b")], WORLD) == {("all", ("a", "b"))}


def test_of_two_policies_that_allow_each_is_enough() -> None:
    old = [*WORLD, deny("deny")]
    allow = [policy(f"shop/{name}", {"app": "db"}, ingress=[FROM_WEB]) for name in "ab"]
    assert blames(old, [*old, *allow]) == {("any", ("a", "b"))}


def test_a_policy_elsewhere_is_not_blamed() -> None:
    old = [*WORLD, deny("deny")]
    new = [*old, policy("shop/a", {"app": "db"}, ingress=[FROM_WEB]), deny("web", "web")]
    assert blames(old, new) == {("alone", ("a",)), ("alone", ("web",))}


def test_ports_of_one_pair_have_their_own_causes() -> None:
    old = [*WORLD, deny("deny")]
    new = [
        *old,
        policy("shop/a", {"app": "db"}, ingress=[FROM_WEB]),
        policy("shop/b", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=[80])]),
    ]
    assert blames(old, new) == {("alone", ("a",)), ("alone", ("b",))}


def test_beyond_the_limit_nothing_is_taken_apart() -> None:
    old = [*WORLD, deny("a"), deny("b")]
    seen = Compared(Cluster.of(old), Cluster.of(WORLD), BlameLimits(worlds=0))
    assert {(part.blame.mode, part.blame.proved) for part in seen.blamed} == {
        (BlameMode.TOGETHER, False)
    }
