"""deploy/install.yaml and a real API server: it is valid, and its role is enough and no more."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec.json import encode

from podfence.agent.sources import KINDS, read, resources
from podfence.kube.follow import SyncState
from podfence.kube.resource import resources_of
from podfence.kube.source import find_access
from podfence.kube.watch import Watch
from tests.apiserver.client import Client
from tests.apiserver.crds import Crds
from tests.apiserver.server import ApiServer
from tests.deploy import chart

pytestmark = pytest.mark.apiserver

PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Service": "/api/v1/namespaces/{}/services",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
}
STRICT = "?dryRun=All&fieldValidation=Strict"
WAIT = 60.0
WATCHED = (*KINDS, "Node", "Pod")
NOT_SERVED = {"AdminNetworkPolicy", "BaselineAdminNetworkPolicy"}
"""No release of the API that has the newer kind has these."""
RULES = [
    rule
    for rule in chart.only(chart.installed(), "ClusterRole")["rules"]
    if rule["verbs"] == ["list", "watch"]
]
"""What is watched; the rest is asked for in ``test_endpoint``."""
_numbers = count(1)
Json = dict[str, Any]


@pytest.mark.parametrize(
    "found", [*chart.installed(), chart.cleanup()], ids=lambda each: each["metadata"]["name"]
)
def test_the_server_takes_every_object(admin: Client, found: Json) -> None:
    path = PATHS[found["kind"]].format(found["metadata"].get("namespace", ""))
    answer = admin.send("POST", path + STRICT, encode(found))
    assert (answer.status, answer.message, answer.warnings) == (201, "", ())


@pytest.mark.skipif(bool(chart.obstacle()), reason=chart.obstacle() or "-")
def test_the_server_takes_mirrors(admin: Client) -> None:
    objects = chart.objects(chart.rendered(mirror={"replicas": 2}))
    assert "Deployment" in {found["kind"] for found in objects}
    for found in objects:
        path = PATHS[found["kind"]].format(found["metadata"].get("namespace", ""))
        answer = admin.send("POST", path + STRICT, encode(found))
        assert (answer.status, answer.message, answer.warnings) == (201, "", ()), found


@pytest.mark.parametrize("objects", [chart.installed(), [chart.cleanup()]])
def test_the_server_takes_the_pods_of_a_daemonset(admin: Client, objects: list[Json]) -> None:
    (daemons,) = (each for each in objects if each["kind"] == "DaemonSet")
    template = daemons["spec"]["template"]
    pod = {**template, "metadata": {**template["metadata"], "name": "podfence-x"}}
    answer = admin.send("POST", f"/api/v1/namespaces/kube-system/pods{STRICT}", encode(pod))
    assert (answer.status, answer.message) == (201, "")
    assert answer.body["spec"]["priority"] > 2_000_000_000
    assert answer.warnings == ()


def standings(
    server: ApiServer,
    namespace: str,
    rules: list[Json],
    folder: Path,
    until: Callable[[Mapping[str, SyncState]], bool],
) -> Mapping[str, SyncState]:
    """How each kind stands with these rights, once it is so; the worst of its parts counts."""
    token = server.service_account(namespace, f"agent-{next(_numbers)}", rules)
    access = find_access("", str(server.kubeconfig(folder / "kubeconfig", token)), {})
    end = time.monotonic() + WAIT
    with Watch(access, resources("n"), read) as watch:
        while True:
            found: dict[str, SyncState] = {}
            for each in watch.standings():
                if found.get(each.state.kind, SyncState.LIVE) is SyncState.LIVE:
                    found[each.state.kind] = each.state.standing
            if until(found):
                return found
            assert time.monotonic() < end, found
            watch.next(0.1)


def without(kind: str, verb: str) -> list[Json]:
    """The rules, but for one right."""
    resource = resources_of(kind)[0]
    rules: list[Json] = []
    for rule in RULES:
        if rule["apiGroups"] != [resource.group]:
            rules.append(rule)
            continue
        others = [name for name in rule["resources"] if name != resource.name]
        rules.append({**rule, "resources": others} if others else {**rule, "verbs": []})
        verbs = [each for each in rule["verbs"] if each != verb]
        rules.append({**rule, "resources": [resource.name], "verbs": verbs})
    return [rule for rule in rules if rule["verbs"]]


def test_the_role_is_enough(
    apiserver: ApiServer, crds: Crds, namespace: str, tmp_path: Path
) -> None:
    crds.install("experimental")
    ready = {SyncState.LIVE, SyncState.ABSENT}
    found = standings(
        apiserver, namespace, RULES, tmp_path, lambda found: set(found.values()) <= ready
    )
    absent = {kind for kind, standing in found.items() if standing is SyncState.ABSENT}
    assert (set(found), absent) == (set(WATCHED), NOT_SERVED)


@pytest.mark.parametrize(
    ("kind", "verb"),
    [
        (kind, verb)
        for kind in WATCHED
        for verb in ("list", "watch")
        if kind not in NOT_SERVED or verb == "list"
    ],
)
def test_nothing_of_the_role_can_be_spared(
    apiserver: ApiServer, crds: Crds, namespace: str, tmp_path: Path, kind: str, verb: str
) -> None:
    crds.install("experimental")
    standings(
        apiserver,
        namespace,
        without(kind, verb),
        tmp_path,
        lambda found: found[kind] is SyncState.FORBIDDEN,
    )


def test_there_is_no_right_to_list_but_for_what_is_watched() -> None:
    granted = [
        (group, name, verb)
        for rule in RULES
        for group in rule["apiGroups"]
        for name in rule["resources"]
        for verb in rule["verbs"]
    ]
    wanted = [resources_of(kind)[0] for kind in WATCHED]
    assert sorted(granted) == sorted(
        (each.group, each.name, verb) for each in wanted for verb in ("list", "watch")
    )
