"""Changes that people make, from manifests to what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.manifests.inputfiles import InputFile
from podfence.manifests.load import load_files
from podfence.model.cluster import Cluster
from podfence.questions.plan.outcomes import OutcomeScope
from podfence.questions.plan.parts import parts_of
from podfence.questions.plan.plan import Plan, plan, summary

WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: x, ports: [{name: http, containerPort: 80}]}]}
"""
DB = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  replicas: 2
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: c, image: x}]}
"""
SPACE = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n"
ALLOW = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: NAME, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {team: a}}
      podSelector: {matchLabels: {app: web}}
    ports: [{port: 5432}]
"""
WORLD = [SPACE, WEB, DB, ALLOW.replace("NAME", "db")]


def read(documents: list[str]) -> Cluster:
    text = "\n---\n".join(documents)
    loaded = load_files([InputFile("input.yaml", text=text)], ["input.yaml"])
    assert not loaded.errors
    return loaded.cluster


def planned(new: list[str], old: list[str] = WORLD) -> Plan:
    return plan(read(old), read(new))


def changed(before: str, after: str) -> list[str]:
    """The world with a text in it replaced."""
    found = [document.replace(before, after) for document in WORLD]
    assert found != WORLD
    return found


def pairs(found: Plan) -> set[tuple[str, str, str, str]]:
    """Names, what opens and what closes."""
    return {
        (source, destination, str(each.opened), str(each.closed))
        for each in found.outcomes
        for source in each.sources.names
        for destination in each.destinations.names
    }


@pytest.mark.parametrize(
    "new",
    [
        WORLD,
        list(reversed(WORLD)),
        [f"# a remark\n{document}" for document in WORLD],
        [*WORLD[:3], ALLOW.replace("NAME", "renamed")],
        [*WORLD, ALLOW.replace("NAME", "twice")],
        changed("replicas: 2", "replicas: 5"),
        changed("image: x", "image: y"),
        changed("[{port: 5432}]", "[{port: 5432, protocol: TCP}]"),
    ],
    ids="same order remark renamed twice replicas image default".split(),
)
def test_what_changes_no_verdict(new: list[str]) -> None:
    found = planned(new)
    assert (found.changes_something, found.arrives, found.leaves) == (False, (), ())


def test_a_policy_split_into_two_is_silent() -> None:
    two = [ALLOW.replace("NAME", f"p{port}").replace("5432", str(port)) for port in (5432, 5433)]
    old = [*WORLD[:3], ALLOW.replace("NAME", "db").replace("5432}", "5432}, {port: 5433}")]
    found = planned([*WORLD[:3], *two], old)
    assert not found.changes_something
    assert len(found.silent) == 3


def test_a_removed_label_of_a_namespace_closes() -> None:
    found = planned(changed(", labels: {team: a}", ""))
    assert pairs(found) == {("shop/web", "shop/db", "none", "TCP/5432")}
    assert [edit.ref.kind for edit in found.edits] == ["Namespace"]
    assert summary(found.outcomes).closed == 1


def test_a_removed_policy_opens_outside_first() -> None:
    found = planned(WORLD[:3])
    assert found.outcomes[0].scope.value == "in"
    total = summary(found.outcomes)
    assert (total.ways_in, total.ways_out, total.closed) == (1, 0, 0)


def test_labels_of_a_template_are_an_edit_of_the_workload() -> None:
    found = planned(changed("labels: {app: web}", "labels: {app: front}"))
    assert ("shop/web", "shop/db", "none", "TCP/5432") in pairs(found)
    assert [(edit.ref.kind, edit.kind.value) for edit in found.edits] == [("Deployment", "changed")]


def test_a_workload_of_another_kind_is_compared() -> None:
    found = planned(changed("kind: Deployment", "kind: DaemonSet"))
    assert (found.arrives, found.leaves) == ((), ())
    assert [(was.kind, now.kind) for was, now in found.became] == [("Deployment", "DaemonSet")]


def test_a_pod_more_moves_no_assumed_address() -> None:
    """The block means the first address that podfence assumes."""
    block = ALLOW.replace("NAME", "db").replace(
        "namespaceSelector: {matchLabels: {team: a}}\n      podSelector: {matchLabels: {app: web}}",
        "ipBlock: {cidr: 10.244.0.2/32}",
    )
    first = WEB.replace("name: web,", "name: aaa,")
    found = planned([SPACE, first, WEB, DB, block], [SPACE, WEB, DB, block])
    assert not found.changes_something
    assert [line.name for line in found.arrives] == ["shop/aaa"]


# -- where two texts differ


POLICY: dict[str, Any] = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "db"}},
        "ingress": [{"from": [{"podSelector": {}}], "ports": [{"port": 1}]}, {"ports": []}],
    },
}


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ({"ingress": POLICY["spec"]["ingress"]}, ["spec.podSelector: removed"]),
        (
            POLICY["spec"] | {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "x"}}},
            ["spec.podSelector.matchLabels[app.kubernetes.io/name]: db -> x"],
        ),
        (
            POLICY["spec"] | {"ingress": [{"from": []}, *POLICY["spec"]["ingress"]]},
            ["spec.ingress[0]: rule added"],
        ),
        (
            POLICY["spec"] | {"ingress": POLICY["spec"]["ingress"][1:]},
            ["spec.ingress[0]: rule removed"],
        ),
        (POLICY["spec"] | {"policyTypes": ["Egress"]}, ["spec.policyTypes: added"]),
        (POLICY["spec"], []),
    ],
)
def test_parts_of_a_policy(new: dict[str, object], said: list[str]) -> None:
    found = parts_of("NetworkPolicy", POLICY, {"metadata": {}, "spec": new})
    assert [part.words for part in found] == said


OUT = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: out, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
  - {to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}
  - {to: [{podSelector: {matchLabels: {app: db}}}], ports: [{port: 5432}]}
"""


def test_what_opens_in_both_ip_versions_is_said_once() -> None:
    """Also where another edit closes something for the same pods in one of them only."""
    allow = ALLOW.replace("NAME", "in")
    old = [SPACE, WEB, DB, DB.replace("db", "log"), OUT, allow.replace("5432", "80")]
    less = OUT.replace("0.0.0.0/0", "203.0.113.0/24")
    found = planned([SPACE, WEB, DB, DB.replace("db", "log"), less, allow], old)
    said = {
        (each.destinations.names, str(each.opened), str(each.closed), each.family)
        for each in found.outcomes
        if each.scope is OutcomeScope.PODS
    }
    assert said == {
        (("shop/db",), "TCP/5432", "none", None),
        (("shop/log", "shop/web"), "none", "TCP/443", 4),
    }
