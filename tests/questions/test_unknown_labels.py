"""Labels that only running pods have: a verdict that is given holds for every value.

A workload is read as a manifest, and then its pods as they may run, with each value of the label.
"""

from __future__ import annotations

from itertools import product
from random import Random
from typing import Any

import pytest

from podfence.errors import Severity, Source
from podfence.intake.build import Intake, Reading, build_cluster
from podfence.intake.documents import Document
from podfence.model.cluster import Cluster
from podfence.policy.compile import compile_cluster
from podfence.questions.can import Can, QueryEvaluator
from podfence.questions.certainty import Certainty

HASH = "pod-template-hash"
HASHES = ("4c9d", "5d4f", "77aa")
APPS = ("web", "db")
POD_SPEC: dict[str, Any] = {"containers": [{"name": "c", "image": "i"}]}


def deployment(name: str, namespace: str = "shop") -> dict[str, Any]:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": POD_SPEC},
        },
    }


def running(name: str, value: str, namespace: str = "shop") -> dict[str, Any]:
    """The pod of the Deployment, as it runs."""
    owner = {"kind": "ReplicaSet", "name": f"{name}-{value}", "controller": True}
    metadata = {
        "name": f"{name}-1",
        "namespace": namespace,
        "labels": {"app": name, HASH: value},
        "ownerReferences": [{"apiVersion": "apps/v1", "uid": "u", **owner}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": POD_SPEC}


def bare(name: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", "labels": {"app": "bare"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": POD_SPEC}


def network_policy(name: str, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"podSelector": {}, **spec},
    }


def tier_policy(subject: dict[str, Any], peer: dict[str, Any], action: str) -> dict[str, Any]:
    return {
        "apiVersion": "policy.networking.k8s.io/v1beta1",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "tier"},
        "spec": {
            "tier": "Admin",
            "priority": 10,
            "subject": {"pods": {"podSelector": subject}},
            "ingress": [{"action": action, "from": [{"pods": {"podSelector": peer}}]}],
        },
    }


def read(*objects: dict[str, Any]) -> Intake:
    documents = tuple(Document(Source("in.yaml", n), data) for n, data in enumerate(objects))
    taken = build_cluster(Reading(documents))
    assert not [p for p in taken.problems if p.severity is Severity.ERROR]
    return taken


