"""Cluster: a frozen snapshot of all objects that judgements depend on.

Rule: from here on nothing can fail on input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.objects import Namespace, Node, Pod, Service

ClusterObject = Namespace | Node | Pod | Service | NetworkPolicy


@dataclass(frozen=True, slots=True)
class Cluster:
    """``namespaces`` hold every namespace that any object names, with the automatic label (NP-21)."""

    namespaces: Mapping[str, Namespace]
    nodes: Mapping[str, Node]
    pods: tuple[Pod, ...]
    services: tuple[Service, ...]
    policies: tuple[NetworkPolicy, ...]
