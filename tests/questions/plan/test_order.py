"""Applied step by step, a safe order cuts nothing and opens nothing that was not announced."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import pytest
from msgspec.structs import replace

from podfence.engine.connections import connections
from podfence.model.cluster import Cluster, ClusterObject
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.plan.edits import Edit
from podfence.questions.plan.order import ApplyStep, ApplyVerb, Order, safe_order
from podfence.sets import PortSet
from podfence.testing.builders import namespace, peer, pod, policy, rule
from tests.questions.plan.test_blame import class_in, families_of, is_same_object
from tests.support.planlaws import Compared
from tests.support.random_changes import random_change
from tests.support.random_clusters import objects_of

Verdicts = dict[tuple[int, int, int], PortSet]


def ordered(old: Cluster, new: Cluster) -> tuple[Compared, Order]:
    seen = Compared(old, new)
    order = safe_order(seen.edits, seen.old, seen.new, seen.ends)
    assert order is not None
    return seen, order


def states(old: Cluster, seen: Compared, order: Order) -> Iterator[tuple[ApplyStep, Cluster]]:
    """The whole cluster after each step."""
    things = objects_of(old)
    by_ref = {edit.ref: edit for edit in seen.edits}
    helpers = {helper.ref: helper for helper in order.temporary}
    for step in order.steps:
        if step.ref in helpers:
            helper = helpers[step.ref]
            made = step.verb is ApplyVerb.CREATE
            things = [*things, helper] if made else [t for t in things if t is not helper]
        else:
            things = _applied(things, by_ref[step.ref])
        yield step, Cluster.of(things)


def _applied(things: Sequence[ClusterObject], edit: Edit) -> list[ClusterObject]:
    kept = [t for t in things if not any(is_same_object(t, gone) for gone in edit.before)]
    return [*kept, *edit.after]


def verdicts(index: PolicyIndex, seen: Compared) -> Verdicts:
    """What passes between all ends that both versions have."""
    found: Verdicts = {}
    for source in seen.ends.joint:
        for destination in seen.ends.joint:
            if source.outside is not None and destination.outside is not None:
                continue
            near, far = class_in(index, seen, source), class_in(index, seen, destination)
            for family in families_of(seen, None, source.number, destination.number):
                key = source.number, destination.number, family
                found[key] = connections(index, near, far, family)
    return found


def harm(now: Verdicts, old: Verdicts, new: Verdicts) -> set[tuple[str, tuple[int, int, int]]]:
    """What is cut and what is opened in a state."""
    cut = {("cut", key) for key, ports in now.items() if not (old[key] & new[key]) <= ports}
    return cut | {("open", key) for key, ports in now.items() if not ports <= (old[key] | new[key])}


@pytest.mark.law
@pytest.mark.parametrize("start", range(0, 120, 40))
def test_nothing_that_is_not_announced(start: int) -> None:
    safe = 0
    for number in range(start, start + 40):
        old, new = random_change(Random(f"order/{number}"), 2 + number % 3)
        if any(each.contested for each in map(compile_cluster, (old, new))):
            continue  # whose an address is hangs on pods that a small cluster leaves out
        seen, order = ordered(old, new)
        before, after = verdicts(seen.old, seen), verdicts(seen.new, seen)
        known: set[tuple[str, tuple[int, int, int]]] = set()
        for step, state in states(old, seen, order):
            found = harm(verdicts(compile_cluster(state), seen), before, after)
            if not (step.cuts or step.opens):
                assert found <= known, (number, step)
            known = found
        assert not known, "the last state is the new version"
        safe += order.is_safe and len(order.steps) > 1
    assert safe > 5


# -- the shapes that people meet

WORLD: list[ClusterObject] = [
    namespace("shop"),
    pod("shop/web", {"app": "web"}, addresses=["10.0.0.1"]),
    pod("shop/db", {"app": "db"}, addresses=["10.0.0.2"]),
    pod("shop/pc", {"app": "pc"}, addresses=["10.0.0.3"]),
]


def words(order: Order) -> list[str]:
    return [f"{step.verb.value} {step.ref.name}" for step in order.steps]


def test_what_allows_comes_before_what_it_replaces_goes() -> None:
    """One policy is split into two: nothing may be without both in between."""
    allow = [rule(peer(pods={"app": name}), ports=[5432]) for name in ("web", "pc")]
    old = [*WORLD, policy("shop/a", {"app": "db"}, ingress=allow)]
    new = [*WORLD, *(policy(f"shop/b{n}", {"app": "db"}, ingress=[r]) for n, r in enumerate(allow))]
    _, order = ordered(Cluster.of(old), Cluster.of(new))
    assert order.is_safe
    assert words(order)[-1] == "delete a"


def test_open_pods_that_several_policies_isolate_need_a_temporary_one() -> None:
    """Either policy alone isolates the database and allows only half of what stays allowed."""
    new = [
        *WORLD,
        policy("shop/a", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}))]),
        policy("shop/b", {"app": "db"}, ingress=[rule(peer(pods={"app": "pc"}))]),
    ]
    _, order = ordered(Cluster.of(WORLD), Cluster.of(new))
    assert order.is_safe
    assert [helper.pod_selector.match_labels for helper in order.temporary]
    assert words(order)[0].startswith("create podfence-transition-")
    assert words(order)[-1].startswith("delete podfence-transition-")


def test_what_cannot_be_kept_is_said() -> None:
    """Two policies swap what they deny between tiers of labels; some state in between must cut."""
    old = [
        *WORLD,
        policy("shop/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}))]),
    ]
    web = next(t for t in WORLD if getattr(t, "name", "") == "web")
    renamed = replace(web, labels=(("app", "front"),))
    new = [
        *(renamed if t is web else t for t in WORLD),
        policy("shop/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "front"}))]),
    ]
    _, order = ordered(Cluster.of(old), Cluster.of(new))
    assert not order.is_safe
    assert sum(step.cuts for step in order.steps) > 0


def test_more_than_is_worth_it_is_not_worked_out() -> None:
    seen = Compared(Cluster.of(WORLD), Cluster.of([*WORLD, policy("shop/a", types=["Ingress"])]))
    assert safe_order(seen.edits, seen.old, seen.new, seen.ends, most=2) is None
