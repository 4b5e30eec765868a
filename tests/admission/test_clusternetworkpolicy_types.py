"""What the schema of ClusterNetworkPolicy says of wrong types, unknown fields and metadata."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from podfence.admission.decode_clusternetworkpolicy import decode_clusternetworkpolicy
from podfence.errors import Severity
from tests.admission.clusterpolicies import EVERYBODY, decoded, egress, errors_of, ingress, manifest
from tests.admission.policies import SOURCE
from tests.admission.tierparts import FROM, PORT, TO, at_least, numbered

# ---------------------------------------------------------------------------------- wrong types

TYPES: list[tuple[str, Any, str, str, str]] = [
    ("priority-text", {"priority": "5"}, "spec.priority", "integer", "string"),
    ("priority-fraction", {"priority": 1.5}, "spec.priority", "int32", "float64"),
    ("priority-of-65-bits", {"priority": 2**64}, "spec.priority", "int32", "float64"),
    ("tier-of-65-bits", {"tier": 2**64}, "spec.tier", "string", "number"),
    ("priority-boolean", {"priority": True}, "spec.priority", "int32", ""),
    ("priority-object", {"priority": {}}, "spec.priority", "int32", ""),
    ("priority-list", {"priority": []}, "spec.priority", "integer", "array"),
    ("tier-number", {"tier": 1}, "spec.tier", "string", "integer"),
    ("spec-text", "x", "spec", "object", "string"),
    ("rules-object", {"ingress": {}}, "spec.ingress", "array", "object"),
    ("rule-null", {"ingress": [None]}, "spec.ingress[0]", "object", "null"),
    ("peers-object", ingress(from_={}), FROM, "array", "object"),
    ("peer-null", ingress(from_=[None]), f"{FROM}[0]", "object", "null"),
    ("number-text", numbered({"number": "80"}), f"{PORT}.number", "integer", "string"),
    ("network-number", egress({"networks": [10]}), f"{TO}.networks[0]", "string", "integer"),
    ("names-text", egress({"domainNames": "a.b"}), f"{TO}.domainNames", "array", "string"),
    (
        "labels-list",
        {"subject": {"namespaces": {"matchLabels": []}}},
        "spec.subject.namespaces.matchLabels",
        "object",
        "array",
    ),
]


@pytest.mark.parametrize(
    ("spec", "path", "wanted", "given"),
    [case[1:] for case in TYPES],
    ids=[case[0] for case in TYPES],
)
def test_wrong_type(spec: Any, path: str, wanted: str, given: str) -> None:
    policy, (problem,) = decoded(spec)
    assert policy is None
    assert (problem.code, problem.path) == ("PF202", path)
    text, _, _ = problem.message.partition("; ")
    assert text == (
        f'{path}: Invalid value: "{given}": {path} in body must be of type {wanted}: "{given}"'
    )


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ({"priority": "5"}, "quoted, became a string: remove the quotes"),
        ({"tier": 1}, "unquoted, became integer 1: quote it"),
        ({"ingress": {}}, 'expected a list, each item after "- "'),
    ],
)
def test_wrong_type_says_what_would_be_right(spec: Any, hint: str) -> None:
    (message,) = errors_of(spec)
    assert message.endswith(f"; {hint}")


def test_label_that_is_a_number() -> None:
    spec = {"subject": {"namespaces": {"matchLabels": {"example.com/v": 1}}}}
    (problem,) = decoded(spec)[1]
    path = "spec.subject.namespaces.matchLabels"
    assert problem.path == f"{path}[example.com/v]"
    assert problem.message == (
        f'{path}.example.com/v: Invalid value: "integer": {path}.example.com/v in body must be of '
        'type string: "integer"; unquoted, became integer 1: quote it'
    )


def test_ports_of_a_range_that_are_written_as_fractions_are_refused_although_clear() -> None:
    policy, (problem,) = decoded(numbered({"range": {"start": 80.0, "end": 81}}))
    assert problem.message == (
        f'{PORT}.range: Invalid value: "object": invalid data, expected int, got float64 '
        "evaluating rule: Start port must be less than End port"
    )
    assert problem.refused_only
    assert policy is not None
    falling, _ = decoded(numbered({"range": {"start": 80.0, "end": 79}}))
    assert falling is None


def test_whole_number_written_as_a_fraction_is_an_integer() -> None:
    policy, problems = decoded({"priority": 5.0})
    assert problems == ()
    assert policy is not None
    assert (policy.priority, type(policy.priority)) == (5, int)


@pytest.mark.parametrize("key", [1, None, True], ids=str)
def test_key_that_is_no_string(key: Any) -> None:
    (message,) = errors_of({"subject": {"namespaces": {"matchLabels": {key: "a"}}}})
    assert message.startswith("map key ")
    assert message.endswith("not a string; quote it")


# ------------------------------------------------------------------------------- unknown fields

UNKNOWN: list[tuple[str, Any, str, str]] = [
    ("misspelt", {"teir": "Admin"}, "spec.teir", 'did you mean "tier"?'),
    ("case", {"Ingress": []}, "spec.Ingress", 'did you mean "ingress"? Case matters'),
    (
        "podSelector-in-spec",
        {"podSelector": {}},
        "spec.podSelector",
        'the pods concerned are given under "subject"',
    ),
    (
        "ports-in-a-rule",
        ingress(ports=[]),
        "spec.ingress[0].ports",
        'since v1alpha2 ports are given under "protocols"',
    ),
    (
        "from-in-egress",
        egress(EVERYBODY, **{"from": []}),
        "spec.egress[0].from",
        '"from" belongs in ingress rules',
    ),
    (
        "labels-without-matchLabels",
        ingress(from_=[{"namespaces": {"app": "web"}}]),
        f"{FROM}[0].namespaces.app",
        'labels go under "matchLabels"',
    ),
    (
        "sameLabels",
        ingress(from_=[{"namespaces": {"sameLabels": ["a"]}}]),
        f"{FROM}[0].namespaces.sameLabels",
        "the API no longer has it: select namespaces by their own labels",
    ),
    (
        "second-field-of-a-peer",
        ingress(from_=[{"namespaces": {}, "future": {}}]),
        f"{FROM}[0].future",
        "expected namespaces or pods",
    ),
]


@pytest.mark.parametrize(
    ("spec", "path", "hint"), [case[1:] for case in UNKNOWN], ids=[case[0] for case in UNKNOWN]
)
def test_unknown_field(spec: Any, path: str, hint: str) -> None:
    policy, (problem,) = decoded(spec)
    assert policy is None
    assert (problem.code, problem.severity, problem.path) == ("PF201", Severity.ERROR, path)
    assert problem.message == f'strict decoding error: unknown field "{path}"; {hint}'


def test_unknown_subject_is_no_subject() -> None:
    assert errors_of({"subject": {"future": {}}}) == [
        'strict decoding error: unknown field "spec.subject.future"; expected namespaces or pods',
        at_least("spec.subject", 0, "properties"),
    ]


# ------------------------------------------------------------------------------------- metadata


@pytest.mark.parametrize(
    ("metadata", "start"),
    [
        ({"name": None}, "metadata.name: Required value: name or generateName is required"),
        ({"name": "My_P"}, 'metadata.name: Invalid value: "My_P": a lowercase RFC 1123 subdomain'),
        ({"labels": {"-a": "b"}}, 'metadata.labels: Invalid value: "-a": name part must consist'),
        ({"labels": {"a": 1}}, "json: cannot unmarshal number into Go struct field ObjectMeta."),
        ({"lables": {}}, 'strict decoding error: unknown field "metadata.lables"; did'),
    ],
    ids=["no-name", "name", "label", "label-number", "unknown"],
)
def test_metadata(metadata: dict[str, Any], start: str) -> None:
    policy, (problem,) = decoded({}, **metadata)
    assert policy is not None, "what the policy means is clear"
    assert problem.severity is Severity.ERROR
    assert problem.refused_only
    assert problem.message.startswith(start)


@pytest.mark.parametrize("namespace", ["shop", "Not A Name"])
def test_cnp_2_namespace_is_passed_over(namespace: str) -> None:
    policy, problems = decoded({}, namespace=namespace)
    assert problems == ()
    assert policy is not None
    assert policy.ref.namespace == ""


ANYWHERE: list[tuple[str, Any]] = [
    ("spec.colour", {}),
    ("spec.subject.colour", {}),
    ("spec.subject.namespaces.colour", {}),
    ("spec.ingress[0].colour", ingress()),
    ("spec.ingress[0].from[0].colour", ingress()),
    ("spec.ingress[0].from[0].namespaces.matchExpressions[0].colour", ingress(
        from_=[{"namespaces": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}]
    )),
    ("spec.ingress[0].from[0].pods.colour", ingress(from_=[{"pods": {"podSelector": {}}}])),
    ("spec.egress[0].to[0].colour", egress({"networks": ["10.0.0.0/8"]})),
    ("spec.egress[0].to[0].nodes.colour", egress({"nodes": {}})),
    *(
        (f"spec.ingress[0].protocols[0].{parent}colour", ingress(protocols=[
            {protocol: {"destinationPort": port}}
        ]))
        for protocol in ("tcp", "udp", "sctp")
        for port, inner in (({"number": 80}, ""), ({"range": {"start": 1, "end": 2}}, "range."))
        for parent in (
            "",
            f"{protocol}.",
            f"{protocol}.destinationPort.",
            *([f"{protocol}.destinationPort.{inner}"] if inner else []),
        )
    ),
]  # fmt: skip


def _with_colour(value: Any, path: str) -> Any:
    """A copy with one more field at the path."""
    data = copy.deepcopy(value)
    parent = data
    *steps, last = [int(n) if n else name for name, n in re.findall(r"(\w+)|\[(\d+)\]", path)]
    for step in steps:
        parent = parent[step]
    parent[last] = "red"
    return data


@pytest.mark.parametrize(("path", "spec"), ANYWHERE, ids=[case[0] for case in ANYWHERE])
def test_unknown_field_anywhere(path: str, spec: Any) -> None:
    data = _with_colour(manifest(spec), path)
    problems = decode_clusternetworkpolicy(data, SOURCE)[1]
    (problem,) = (p for p in problems if p.code == "PF201")
    assert (problem.severity, problem.path) == (Severity.ERROR, path)
    assert problem.message.startswith(f'strict decoding error: unknown field "{path}"; ')


@pytest.mark.parametrize(
    "path",
    ["status.colour", "status.conditions[0].colour", "status.conditions[0].status.a", "colour"],
)
def test_unknown_field_beside_the_spec(path: str) -> None:
    whole = {**manifest(), "status": {"conditions": [{"type": "Ready", "status": {}}]}}
    (problem,) = decode_clusternetworkpolicy(_with_colour(whole, path), SOURCE)[1]
    assert (problem.code, problem.path) == ("PF201", path)


@pytest.mark.parametrize("status", [None, {}, {"conditions": 5}, {"conditions": [{"type": 1}]}, 7])
def test_the_server_drops_the_status_before_it_validates(status: Any) -> None:
    policy, problems = decode_clusternetworkpolicy({**manifest(), "status": status}, SOURCE)
    assert problems == ()
    assert policy is not None
