"""What deploy/install.yaml asks of a node and of a cluster, and that it is no more."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy import chart

Json = dict[str, Any]


@pytest.fixture(scope="module")
def pod() -> Json:
    found = chart.only(chart.installed(), "DaemonSet")["spec"]["template"]["spec"]
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def container(pod: Json) -> Json:
    (found,) = pod["containers"]
    assert isinstance(found, dict)
    return found


def test_one_capability_and_nothing_else(container: Json) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]},
    }


def test_system_calls_are_those_of_the_runtime_s_own_profile(pod: Json) -> None:
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


def test_of_the_node_only_its_network_and_two_folders_of_its_own(pod: Json) -> None:
    """Of the lock, and of what outlives a run of the machine."""
    assert (pod["hostNetwork"], pod.get("hostPID"), pod.get("hostIPC")) == (True, None, None)
    paths = [each["hostPath"]["path"] for each in pod["volumes"] if "hostPath" in each]
    assert paths == ["/run/podfence", "/var/lib/podfence"]


def test_it_runs_on_every_node_and_before_other_pods(pod: Json) -> None:
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert pod["priorityClassName"] == "system-node-critical"


def test_a_new_version_shows_on_one_node_first() -> None:
    found = chart.only(chart.installed(), "DaemonSet")["spec"]["updateStrategy"]
    assert found == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}


REVIEWS = {"tokenreviews", "subjectaccessreviews"}
"""Of these the server keeps nothing."""


def test_it_may_read_and_ask_and_write_events_and_nothing_else() -> None:
    rules = chart.only(chart.installed(), "ClusterRole")["rules"]
    asking = [rule for rule in rules if REVIEWS & {*rule["resources"]}]
    assert {name for rule in asking for name in rule["resources"]} == REVIEWS
    assert {verb for rule in asking for verb in rule["verbs"]} == {"create"}
    events = {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}
    reading = [rule for rule in rules if rule not in asking and rule != events]
    assert events in rules
    assert {verb for rule in reading for verb in rule["verbs"]} == {"list", "watch"}
    assert not any("*" in (*rule["resources"], *rule["apiGroups"]) for rule in rules)
    assert "secrets" not in {name for rule in rules for name in rule["resources"]}


def test_only_the_pods_of_the_agent_get_its_token(pod: Json) -> None:
    account = chart.only(chart.installed(), "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert pod["automountServiceAccountToken"] is True
    assert pod["serviceAccountName"] == account["metadata"]["name"]


def test_the_account_that_agents_answer_may_do_nothing_else() -> None:
    found = chart.installed()
    account = chart.only(found, "ServiceAccount", "podfence-viewer")
    assert account["automountServiceAccountToken"] is False
    bound = [
        each["roleRef"]
        for each in found
        if "roleRef" in each and each["subjects"][0]["name"] == "podfence-viewer"
    ]
    assert [(each["kind"], each["name"]) for each in bound] == [("ClusterRole", "podfence-answers")]
    assert chart.only(found, "ClusterRole", "podfence-answers")["rules"] == [
        {"apiGroups": ["podfence.io"], "resources": ["status", "drops", "rules"], "verbs": ["get"]}
    ]


def test_people_get_no_right_but_to_look() -> None:
    found = chart.installed()
    role = chart.only(found, "Role", "podfence-viewer")["rules"]
    whole = chart.only(found, "ClusterRole", "podfence-viewer")["rules"]
    verbs = {verb for rule in (*role, *whole) for verb in rule["verbs"]}
    assert verbs == {"get", "list", "create"}
    (creating,) = (rule for rule in role if "create" in rule["verbs"])
    assert creating["resources"] == ["serviceaccounts/token"]
    assert creating["resourceNames"] == ["podfence-viewer"]
    assert not any("create" in rule["verbs"] for rule in whole)


def test_a_node_that_starts_has_all_the_cpu_that_it_finds(container: Json) -> None:
    assert "cpu" not in container["resources"]["limits"]


def test_what_cleans_up_has_the_same_power_and_gives_it_back() -> None:
    pod = chart.cleanup()["spec"]["template"]["spec"]
    agent = chart.only(chart.installed(), "DaemonSet")["spec"]["template"]["spec"]
    (first,), (rest,), (running,) = pod["initContainers"], pod["containers"], agent["containers"]
    assert first["args"] == ["agent", "cleanup"]
    assert first["image"] == rest["image"] == running["image"]
    assert first["securityContext"] == running["securityContext"]
    assert rest["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"] == agent["securityContext"]
    for key in ("hostNetwork", "priorityClassName", "tolerations", "nodeSelector", "volumes"):
        assert pod[key] == agent[key]
    assert first["volumeMounts"] == running["volumeMounts"]
