"""What somebody may see who may see one namespace alone."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from podfence.drops.record import Cause, Drop, Drops, FlowEnd, NamedRule, of_namespace

WEB, DB, OUTSIDE = (
    FlowEnd("10.0.0.1", ("web/a",)),
    FlowEnd("10.0.0.2", ("db/b",)),
    FlowEnd("192.0.2.1"),
)
OF_DB = NamedRule("NetworkPolicy", "db/closed", "spec.podSelector")
GUARD = NamedRule("ClusterNetworkPolicy", "guard", "spec.ingress[0]")
NEAR = NamedRule("NetworkPolicy", "db/closed", "spec.ingress[0]", "near miss")
ISOLATED = Cause("isolated", "NetworkPolicy", (OF_DB,), (NEAR,))


def drops(source: FlowEnd, destination: FlowEnd, cause: Cause) -> Drops:
    drop = Drop("n1", 1, "a", "b", 1, "ingress", source, destination, "TCP", cause, 80)
    return Drops("n1", 1, 5, 2, 3, (drop,))


def test_the_owner_of_the_policy_sees_all() -> None:
    found = drops(WEB, DB, ISOLATED)
    assert of_namespace(found, "db") == found


def test_the_other_end_sees_that_it_was_denied_and_not_by_which_policy() -> None:
    (drop,) = of_namespace(drops(WEB, DB, ISOLATED), "web").drops
    assert (drop.source, drop.destination) == (WEB, DB)
    assert drop.cause == Cause("isolated", "NetworkPolicy")


def test_an_audited_policy_is_named_to_its_namespace_alone() -> None:
    found = drops(WEB, DB, replace(ISOLATED, audited=(OF_DB, GUARD)))
    assert of_namespace(found, "db") == found
    (drop,) = of_namespace(found, "web").drops
    assert drop.cause == Cause("isolated", "NetworkPolicy", audited=(GUARD,))


@pytest.mark.parametrize(("namespace", "more"), [("db", 3), ("web", 0)])
def test_hidden_policies_are_not_counted(namespace: str, more: int) -> None:
    """What is left out takes nothing else away, and nobody counts the policies of others."""
    near = NamedRule("NetworkPolicy", "api/closed", "spec.ingress[0]", "near miss")
    cause = replace(ISOLATED, near=(NEAR, near), more=3)
    (drop,) = of_namespace(drops(WEB, DB, cause), namespace).drops
    assert drop.cause.more == more
    assert near not in drop.cause.near


def test_policies_of_the_cluster_are_told_to_whom_they_deny() -> None:
    found = drops(WEB, DB, Cause("rule", "Admin", (GUARD,)))
    assert of_namespace(found, "web") == found


@pytest.mark.parametrize(("source", "destination"), [(WEB, DB), (OUTSIDE, DB), (OUTSIDE, OUTSIDE)])
@pytest.mark.parametrize("namespace", ["else", "we", "webs", ""])
def test_nobody_else_sees_anything(source: FlowEnd, destination: FlowEnd, namespace: str) -> None:
    found = of_namespace(drops(source, destination, ISOLATED), namespace)
    assert (found.drops, found.lost, found.forgotten) == ((), 2, 3)
