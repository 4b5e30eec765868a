"""Mirrors of the chart: nothing of them by default; read-only, and never in the way of an agent."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from podfence.cli.agent_command import command as agent
from podfence.cli.mirror_command import command as mirror
from tests.deploy import chart

pytestmark = pytest.mark.skipif(
    bool(chart.obstacle()), reason=f"chart tests cannot run: {chart.obstacle()}"
)
NAME = "podfence-mirror"


def made(**more: Any) -> list[chart.Json]:
    return chart.objects(chart.rendered(mirror={"replicas": 3, **more}))


def pod_of(found: list[chart.Json], kind: str, name: str) -> chart.Json:
    pod = chart.only(found, kind, name)["spec"]["template"]["spec"]
    assert isinstance(pod, dict)
    return pod


def test_by_default_there_are_none() -> None:
    text = chart.rendered()
    assert "mirror" not in text
    assert pod_of(chart.objects(text), "DaemonSet", "podfence")["dnsPolicy"] == "Default"


def test_agents_ask_the_service_and_believe_its_certificate_alone() -> None:
    found = made(port=1234)
    pod = pod_of(found, "DaemonSet", "podfence")
    (container,) = pod["containers"]
    asked = {each.partition("=")[0]: each.partition("=")[2] for each in container["args"]}
    service = chart.only(found, "Service", NAME)
    assert asked["--mirror"] == f"https://{NAME}.{chart.NAMESPACE}.svc:1234"
    assert (service["metadata"]["name"], service["spec"]["ports"][0]["port"]) == (NAME, 1234)
    assert pod["dnsPolicy"] == "ClusterFirstWithHostNet"
    (volume,) = (each for each in pod["volumes"] if each["name"] == "mirror")
    secret, token = volume["projected"]["sources"]
    # The key is for mirrors alone, and an agent starts without any of it.
    assert secret["secret"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    assert secret["secret"]["optional"] is True
    assert token["serviceAccountToken"]["audience"] == "podfence.io"


def test_a_mirror_may_read_pods_and_create_reviews_and_nothing_else() -> None:
    found = made()
    rules = chart.only(found, "ClusterRole", NAME)["rules"]
    assert [(rule["resources"], rule["verbs"]) for rule in rules] == [
        (["pods"], ["list", "watch"]),
        (["tokenreviews"], ["create"]),
        (["subjectaccessreviews"], ["create"]),
    ]
    reader = chart.only(found, "ClusterRoleBinding", f"{NAME}-reader")
    assert [each["name"] for each in reader["subjects"]] == ["podfence"]
    (rule,) = chart.only(found, "ClusterRole", f"{NAME}-reader")["rules"]
    assert rule == {"apiGroups": ["podfence.io"], "resources": ["mirror"], "verbs": ["get"]}


def test_it_has_no_power_over_its_node() -> None:
    pod = pod_of(made(), "Deployment", NAME)
    (container,) = pod["containers"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & {*pod}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_one_at_a_time_goes_away() -> None:
    found = made()
    assert chart.only(found, "PodDisruptionBudget", NAME)["spec"]["maxUnavailable"] == 1
    strategy = chart.only(found, "Deployment", NAME)["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxUnavailable": 0, "maxSurge": 1}
    labels = {"app.kubernetes.io/name": NAME}
    selected = chart.only(found, "Deployment", NAME)["spec"]["template"]["metadata"]["labels"]
    assert chart.only(found, "Service", NAME)["spec"]["selector"] == selected == labels


@pytest.mark.parametrize(
    ("kind", "name", "command"), [("Deployment", NAME, mirror), ("DaemonSet", "podfence", agent)]
)
def test_the_arguments_are_those_of_the_command(kind: str, name: str, command: Any) -> None:
    (container,) = pod_of(made(), kind, name)["containers"]
    known = {option for each in command.params for option in each.opts}
    assert container["args"][0] == command.name
    assert {each.partition("=")[0] for each in container["args"][1:]} <= known


def test_the_secret_is_the_one_that_the_command_makes() -> None:
    from podfence.cli.mirror_certificate import command as certificate

    printed = chart.objects(CliRunner().invoke(certificate, standalone_mode=False).output)
    (volume,) = pod_of(made(), "Deployment", NAME)["volumes"]
    assert printed[0]["metadata"]["name"] == volume["secret"]["secretName"]
    assert printed[0]["metadata"]["namespace"] == chart.NAMESPACE
