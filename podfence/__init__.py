"""podfence: Kubernetes NetworkPolicy, implemented whole.

The names below are what the library promises; everything else may change.

>>> from podfence import load
>>> load("manifests/").can("shop/web", "shop/db:5432")         # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from podfence._version import __version__

if TYPE_CHECKING:
    from podfence.engine.clusterpairs import ClusterPairs
    from podfence.engine.connections import connections
    from podfence.engine.evaluate import evaluate
    from podfence.library.input import Input, load
    from podfence.live.clusterindex import ClusterIndex
    from podfence.model.cluster import Cluster
    from podfence.model.networkpolicy import NetworkPolicy
    from podfence.model.objects import Namespace, Pod
    from podfence.policy.compile import compile_cluster
    from podfence.policy.flow import Flow, Verdict
    from podfence.policy.index import PolicyIndex
    from podfence.sets import AddressSet, PortSet

_HOMES = {
    "load": "podfence.library.input",
    "Input": "podfence.library.input",
    "Cluster": "podfence.model.cluster",
    "NetworkPolicy": "podfence.model.networkpolicy",
    "Namespace": "podfence.model.objects",
    "Pod": "podfence.model.objects",
    "compile_cluster": "podfence.policy.compile",
    "PolicyIndex": "podfence.policy.index",
    "Flow": "podfence.policy.flow",
    "Verdict": "podfence.policy.flow",
    "evaluate": "podfence.engine.evaluate",
    "ClusterIndex": "podfence.live.clusterindex",
    "ClusterPairs": "podfence.engine.clusterpairs",
    "connections": "podfence.engine.connections",
    "AddressSet": "podfence.sets",
    "PortSet": "podfence.sets",
}

__all__ = [
    "AddressSet",
    "Cluster",
    "ClusterIndex",
    "ClusterPairs",
    "Flow",
    "Input",
    "Namespace",
    "NetworkPolicy",
    "Pod",
    "PolicyIndex",
    "PortSet",
    "Verdict",
    "__version__",
    "compile_cluster",
    "connections",
    "evaluate",
    "load",
]


def __getattr__(name: str) -> object:
    """Import on first use: ``podfence --help`` must not pay for the whole library."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'podfence' has no attribute {name!r}")
