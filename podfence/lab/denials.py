"""Packets that the nodes of a lab denied, with causes as the agent reports them. Process: the lab's
background one.

Rule: the cause of a packet comes from the policies that were in force when it was denied. So all
denials up to a change are explained before it is applied.
"""

from __future__ import annotations

from collections.abc import Mapping

from podfence.drops.attempt import attempt_of
from podfence.drops.attribution import Attribution
from podfence.drops.ledger import MOST, Attributed, DropLedger
from podfence.drops.record import Drops, rfc3339
from podfence.lab.probing.denied import DenialBatch
from podfence.live.node import LiveIndex
from podfence.model.cluster import Cluster
from podfence.model.facts import Put
from podfence.nft.lowering.assembly import Assembly
from podfence.nft.lowering.lower import LocalNode
from podfence.policy.domains import DomainTable
from podfence.testing.facts import facts_of


class Denials:
    """One ledger a node."""

    def __init__(self) -> None:
        self._ledgers: dict[str, DropLedger] = {}

    def take(
        self, noted: Mapping[str, DenialBatch], cluster: Cluster, names: DomainTable
    ) -> Mapping[str, str]:
        """Copies that came, by node, and the cluster whose policies denied; what is wrong with the
        log of a node."""
        for node, found in noted.items():
            ledger = self._ledgers.setdefault(node, DropLedger(node, rfc3339))
            ledger.lose(found.lost)
            times = {}
            for at, copy in found.copies:
                attempt = attempt_of(copy.prefix, copy.family, copy.data)
                if attempt is not None:
                    ledger.add(attempt, at)
                    times[attempt] = at
            asked = ledger.questions(MOST)
            attribution = _attribution(node, cluster, names) if asked else None
            for attempt in asked:
                if attribution is not None:
                    source, destination = map(
                        attribution.end, (attempt.source, attempt.destination)
                    )
                    answer = Attributed(source, destination, attribution.cause(attempt))
                    ledger.answer(attempt, answer, times.get(attempt, 0.0))
        return {node: found.fault for node, found in noted.items() if found.fault}

    def drops(self, since: Mapping[str, int]) -> tuple[Drops, ...]:
        """What has changed after a serial, by node."""
        return tuple(
            ledger.drops(since.get(node, 0)) for node, ledger in sorted(self._ledgers.items())
        )


def _attribution(node: str, cluster: Cluster, names: DomainTable) -> Attribution:
    index = LiveIndex(node, names)
    assembly = Assembly(LocalNode(node), index.selections)
    things = (
        *cluster.namespaces.values(),
        *cluster.nodes.values(),
        *cluster.pods,
        *cluster.policies,
        *cluster.admin_policies,
        *cluster.audited,
    )
    assembly.apply(index.apply(Put(facts_of(thing)) for thing in things))
    return Attribution(index, assembly.group)
