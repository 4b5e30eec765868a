"""What random sequences meet too seldom: a node that is told step by step holds what one holds that
is told of the end alone, and what a compile of the end is."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.facts import Event, Gone, Put
from podfence.model.objects import Pod
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.policy.compile import compile_cluster
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    node,
    peer,
    pod,
    policy,
    rule,
)
from podfence.testing.facts import facts_of
from tests.live.test_node import NODE, Node
from tests.support.live_worlds import key_of

WEB = pod("shop/web", {"app": "web"}, addresses=["10.0.0.1", "fd00::1"], node=NODE)
BASE: list[ClusterObject] = [namespace("shop"), namespace("far"), namespace("near"), WEB]


def far(
    name: str, *addresses: str, port: int | None = None, app: str = "api", where: str = "far"
) -> Pod:
    ports = [] if port is None else [f"http:{port}"]
    return pod(f"{where}/{name}", {"app": app}, addresses=addresses, ports=ports, node="n2")


def gone(thing: ClusterObject) -> Gone:
    return Gone(*key_of(thing))


Step = ClusterObject | Gone | list[ClusterObject | Gone]
"""One thing that happens, or several at once."""


def event(step: ClusterObject | Gone) -> Event:
    return step if isinstance(step, Gone) else Put(facts_of(step))


TO_BLOCK = policy(
    "shop/block", {"app": "web"}, egress=[rule(peer(cidr="10.0.1.0/24"), ports=["http"])]
)
TO_PODS = policy(
    "shop/pods", {"app": "web"}, egress=[rule(peer(namespaces={"team": "a"}), ports=["http"])]
)
TO_TEAM = policy("shop/team", {"app": "web"}, egress=[rule(peer(namespaces={"team": "a"}))])
SHUT = policy("shop/shut", {"app": "web"}, ingress=[])
MANY = [peer(pods={"app": f"n{number}"}) for number in range(4)]
"""With one peer more, they are one set of addresses."""
FROM_SOME_OR_TEAM = policy(
    "shop/some",
    {"app": "web"},
    ingress=[
        rule(
            *MANY,
            peer(namespaces={"team": "a"}),
            peer(namespaces={"stage": "x"}, pods={"app": "api"}),
        )
    ],
)
FROM_OWN_OR_TEAM = policy(
    "shop/own",
    {"app": "web"},
    ingress=[rule(*MANY, peer(pods={"app": "own"}), peer(namespaces={"team": "a"}))],
)
DENY_TEAM = cluster_policy(
    "deny",
    egress=[cluster_rule("Deny", cluster_peer(namespaces={"team": "a"}, pods={"app": "api"}))],
)
DENY_PORT = cluster_policy(
    "deny", egress=[cluster_rule("Deny", cluster_peer(pods={"app": "api"}), protocols=["http"])]
)
OF_TEAM = cluster_policy("of", namespaces={"team": "a"}, ingress=[cluster_rule("Deny")])
NODES = cluster_policy("nodes", egress=[cluster_rule("Deny", cluster_peer(nodes={"role": "db"}))])
A, B = {"team": "a"}, {"team": "b"}

CASES: dict[str, list[Step]] = {
    "a port name on an address that two pods have": [
        TO_BLOCK,
        far("x", "10.0.9.1", port=8080),
        far("y", "10.0.1.9", app="y"),
        far("z", "10.0.1.9", port=8080),
    ],
    "a port name on an address that another pod has for sure": [
        TO_BLOCK,
        far("x", "10.0.9.1", port=8080),
        far("y", "10.0.1.9", app="y"),
        replace(far("z", "10.0.1.9", port=8080), deleting=True),
    ],
    "a port name comes into a block": [
        TO_BLOCK,
        far("x", "10.0.9.1", port=8080),
        far("z", "10.0.1.9", port=8080),
    ],
    "a port name leaves a block": [
        TO_BLOCK,
        far("z", "10.0.9.1", port=8080),
        far("x", "10.0.1.9", port=8080),
        far("x", "10.0.9.9", port=8080),
    ],
    "a port has another number, in as many pods": [
        TO_BLOCK,
        far("x", "10.0.1.9", port=8080),
        far("x", "10.0.1.9", port=81),
    ],
    "a port name among the pods of a relabelled namespace": [
        TO_PODS,
        far("x", "10.0.1.9", port=8080),
        namespace("far", A),
        namespace("far", B),
        namespace("near", A),
        far("z", "10.0.2.9", port=81, where="near"),
    ],
    "a port name, relabelled away": [
        TO_PODS,
        namespace("far", A),
        far("x", "10.0.1.9", port=8080),
        namespace("far", B),
    ],
    "both IP versions of a relabelled namespace": [
        TO_TEAM,
        far("x", "10.0.1.9", "fd00::9"),
        far("y", "10.0.1.8", "fd00::8", app="y"),
        namespace("far", A),
    ],
    "and away": [
        TO_TEAM,
        namespace("far", A),
        far("x", "10.0.1.9", "fd00::9"),
        namespace("far", B),
    ],
    "there and back at once": [
        TO_TEAM,
        far("x", "10.0.1.9", "fd00::9"),
        [namespace("far", A), namespace("far", B)],
        [namespace("far", A), far("x", "10.0.1.7"), namespace("far", B), namespace("far", A)],
    ],
    "one of two picks turns": [
        FROM_SOME_OR_TEAM,
        namespace("far", {"team": "a", "stage": "x"}),
        far("x", "10.0.1.9"),
        far("y", "10.0.1.8", app="y"),
        namespace("far", {"team": "b", "stage": "x"}),
    ],
    "a pick of the namespace itself beside one that turns": [
        FROM_OWN_OR_TEAM,
        far("own", "10.0.1.9", app="own", where="shop"),
        namespace("shop", A),
        namespace("shop", B),
    ],
    "who may have a contested address is relabelled": [
        DENY_TEAM,
        far("x", "10.0.1.9"),
        far("y", "10.0.1.9", app="y", where="near"),
        namespace("far", A),
    ],
    "and relabelled away": [
        DENY_TEAM,
        namespace("far", A),
        far("x", "10.0.1.9"),
        far("y", "10.0.1.9", app="y", where="near"),
        namespace("far", B),
    ],
    "a contested address is one pod's again": [
        DENY_TEAM,
        namespace("far", A),
        far("x", "10.0.1.9"),
        far("y", "10.0.1.9", app="y", where="near"),
        gone(far("y", where="near")),
    ],
    "more addresses are contested, and fewer again": [
        DENY_TEAM,
        namespace("far", A),
        *(far(f"x{last}", f"10.0.1.{last}") for last in (8, 9)),
        far("y", "10.0.1.9", app="y", where="near"),
        far("z", "10.0.1.8", app="y", where="near"),
        gone(far("y", where="near")),
    ],
    "a contested address with a port name that is denied": [
        DENY_PORT,
        far("x", "10.0.1.9", port=81),
        far("y", "10.0.1.9", port=8080, app="y"),
        far("x", "10.0.1.9", port=82),
    ],
    "a pod that is deleted gives its address up": [
        TO_TEAM,
        namespace("far", A),
        far("x", "10.0.1.9"),
        [far("y", "10.0.1.9", app="y", where="near"), replace(far("x", "10.0.1.9"), deleting=True)],
    ],
    "a pod of this node is being deleted, and its address is claimed elsewhere": [
        SHUT,
        replace(WEB, deleting=True),
        far("x", "10.0.0.1", "fd00::1"),
        gone(far("x")),
    ],
    "and claimed there first": [SHUT, far("x", "10.0.0.1"), replace(WEB, deleting=True)],
    "and by a pod of this node as well": [
        SHUT,
        [far("x", "10.0.0.1"), replace(WEB, deleting=True)],
        pod("shop/next", {"app": "next"}, addresses=["10.0.0.1"], node=NODE),
        gone(pod("shop/next")),
    ],
    "and is gone or finished at last": [
        SHUT,
        [far("x", "10.0.0.1"), replace(WEB, deleting=True)],
        replace(WEB, deleting=True, finished=True),
        gone(WEB),
    ],
    "pods here in a namespace that a policy of the cluster begins to select": [
        OF_TEAM,
        namespace("shop", A),
    ],
    "a Node is what a peer is": [NODES, node("n9", "172.16.0.9", labels={"role": "db"})],
    "a Node is it no more": [
        NODES,
        node("n9", "172.16.0.9", labels={"role": "db"}),
        node("n9", "172.16.0.9", labels={"role": "web"}),
    ],
    "a number of a profile is another profile's": [
        TO_BLOCK,
        far("w", "10.0.1.7", port=8080),
        far("x", "10.0.1.9", "fd00::9", port=8080, app="x"),
        gone(far("x")),
        far("y", "10.0.1.8", port=8080, app="y"),
        far("y2", "10.0.9.8", port=8080, app="y"),
    ],
    "a policy goes before anybody has read it": [
        [TO_TEAM, gone(TO_TEAM)],
        policy("near/it", {"app": "web"}, ingress=[]),
        gone(policy("near/it")),
        replace(WEB, namespace="near", name="n", addresses=WEB.addresses[:0]),
        replace(WEB, namespace="near", name="n", addresses=far("", "10.0.0.7").addresses),
    ],
    "the last address of an IP version goes": [
        TO_TEAM,
        replace(WEB, addresses=WEB.addresses[:1]),
    ],
    "the first of one comes back": [
        TO_TEAM,
        replace(WEB, addresses=WEB.addresses[:1]),
        WEB,
    ],
    "a pod here moves away under its name": [TO_TEAM, replace(WEB, node="n2")],
}


@pytest.mark.parametrize("case", CASES)
def test_step_by_step_is_the_end_alone(case: str) -> None:
    slow = Node()
    slow.take(*map(event, BASE))
    state = {key_of(thing): thing for thing in BASE}
    for step in CASES[case]:
        several = step if isinstance(step, list) else [step]
        slow.take(*map(event, several))
        for each in several:
            if isinstance(each, Gone):
                state.pop((each.kind, each.namespace, each.name), None)
            else:
                state[key_of(each)] = each
        whole = Node()
        whole.put(*state.values())
        cluster = Cluster.of(state.values())
        here = frozenset(f"{p.namespace}/{p.name}" for p in cluster.pods if p.node == NODE)
        wanted = lower(compile_cluster(cluster), LocalNode(NODE, here))
        assert slow.applied == whole.applied == wanted
