"""Parts of ClusterNetworkPolicies that several tests of the schema write."""

from __future__ import annotations

from typing import Any

from tests.admission.clusterpolicies import ingress

FROM = "spec.ingress[0].from"
TO = "spec.egress[0].to[0]"
PROTOCOLS = "spec.ingress[0].protocols"
PORT = f"{PROTOCOLS}[0].tcp.destinationPort"


def at_least(path: str, count: int, noun: str) -> str:
    return f"{path}: Invalid value: {count}: {path} in body should have at least 1 {noun}"


def numbered(port: Any) -> dict[str, Any]:
    return ingress(protocols=[{"tcp": {"destinationPort": port}}])
