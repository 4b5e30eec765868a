"""Lists: whole or not at all, in pages, with every gap named."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.errors import ClusterError
from podfence.kube.access import Access, Fixed, ServerAddress
from podfence.kube.client import Client
from podfence.kube.discovery import Resource
from podfence.kube.snapshot import Snapshot, Wanted, list_all, read_snapshot
from tests.kube.fakeapi import Answer, FakeApi, Request, refusal, serving

NETWORKING = "networking.k8s.io"
TIERS = "policy.networking.k8s.io"
PODS = Resource("", "v1", "Pod", "pods", namespaced=True)
WANTED = Wanted(
    {
        "Pod": ("v1",),
        "NetworkPolicy": (f"{NETWORKING}/v1",),
        "ClusterNetworkPolicy": (f"{TIERS}/v1beta1", f"{TIERS}/v1alpha2"),
    },
    lambda kind, group: group == "cilium.io" and kind.endswith("NetworkPolicy"),
)


def named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def page(*names: str, token: str = "") -> Answer:
    return Answer(body={"metadata": {"continue": token}, "items": [named(name) for name in names]})


def group(name: str, version: str, kind: str, plural: str) -> dict[str, Any]:
    resource = {"resource": plural, "responseKind": {"kind": kind}, "scope": "Namespaced"}
    return {
        "metadata": {"name": name},
        "versions": [{"version": version, "resources": [resource]}],
    }


POLICIES = group(NETWORKING, "v1", "NetworkPolicy", "networkpolicies")


def discovery(*groups: dict[str, Any]) -> Answer:
    return Answer(body={"kind": "APIGroupDiscoveryList", "items": list(groups)})


def client(api: FakeApi) -> Client:
    return Client(Access(ServerAddress(api.url), Fixed()), {}, lambda _: None)


def snapshot(answers: dict[str, Answer]) -> Snapshot:
    def respond(request: Request) -> Answer:
        return answers.get(request.path, refusal(404, "not found"))

    with serving(respond) as api, client(api) as asked:
        return read_snapshot(asked, WANTED)


# --- pages -----------------------------------------------------------------------------------


def test_pages_are_joined_in_order() -> None:
    pages = {"": page("a", "b", token="t1"), "t1": page("c", token="t2"), "t2": page("d")}
    with serving(lambda r: pages[r.query.get("continue", "")]) as api, client(api) as asked:
        found = [item["metadata"]["name"] for item in list_all(asked, PODS)]
    assert found == ["a", "b", "c", "d"]
    assert {each.query["limit"] for each in api.requests} == {"500"}


def test_a_list_whose_pages_expired_is_read_from_its_start() -> None:
    state = {"expired": False}

    def respond(request: Request) -> Answer:
        if "continue" not in request.query:
            return page("a", token="old" if not state["expired"] else "new")
        if request.query["continue"] == "old":
            state["expired"] = True
            return refusal(410, "the provided continue parameter is too old")
        return page("b")

    with serving(respond) as api, client(api) as asked:
        assert len(list_all(asked, PODS)) == 2
        assert len(api.requests) == 4


def test_a_list_that_always_expires_is_given_up() -> None:
    def respond(request: Request) -> Answer:
        return refusal(410, "too old") if "continue" in request.query else page("a", token="t")

    with (
        serving(respond) as api,
        client(api) as asked,
        pytest.raises(ClusterError, match="expired 3 times"),
    ):
        list_all(asked, PODS)


def test_null_items_are_an_empty_list() -> None:
    with serving(lambda _: Answer(body={"items": None})) as api, client(api) as asked:
        assert list_all(asked, PODS) == []


@pytest.mark.parametrize("body", [b"<html>", [1], {"items": 5}, {"items": [5]}, b"\xff"])
def test_an_answer_that_is_no_list_is_an_error(body: Any) -> None:
    with (
        serving(lambda _: Answer(body=body)) as api,
        client(api) as asked,
        pytest.raises(ClusterError, match="is not"),
    ):
        list_all(asked, PODS)


def test_one_namespace_is_asked_by_its_path() -> None:
    with serving(lambda _: page()) as api, client(api) as asked:
        list_all(asked, PODS, "shop")
    assert api.requests[0].path == "/api/v1/namespaces/shop/pods"


# --- kinds -----------------------------------------------------------------------------------


def test_objects_get_the_kind_that_their_list_does_not_repeat() -> None:
    found = snapshot(
        {
            "/apis": discovery(POLICIES),
            "/api/v1/pods": page("a"),
            f"/apis/{NETWORKING}/v1/networkpolicies": page("deny"),
        }
    )
    assert found.objects["Pod"] == ({"apiVersion": "v1", "kind": "Pod", **named("a")},)
    assert found.objects["NetworkPolicy"][0]["apiVersion"] == "networking.k8s.io/v1"
    assert "ClusterNetworkPolicy" not in found.objects
    assert found.gaps == ()


def test_of_two_versions_the_best_one_is_read() -> None:
    both = group(TIERS, "v1alpha2", "ClusterNetworkPolicy", "clusternetworkpolicies")
    both["versions"] += group(TIERS, "v1beta1", "ClusterNetworkPolicy", "clusternetworkpolicies")[
        "versions"
    ]
    found = snapshot(
        {
            "/apis": discovery(POLICIES, both),
            "/api/v1/pods": page(),
            f"/apis/{NETWORKING}/v1/networkpolicies": page(),
            f"/apis/{TIERS}/v1beta1/clusternetworkpolicies": page("closed"),
        }
    )
    assert found.objects["ClusterNetworkPolicy"][0]["apiVersion"] == f"{TIERS}/v1beta1"


def test_a_kind_of_unknown_versions_alone_is_a_gap() -> None:
    later = group(TIERS, "v2", "ClusterNetworkPolicy", "clusternetworkpolicies")
    found = snapshot(
        {
            "/apis": discovery(POLICIES, later),
            "/api/v1/pods": page(),
            f"/apis/{NETWORKING}/v1/networkpolicies": page(),
        }
    )
    (gap,) = found.gaps
    assert gap.kind == "ClusterNetworkPolicy"
    assert f"the server has ClusterNetworkPolicy of {TIERS}/v2" in gap.message


def test_a_forbidden_kind_is_a_gap_with_the_missing_rule() -> None:
    found = snapshot(
        {
            "/apis": discovery(POLICIES),
            "/api/v1/pods": page("a"),
            f"/apis/{NETWORKING}/v1/networkpolicies": refusal(403, "networkpolicies is forbidden"),
        }
    )
    (gap,) = found.gaps
    assert gap.kind == "NetworkPolicy"
    assert "networkpolicies is forbidden" in gap.message
    assert 'apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"]' in gap.message


def test_policies_of_another_api_are_counted() -> None:
    cilium = group("cilium.io", "v2", "CiliumNetworkPolicy", "ciliumnetworkpolicies")
    answer = Answer(body={"metadata": {"remainingItemCount": 6}, "items": [named("x")]})
    found = snapshot(
        {
            "/apis": discovery(POLICIES, cilium),
            "/api/v1/pods": page(),
            f"/apis/{NETWORKING}/v1/networkpolicies": page(),
            "/apis/cilium.io/v2/ciliumnetworkpolicies": answer,
        }
    )
    assert found.elsewhere == {"CiliumNetworkPolicy.cilium.io": 7}


def test_an_older_server_is_asked_group_by_group() -> None:
    names = [{"name": "networkpolicies", "kind": "NetworkPolicy", "namespaced": True}]
    groups = [
        {"name": name, "versions": [{"groupVersion": f"{name}/v1", "version": "v1"}]}
        for name in ("apps", NETWORKING)
    ]
    found = snapshot(
        {
            "/apis": Answer(body={"kind": "APIGroupList", "groups": groups}),
            f"/apis/{NETWORKING}/v1": Answer(body={"resources": names}),
            "/api/v1/pods": page(),
            f"/apis/{NETWORKING}/v1/networkpolicies": page("deny"),
        }
    )
    assert len(found.objects["NetworkPolicy"]) == 1
