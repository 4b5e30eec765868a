"""The metadata of an object: every field has a type, and the server's words for another one."""

from __future__ import annotations

from typing import Any

import pytest

from podfence.admission.decode import decode
from podfence.admission.decode_strict import metadata_problems
from podfence.errors import Severity
from tests.admission import clusterpolicies
from tests.admission.policies import SOURCE, manifest, problems_of

TIME = "2026-01-31T12:00:00Z"
AS = 'as "2006-01-02T15:04:05Z07:00": cannot parse'
ENTRY: dict[str, Any] = {
    "manager": "kubectl",
    "operation": "Apply",
    "apiVersion": "networking.k8s.io/v1",
    "time": TIME,
    "fieldsType": "FieldsV1",
    "fieldsV1": {"f:spec": {}},
    "subresource": "status",
}
OWNER: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "name": "p",
    "uid": "u",
    "controller": True,
    "blockOwnerDeletion": False,
}
SOUND: dict[str, Any] = {
    "name": "web",
    "namespace": "shop",
    "selfLink": "/x",
    "uid": "u",
    "resourceVersion": "1",
    "generation": 3,
    "creationTimestamp": TIME,
    "deletionTimestamp": "2026-01-31T1:00:00,5+24:60",
    "deletionGracePeriodSeconds": 30,
    "labels": {"a": "b"},
    "annotations": {"c": "d"},
    "finalizers": ["example.com/x"],
    "ownerReferences": [OWNER],
    "managedFields": [ENTRY],
}


def _cannot(given: str, field: str, wanted: str) -> str:
    return f"json: cannot unmarshal {given} into Go struct field {field} of type {wanted}"


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (
        {"managedFields": "shop"},
        _cannot("string", "ObjectMeta.metadata.managedFields", "[]v1.ManagedFieldsEntry"),
        "metadata.managedFields",
    ),
    (
        {"managedFields": [[]]},
        _cannot("array", "ObjectMeta.metadata.managedFields", "v1.ManagedFieldsEntry"),
        "metadata.managedFields[0]",
    ),
    (
        {"managedFields": [{**ENTRY, "operation": 1}]},
        _cannot(
            "number",
            "ManagedFieldsEntry.metadata.managedFields.operation",
            "v1.ManagedFieldsOperationType",
        ),
        "metadata.managedFields[0].operation",
    ),
    (
        {"managedFields": [{**ENTRY, "time": 5}]},
        _cannot("number", "ManagedFieldsEntry.metadata.managedFields.time", "string"),
        "metadata.managedFields[0].time",
    ),
    (
        {"creationTimestamp": "example.com"},
        f'parsing time "example.com" {AS} "example.com" as "2006"',
        "metadata.creationTimestamp",
    ),
    (
        {"creationTimestamp": "2026-01-31"},
        f'parsing time "2026-01-31" {AS} "" as "T"',
        "metadata.creationTimestamp",
    ),
    (
        {"deletionTimestamp": "2026-02-29T12:00:00Z"},
        'parsing time "2026-02-29T12:00:00Z": day out of range',
        "metadata.deletionTimestamp",
    ),
    (
        {"deletionTimestamp": True},
        _cannot("bool", "ObjectMeta.metadata.deletionTimestamp", "string"),
        "metadata.deletionTimestamp",
    ),
    (
        {"generation": "3"},
        _cannot("string", "ObjectMeta.metadata.generation", "int64"),
        "metadata.generation",
    ),
    (
        {"generation": 1.5},
        _cannot("number 1.5", "ObjectMeta.metadata.generation", "int64"),
        "metadata.generation",
    ),
    ({"uid": 7}, _cannot("number", "ObjectMeta.metadata.uid", "types.UID"), "metadata.uid"),
    (
        {"finalizers": "x"},
        _cannot("string", "ObjectMeta.metadata.finalizers", "[]string"),
        "metadata.finalizers",
    ),
    (
        {"ownerReferences": {}},
        _cannot("object", "ObjectMeta.metadata.ownerReferences", "[]v1.OwnerReference"),
        "metadata.ownerReferences",
    ),
    (
        {"ownerReferences": [{**OWNER, "controller": "yes"}]},
        _cannot("string", "OwnerReference.metadata.ownerReferences.controller", "bool"),
        "metadata.ownerReferences[0].controller",
    ),
    (
        {"annotations": {"a": 1}},
        _cannot("number", "ObjectMeta.metadata.annotations", "string"),
        "metadata.annotations[a]",
    ),
]
IDS = [f"{path}-{number}" for number, (_, _, path) in enumerate(REFUSED)]


@pytest.mark.parametrize(("metadata", "text", "path"), REFUSED, ids=IDS)
def test_networkpolicy(metadata: dict[str, Any], text: str, path: str) -> None:
    (problem,) = problems_of({}, **metadata)
    assert (problem.code, problem.severity, problem.path) == ("PF202", Severity.ERROR, path)
    assert problem.message.partition("; ")[0] == text


@pytest.mark.parametrize(("metadata", "text", "path"), REFUSED, ids=IDS)
def test_a_custom_resource_has_its_metadata_decoded_by_itself(
    metadata: dict[str, Any], text: str, path: str
) -> None:
    (problem,) = decode(clusterpolicies.manifest(**metadata), SOURCE).problems
    assert (problem.code, problem.severity, problem.path) == ("PF202", Severity.ERROR, path)
    assert problem.message.partition("; ")[0] == text.replace(".metadata.", ".")


@pytest.mark.parametrize("metadata", ["shop", 1, [], True], ids=str)
def test_metadata_that_is_no_object(metadata: Any) -> None:
    (problem,) = metadata_problems(metadata)
    assert problem.message.partition("; ")[0].endswith("into Go value of type v1.ObjectMeta")


@pytest.mark.parametrize(
    "metadata",
    [
        SOUND,
        dict.fromkeys(SOUND),
        {**SOUND, "managedFields": [{**ENTRY, "fieldsV1": "anything"}]},
        {**SOUND, "managedFields": [dict.fromkeys(ENTRY)], "ownerReferences": []},
    ],
    ids=["full", "nulls", "fieldsV1", "null-entries"],
)
def test_sound(metadata: dict[str, Any]) -> None:
    assert list(metadata_problems(metadata)) == []


@pytest.mark.parametrize(
    ("metadata", "path"),
    [
        ({"managedFields": [{**ENTRY, "colour": None}]}, "metadata.managedFields[0].colour"),
        ({"ownerReferences": [{**OWNER, "UID": "u"}]}, "metadata.ownerReferences[0].UID"),
        ({"clusterName": "x"}, "metadata.clusterName"),
    ],
)
@pytest.mark.parametrize("policy", [manifest({}), clusterpolicies.manifest()], ids=["NP", "CNP"])
def test_unknown_field(policy: dict[str, Any], metadata: dict[str, Any], path: str) -> None:
    data = {**policy, "metadata": {**policy["metadata"], **metadata}}
    (problem,) = decode(data, SOURCE).problems
    assert (problem.code, problem.path) == ("PF201", path)
    assert problem.message.startswith(f'strict decoding error: unknown field "{path}"')


def test_custom_resources_have_names_of_fields_without_escapes_and_any_finalizer() -> None:
    written = {"name": "a", "finalizers": ["mine"], "generation": 1.0, 'a"b': 1}
    (problem,) = decode({**clusterpolicies.manifest(), "metadata": written}, SOURCE).problems
    assert problem.message.startswith('strict decoding error: unknown field "metadata.a"b"; ')
