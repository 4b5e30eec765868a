"""Lists: whole or not at all, in pages, with every gap named."""

from __future__ import annotations

from typing import Any

from podfence.kube.access import Access, ServerAddress, StaticCredential
from podfence.kube.client import Client
from podfence.kube.snapshot import KindsToRead, Snapshot, read_snapshot
from tests.kube.fakeapi import Answer, FakeApi, Request, refusal, serving

NETWORKING = "networking.k8s.io"
TIERS = "policy.networking.k8s.io"
WANTED = KindsToRead(
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
    return Client(Access(ServerAddress(api.url), StaticCredential()), {}, lambda _: None)


def snapshot(answers: dict[str, Answer]) -> Snapshot:
    def respond(request: Request) -> Answer:
        return answers.get(request.path, refusal(404, "not found"))

    with serving(respond) as api, client(api) as asked:
        return read_snapshot(asked, WANTED)


def test_a_reader_is_told_how_many_objects_were_listed() -> None:
    def respond(request: Request) -> Answer:
        if request.path == "/apis":
            return discovery()
        if request.path == "/api/v1/pods":
            more = "continue" not in request.query
            items = [{"metadata": {"name": f"p{n}"}} for n in range(2)]
            metadata = {"continue": "x"} if more else {}
            return Answer(body={"kind": "PodList", "metadata": metadata, "items": items})
        return refusal(404, "not found")

    told: list[int] = []
    with serving(respond) as api, client(api) as asked:
        wanted = KindsToRead({"Pod": ("v1",)}, lambda *_: False)
        read_snapshot(asked, wanted, told.append)
    assert told == [2, 4]


# --- kinds -----------------------------------------------------------------------------------


def test_objects_get_the_kind_that_their_list_does_not_repeat() -> None:
    found = snapshot(
        {
            "/apis": discovery(POLICIES),
            "/api/v1/pods": page("a"),
            f"/apis/{NETWORKING}/v1/networkpolicies": page("deny"),
        }
    )
    assert found.objects == (
        {"apiVersion": "v1", "kind": "Pod", **named("a")},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", **named("deny")},
    )
    assert found.gaps == ()
    assert found.absent == ("ClusterNetworkPolicy",)


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
    assert [each["apiVersion"] for each in found.objects] == [f"{TIERS}/v1beta1"]


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
    assert f"the server has versions {TIERS}/v2 alone" in gap.message


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
    assert [each["kind"] for each in found.objects] == ["NetworkPolicy"]
