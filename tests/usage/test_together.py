"""Nodes are added up, and a claim is as old as the youngest count."""

from __future__ import annotations

from msgspec.structs import replace

from podfence.usage.record import NodeUsage, PolicyUse, RuleUse
from podfence.usage.together import RuleTotal, together

FIRST = "spec.ingress[0]"


def node(
    name: str,
    since: str,
    *rules: RuleUse,
    uid: str = "u",
    generation: int = 1,
    kind: str = "NetworkPolicy",
) -> NodeUsage:
    use = PolicyUse(kind, "shop/db", uid, generation, since, rules)
    return NodeUsage(name, since, policies=(use,))


def test_uses_are_added_and_the_last_counts() -> None:
    found = together(
        [node("a", "1", RuleUse(FIRST, 2, "5")), node("b", "3", RuleUse(FIRST, 1, "4"))]
    )
    assert found == [RuleTotal("NetworkPolicy", "shop/db", FIRST, 1, "3", 2, 3, "5")]


def test_a_later_revision_counts_alone() -> None:
    found = together(
        [node("a", "1", RuleUse(FIRST, 9, "5")), node("b", "3", RuleUse(FIRST), generation=2)]
    )
    assert [(total.uses, total.generation, total.nodes) for total in found] == [(0, 2, 1)]


def test_a_policy_that_was_made_anew_is_another() -> None:
    found = together(
        [
            node("a", "1", RuleUse(FIRST, 9, "5"), generation=7),
            node("b", "3", RuleUse(FIRST), uid="v"),
        ]
    )
    assert [(total.uses, total.generation) for total in found] == [(0, 1)]


def test_rules_stand_in_the_order_of_the_policy() -> None:
    paths = [f"spec.ingress[{n}]" for n in (10, 2)] + ["spec.egress[0]", "hostile[\u00b2]"]
    found = together([node("a", "1", *map(RuleUse, paths))])
    assert [total.path for total in found] == [
        "hostile[\u00b2]",
        "spec.egress[0]",
        "spec.ingress[2]",
        "spec.ingress[10]",
    ]


def test_nothing_is_unused_while_a_node_does_not_look() -> None:
    blind = replace(node("b", "1", RuleUse(FIRST)), fault="no", looked="2")
    (total,) = together([node("a", "1", RuleUse(FIRST)), blind])
    assert (total.blind, total.unused_since("2")) == (1, False)


def test_unused_is_said_of_a_time_that_everybody_counted() -> None:
    (total,) = together([node("a", "3", RuleUse(FIRST, 1, "5"))])
    said = {at: (total.used_since(at), total.unused_since(at)) for at in ("2", "4", "5", "6")}
    assert said == {"2": (True, False), "4": (True, False), "5": (False, True), "6": (False, True)}
    (never,) = together([node("a", "3", RuleUse(FIRST))])
    assert [never.unused_since(at) for at in ("2", "3", "4")] == [False, True, True]
