"""Whom a NetworkPolicy is about."""

from __future__ import annotations

import pytest

from podfence.model.networkpolicy import NetworkPolicy
from podfence.testing.builders import policy


@pytest.mark.parametrize(
    ("selector", "namespace", "labels", "selects"),
    [
        pytest.param({"app": "a"}, "n", (("app", "a"),), True, id="NP-3 its namespace and labels"),
        pytest.param({"app": "a"}, "n", (("app", "b"),), False, id="NP-3 other labels"),
        pytest.param({"app": "a"}, "m", (("app", "a"),), False, id="NP-3 another namespace"),
        pytest.param({}, "n", (), True, id="NP-3 every pod"),
        pytest.param({}, "m", (), False, id="NP-3 every pod of its namespace alone"),
    ],
)
def test_selects(
    selector: dict[str, str], namespace: str, labels: tuple[tuple[str, str], ...], selects: bool
) -> None:
    found = policy("n/p", selector)
    assert isinstance(found, NetworkPolicy)
    assert found.selects(namespace, labels) is selects
