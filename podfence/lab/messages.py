"""What a command asks a lab that is up, and what it gets: values that travel through its socket."""

from __future__ import annotations

from dataclasses import dataclass, field

from podfence.manifests.positions import Positions
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.model.objects import IPAddress
from podfence.policy.domains import NO_NAMES, Names
from podfence.questions.can import Can


@dataclass(frozen=True, slots=True)
class Input:
    """A cluster as its objects, where they are written, and what domain names stand for."""

    objects: tuple[ClusterObject, ...]
    positions: Positions
    names: dict[str, frozenset[IPAddress]] = field(default_factory=dict)

    @classmethod
    def of(cls, cluster: Cluster, positions: Positions, names: Names = NO_NAMES) -> Input:
        """What ``Cluster.of`` makes the same cluster of."""
        objects: tuple[ClusterObject, ...] = (
            *cluster.namespaces.values(),
            *cluster.nodes.values(),
            *cluster.pods,
            *cluster.services,
            *cluster.policies,
            *cluster.admin_policies,
        )
        return cls(objects, positions, dict(names))


@dataclass(frozen=True, slots=True)
class Apply:
    """Become another cluster. ``watch``: with live connections that are watched meanwhile."""

    input: Input
    watch: bool = False


@dataclass(frozen=True, slots=True)
class Why:
    """Explain one question, and send its packet."""

    question: Can


@dataclass(frozen=True, slots=True)
class TryAll:
    """Send every probe again."""


@dataclass(frozen=True, slots=True)
class Status:
    """Say what is there."""


@dataclass(frozen=True, slots=True)
class Exec:
    """Where commands for a node named ``node``, or else for a pod or workload's first pod named
    ``pod``, have to run. ``namespace``: that of names of the form ``kind/name``."""

    node: str
    pod: str
    namespace: str = DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True)
class Down:
    """End."""


Message = Apply | Why | TryAll | Status | Exec | Down


@dataclass(frozen=True, slots=True)
class Reply:
    """What to print, and the exit status that it stands for."""

    text: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Namespace:
    """Descriptor ``number`` of process ``pid`` holds the network namespace; ``rootless``: the
    process has a user namespace of its own, which has to be entered first."""

    pid: int
    number: int
    rootless: bool
