"""Rulesets and a node that scenarios of steps share."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from podfence.model.cluster import ClusterObject
from podfence.nft.difference import diff
from podfence.nft.lowering.lower import lower
from podfence.nft.lowering.tightening import tightening
from podfence.nft.ruleset import Ruleset
from podfence.reconcile.quarantine import units
from podfence.reconcile.states import PlannedRules
from podfence.sets.members import Members
from podfence.testing.builders import policy
from tests.nft.cases import DB_ALLOW, NODE, index_of
from tests.reconcile.nodes import SteppedNode

HERE = replace(NODE, pods=frozenset(f"shop/{name}" for name in ("web", "db", "job")))
NOBODY_TO_DB = replace(DB_ALLOW, ingress=())
JOB_CLOSED = policy("shop/job-closed", {"app": "job"}, types=["Ingress", "Egress"])


def rules(*objects: ClusterObject) -> Ruleset:
    return lower(index_of(*objects), HERE)


def planned(before: Ruleset, after: Ruleset, **given: Mapping[int, Members]) -> PlannedRules:
    """As an assembly plans it: operations, and what they take away."""
    gone = given.get("released", {})
    return PlannedRules(
        lambda: after, diff(before, after), tightening(before, after, gone), **given
    )


def group(ruleset: Ruleset, of: str) -> str:
    """The name of the one group with this in its comment."""
    (name,) = {
        unit
        for unit in units(ruleset)
        if of in ruleset.chains[unit].comment and ruleset.chains[unit].comment.startswith("ingress")
    }
    return name


A, B, C = rules(), rules(DB_ALLOW), rules(DB_ALLOW, JOB_CLOSED)


def node_with(ruleset: Ruleset) -> SteppedNode:
    """A node that has started, and takes operations as they are planned."""
    node = SteppedNode(ruleset)
    node.feed(PlannedRules(lambda: ruleset))
    assert node.state.enforced is None
    return node
