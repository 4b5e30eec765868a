"""What kinds are called on a command line: ``deploy``, ``deployments.apps``, ``Deployment``.

Rule: one table for everything that takes a name; the words are kubectl's, in any case.
"""

from __future__ import annotations

from collections.abc import Mapping

_SHORT: Mapping[str, tuple[str, ...]] = {
    "Namespace": ("ns",),
    "Node": ("no",),
    "Pod": ("po",),
    "Service": ("svc",),
    "ReplicationController": ("rc",),
    "Deployment.apps": ("deploy",),
    "StatefulSet.apps": ("sts",),
    "DaemonSet.apps": ("ds",),
    "ReplicaSet.apps": ("rs",),
    "Job.batch": (),
    "CronJob.batch": ("cj",),
    "NetworkPolicy.networking.k8s.io": ("netpol",),
    "ClusterNetworkPolicy.policy.networking.k8s.io": ("cnp",),
    "AdminNetworkPolicy.policy.networking.k8s.io": ("anp",),
    "BaselineAdminNetworkPolicy.policy.networking.k8s.io": ("banp",),
}
"""Kind with its API group, and the short names that API servers announce for it."""


def _plural(word: str) -> str:
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"


def _words() -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, short in _SHORT.items():
        kind, _, group = name.partition(".")
        for word in (kind.lower(), _plural(kind.lower())):
            found[word] = kind
            if group:
                found[f"{word}.{group}"] = kind
        found.update(dict.fromkeys(short, kind))
    return found


_KINDS = _words()


def kind_called(word: str) -> str:
    """The kind that a word stands for, "" when it stands for none."""
    return _KINDS.get(word.lower(), "")
