"""A lab on a real API server: objects come by the API, agents enforce, and packets show it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from podfence.lab.trial import families
from tests.apiserver.client import Client
from tests.lab.apilab import POLICIES, Lab, add_pods, allow, eventually, runtime_directory, spec

pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(300)]
DEPLOYMENTS = "/apis/apps/v1/namespaces/{}/deployments"
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with runtime_directory() as directory:
        found = Lab(directory)
        found.ok("up", "--api", "--nodes", "2")
        try:
            yield found
        finally:
            found.run("down")


@pytest.fixture
def admin(lab: Lab) -> Iterator[Client]:
    with lab.client() as client:
        yield client


@pytest.fixture
def namespace(admin: Client, request: pytest.FixtureRequest) -> str:
    name = f"t{abs(hash(request.node.name)) % 10**8}"
    admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def phases(admin: Client, namespace: str) -> list[str]:
    items = admin.request("GET", f"/api/v1/namespaces/{namespace}/pods").body["items"]
    return [
        item["status"]["phase"] for item in items if "deletionTimestamp" not in item["metadata"]
    ]


# -- what users do


def test_a_policy_that_is_applied_holds_for_packets_of_all_nodes(
    lab: Lab, admin: Client, namespace: str
) -> None:
    add_pods(admin, namespace, "db", "web", "far", "away")
    db, web = f"{namespace}/db", f"{namespace}/web"
    on = {p["name"]: n["name"] for n in lab.status["nodes"] for p in n["pods"]}
    assert len({on[name] for name in on if name.startswith(namespace)}) == 2
    assert lab.passes(web, db)
    admin.create(POLICIES.format(namespace), allow({"app": "db"}, {"app": "web"}))
    eventually(lambda: not lab.passes(f"{namespace}/far", db))
    assert not lab.passes(f"{namespace}/away", db)
    assert lab.passes(web, db)
    assert lab.ok("test").endswith("probes\n")
    labels = {"metadata": {"labels": {"app": "other"}}}
    admin.request("PATCH", f"/api/v1/namespaces/{namespace}/pods/web", labels, MERGE)
    eventually(lambda: not lab.passes(web, db))
    admin.request("DELETE", f"{POLICIES.format(namespace)}/only")
    eventually(lambda: lab.passes(f"{namespace}/far", db))


def test_a_deployment_behind_a_service(lab: Lab, admin: Client, namespace: str) -> None:
    add_pods(admin, namespace, "client")
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": spec()}
    body = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
    admin.create(DEPLOYMENTS.format(namespace), {"metadata": {"name": "web"}, "spec": body})
    ports = [{"port": 8080, "targetPort": 8000}]
    admin.create(
        f"/api/v1/namespaces/{namespace}/services",
        {"metadata": {"name": "web"}, "spec": {"selector": labels, "ports": ports}},
    )
    eventually(lambda: phases(admin, namespace) == ["Running"] * 3)
    web = f"{DEPLOYMENTS.format(namespace)}/web"
    eventually(lambda: admin.request("GET", web).body["status"].get("readyReplicas") == 2)
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    eventually(lambda: len(admin.request("GET", slices).body["items"][0]["endpoints"]) == 2)
    asks = "exec", f"{namespace}/client", "--", "curl", "-s", "-m", "5", "http://web:8080/"
    if shutil.which("curl"):
        assert lab.ok(*asks).startswith(f"{namespace}/web-")
    admin.request("PATCH", web, {"spec": {"replicas": 0}}, MERGE)
    eventually(lambda: len(phases(admin, namespace)) == 1)
    admin.request("DELETE", web)
    eventually(
        lambda: (
            not admin.request("GET", f"/apis/apps/v1/namespaces/{namespace}/replicasets").body[
                "items"
            ]
        )
    )


def test_a_pod_that_is_deleted_is_gone_with_its_network(
    lab: Lab, admin: Client, namespace: str
) -> None:
    add_pods(admin, namespace, "a", "b")
    admin.request("DELETE", f"/api/v1/namespaces/{namespace}/pods/a")
    eventually(lambda: phases(admin, namespace) == ["Running"])
    eventually(lambda: lab.run("exec", f"{namespace}/a", "--", "true").returncode == 2)
    assert lab.run("exec", f"{namespace}/b", "--", "true").returncode == 0


def test_a_namespace_goes_with_its_policies(admin: Client, namespace: str) -> None:
    add_pods(admin, namespace, "a")
    admin.create(POLICIES.format(namespace), allow({"app": "a"}, {"app": "b"}))
    path = f"/api/v1/namespaces/{namespace}"
    admin.request("DELETE", path)
    eventually(lambda: admin.request("GET", path).status == 404)
    admin.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    assert admin.request("GET", POLICIES.format(namespace)).body["items"] == []
    assert phases(admin, namespace) == []


def test_files_are_for_the_api_server(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Namespace"}))
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec()}
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump(pod))
    done = lab.run("apply", "-f", str(tmp_path))
    assert done.returncode == 2
    assert "kubectl apply" in done.stderr


def test_what_needs_a_kubelet_fails_at_once(admin: Client, namespace: str) -> None:
    add_pods(admin, namespace, "a")
    answer = admin.request("GET", f"/api/v1/namespaces/{namespace}/pods/a/log")
    assert answer.status >= 400
    assert "no preferred addresses" in answer.message


# -- both IP versions, and IPv6 alone

DIAL = "import socket, sys; socket.create_connection((sys.argv[1], 80), float(sys.argv[2])).close()"


def addresses(admin: Client, namespace: str, name: str) -> list[str]:
    """As the API has them, IPv4 first."""
    status = admin.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}").body["status"]
    return sorted((each["ip"] for each in status["podIPs"]), key=lambda ip: ":" in ip)


@pytest.mark.skipif(families() == (4,), reason="this machine has no IPv6")
@pytest.mark.parametrize(
    ("peers", "passing"),
    [
        pytest.param([{"podSelector": {"matchLabels": {"app": "web"}}}], "web4 web6", id="pods"),
        pytest.param([{"ipBlock": {"cidr": "::/0"}}], "web6 far6", id="IPv6 (NP-25)"),
        pytest.param([{"ipBlock": {"cidr": "0.0.0.0/0"}}], "web4 far4", id="IPv4"),
        pytest.param([{"ipBlock": {"cidr": "FAR6/128"}}], "far6", id="an address of a pod"),
        pytest.param(
            [
                {"ipBlock": {"cidr": "::/0", "except": ["FAR6/128"]}},
                {"ipBlock": {"cidr": "FAR4/32"}},
            ],
            "far4 web6",
            id="one version but for an address, and its other address",
        ),
    ],
)
def test_both_addresses_of_a_pod_are_meant(
    lab: Lab, admin: Client, namespace: str, peers: list[dict[str, Any]], passing: str
) -> None:
    """NP-66: on both nodes, by packets."""
    add_pods(admin, namespace, "db", "web", "far")
    four, six = addresses(admin, namespace, "far")
    text = json.dumps(allow({"app": "db"}, {}))
    policy = json.loads(text)
    told = json.dumps(peers).replace("FAR4", four).replace("FAR6", six)
    policy["spec"]["ingress"] = [{"from": json.loads(told)}]
    admin.create(POLICIES.format(namespace), policy)
    targets = dict(zip("46", addresses(admin, namespace, "db"), strict=True))

    def found() -> set[str]:
        asks = {
            (f"{end}{v}"): (end, address)
            for end in ("web", "far")
            for v, address in targets.items()
        }
        return {
            name
            for name, (end, address) in asks.items()
            if not lab.run(
                "exec", f"{namespace}/{end}", "--", sys.executable, "-c", DIAL, address, "0.5"
            ).returncode
        }

    eventually(lambda: found() == set(passing.split()))


@pytest.mark.skipif(families() == (4,), reason="this machine has no IPv6")
def test_a_service_of_ipv6_alone(lab: Lab, admin: Client, namespace: str) -> None:
    """Its address leads to pods, and their policies are about who asked."""
    add_pods(admin, namespace, "db", "web", "far")
    one = {"ipFamilies": ["IPv6"], "ipFamilyPolicy": "SingleStack", "selector": {"app": "db"}}
    path = f"/api/v1/namespaces/{namespace}/services"
    body = {"metadata": {"name": "db"}, "spec": {**one, "ports": [{"port": 80}]}}
    admin.create(path, body)
    [address] = admin.request("GET", f"{path}/db").body["spec"]["clusterIPs"]
    assert ":" in address

    def reaches(end: str) -> bool:
        dial = sys.executable, "-c", DIAL, address, "0.5"
        return not lab.run("exec", f"{namespace}/{end}", "--", *dial).returncode

    eventually(lambda: reaches("far"))
    admin.create(POLICIES.format(namespace), allow({"app": "db"}, {"app": "web"}))
    eventually(lambda: not reaches("far"))
    assert reaches("web")


# -- what fails


def test_an_agent_that_is_killed_comes_again_and_nothing_opens_meanwhile(
    lab: Lab, admin: Client, namespace: str
) -> None:
    add_pods(admin, namespace, "db", "web")
    admin.create(POLICIES.format(namespace), allow({"app": "db"}, {"app": "nobody"}))
    web, db = f"{namespace}/web", f"{namespace}/db"
    eventually(lambda: not lab.passes(web, db))
    before = lab.status["api"]["agents"]
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    assert not lab.passes(web, db)
    eventually(lambda: not set(before.values()) & set(lab.status["api"]["agents"].values()))
    admin.request("DELETE", f"{POLICIES.format(namespace)}/only")
    eventually(lambda: lab.passes(web, db))


def test_agents_that_stand_still_are_found_out(lab: Lab, admin: Client, namespace: str) -> None:
    """Stopped ones write nothing: packets still pass, and the lab says that they should not."""
    add_pods(admin, namespace, "db", "web")
    asks = "why", f"{namespace}/web", f"{namespace}/db:80"
    agents = lab.status["api"]["agents"].values()
    for pid in agents:
        os.kill(pid, signal.SIGSTOP)
    try:
        admin.create(POLICIES.format(namespace), allow({"app": "db"}, {"app": "nobody"}))
        assert "open: the engine DIFFERS" in lab.run(*asks).stdout
    finally:
        for pid in agents:
            os.kill(pid, signal.SIGCONT)
    eventually(lambda: "no answer: as the engine says" in lab.run(*asks).stdout)
