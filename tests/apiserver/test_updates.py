"""What the server refuses of an update alone. ``podfence check`` judges an object as a new one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from podfence.admission.decode import decode
from podfence.errors import Severity
from tests.apiserver.build import assets
from tests.apiserver.client import Client
from tests.apiserver.judge import SOURCE, Said, differences, judge, server_said
from tests.apiserver.rows import policy
from tests.apiserver.server import ApiServer, running
from tests.apiserver.specrows import ingress

pytestmark = pytest.mark.apiserver

POLICIES = "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies"
IMMUTABLE = "field is immutable"
TIME = "2020-01-01T00:00:00Z"


def put(admin: Client, kept: dict[str, Any], change: dict[str, Any]) -> Said:
    """The server's answer to an update of the metadata of a stored object."""
    metadata = kept["metadata"]
    path = f"{POLICIES.format(metadata['namespace'])}/{metadata['name']}"
    return server_said(admin.request("PUT", path, {**kept, "metadata": {**metadata, **change}}))


REFUSED: list[tuple[str, dict[str, Any], list[str]]] = [
    ("labels", {"labels": {"-": "x"}}, ['metadata.labels: Invalid value: "-": ']),
]
TAKEN: list[tuple[str, dict[str, Any]]] = [
    ("creationTimestamp is kept", {"creationTimestamp": TIME}),
    ("generation is kept", {"generation": 1000}),
    ("no resourceVersion", {"resourceVersion": None}),
    ("labels", {"labels": {"a": "b"}}),
]


@pytest.fixture
def kept(admin: Client, namespace: str) -> dict[str, Any]:
    """A stored policy."""
    return admin.create(POLICIES.format(namespace), policy({"podSelector": {}}))


@pytest.mark.parametrize(
    ("change", "texts"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_refused(
    change: dict[str, Any], texts: list[str], admin: Client, kept: dict[str, Any]
) -> None:
    said = put(admin, kept, change)
    assert not said.accepted
    assert len(said.texts) == len(texts)
    for text in texts:
        assert any(found.startswith(text) for found in said.texts), said.texts


@pytest.mark.parametrize("change", [row[1] for row in TAKEN], ids=[row[0] for row in TAKEN])
def test_taken(change: dict[str, Any], admin: Client, namespace: str, kept: dict[str, Any]) -> None:
    said = put(admin, kept, change)
    assert said.accepted, said


def test_another_name_is_another_object(
    admin: Client, namespace: str, kept: dict[str, Any]
) -> None:
    path = f"{POLICIES.format(namespace)}/{kept['metadata']['name']}"
    body = {**kept, "metadata": {**kept["metadata"], "name": "other"}}
    answer = admin.request("PUT", path, body)
    assert answer.status == 400
    assert "the name of the object (other)" in answer.message


def test_an_old_version_is_a_conflict(admin: Client, namespace: str, kept: dict[str, Any]) -> None:
    assert put(admin, kept, {"labels": {"a": "b"}}).accepted
    path = f"{POLICIES.format(namespace)}/{kept['metadata']['name']}"
    answer = admin.request("PUT", path, {**kept, "spec": {"policyTypes": ["Egress"]}})
    assert (answer.status, answer.body["reason"]) == (409, "Conflict")


def test_another_uid_is_a_conflict(admin: Client, kept: dict[str, Any]) -> None:
    said = put(admin, kept, {"uid": "22222222-2222-2222-2222-222222222222"})
    (text,) = said.texts
    assert "UID in precondition" in text


def test_put_creates_nothing(admin: Client, namespace: str) -> None:
    answer = admin.request("PUT", f"{POLICIES.format(namespace)}/p", policy({}))
    assert answer.status == 404


def test_types_that_were_stored_stay_where_an_apply_names_none(
    admin: Client, namespace: str
) -> None:
    """A merge keeps ``[Ingress]``, so that new egress rules do nothing; a replacement does not."""
    path = POLICIES.format(namespace)
    kept = admin.create(path, policy({"podSelector": {}}))
    one = f"{path}/{kept['metadata']['name']}"
    content = "application/merge-patch+json"
    merged = admin.request("PATCH", one, {"spec": {"egress": [{}]}}, content).body
    assert merged["spec"]["policyTypes"] == ["Ingress"]
    replaced = admin.request("PUT", one, policy({"podSelector": {}, "egress": [{}]})).body
    assert replaced["spec"]["policyTypes"] == ["Ingress", "Egress"]


# ----------------------------------------------------------------------- as servers before 1.36


@pytest.fixture(scope="module")
def lenient() -> Iterator[ApiServer]:
    """A server that takes every CIDR that can be read, as those before 1.36 do."""
    with running(assets(), "--feature-gates=StrictIPCIDRValidation=false") as server:
        yield server


ANNOUNCED = "will be considered invalid in a future Kubernetes release"
LENIENT = [
    "10.0.0.1/8",
    "010.0.0.0/8",
    "10.0.0.0/08",
    "::ffff:10.0.0.0/104",
    "2001:DB8::1/32",
    "::ffff:10.0.0.1/104",
    "::ffff:10.0.0.1/80",
    "::ffff:010.0.0.1/128",
]


@pytest.mark.parametrize("text", LENIENT)
def test_an_older_server_takes_and_warns(text: str, lenient: ApiServer) -> None:
    body = policy(ingress({"ipBlock": {"cidr": text}}))
    with lenient.admin as admin:
        answer = admin.request("POST", POLICIES.format("default") + "?dryRun=All", body)
    assert answer.status == 201
    problems = decode(body, SOURCE, strict_cidrs=False).problems
    assert {p.severity for p in problems} == {Severity.WARNING}
    # What those servers announced has come since.
    said = {p.message.replace(ANNOUNCED, "is invalid") for p in problems}
    assert said == set(answer.warnings)


def test_what_an_older_server_stored_may_stay(lenient: ApiServer) -> None:
    """``check`` refuses it: whether a cluster has it already is not known from the manifest."""
    body = policy(ingress({"ipBlock": {"cidr": "10.0.0.1/8"}}))
    path = POLICIES.format("default")
    with lenient.admin as admin:
        kept = admin.create(path, body)
    lenient.flags = ""
    lenient.restart()
    with lenient.admin as admin:
        spec = {**kept["spec"], "podSelector": {"matchLabels": {"a": "b"}}}
        assert admin.request("PUT", f"{path}/p", {**kept, "spec": spec}).status == 200
        spec["ingress"] = [{"from": [{"ipBlock": {"cidr": "10.0.0.2/8"}}]}]
        assert admin.request("PUT", f"{path}/p", policy(spec)).status == 422
        said = server_said(admin.request("POST", path, policy(spec)))
    assert not said.accepted
    assert differences(said, judge(policy(spec))) == []
