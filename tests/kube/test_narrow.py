"""What a snapshot may hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from podfence.kube.narrow import KEPT, narrow

SECRET = "hush"
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "db",
        "namespace": "shop",
        "labels": {"app": "db"},
        "annotations": {"note": SECRET},
        "managedFields": [{"manager": SECRET}],
        "ownerReferences": [
            {"kind": "ReplicaSet", "name": "db-1", "controller": True, "uid": SECRET}
        ],
    },
    "spec": {
        "nodeName": "n1",
        "serviceAccountName": SECRET,
        "volumes": [{"secret": {"secretName": SECRET}}],
        "containers": [
            {
                "name": "c",
                "image": SECRET,
                "env": [{"name": "PASSWORD", "value": SECRET}],
                "args": [SECRET],
                "ports": [{"containerPort": 5432, "name": "pg"}],
            }
        ],
    },
    "status": {"podIP": "10.0.0.1", "message": SECRET, "containerStatuses": [{"image": SECRET}]},
}


def test_a_pod_keeps_what_decides_and_nothing_else() -> None:
    kept = narrow("Pod", POD)
    assert kept["spec"]["containers"] == [
        {"name": "c", "ports": [{"containerPort": 5432, "name": "pg"}]}
    ]
    assert kept["metadata"]["labels"] == {"app": "db"}
    assert kept["metadata"]["ownerReferences"][0]["name"] == "db-1"
    assert kept["status"] == {"podIP": "10.0.0.1"}
    assert SECRET not in json.dumps(kept)


@pytest.mark.parametrize("kind", list(KEPT))
def test_no_kind_keeps_annotations_or_managed_fields(kind: str) -> None:
    metadata = {"name": "a", "annotations": {"a": SECRET}, "managedFields": [SECRET]}
    assert narrow(kind, {"metadata": metadata}) == {"metadata": {"name": "a"}}


def test_a_policy_keeps_its_whole_spec() -> None:
    spec: dict[str, Any] = {"podSelector": {}, "ingress": [{"form": []}]}
    assert narrow("NetworkPolicy", {"spec": spec, "status": {}})["spec"] == spec


def test_a_value_of_another_type_is_left_for_the_reader_to_refuse() -> None:
    assert narrow("Pod", {"spec": "x", "metadata": ["y"]}) == {"spec": "x", "metadata": ["y"]}
