"""notes_for: each note where it belongs, and none where the shape is what it seems."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.meta import ObjectRef, labels_of
from podfence.model.networkpolicy import NetworkPolicy, Protocol
from podfence.model.objects import Service, ServicePort
from podfence.policy.compile import compile_cluster
from podfence.questions.lint.findings import LINT_CODES
from podfence.questions.lint.notes import notes_for
from podfence.testing.builders import namespace, peer, pod, policy, rule

SERVICE = Service(
    ObjectRef("Service", "shop", "db"),
    labels_of({"app": "db"}),
    (),
    (ServicePort("", 15432, "sql", Protocol.TCP),),
)
CLUSTER: tuple[ClusterObject, ...] = (
    namespace("shop"),
    namespace("mon", {"team": "ops"}),
    pod("shop/web", {"app": "web"}, addresses=["10.1.0.1", "fd00::1"], ports=["http:8080"]),
    pod("shop/db", {"app": "db"}, addresses=["10.1.0.2"], ports=["sql:5432", "dns:53/UDP"]),
    pod("mon/prom", {"app": "prom"}, addresses=["10.1.0.3"], ports=["web:9090"]),
    pod("mon/other", {"app": "other"}, addresses=["10.1.0.4"]),
    SERVICE,
)
OF_THE_OUTSIDE = frozenset({"PF335", "PF341", "PF353", "PF354"})
"""What else there is to say of catch-alls and of DNS: see test_notes_outside."""
WEB = {"app": "web"}
DB = {"app": "db"}
FROM_WEB = rule(peer(pods=WEB))
FROM_DB = rule(peer(pods=DB))


def codes(
    *policies: NetworkPolicy,
    raw: Mapping[str, object] | None = None,
    more: tuple[ClusterObject, ...] = (),
) -> list[str]:
    """Codes of the notes about the first policy."""
    index = compile_cluster(Cluster.of([*CLUSTER, *more, *policies]))
    notes = notes_for(index, policies[0], raw)
    return [note.code for note in notes if note.code not in OF_THE_OUTSIDE]


@pytest.mark.parametrize(
    ("code", "value"),
    [
        pytest.param("PF301", policy("shop/deny-web", DB, ingress=[FROM_WEB]), id="deny a peer"),
        pytest.param(
            "PF301", policy("shop/default-deny", DB, ingress=[FROM_WEB]), id="default-deny"
        ),
        pytest.param(
            "PF301",
            policy("shop/allow-prom-block-web", DB, ingress=[FROM_WEB]),
            id="allow one, block the other",
        ),
        pytest.param(
            "PF303", policy("shop/out", WEB, egress=[FROM_DB]), id="NP-8 egress closes ingress"
        ),
        pytest.param(
            "PF304",
            policy("shop/dead", WEB, types=["Ingress"], egress=[FROM_DB]),
            id="NP-15 dead rules",
        ),
        pytest.param("PF306", policy("shop/none", {"app": "cart"}), id="NP-3 selects nothing"),
        pytest.param("PF320", policy("shop/none", {"app": "wbe"}), id="NP-3 a label misspelt"),
        pytest.param("PF306", policy("nowhere/none"), id="NP-3 empty namespace"),
        pytest.param(
            "PF307",
            policy("shop/p", DB, ingress=[rule(peer(pods={"app": "prom"}))]),
            id="NP-17 the pod lives elsewhere",
        ),
        pytest.param(
            "PF321",
            policy("shop/p", DB, ingress=[rule(peer(namespaces={"name": "mon"}))]),
            id="NP-21 a name is no label",
        ),
        pytest.param(
            "PF307",
            policy(
                "shop/p",
                DB,
                ingress=[
                    rule(peer(cidr="192.0.2.0/24", except_=["192.0.2.0/25", "192.0.2.128/25"]))
                ],
            ),
            id="NP-24 nothing left",
        ),
        pytest.param(
            "PF308",
            policy("shop/p", DB, ingress=[rule(ports=["metrics"])]),
            id="NP-35 unknown name",
        ),
        pytest.param(
            "PF308", policy("shop/p", DB, ingress=[rule(ports=["dns"])]), id="NP-33 wrong protocol"
        ),
        pytest.param(
            "PF308",
            policy(
                "shop/p",
                DB,
                types=["Egress"],
                egress=[rule(peer(cidr="192.0.2.0/24"), ports=["https"])],
            ),
            id="NP-35 outside has no names",
        ),
        pytest.param(
            "PF329", policy("shop/p", DB, ingress=[rule(peer(pods=WEB), ports=[15432])]), id="NP-38"
        ),
        pytest.param(
            "PF329",
            policy("shop/p", WEB, types=["Egress"], egress=[rule(peer(pods=DB), ports=[15432])]),
            id="NP-46 egress",
        ),
        pytest.param(
            "PF307",
            policy(
                "shop/p",
                WEB,
                types=["Egress"],
                egress=[rule(peer(cidr="::/0", except_=["::/1", "8000::/1"]))],
            ),
            id="NP-26 nothing left of all",
        ),
        pytest.param("PF310", policy("shop/web", WEB, ingress=[rule()]), id="NP-11"),
        pytest.param(
            "PF311",
            policy("shop/p", DB, ingress=[rule(peer(cidr="10.1.0.0/16"))]),
            id="NP-27 pod range",
        ),
        pytest.param(
            "PF312",
            policy("shop/p", WEB, types=["Egress"], egress=[rule(ports=[53])]),
            id="NP-30 DNS over TCP only",
        ),
        pytest.param(
            "PF313",
            policy("shop/p", WEB, types=["Egress"], egress=[rule(peer(cidr="0.0.0.0/0"))]),
            id="NP-25",
        ),
        pytest.param(
            "PF314",
            policy("shop/p", DB, ingress=[rule(peer(pods=WEB, namespaces={"team": "ops"}))]),
            id="NP-19 lost OR",
        ),
        pytest.param(
            "PF315",
            policy(
                "shop/p",
                DB,
                ingress=[rule(peer(namespaces={"team": "ops"}), peer(pods={"app": "prom"}))],
            ),
            id="NP-20 lost AND",
        ),
        pytest.param("PF317", policy("shop/web-to-db", WEB, ingress=[FROM_DB]), id="A to B"),
        pytest.param(
            "PF317",
            policy("shop/web-to-db", DB, types=["Egress"], egress=[FROM_WEB]),
            id="A to B, egress",
        ),
        pytest.param(
            "PF318",
            policy("shop/p", WEB, ingress=[rule(peer(pods=DB), ports=[5432])]),
            id="NP-38 the port of the other end",
        ),
    ],
)
def test_the_note_and_no_other(code: str, value: NetworkPolicy) -> None:
    assert codes(value) == [code]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(policy("shop/deny-all", types=["Ingress", "Egress"]), id="deny without rules"),
        pytest.param(
            policy("shop/deny-all-except-web", DB, ingress=[FROM_WEB]), id="deny all except"
        ),
        pytest.param(
            policy("shop/deny-ingress", types=["Ingress", "Egress"], egress=[FROM_DB]),
            id="deny of the other direction",
        ),
        pytest.param(policy("shop/isolate-db", DB, ingress=[FROM_WEB]), id="isolate but one peer"),
        pytest.param(policy("shop/allow-all", ingress=[rule()]), id="allow all that says so"),
        pytest.param(policy("shop/web-to-db", DB, ingress=[FROM_WEB]), id="A to B as it says"),
        pytest.param(
            policy("shop/p", WEB, types=["Egress"], egress=[rule(ports=[53, "53/UDP"])]),
            id="DNS over both",
        ),
        pytest.param(
            policy(
                "shop/p",
                WEB,
                types=["Egress"],
                egress=[rule(peer(cidr="0.0.0.0/0"), peer(cidr="::/0"))],
            ),
            id="both catch-alls",
        ),
        pytest.param(
            policy("shop/p", DB, types=["Egress"], egress=[rule(peer(cidr="0.0.0.0/0"))]),
            id="IPv4 pods, IPv4 catch-all",
        ),
        pytest.param(
            policy("shop/p", DB, ingress=[rule(peer(pods=WEB), ports=[5432])]), id="right port"
        ),
        pytest.param(
            policy("shop/p", WEB, ingress=[rule(peer(pods={}), ports=[5432])]),
            id="a port that only some of the peers declare",
        ),
        pytest.param(
            policy("shop/p", DB, ingress=[rule(peer(pods=WEB), ports=["sql", "53/UDP"])]),
            id="named and numbered",
        ),
        pytest.param(
            policy(
                "shop/p",
                DB,
                ingress=[rule(peer(namespaces={"team": "ops"}), peer(pods=WEB))],
            ),
            id="OR that is meant",
        ),
        pytest.param(
            policy(
                "shop/p",
                DB,
                ingress=[rule(peer(pods={"app": "prom"}, namespaces={"team": "ops"}))],
            ),
            id="AND that is meant",
        ),
        pytest.param(
            policy(
                "shop/p",
                WEB,
                types=["Egress"],
                egress=[rule(peer(namespaces={"kubernetes.io/metadata.name": "kube-system"}))],
            ),
            id="a namespace that the cluster brings",
        ),
    ],
)
def test_no_note(value: NetworkPolicy) -> None:
    assert codes(value) == []


@pytest.mark.parametrize(
    ("raw_spec", "expected"),
    [
        pytest.param({"egress": []}, ["PF302"], id="NP-8 empty list"),
        pytest.param({"egress": None}, ["PF302"], id="NP-9 null"),
        pytest.param({"ingress": [], "egress": []}, ["PF302"], id="NP-8 both empty"),
        pytest.param({"ingress": []}, [], id="NP-8 only ingress"),
    ],
)
def test_pf302_needs_the_list_as_written(raw_spec: dict[str, object], expected: list[str]) -> None:
    assert codes(policy("shop/p", DB), raw={"spec": raw_spec}) == expected


def test_pf302_is_not_given_when_the_types_are_written() -> None:
    value = policy("shop/p", DB, types=["Ingress"])

    assert codes(value, raw={"spec": {"policyTypes": ["Ingress"], "egress": []}}) == []


@pytest.mark.parametrize(
    ("value", "raw_spec"),
    [
        pytest.param(
            policy("shop/p", DB, ingress=[rule()]), {"ingress": [None]}, id="NP-15a null rule"
        ),
        pytest.param(
            policy("shop/p", DB, ingress=[rule(peer(pods=WEB), ports=["/TCP"])]),
            {"ingress": [{"from": [{"podSelector": {}}], "ports": [None]}]},
            id="NP-15a null port",
        ),
    ],
)
def test_pf305_null_items(value: NetworkPolicy, raw_spec: dict[str, object]) -> None:
    assert codes(value, raw={"spec": raw_spec}) == ["PF305"]


def test_pf301_reads_annotations() -> None:
    raw = {"metadata": {"annotations": {"description": "denies all traffic to the database"}}}

    assert codes(policy("shop/p", DB, ingress=[FROM_WEB]), raw=raw) == ["PF301"]


def test_pf301_does_not_read_what_kubectl_keeps_in_annotations() -> None:
    key = "kubectl.kubernetes.io/last-applied-configuration"
    raw = {"metadata": {"annotations": {key: '{"name": "deny-all"}'}}}

    assert codes(policy("shop/p", DB, ingress=[FROM_WEB]), raw=raw) == []


def test_pf301_lists_what_is_allowed() -> None:
    value = policy("shop/deny-web", DB, ingress=[rule(peer(pods=WEB), ports=[5432])])
    [note] = notes_for(compile_cluster(Cluster.of([*CLUSTER, value])), value)

    assert (
        "ingress from pods labelled app=web in this namespace (shop) only, on TCP port 5432"
        in note.text
    )
    assert note.path == "metadata.name"


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        pytest.param([policy("shop/open", ingress=[rule()])], ["PF316"], id="all of them"),
        pytest.param([policy("shop/open", DB, ingress=[rule()])], [], id="some of them"),
        pytest.param(
            [policy("shop/a", DB, ingress=[rule()]), policy("shop/b", WEB, ingress=[rule()])],
            ["PF316"],
            id="together all of them",
        ),
        pytest.param(
            [policy("shop/open", types=["Egress"], egress=[rule()])], [], id="other direction"
        ),
    ],
)
def test_pf316_pointless(others: list[NetworkPolicy], expected: list[str]) -> None:
    assert codes(policy("shop/p"), *others) == expected


def test_pf306_names_pods_that_policies_leave_alone() -> None:
    node_agent = pod("shop/agent", {"app": "agent"}, finished=True)
    value = policy("shop/p", {"app": "agent"})
    [note] = notes_for(compile_cluster(Cluster.of([*CLUSTER, node_agent, value])), value)

    assert "shop/agent, but no policy selects host-network pods or finished pods" in note.text


def test_every_code_has_one_line() -> None:
    assert all(
        re.fullmatch(r"PF[23]\d\d", code) and "\n" not in text for code, text in LINT_CODES.items()
    )


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"spec": None},
        {"spec": []},
        {"spec": {"ingress": "x", "egress": {"a": 1}}},
        {"spec": {"ingress": [1, "x", {"ports": 3}]}},
        {"metadata": []},
        {"metadata": {"annotations": [1]}},
        {"metadata": {"annotations": {"a": 1}}},
    ],
)
def test_any_raw_shape_is_taken(raw: dict[str, object]) -> None:
    assert codes(policy("shop/p", DB, ingress=[FROM_WEB]), raw=raw) == []
