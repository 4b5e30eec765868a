"""Workloads of another kind, and policies of another name: what stays the same is compared."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.meta import ObjectRef
from podfence.model.objects import Pod
from podfence.questions.plan.plan import Plan, plan
from podfence.testing.builders import namespace, peer, pod, policy, rule

DB = pod("shop/db", {"app": "db"}, addresses=["10.0.0.9"])
OPEN = policy("shop/in", {"app": "web"}, ingress=[rule(peer(pods={"app": "db"}))])
CLOSED = policy("shop/in", {"app": "web"}, types=["Ingress"])


def web(kind: str, number: int = 2, app: str = "web") -> list[Pod]:
    """The pods of a workload; a single pod is its own."""
    owner = None if kind == "Pod" else ObjectRef(kind, "shop", "web")
    names = ["web"] if kind == "Pod" else [f"web-{kind.lower()}-{n}" for n in range(number)]
    return [
        replace(pod(f"shop/{name}", {"app": app}, addresses=[f"10.0.0.{n + 1}"]), owner=owner)
        for n, name in enumerate(names)
    ]


def planned(
    old: list[Pod], new: list[Pod], was: ClusterObject, now: ClusterObject, *, order: bool = False
) -> Plan:
    before = Cluster.of([namespace("shop"), DB, *old, was])
    after = Cluster.of([namespace("shop"), DB, *new, now])
    return plan(before, after, newcomers=False, order=order)


def said(found: Plan) -> list[tuple[str, str]]:
    return [
        (source.name, destination.name)
        for each in found.outcomes
        for source in each.sources.lines
        for destination in each.destinations.lines
    ]


def test_a_workload_of_another_kind_is_the_same_one() -> None:
    """Whatever else changes for it is said: it has not just come and gone."""
    for kinds in ("Deployment", "StatefulSet"), ("Pod", "Deployment"), ("DaemonSet", "Pod"):
        found = planned(web(kinds[0]), web(kinds[1]), OPEN, CLOSED)
        assert said(found) == [("shop/db", "shop/web")], kinds
        [(was, now)] = found.became
        assert (was.kind, now.kind, found.arrives, found.leaves) == (*kinds, (), ())


def test_its_labels_are_compared_too() -> None:
    found = planned(web("Deployment"), web("StatefulSet", app="other"), CLOSED, CLOSED)
    assert ("shop/db", "shop/web") in said(found)
    assert [str(edit.ref) for edit in found.edits] == ["shop/web"]


@pytest.mark.parametrize(
    "kinds", [("Deployment", "StatefulSet"), ("Pod", "Deployment"), ("DaemonSet", "Pod")]
)
def test_the_api_creates_one_and_deletes_the_other(kinds: tuple[str, str]) -> None:
    """In this order, so that pods of either run."""
    was, now = kinds
    found = planned(web(was), web(now, app="other"), OPEN, OPEN, order=True).order
    assert found is not None
    assert [(step.verb.value, step.ref.kind, str(step.ref)) for step in found.steps] == [
        ("create", now, "shop/web"),
        ("delete", was, "shop/web"),
    ]


def test_a_rollout_that_cuts_says_so_at_both_steps() -> None:
    """Before the policy of the new labels is there, the new pods are without it."""
    fenced = policy("shop/in", {"app": "other"}, ingress=[rule(peer(pods={"app": "db"}))])
    found = planned(web("Pod"), web("StatefulSet", app="other"), OPEN, fenced, order=True).order
    assert found is not None
    of_web = [step for step in found.steps if str(step.ref) == "shop/web"]
    assert [step.verb.value for step in of_web] == ["create", "delete"]
    assert of_web[0].opens == of_web[1].opens
    assert of_web[0].cuts == of_web[1].cuts
    assert not found.is_safe


def test_what_keeps_its_kind_is_updated() -> None:
    found = planned(web("Pod"), web("Pod", app="other"), OPEN, OPEN, order=True).order
    assert found is not None
    assert [step.verb.value for step in found.steps] == ["update"]


def test_nothing_is_said_where_only_the_kind_changes() -> None:
    found = planned(web("Deployment"), web("StatefulSet"), OPEN, OPEN)
    assert (found.outcomes, found.edits, len(found.became)) == ((), (), 1)


def test_of_two_that_come_none_is_the_one_that_went() -> None:
    both = [*web("StatefulSet", 1), *web("DaemonSet", 1)]
    both[1] = replace(both[1], addresses=web("Deployment", 3)[2].addresses)
    found = planned(web("Deployment"), both, OPEN, CLOSED)
    assert found.became == ()
    assert (len(found.arrives), len(found.leaves)) == (2, 1)


def test_one_of_the_name_that_stays_is_compared_with_itself() -> None:
    stays = [replace(each, name=f"set-{each.name}") for each in web("StatefulSet", 1)]
    stays = [replace(stays[0], addresses=web("Deployment", 4)[3].addresses)]
    found = planned([*web("Deployment"), *stays], stays, OPEN, OPEN)
    assert found.became == ()
    assert [line.workload.kind for line in found.leaves] == ["Deployment"]


def test_a_policy_that_has_another_name_is_renamed() -> None:
    other = replace(OPEN, ref=replace(OPEN.ref, name="other"))
    found = planned(web("Deployment"), web("Deployment"), OPEN, other)
    assert [(str(a.ref), str(b.ref)) for a, b in found.renamed] == [("shop/in", "shop/other")]


def test_a_policy_that_means_something_else_is_not() -> None:
    other = replace(CLOSED, ref=replace(OPEN.ref, name="other"))
    assert planned(web("Deployment"), web("Deployment"), OPEN, other).renamed == ()
