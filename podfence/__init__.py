"""podfence: Kubernetes NetworkPolicy, implemented whole.

The names below are what the library promises; everything else may change.

>>> from podfence import compile_cluster, evaluate, load
>>> index = compile_cluster(load(["manifests/"]).cluster)      # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module

from podfence._version import __version__

_HOMES = {
    "load": "podfence.manifests.load",
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