def ask_by_value(operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": HASH, "operator": operator, "values": list(values)}]}


def random_selector(random: Random) -> dict[str, Any]:
    app = {"app": random.choice(APPS)}
    value = random.choice(HASHES[:2])
    exists: dict[str, Any] = {"matchExpressions": [{"key": HASH, "operator": "Exists"}]}
    choices: list[dict[str, Any]] = [
        {},
        {"matchLabels": app},
        {"matchLabels": {HASH: value}},
        {"matchLabels": {**app, HASH: value}},
        {"matchLabels": app, **ask_by_value("NotIn", value)},
        ask_by_value("In", *HASHES[:2]),
        ask_by_value("NotIn", value),
        exists,
        {"matchExpressions": [{"key": HASH, "operator": "DoesNotExist"}]},
    ]
    return random.choice(choices)


def random_policies(random: Random) -> list[dict[str, Any]]:
    made = []
    for number in range(random.randint(1, 3)):
        peer: dict[str, Any] = {"podSelector": random_selector(random)}
        if random.random() < 0.4:
            peer["namespaceSelector"] = {}
        rules = [{}] if random.random() < 0.2 else [{"from": [peer]}]
        closed: dict[str, Any] = {"policyTypes": ["Egress"], "egress": []}
        directions: list[dict[str, Any]] = [{"ingress": rules}, closed]
        made.append(
            network_policy(
                f"p{number}",
                random.choice(("shop", "shop", "away")),
                podSelector=random_selector(random),
                **random.choice(directions),
            )
        )
    if random.random() < 0.4:
        action = random.choice(("Accept", "Deny", "Pass"))
        made.append(tier_policy(random_selector(random), random_selector(random), action))
    return made


def asker(cluster: Cluster) -> QueryEvaluator:
    return QueryEvaluator(compile_cluster(cluster))


@pytest.mark.parametrize("seed", range(80))
def test_a_verdict_holds_for_every_value(seed: int) -> None:
    random = Random(seed)
    policies = random_policies(random)
    ends = [("web", "shop"), ("db", "shop"), ("web", "away")]
    as_manifests = read(*(deployment(*end) for end in ends), bare("old"), *policies)
    known = asker(as_manifests.cluster)
    names = ["shop/old", *(f"{namespace}/{name}-1" for name, namespace in ends)]
    left_out = Certainty(compile_cluster(as_manifests.cluster)).open_pods()
    for values in product(HASHES, repeat=len(ends)):
        pods = [running(name, value, ns) for (name, ns), value in zip(ends, values, strict=True)]
        true = asker(read(*pods, bare("old"), *policies).cluster)
        for source, destination in product(names, names):
            question = Can(source, destination, 80)
            said = known.can(question)
            if said.doubts:
                assert {source, destination} & left_out, "a map leaves out what is open"
            else:
                assert said.allowed == true.can(question).allowed, (question, values)


ONLY_WEB = {"matchLabels": {"app": "web", HASH: "5d4f"}}


def test_only_what_the_value_decides_is_open() -> None:
    objects = [deployment("web"), deployment("db"), bare("old")]
    known = asker(read(*objects, network_policy("rare", podSelector=ONLY_WEB)).cluster)
    names = ("shop/web-1", "shop/db-1", "shop/old")
    pairs = product(names, names)
    opened = {ends for ends in pairs if known.can(Can(*ends, 80)).doubts}
    assert opened == {("shop/db-1", "shop/web-1"), ("shop/old", "shop/web-1")}


@pytest.mark.parametrize(
    ("policy", "path"),
    [
        (network_policy("p", podSelector=ONLY_WEB), "spec.podSelector"),
        (
            network_policy(
                "p", ingress=[{"ports": [{"port": 80}]}, {"from": [{"podSelector": ONLY_WEB}]}]
            ),
            "spec.ingress[1].from[0].podSelector",
        ),
        (
            network_policy(
                "p",
                "away",
                egress=[{"to": [{"podSelector": ONLY_WEB, "namespaceSelector": {}}]}],
            ),
            "spec.egress[0].to[0].podSelector",
        ),
        (tier_policy(ONLY_WEB, {}, "Deny"), "spec.subject.pods.podSelector"),
        (tier_policy({}, ONLY_WEB, "Deny"), "spec.ingress[0].from[0].pods.podSelector"),
    ],
)
def test_the_selector_that_asks_is_named(policy: dict[str, Any], path: str) -> None:
    (problem,) = read(deployment("web"), policy).problems
    assert (problem.code, problem.path) == ("PF121", path)
    assert "the pods of Deployment shop/web;" in problem.message


@pytest.mark.parametrize(
    ("policy", "others"),
    [
        pytest.param(
            network_policy(
                "p", podSelector={"matchExpressions": [{"key": HASH, "operator": "Exists"}]}
            ),
            [],
            id="that the label is there is known",
        ),
        pytest.param(
            network_policy("p", podSelector={"matchLabels": {"app": "db", HASH: "5d4f"}}),
            [],
            id="its other labels rule it out",
        ),
        pytest.param(network_policy("p", "away", podSelector=ONLY_WEB), [], id="elsewhere"),
        pytest.param(
            network_policy("p", podSelector=ONLY_WEB), [running("web", "4c9d")], id="it runs"
        ),
    ],
)
def test_nothing_is_said_where_the_value_does_not_count(
    policy: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    taken = read(deployment("web"), policy, *others)
    assert (taken.problems, taken.cluster.doubts) == ((), ())
