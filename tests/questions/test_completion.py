"""What is offered where somebody types, with the number of pods behind it."""

from __future__ import annotations

import pytest

from podfence.manifests.load import load
from podfence.questions.completion import complete
from tests.cli.session import ROOT

SHOP = load([str(ROOT / "examples/shop")]).cluster

POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: db
  namespace: shop
spec:
  podSelector:
    matchLabels: {app: db}
  ingress:
  - from:
"""


def offered(text: str) -> tuple[str, list[str]]:
    """What is typed already, and what is offered at the end of a text, each with its pods."""
    lines = text.split("\n")
    found = complete(SHOP, text, len(lines), len(lines[-1]))
    if found is None:
        return "", []
    typed = lines[-1][found.start :]
    return typed, [f"{each.text}: {each.detail}" for each in found.options]


APPS = ["frontend: 2 pods", "backend: 1 pod", "db: 1 pod"]
TEXTS = {
    "a value in braces": "    - podSelector:\n        matchLabels: {app: ",
    "a value below its key": "    - podSelector:\n        matchLabels:\n          app: ",
    "a value after another": "    - podSelector:\n        matchLabels: {tier: x, app: ",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_values_of_a_label_are_those_of_the_namespace(text: str) -> None:
    typed, options = offered(POLICY + text)
    assert (typed, sorted(options)) == ("", sorted(APPS))


def test_what_most_pods_have_comes_first() -> None:
    _, options = offered(POLICY + TEXTS["a value in braces"])
    assert options[0] == "frontend: 2 pods"


def test_what_is_typed_is_replaced() -> None:
    assert offered(POLICY + "    - podSelector:\n        matchLabels: {app: fro")[0] == "fro"
    assert offered(POLICY + "    - podSelector:\n        matchLabels:\n          ap")[0] == "ap"


@pytest.mark.parametrize(
    "text",
    [
        "    - podSelector:\n        matchLabels: {",
        "    - podSelector:\n        matchLabels:\n          ",
        "    - podSelector:\n        matchExpressions:\n        - key: ",
    ],
)
def test_keys_of_labels(text: str) -> None:
    assert "app: 4 pods" in offered(POLICY + text)[1]


def test_another_namespace_has_other_labels() -> None:
    peer = (
        "    - namespaceSelector:\n"
        "        matchLabels: {kubernetes.io/metadata.name: monitoring}\n"
        "      podSelector:\n        matchLabels: {app: "
    )
    assert offered(POLICY + peer)[1] == ["prometheus: 1 pod"]


def test_labels_of_namespaces_count_the_pods_in_them() -> None:
    peer = "    - namespaceSelector:\n        matchLabels: {kubernetes.io/metadata.name: "
    options = offered(POLICY + peer)[1]
    assert "shop: 4 pods" in options
    assert "monitoring: 1 pod" in options


@pytest.mark.parametrize("text", ["    ports:\n    - {port: ", "    ports:\n    - port: "])
def test_ports_are_those_that_pods_declare(text: str) -> None:
    options = offered(POLICY + text)[1]
    assert "sql: 1 pod" in options
    assert "5432: 1 pod" in options


def test_protocols_and_namespaces() -> None:
    assert "UDP: 0 pods" in offered(POLICY + "    ports:\n    - protocol: ")[1]
    assert "shop: 4 pods" in offered("kind: NetworkPolicy\nmetadata:\n  namespace: ")[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kind: ",
        "    - podSelector:\n        matchLabels: {app: x} # ",
        "    - ipBlock: {cidr: ",
    ],
)
def test_nothing_is_offered_where_nothing_is_known(text: str) -> None:
    assert offered(POLICY + text)[1] == []


@pytest.mark.parametrize("line", [-1, 0, 99])
def test_a_position_that_is_not_there(line: int) -> None:
    assert complete(SHOP, POLICY, line, 3) is None
