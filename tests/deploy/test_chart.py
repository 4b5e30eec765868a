"""deploy/install.yaml is the chart with its own values, and each value does what it says.

``PODFENCE_UPDATE_GOLDEN=1`` writes install.yaml; review the difference.
"""

from __future__ import annotations

from typing import Any

import pytest

import podfence
from tests.cli.session import UPDATE
from tests.deploy import chart

HEAD = """\
# podfence on every node of a cluster: kubectl apply -f install.yaml
# Made of deploy/chart by a test; docs/deploy.md says what is in here and why.
"""
PROBES = ("livenessProbe", "readinessProbe")
needs_go = pytest.mark.skipif(
    bool(chart.obstacle()), reason=f"chart tests cannot run: {chart.obstacle()}"
)


def _container(**values: Any) -> dict[str, Any]:
    daemon_set = chart.only(chart.objects(chart.rendered(**values)), "DaemonSet")
    (found,) = daemon_set["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@needs_go
def test_install_yaml_is_the_chart_with_its_own_values() -> None:
    text = HEAD + chart.rendered()
    file = chart.DEPLOY / "install.yaml"
    if UPDATE:
        file.write_text(text, encoding="utf-8")
    assert file.read_text("utf-8") == text


@needs_go
@pytest.mark.parametrize(
    ("values", "arguments"),
    [
        ({}, []),
        ({"podCIDRs": ["10.1.0.0/16", "fd00::/48"]}, ["10.1.0.0/16", "fd00::/48"]),
        ({"nri": True}, ["--nri=/var/run/nri/nri.sock"]),
        ({"markMask": "0xff00"}, ["--mark-mask=0xff00"]),
        # What YAML makes of it without quotes; Go writes a large number as 4.27819008e+09.
        ({"markMask": 0xFF000000}, ["--mark-mask=4278190080"]),
        ({"arguments": ["--run-dir=/run/x y"]}, ["--run-dir=/run/x y"]),
    ],
)
def test_values_become_arguments(values: dict[str, Any], arguments: list[str]) -> None:
    added = [each for each in _container(**values)["args"] if each not in _container()["args"]]
    ranges = [f"--pod-cidr={each}" for each in values.get("podCIDRs", ())]
    assert added == (ranges or arguments)


@needs_go
def test_the_image_is_the_one_of_this_version_or_the_one_that_is_named() -> None:
    assert _container()["image"] == f"podfence/podfence:{podfence.__version__}"
    named = _container(image={"repository": "own/podfence", "tag": "x"})
    assert (named["image"], named["imagePullPolicy"]) == ("own/podfence:x", "IfNotPresent")


@needs_go
@pytest.mark.parametrize("address", ["", "127.0.0.1"])
def test_it_is_probed_where_it_listens(address: str) -> None:
    found = _container(http={"address": address, "port": 1234})
    assert f"--http-address={address or '$(HOST_IP)'}" in found["args"]
    assert "--http-port=1234" in found["args"]
    assert found["ports"][0] == {"name": "http", "containerPort": 1234, "hostPort": 1234}
    probes = {found[each]["httpGet"]["path"]: found[each] for each in PROBES}
    assert set(probes) == {"/healthz", "/readyz"}
    for probe in probes.values():
        assert (probe["httpGet"]["port"], probe["httpGet"]["host"]) == ("http", address)


@needs_go
def test_who_asks_with_a_token_is_answered_at_a_port_of_its_own() -> None:
    found = _container(https={"address": "", "port": 1235})
    assert {"--https-address=$(HOST_IP)", "--https-port=1235"} <= {*found["args"]}
    assert found["ports"][1] == {"name": "https", "containerPort": 1235, "hostPort": 1235}


@needs_go
def test_without_that_port_there_is_no_right_for_it_either() -> None:
    made = chart.objects(chart.rendered(https={"port": 0}))
    assert {each["metadata"]["name"] for each in made} == {"podfence"}
    (container,) = chart.only(made, "DaemonSet")["spec"]["template"]["spec"]["containers"]
    assert [each["name"] for each in container["ports"]] == ["http"]
    assert not [each for each in container["args"] if "https" in each]
    rules = chart.only(made, "ClusterRole")["rules"]
    written = [rule["resources"] for rule in rules if rule["verbs"] != ["list", "watch"]]
    assert written == [["events"]]


@needs_go
@pytest.mark.parametrize("wanted", [False, True])
def test_the_runtime_s_socket_is_mounted_for_who_wants_it(wanted: bool) -> None:
    found = chart.only(chart.objects(chart.rendered(nri=wanted)), "DaemonSet")
    volumes = {each["name"]: each for each in found["spec"]["template"]["spec"]["volumes"]}
    mounted = {each["mountPath"] for each in _container(nri=wanted)["volumeMounts"]}
    assert ("nri" in volumes, "/var/run/nri" in mounted) == (wanted, wanted)


@needs_go
def test_an_api_server_beside_the_service_is_asked_where_it_is() -> None:
    found = _container(apiServer={"host": "10.0.0.1", "port": "6443"})["env"]
    assert {"name": "KUBERNETES_SERVICE_HOST", "value": "10.0.0.1"} in found
    assert {"name": "KUBERNETES_SERVICE_PORT", "value": "6443"} in found


@needs_go
def test_the_chart_goes_where_the_release_is() -> None:
    found = chart.objects(chart.rendered())
    namespaces = {each["metadata"].get("namespace", chart.NAMESPACE) for each in found}
    assert namespaces == {chart.NAMESPACE}


def test_the_versions_are_one() -> None:
    about = chart.metadata()
    assert {about["version"], about["appVersion"]} == {podfence.__version__}
