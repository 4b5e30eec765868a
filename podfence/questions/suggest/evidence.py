"""Flows -> connections between workloads of this cluster, and flows that are no evidence.

Rule: a record counts for the workloads at its ends, not for their pods, because pods come and go.
Nothing is left out silently.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from podfence.engine.permitted import is_one_pod
from podfence.flows.seen import EndKind, RecordedFlow, RecordedVerdict
from podfence.questions.parties import literal
from podfence.questions.suggest.resolver import EndResolver, KnownEnd, Unresolved
from podfence.sets.ports import OTHER

EPHEMERAL: Final = 32768
"""Ports from here on are given to clients by systems of the usual settings."""
_MOST_HIGH: Final = 3
"""More undeclared ports than this, from EPHEMERAL on and between the same ends, are ephemeral."""


class ObservedConnection(Struct, frozen=True):
    """A connection of workloads on one port. ``first``, ``last``: "" where no record has times.
    ``families``: the IP versions in the records; if they have none, all that the ends share."""

    source: KnownEnd
    destination: KnownEnd
    protocol: str
    port: int
    count: int = 0
    first: str = ""
    last: str = ""
    families: frozenset[int] = frozenset()
    promised: bool = False

    def joined(self, other: ObservedConnection) -> ObservedConnection:
        """This and what else was seen of the same."""
        return replace(
            self,
            count=self.count + other.count,
            first=min(filter(None, (self.first, other.first)), default=""),
            last=max(self.last, other.last),
            families=self.families | other.families,
            promised=self.promised or other.promised,
        )


class ExclusionReason(Enum):
    """Why flows that could be resolved are no evidence."""

    OWN_NODE = "from the pod's own node, which no policy can deny"
    NO_POD = "where neither end is a pod that policies apply to"
    ITSELF = "from a pod to itself, which no policy can deny"
    EPHEMERAL = "to ephemeral ports that no pod declares, as in replies"
    PORTLESS = "of ICMP, which a NetworkPolicy can only allow together with every port"


class UnresolvedFlow(Struct, frozen=True):
    """A flow with an end that is not known, and why."""

    flow: RecordedFlow
    because: str


class Evidence(Struct, frozen=True):
    """``seen``: connections that passed; ``denied``: connections that did not. ``aside``: flows
    that are no evidence, counted."""

    seen: tuple[ObservedConnection, ...]
    denied: tuple[ObservedConnection, ...]
    nameless: tuple[UnresolvedFlow, ...]
    aside: Mapping[ExclusionReason, int]

    @property
    def first(self) -> str:
        """The time of the earliest record, "" where no record has times."""
        return min((each.first for each in self.seen + self.denied if each.first), default="")

    @property
    def last(self) -> str:
        """The time of the latest record."""
        return max((each.last for each in self.seen + self.denied), default="")


_Key = tuple[KnownEnd, KnownEnd, str, int]


def evidence(
    flows: Iterable[RecordedFlow], resolver: EndResolver, *, portless: bool = False
) -> Evidence:
    """What the flows show about the workloads of a cluster. ``portless``: protocols without ports
    count too: no rule is made of them, but they have verdicts."""
    sums: dict[RecordedVerdict, dict[_Key, ObservedConnection]] = {
        each: {} for each in RecordedVerdict
    }
    nameless: list[UnresolvedFlow] = []
    aside: dict[ExclusionReason, int] = defaultdict(int)
    for flow in flows:
        if flow.source.sort is EndKind.OWN_NODE:
            aside[ExclusionReason.OWN_NODE] += flow.count
            continue
        try:
            source = resolver.source(flow.source)
            ways = list(resolver.destinations(flow.destination, flow.protocol, flow.port))
        except Unresolved as error:
            nameless.append(UnresolvedFlow(flow, str(error)))
            continue
        for to, port in ways:
            why = _no_evidence(source, to, flow.protocol, resolver, portless=portless)
            if why is not None:
                aside[why] += flow.count
                continue
            key = source, to, flow.protocol, port
            found = sums[flow.verdict]
            new = ObservedConnection(*key, flow.count, flow.first, flow.last, _families(flow))
            found[key] = found[key].joined(new) if key in found else new
    seen = _without_ephemeral(sums[RecordedVerdict.ALLOWED], resolver, aside)
    denied = _without_ephemeral(sums[RecordedVerdict.DENIED], resolver, aside)
    return Evidence(seen, denied, tuple(nameless), dict(aside))


def _no_evidence(
    source: KnownEnd, to: KnownEnd, protocol: str, resolver: EndResolver, *, portless: bool
) -> ExclusionReason | None:
    if source.workload is None and to.workload is None:
        return ExclusionReason.NO_POD
    if protocol == OTHER and not portless:
        return ExclusionReason.PORTLESS
    if source.workload is not None and source.workload == to.workload:
        return ExclusionReason.ITSELF if is_one_pod(resolver.members[source.workload]) else None
    if source.is_node and source.address is not None and to.workload is not None:
        return ExclusionReason.OWN_NODE if _is_own(source, to, resolver) else None
    return None


def _is_own(node: KnownEnd, to: KnownEnd, resolver: EndResolver) -> bool:
    """Whether every pod of a workload runs on this node."""
    assert to.workload is not None
    return all(
        node.address in pod.host_addresses or resolver.is_of_node(node, pod.node)
        for pod in resolver.members[to.workload]
    )


def _families(flow: RecordedFlow) -> frozenset[int]:
    """The IP version of a flow, if an end has an address."""
    found = (literal(end.address) for end in (flow.source, flow.destination) if end.address)
    return frozenset(address.version for address in found if address is not None)


def _without_ephemeral(
    found: Mapping[_Key, ObservedConnection],
    resolver: EndResolver,
    aside: dict[ExclusionReason, int],
) -> tuple[ObservedConnection, ...]:
    """Without connections that look like replies whose beginning was not recorded."""
    high: dict[tuple[KnownEnd, KnownEnd, str], list[_Key]] = defaultdict(list)
    for key in found:
        source, to, protocol, port = key
        if port >= EPHEMERAL and not _declares(to, protocol, port, resolver):
            high[source, to, protocol].append(key)
    left = {key for keys in high.values() if len(keys) > _MOST_HIGH for key in keys}
    for key in left:
        aside[ExclusionReason.EPHEMERAL] += found[key].count
    kept = (connection for key, connection in found.items() if key not in left)
    return tuple(sorted(kept, key=_order))


def _declares(to: KnownEnd, protocol: str, port: int, resolver: EndResolver) -> bool:
    if to.workload is None:
        return False
    return any(
        (each.protocol.value, each.port) == (protocol, port)
        for pod in resolver.members[to.workload]
        for each in pod.ports
    )


def _order(each: ObservedConnection) -> tuple[str, str, str, int]:
    return each.destination.name, each.source.name, each.protocol, each.port
