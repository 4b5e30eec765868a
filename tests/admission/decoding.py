"""Objects, decoded: shared by the tests of what is read and of what is refused."""

from __future__ import annotations

from typing import Any

from podfence.admission.decode import decode
from podfence.errors import Source
from podfence.model.networkpolicy import Protocol

SOURCE = Source("cluster.yaml")
TCP, UDP = Protocol.TCP, Protocol.UDP


def data_of(kind: str, api_version: str = "v1", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **fields}


def only(data: dict[str, Any]) -> Any:
    decoded = decode(data, SOURCE)
    assert decoded.problems == ()
    (value,) = decoded.objects
    return value


def refused(data: dict[str, Any]) -> list[tuple[str, str]]:
    decoded = decode(data, SOURCE)
    assert decoded.objects == ()
    assert {problem.code for problem in decoded.problems} == {"PF207"}
    return [(problem.path, problem.message) for problem in decoded.problems]
