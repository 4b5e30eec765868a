"""Short ways to write policy manifests in tests of decoding."""

from __future__ import annotations

from typing import Any

from podfence.admission.decode import decode
from podfence.errors import Problem, Source
from podfence.model.networkpolicy import NetworkPolicy

SOURCE = Source("policy.yaml")


def manifest(spec: Any = None, **metadata: Any) -> dict[str, Any]:
    """A policy ``default/p`` with a spec; keywords replace or add metadata."""
    data: dict[str, Any] = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", **metadata},
    }
    return data if spec is None else {**data, "spec": spec}


def policy_of(spec: Any, **metadata: Any) -> NetworkPolicy:
    """The decoded policy, which must be free of errors."""
    decoded = decode(manifest(spec, **metadata), SOURCE)
    (value,) = decoded.objects
    assert isinstance(value, NetworkPolicy)
    return value


def problems_of(spec: Any, **metadata: Any) -> tuple[Problem, ...]:
    """What decoding has to say."""
    return decode(manifest(spec, **metadata), SOURCE).problems


def messages_of(spec: Any, **metadata: Any) -> list[str]:
    """The messages of all problems."""
    return [problem.message for problem in problems_of(spec, **metadata)]
