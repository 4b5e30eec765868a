"""Controllers, scheduler and nodes of a lab on an API server, by a server in memory: what becomes
of what users do. Every case ends at rest: another round would change nothing."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from podfence.lab.api.nodes import addresses_of
from tests.lab.apiworld import NAMES, World, template


@pytest.fixture
def world() -> World:
    return World()


def workload(world: World, kind: str, name: str, replicas: int | None = None) -> dict[str, Any]:
    spec: dict[str, Any] = {"selector": {"matchLabels": {"app": name}}}
    if kind == "ReplicationController":
        spec["selector"] = {"app": name}
    if replicas is not None:
        spec["parallelism" if kind == "Job" else "replicas"] = replicas
    return world.create(kind, name, {**spec, "template": template(app=name)})


def phases(world: World) -> list[str]:
    return [pod["status"].get("phase", "") for pod in world.of("Pod")]


# -- nodes and pods


def test_nodes_are_there_with_addresses_and_ranges(world: World) -> None:
    world.settle()
    assert tuple(world.names("Node")) == NAMES
    first, second = world.of("Node")
    assert first["spec"]["podCIDRs"] == ["10.244.0.0/24", "fd00:10:244::/64"]
    assert second["spec"]["podCIDRs"] == ["10.244.1.0/24", "fd00:10:244:1::/64"]
    assert [each["address"] for each in second["status"]["addresses"]] == [
        "192.168.255.2",
        "fd00:192:168:255::2",
        NAMES[1],
    ]


def test_pods_are_spread_and_become_ready_with_addresses_of_their_node(world: World) -> None:
    for name in "abcd":
        world.pod(name)
    world.settle()
    assert Counter(pod["spec"]["nodeName"] for pod in world.of("Pod")) == dict.fromkeys(NAMES, 2)
    for pod in world.of("Pod"):
        at = NAMES.index(pod["spec"]["nodeName"])
        assert pod["status"]["podIP"].startswith(f"10.244.{at}.")
        assert pod["status"]["hostIP"] == f"192.168.255.{at + 1}"
        assert pod["status"]["containerStatuses"][0]["ready"]
    assert len({a for pod in world.of("Pod") for a in addresses_of(pod)}) == 8


def test_a_pod_stays_on_the_node_that_it_names(world: World) -> None:
    for name in "abc":
        world.pod(name, nodeName=NAMES[1])
    world.pod("elsewhere", nodeName="a-node-of-nobody")
    world.settle()
    assert phases(world) == ["Running", "Running", "Running", ""]


def test_a_pod_for_which_no_node_is_says_so_and_waits(world: World) -> None:
    world.pod("a", nodeSelector={"disk": "ssd"})
    world.pod("b", nodeSelector={"kubernetes.io/hostname": NAMES[1]})
    world.settle()
    assert phases(world) == ["", "Running"]
    said = world.of("Pod")[0]["status"]["conditions"][0]
    assert (said["reason"], "nodeSelector" in said["message"]) == ("Unschedulable", True)


def test_a_pod_on_the_host_network_has_the_addresses_of_its_node(world: World) -> None:
    world.pod("a", hostNetwork=True, nodeName=NAMES[0])
    world.settle()
    assert world.of("Pod")[0]["status"]["podIP"] == "192.168.255.1"


def test_init_containers_are_done_but_those_that_stay(world: World) -> None:
    init = [
        {"name": "once", "image": "i"},
        {"name": "side", "image": "i", "restartPolicy": "Always"},
    ]
    world.pod("a", initContainers=init)
    world.settle()
    states = [each["state"] for each in world.of("Pod")[0]["status"]["initContainerStatuses"]]
    assert [list(state) for state in states] == [["terminated"], ["running"]]


def test_an_address_is_free_again_once_its_pod_is_gone(world: World) -> None:
    for name in "abc":
        world.pod(name, nodeName=NAMES[0])
    world.settle()
    world.remove("Pod", "b")
    world.pod("new", nodeName=NAMES[0])
    world.round()  # b is still there while new is given an address
    assert world.objects["Pod", "shop", "new"]["status"]["podIP"] == "10.244.0.4"
    world.settle()
    world.pod("newer", nodeName=NAMES[0])
    world.settle()
    assert world.objects["Pod", "shop", "newer"]["status"]["podIP"] == "10.244.0.2"


# -- workloads


@pytest.mark.parametrize(
    "kind", ["Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "Job"]
)
def test_a_workload_has_as_many_pods_as_it_wants(world: World, kind: str) -> None:
    found = workload(world, kind, "web", 3)
    world.settle()
    assert phases(world) == ["Running"] * 3
    for wanted in (5, 1, 0, 2):
        found["spec"]["parallelism" if kind == "Job" else "replicas"] = wanted
        world.settle()
        assert phases(world) == ["Running"] * wanted
        if kind != "Job":
            assert found["status"]["readyReplicas"] == wanted


def test_pods_of_a_stateful_set_are_numbered(world: World) -> None:
    workload(world, "StatefulSet", "db", 3)["spec"]["ordinals"] = {"start": 2}
    world.settle()
    assert world.names("Pod") == ["db-2", "db-3", "db-4"]
    labels = world.of("Pod")[1]["metadata"]["labels"]
    assert labels["apps.kubernetes.io/pod-index"] == "3"
    assert labels["statefulset.kubernetes.io/pod-name"] == "db-3"


def test_a_daemon_set_has_one_pod_a_node(world: World) -> None:
    found = workload(world, "DaemonSet", "log")
    world.settle()
    assert sorted(pod["spec"]["nodeName"] for pod in world.of("Pod")) == sorted(NAMES)
    assert found["status"]["numberReady"] == 2


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_another_template_brings_other_pods(world: World, kind: str) -> None:
    found = workload(world, kind, "web", None if kind == "DaemonSet" else 2)
    world.settle()
    before = {pod["metadata"]["uid"] for pod in world.of("Pod")}
    found["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:2"
    world.settle()
    after = {pod["metadata"]["uid"] for pod in world.of("Pod")}
    assert (len(after), before & after) == (2, set())
    assert {pod["spec"]["containers"][0]["image"] for pod in world.of("Pod")} == {"nginx:2"}


def test_a_rolling_update_keeps_the_old_pods_until_the_new_ones_are_ready(world: World) -> None:
    found = workload(world, "Deployment", "web", 2)
    world.settle()
    old = set(world.names("Pod"))
    new = found["spec"]["template"]["spec"]
    new["nodeSelector"] = {"disk": "ssd"}  # which no node has
    world.settle()
    assert old <= set(world.names("Pod"))
    assert phases(world).count("Running") == 2
    new["nodeSelector"] = {}
    world.settle()
    assert phases(world) == ["Running"] * 2
    assert not old & set(world.names("Pod"))


def test_a_deleted_pod_of_a_workload_is_replaced_under_another_name(world: World) -> None:
    workload(world, "ReplicaSet", "web", 2)
    world.settle()
    first, second = world.names("Pod")
    world.remove("Pod", first)
    world.settle()
    assert len(world.names("Pod")) == 2
    assert second in world.names("Pod")
    assert first not in world.names("Pod")


@pytest.mark.parametrize("kind", ["ReplicaSet", "ReplicationController"])
def test_a_pod_that_is_labelled_otherwise_is_let_go_and_replaced(world: World, kind: str) -> None:
    workload(world, kind, "web", 2)
    world.settle()
    first = world.of("Pod")[0]
    first["metadata"]["labels"]["app"] = "db"
    world.settle()
    assert len(world.names("Pod")) == 3
    assert "ownerReferences" not in first["metadata"]


# -- Services


def service(world: World, **ports: int | str) -> dict[str, Any]:
    wanted = [{"name": name, "port": 80, "targetPort": target} for name, target in ports.items()]
    families = {"ipFamilies": ["IPv4", "IPv6"], "selector": {"app": "web"}}
    return world.create("Service", "web", {**families, "ports": wanted})


def behind(world: World) -> dict[str, list[str]]:
    return {
        each["addressType"]: sorted(a for e in each["endpoints"] for a in e["addresses"])
        for each in world.of("EndpointSlice")
    }


def test_the_pods_behind_a_service_are_told_for_each_ip_version(world: World) -> None:
    found = workload(world, "ReplicaSet", "web", 2)
    world.pod("other")
    service(world, http=8000)
    world.settle()
    addresses = [
        a for pod in world.of("Pod") if "web" in pod["metadata"]["name"] for a in addresses_of(pod)
    ]
    assert behind(world) == {
        f"IPv{version}": sorted(str(a) for a in addresses if a.version == version)
        for version in (4, 6)
    }
    assert all(e["conditions"]["ready"] for s in world.of("EndpointSlice") for e in s["endpoints"])
    found["spec"]["replicas"] = 0
    world.settle()
    assert behind(world) == {"IPv4": [], "IPv6": []}


def test_a_named_port_is_that_of_the_pods(world: World) -> None:
    container = {"name": "main", "image": "i", "ports": [{"name": "web", "containerPort": 8081}]}
    world.pod("a", containers=[container])["metadata"]["labels"] = {"app": "web"}
    service(world, http="web", other="nobody-has-it", number=9)
    world.settle()
    assert [port["port"] for port in world.of("EndpointSlice")[0]["ports"]] == [8081, 9]


def test_the_slices_of_a_service_go_with_it_and_those_of_others_stay(world: World) -> None:
    service(world, http=80)
    world.create("EndpointSlice", "by-hand", {})
    world.settle()
    assert world.names("EndpointSlice") == ["by-hand", "web-ipv4", "web-ipv6"]
    world.remove("Service", "web")
    world.settle()
    assert world.names("EndpointSlice") == ["by-hand"]


# -- what is deleted


@pytest.mark.parametrize("finalizers", [(), ("foregroundDeletion",)])
def test_what_a_workload_owns_goes_with_it(world: World, finalizers: tuple[str, ...]) -> None:
    workload(world, "Deployment", "web", 2)
    workload(world, "Deployment", "other", 1)
    world.settle()
    world.remove("Deployment", "web", *finalizers)
    world.settle()
    assert [name.split("-")[0] for name in world.names("Pod")] == ["other"]
    assert world.names("Deployment") == ["other"]
    assert len(world.names("ReplicaSet")) == 1


def test_orphans_stay(world: World) -> None:
    workload(world, "ReplicaSet", "web", 2)
    world.settle()
    before = world.names("Pod")
    world.remove("ReplicaSet", "web", "orphan")
    world.settle()
    assert (world.names("ReplicaSet"), world.names("Pod")) == ([], before)


def test_a_namespace_goes_with_all_that_is_in_it(world: World) -> None:
    world.create("Namespace", "shop", {})
    workload(world, "Deployment", "web", 2)
    world.create("NetworkPolicy", "deny", {"podSelector": {}})
    world.create("Service", "web", {})
    world.settle()
    world.remove("Namespace", "shop")
    world.settle()
    assert {kind for kind, *_ in world.objects} == {"Node"}


# -- a law


@pytest.mark.parametrize("seed", range(12))
def test_random_days_end_as_wanted(seed: int) -> None:
    """Whatever users do in whatever order, also while rounds are under way: in the end each
    workload has its pods, nobody else's pod is there, and no address is held twice."""
    chance, world = random.Random(seed), World()
    wanted: dict[str, int] = {}
    kinds = ("Deployment", "ReplicaSet", "StatefulSet", "Job")
    for step in range(30):
        name = chance.choice(list(wanted)) if wanted and chance.random() < 0.7 else f"w{step}"
        kind = kinds[int(name[1:]) % len(kinds)]
        if name not in wanted:
            wanted[name] = chance.randint(0, 3)
            workload(world, kind, name, wanted[name])
        elif chance.random() < 0.3:
            del wanted[name]
            world.remove(kind, name)
        else:
            wanted[name] = chance.randint(0, 4)
            field = "parallelism" if kind == "Job" else "replicas"
            world.objects[kind, "shop", name]["spec"][field] = wanted[name]
        for _ in range(chance.randint(0, 2)):
            world.round()
    world.settle()
    apps = Counter(pod["metadata"]["labels"]["app"] for pod in world.of("Pod"))
    assert apps == {name: number for name, number in wanted.items() if number}
    held = Counter(address for pod in world.of("Pod") for address in addresses_of(pod))
    assert set(held.values()) <= {1}
