"""The reasons of a verdict, direction by direction."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from podfence.engine.evaluate import Evaluator, evaluate
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction, Flow, Reason
from podfence.policy.index import PolicyIndex
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

WEB, DB, JOB, OUTSIDE = "10.0.0.1", "10.0.0.2", "10.0.0.3", "8.8.8.8"


@pytest.fixture(scope="module")
def index() -> PolicyIndex:
    return compile_cluster(
        Cluster.of(
            [
                namespace("n"),
                pod("n/web", {"app": "web"}, addresses=[WEB]),
                pod("n/db", {"app": "db"}, addresses=[DB]),
                pod("n/job", {"app": "job"}, addresses=[JOB]),
                pod("n/waits", {"app": "db"}),
                policy("n/a", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=[80])]),
                policy("n/b", {"app": "db"}, ingress=[rule(ports=[80]), rule(ports=[81])]),
                cluster_policy(
                    "guard",
                    pods={"app": "job"},
                    egress=[
                        cluster_rule("Pass", cluster_peer(pods={"app": "web"})),
                        cluster_rule("Deny", cluster_peer(namespaces={}), protocols=["25/TCP"]),
                        cluster_rule("Accept", cluster_peer(namespaces={}), protocols=["25/TCP"]),
                    ],
                ),
            ]
        )
    )


@pytest.mark.parametrize(
    ("source", "destination", "port", "egress", "ingress"),
    [
        pytest.param(WEB, DB, 80, Reason.NOT_ISOLATED, Reason.RULE, id="NP-6 both ends"),
        pytest.param(WEB, DB, 82, Reason.NOT_ISOLATED, Reason.ISOLATED, id="NP-7 no rule fits"),
        pytest.param(OUTSIDE, DB, 81, Reason.NOT_A_POD, Reason.RULE, id="NP-1 from outside"),
        pytest.param(DB, OUTSIDE, 80, Reason.NOT_ISOLATED, Reason.NOT_A_POD, id="NP-1 to outside"),
        pytest.param(DB, DB, 82, Reason.SELF, Reason.SELF, id="NP-54 to itself"),
        pytest.param(JOB, WEB, 25, Reason.DEFAULT, Reason.NOT_ISOLATED, id="CNP-12 passed"),
        pytest.param(JOB, DB, 25, Reason.RULE, Reason.ISOLATED, id="CNP-7 the first rule"),
        pytest.param(JOB, DB, 80, Reason.DEFAULT, Reason.RULE, id="CNP-28 no tier decides"),
    ],
)
def test_reasons(
    index: PolicyIndex,
    source: str,
    destination: str,
    port: int,
    egress: Reason,
    ingress: Reason,
) -> None:
    flow = Flow(ip_address(source), ip_address(destination), "TCP", port)
    verdict = evaluate(index, flow)
    assert (verdict.egress.reason, verdict.ingress.reason) == (egress, ingress)


def origins(index: PolicyIndex, source: str, destination: str, port: int) -> list[tuple[str, str]]:
    verdict = evaluate(index, Flow(ip_address(source), ip_address(destination), "TCP", port))
    found = (*verdict.egress.origins, *verdict.ingress.origins)
    return [(origin.policy.name, origin.path) for origin in found]


def test_np_7_every_rule_that_permits_is_named(index: PolicyIndex) -> None:
    assert origins(index, WEB, DB, 80) == [("a", "spec.ingress[0]"), ("b", "spec.ingress[0]")]


def test_np_7_every_policy_that_isolates_is_named(index: PolicyIndex) -> None:
    assert origins(index, WEB, DB, 82) == [("a", "spec.podSelector"), ("b", "spec.podSelector")]


def test_cnp_7_only_the_first_rule_of_an_ordered_tier_is_named(index: PolicyIndex) -> None:
    assert origins(index, JOB, JOB.replace("3", "2"), 25)[0] == ("guard", "spec.egress[1]")


def test_np_58_a_pod_that_waits_for_its_address_is_judged_as_a_subject(index: PolicyIndex) -> None:
    waiting, web = index.endpoints["n/waits"], index.class_of(ip_address(WEB))
    judge = Evaluator(index)
    assert judge.end(waiting, Direction.INGRESS, web, 4, "TCP", 80).allowed
    assert not judge.end(waiting, Direction.INGRESS, web, 4, "TCP", 82).allowed


def test_what_is_asked_again_is_one_object(index: PolicyIndex) -> None:
    judge = Evaluator(index)
    flows = [Flow(ip_address(WEB), ip_address(DB), "TCP", port) for port in (80, 80, 82, 83)]
    first, again, other, alike = (judge.verdict(flow).ingress for flow in flows)
    assert first is again
    assert other is alike
    assert first is not other
