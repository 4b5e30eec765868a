"""Work grows with the number of rules, not with its square.

Rule: lines of Python that ran are counted, never seconds, so the answer is the same on a busy
machine. Four times the rules may run somewhat more than four times the lines (sorting, bisection);
work that grows with the square would run sixteen times as many.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from podfence.engine.connections import connections
from podfence.engine.evaluate import evaluate
from podfence.kernel.nftables.encode import encode
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.networkpolicy import NetworkPolicyPeer
from podfence.nft.difference import apply, diff, load
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from podfence.reconcile.nodes import NodeStep
from podfence.testing.builders import (
    cluster_peer,
    cluster_policy,
    cluster_rule,
    namespace,
    peer,
    pod,
    policy,
    rule,
)
from tests.support.counting import lines_of

WEB = pod("n/web", {"app": "web"}, addresses=["10.0.0.1", "fd00::1"])
DB = pod("n/db", {"app": "db"}, addresses=["10.0.0.2"])
NODE = LocalNode("n1", pods=frozenset({"n/web"}))
FEW, TIMES = 100, 4
MOST = 4.8
"""How many times as many lines ``TIMES`` as many rules may run."""


def block(number: int) -> NetworkPolicyPeer:
    """Blocks that neither touch nor hold one another."""
    return peer(cidr=f"20.{number // 256}.{number % 256}.0/25")


def network(number: int) -> str:
    return f"21.{number // 256}.{number % 256}.0/25"


def one_rule(count: int) -> Iterable[ClusterObject]:
    yield policy("n/p", {"app": "web"}, egress=[rule(*map(block, range(count)))])


def one_rule_with_ports(count: int) -> Iterable[ClusterObject]:
    blocks = map(block, range(count))
    yield policy("n/p", {"app": "web"}, egress=[rule(*blocks, ports=[80, "443/UDP"])])


def a_rule_each(count: int) -> Iterable[ClusterObject]:
    yield policy("n/p", {"app": "web"}, egress=[rule(block(n)) for n in range(count)])


def a_rule_and_a_port_each(count: int) -> Iterable[ClusterObject]:
    rules = [rule(block(n), ports=[1000 + 2 * n]) for n in range(count)]
    yield policy("n/p", {"app": "web"}, egress=rules)


def a_policy_each(count: int) -> Iterable[ClusterObject]:
    for number in range(count):
        yield policy(f"n/p{number}", {"app": "web"}, egress=[rule(block(number))])


def one_block_with_exceptions(count: int) -> Iterable[ClusterObject]:
    holes = [network(number) for number in range(count)]
    yield policy("n/p", {"app": "web"}, egress=[rule(peer(cidr="21.0.0.0/8", except_=holes))])


def many_ports(count: int) -> Iterable[ClusterObject]:
    ports = [1000 + 2 * number for number in range(count)]
    yield policy("n/p", {"app": "web"}, egress=[rule(ports=ports)])


def a_port_each(count: int) -> Iterable[ClusterObject]:
    rules = [rule(peer(pods={"app": "db"}), ports=[1000 + 2 * n]) for n in range(count)]
    yield policy("n/p", {"app": "web"}, egress=rules)


def a_selector_each(count: int) -> Iterable[ClusterObject]:
    peers = [peer(pods={"app": f"a{number}"}) for number in range(count)]
    yield policy("n/p", {"app": "web"}, egress=[rule(*peers)])


def ordered_rules(count: int) -> Iterable[ClusterObject]:
    for first in range(0, count, 50):
        rules = [
            cluster_rule("Deny" if n % 2 else "Accept", cluster_peer(networks=[network(n)]))
            for n in range(first, first + 50)
        ]
        yield cluster_policy(f"c{first}", namespaces={}, priority=first, egress=rules)


def everything(objects: Iterable[ClusterObject], changed: Iterable[ClusterObject]) -> None:
    """A question, and enforcement: the first rules of a node, then a change."""
    index, next_index = (
        compile_cluster(Cluster.of([namespace("n"), WEB, DB, *found]))
        for found in (objects, changed)
    )
    evaluate(index, Flow(WEB.addresses[0], DB.addresses[0], "TCP", 80))
    web, db = (index.endpoints[name].endpoint_class for name in ("n/web", "n/db"))
    connections(index, web, db, 4)
    ruleset = lower(index, NODE)
    wanted = NodeStep.between(ruleset, lower(next_index, NODE)).wanted
    assert [*encode(load(ruleset))]
    assert apply(ruleset, diff(ruleset, wanted)) == wanted


@pytest.mark.parametrize(
    "shape",
    [
        one_rule,
        one_rule_with_ports,
        a_rule_each,
        a_rule_and_a_port_each,
        a_policy_each,
        one_block_with_exceptions,
        many_ports,
        a_port_each,
        a_selector_each,
        ordered_rules,
    ],
)
def test_work_is_linear_in_the_rules(shape: Callable[[int], Iterable[ClusterObject]]) -> None:
    few, many = (
        lines_of(lambda count=count: everything(shape(count), shape(count + 10)))  # type: ignore[misc]
        for count in (FEW, FEW * TIMES)
    )
    assert many < MOST * few, f"{many / few:.1f} times the lines for {TIMES} times the rules"
