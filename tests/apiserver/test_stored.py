"""What the server stores: defaults, and what is left of what was written."""

from __future__ import annotations

from itertools import count, product
from typing import Any

import pytest
from msgspec.structs import replace

from podfence.admission.decode import decode
from podfence.errors import Severity
from podfence.model.networkpolicy import NetworkPolicy, PolicyType
from tests.apiserver.bases import BASES
from tests.apiserver.client import Client
from tests.apiserver.judge import SOURCE
from tests.apiserver.rows import policy

pytestmark = pytest.mark.apiserver

POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"
_numbers = count(1)


def stored(admin: Client, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
    """The object as the server gives it back."""
    metadata = {**body["metadata"], "namespace": namespace, "name": f"p-{next(_numbers)}"}
    path = POLICIES.format(namespace)
    admin.create(path, {**body, "metadata": metadata})
    return admin.request("GET", f"{path}/{metadata['name']}").body


def value_of(body: dict[str, Any]) -> NetworkPolicy:
    decoded = decode(body, SOURCE)
    assert {problem.severity for problem in decoded.problems} <= {Severity.WARNING}
    (value,) = decoded.objects
    assert isinstance(value, NetworkPolicy)
    return value


TYPES: tuple[list[str], ...] = ([], ["Ingress"], ["Egress"], ["Ingress", "Egress"])
RULES: tuple[Any, ...] = ("absent", None, [], [{}], [None], [{"ports": [{}]}])
SPECS = [
    {key: value for key, value in spec.items() if value != "absent"}
    for types, ingress, egress in product(TYPES, RULES, RULES)
    for spec in [{"podSelector": {}, "policyTypes": types, "ingress": ingress, "egress": egress}]
]


@pytest.mark.parametrize("types", TYPES, ids=str)
def test_policy_types_are_stored_as_they_are_read(
    types: list[str], admin: Client, namespace: str
) -> None:
    """NP-8, with every way to write no rule."""
    for spec in (spec for spec in SPECS if spec["policyTypes"] == types):
        body = stored(admin, namespace, policy(spec))
        ours = value_of(policy(spec))
        assert {PolicyType(text) for text in body["spec"]["policyTypes"]} == ours.policy_types, spec


def test_protocols_are_stored_as_they_are_read(admin: Client, namespace: str) -> None:
    """NP-30: TCP where none is written, also for a null item."""
    written = [{}, None, {"port": 80}, {"port": "dns", "protocol": "UDP"}, {"protocol": "SCTP"}]
    spec = {"podSelector": {}, "ingress": [{"ports": written}], "egress": [{"ports": written}]}
    body = stored(admin, namespace, policy(spec))["spec"]
    for direction in ("ingress", "egress"):
        found = [item["protocol"] for item in body[direction][0]["ports"]]
        assert found == ["TCP", "TCP", "TCP", "UDP", "SCTP"]
    assert [port.protocol.value for port in value_of(policy(spec)).ingress[0].ports] == found


@pytest.mark.parametrize("number", range(len(BASES["NetworkPolicy"])))
def test_a_policy_that_was_stored_means_what_was_written(
    number: int, admin: Client, namespace: str
) -> None:
    written = BASES["NetworkPolicy"][number]
    back = value_of(stored(admin, namespace, written))
    ours = value_of(written)
    assert back.declared_types
    same = replace(ours, ref=back.ref, declared_types=True)
    assert back == same


def test_every_namespace_has_its_name_as_a_label(admin: Client, namespace: str) -> None:
    """NP-21: no manifest changes it."""
    path = f"/api/v1/namespaces/{namespace}"
    labels = {"kubernetes.io/metadata.name": "other", "a": "b"}
    content = "application/merge-patch+json"
    changed = admin.request("PATCH", path, {"metadata": {"labels": labels}}, content)
    assert changed.status == 200
    labels = admin.request("GET", path).body["metadata"]["labels"]
    assert labels == {"kubernetes.io/metadata.name": namespace, "a": "b"}
