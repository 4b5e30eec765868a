"""Tests whose connections come through entries: open, closed and unknown ways."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.errors import Source
from podfence.policy.domains import NO_NAMES
from podfence.questions.tests.coverage import Touching
from podfence.questions.tests.decode import decode
from podfence.questions.tests.judge import Result
from podfence.questions.tests.mutants import MutationOperator
from podfence.questions.tests.run import FileRunner
from podfence.questions.tests.turning import turning
from tests.questions.entryworld import CONTROLLER, WEB, ingress, obj, pod, policy, service, side_of
from tests.questions.tests.judged import HEAD, file_of

FRONT = "entry/ingress/shop/front"
NGINX = "ingressClassName: nginx, "
FROM_NGINX = (
    "ingress: [{from: [{namespaceSelector: {matchLabels: "
    "{kubernetes.io/metadata.name: ingress-nginx}}}]}]"
)
NOBODY = "policyTypes: [Ingress]"
BACKENDS = ",".join(
    f"{{path: {path}, backend: {{service: {{name: {name}, port: {{number: 80}}}}}}}}"
    for path, name in (("/", "web"), ("/api", "api"))
)
TWO = (
    WEB
    + pod("api")
    + service("api")
    + obj(
        "networking.k8s.io/v1",
        "Ingress",
        "front",
        f"spec: {{{NGINX}rules: [{{host: a.example, http: {{paths: [{BACKENDS}]}}}}]}}",
    )
)
OPEN = WEB + CONTROLLER + ingress(NGINX) + policy(FROM_NGINX)
CLOSED = WEB + CONTROLLER + ingress(NGINX) + policy(NOBODY)
UNKNOWN = WEB + ingress(NGINX) + policy(FROM_NGINX)
MIXED = TWO + CONTROLLER + policy(FROM_NGINX) + policy(NOBODY, "api")


def results(text: str, *tests: dict[str, Any], **fields: Any) -> list[Result]:
    side = side_of(text)
    (found,) = FileRunner(side.cluster, entries=side.entries).all([file_of(*tests, **fields)])
    return list(found.results)


def status(text: str, **test: Any) -> str:
    [found] = results(text, {"from": FRONT, "to": "web", **test})
    return found.status.value


@pytest.mark.parametrize(
    ("text", "allow", "deny", "some"),
    [
        (OPEN, "passed", "failed", "passed"),
        (CLOSED, "failed", "passed", "failed"),
        (UNKNOWN, "undecided", "undecided", "undecided"),
    ],
)
def test_an_unknown_way_neither_passes_nor_fails(
    text: str, allow: str, deny: str, some: str
) -> None:
    found = [status(text, expect=word) for word in ("allow", "deny", "some")]
    assert found == [allow, deny, some]


@pytest.mark.parametrize(
    ("expect", "found"), [("allow", "failed"), ("deny", "failed"), ("some", "passed")]
)
def test_every_way_to_the_target_counts(expect: str, found: str) -> None:
    assert status(MIXED, to=["web", "api"], expect=expect) == found


@pytest.mark.parametrize(
    ("asked", "to", "found"),
    [("/", "web", "passed"), ("/api", "api", "failed"), ("/api", "web", "vacuous")],
)
def test_one_of_two_paths_is_an_end_of_its_own(asked: str, to: str, found: str) -> None:
    word = f"{FRONT} a.example{asked}"
    assert status(MIXED, **{"from": word}, to=to, expect="allow") == found


def test_a_way_that_fails_is_worse_than_one_that_is_unknown() -> None:
    nobody_in = policy(NOBODY, "api")
    text = TWO + policy(FROM_NGINX) + nobody_in
    assert status(text, to=["web", "api"], expect="allow") == "failed"
    assert status(text, to=["web", "api"], expect="deny") == "undecided"


def test_a_failure_names_the_way_and_its_reason() -> None:
    [found] = results(MIXED, {"from": FRONT, "to": ["web", "api"], "expect": "allow"})
    assert found.text.startswith("ingress/shop/front a.example/api from ingress-nginx/nginx-1")
    assert "shop/api TCP/8080 is closed" in found.text
    assert "shop/api-policy" in found.text


@pytest.mark.parametrize("to", ["web:8080", "web:http", "service/web:80"])
def test_ports_are_those_of_the_pods(to: str) -> None:
    assert status(OPEN, to=to, expect="allow") == "passed"


@pytest.mark.parametrize(
    ("test", "said"),
    [
        ({"to": "web:9"}, "does not lead to shop/web on 9; it leads to shop/web TCP/8080"),
        ({"to": "api"}, "shop/api"),
        ({"from": "entry/ingress/shop/font"}, "did you mean entry/ingress/shop/front?"),
    ],
)
@pytest.mark.parametrize("expect", ["allow", "deny"])
def test_what_does_not_lead_there_proves_nothing(
    expect: str, test: dict[str, Any], said: str
) -> None:
    [found] = results(OPEN, {"from": FRONT, "to": "web", "expect": expect, **test})
    assert found.status.value == "vacuous"
    assert said in found.misses[0].text
    assert status(OPEN, **test, expect=expect, allowEmpty=True) == "passed"


def test_a_group_of_entries_is_an_end() -> None:
    [found] = results(
        OPEN, {"from": "$ways", "to": "web", "expect": "allow"}, groups={"ways": [FRONT]}
    )
    assert found.status.value == "passed"


def test_a_failure_that_is_expected_passes_and_an_unknown_stays() -> None:
    assert status(CLOSED, expect="allow", expectFailure="later") == "passed"
    assert status(UNKNOWN, expect="allow", expectFailure="later") == "undecided"


def test_a_test_is_about_the_cluster_that_it_supposes() -> None:
    away = {"remove": {"kind": "NetworkPolicy", "namespace": "shop", "name": "web-policy"}}
    assert status(CLOSED, expect="allow", given=[away]) == "passed"


def test_mistakes_that_close_an_entry_are_noticed() -> None:
    side = side_of(OPEN)
    runs = FileRunner(side.cluster, entries=side.entries)
    found = list(runs.all([file_of({"from": FRONT, "to": "web", "expect": "allow"})]))
    killed = {mutant.operator for mutant, _ in runs.mutation(found).killed}
    assert MutationOperator.RULE in killed


def test_a_test_about_an_entry_turns_with_the_policies() -> None:
    file = file_of({"from": FRONT, "to": "web", "expect": "allow"})
    found = turning([file], side_of(OPEN), side_of(CLOSED), NO_NAMES)
    assert [(t.before.status.value, t.after.status.value) for t in found.turns] == [
        ("passed", "failed")
    ]


def test_each_side_has_its_own_entries() -> None:
    file = file_of({"from": FRONT, "to": "web", "expect": "allow"})
    moved = WEB + pod("api") + service("api") + CONTROLLER + ingress(NGINX, name="api")
    found = turning([file], side_of(OPEN), side_of(moved), NO_NAMES)
    assert [(t.before.status.value, t.after.status.value) for t in found.turns] == [
        ("passed", "vacuous")
    ]


OUT = policy("egress: [{ports: [{port: 8080}]}], policyTypes: [Egress]", "nginx-1", "ingress-nginx")
BALANCED = pod("web") + service(spec=", type: LoadBalancer, externalTrafficPolicy: Local")
RANGES = ", loadBalancerSourceRanges: [203.0.113.0/24]"
BLOCKS = (
    "ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}, "
    "{from: [{ipBlock: {cidr: 198.51.100.0/24}}]}]"
)


@pytest.mark.parametrize(
    ("world", "test", "expected"),
    [
        pytest.param(OPEN, {}, {"web-policy spec.ingress[0]"}, id="the rule that lets it in"),
        pytest.param(
            OPEN + OUT,
            {},
            {"web-policy spec.ingress[0]", "nginx-1-policy spec.egress[0]"},
            id="and the one that lets its controller out",
        ),
        pytest.param(OPEN, {"expect": "deny"}, {"web-policy spec.ingress[0]"}, id="in vain"),
        pytest.param(CLOSED, {"expect": "deny"}, set(), id="where no rule decides"),
        pytest.param(UNKNOWN, {}, set(), id="without a verdict"),
        pytest.param(
            BALANCED + policy(BLOCKS),
            {"from": "entry/loadbalancer/shop/web", "expect": "some"},
            {"web-policy spec.ingress[0]", "web-policy spec.ingress[1]"},
            id="of all clients",
        ),
        pytest.param(
            pod("web") + service(spec=f", type: LoadBalancer{RANGES}") + policy(BLOCKS),
            {"from": "entry/loadbalancer/shop/web", "expect": "some"},
            {"web-policy spec.ingress[0]"},
            id="of the clients that are accepted",
        ),
    ],
)
def test_rules_that_decide_over_an_entry_are_touched(
    world: str, test: dict[str, Any], expected: set[str]
) -> None:
    side = side_of(world)
    touching = Touching(side.cluster)
    file = file_of({"from": FRONT, "to": "web", "expect": "allow", **test})
    list(FileRunner(side.cluster, entries=side.entries).all([file], touching=touching))
    found = touching.coverage()
    assert {f"{each.policy.name} {each.path}" for each in found.touched} == expected


def test_an_unread_pod_may_be_behind_an_entry() -> None:
    torn = "---\n{apiVersion: v1, kind: Pod, metadata: {name: x, namespace: shop}, spec: 5}\n"
    assert status(OPEN + torn, expect="allow") == "undecided"


@pytest.mark.parametrize(
    "test",
    [
        {"from": [FRONT, "web"], "to": "web", "expect": "deny"},
        {"from": "web", "to": FRONT, "expect": "deny"},
        {"from": FRONT, "to": "web", "expect": "deny", "by": "ingress"},
        {"from": FRONT, "to": "web", "expect": "deny", "unless": [{"to": "web"}]},
        {"from": "web", "to": "web", "expect": "deny", "unless": [{"from": FRONT}]},
        {"to": "web", "only": [{"from": FRONT, "optional": True}]},
        {"from": FRONT, "only": [{"to": "web"}]},
        {"from": {"ends": [FRONT], "except": "web"}, "to": "web", "expect": "deny"},
        {"from": {"ends": ["*"], "except": FRONT}, "to": "web", "expect": "deny"},
    ],
)
def test_an_entry_elsewhere_is_refused(test: dict[str, Any]) -> None:
    found, problems = decode({**HEAD, "tests": [{"name": "x", **test}]}, Source("t.yaml"))
    assert found is None
    assert "an entry goes with other entries alone" in problems[0].message
