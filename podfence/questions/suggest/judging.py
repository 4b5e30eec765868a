"""Connections between workloads judged by the engine.

Rule: a connection of workloads is allowed if each pod of the one reaches each pod of the other,
over every IP version in which it was seen. Pods of one class are judged once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from podfence.engine.evaluate import Evaluator
from podfence.engine.permitted import Subjects, is_itself
from podfence.model.meta import ObjectRef
from podfence.model.objects import Pod
from podfence.policy.flow import Direction, Flow, Verdict
from podfence.policy.index import NETWORK_POLICY_TIER, CompiledTier, PolicyIndex
from podfence.questions.suggest.evidence import ObservedConnection
from podfence.questions.suggest.resolver import KnownEnd
from podfence.sets import AddressSet
from podfence.sets.addresses import IPAddress

_FAMILIES: Final = frozenset({4, 6})
_Part = tuple[Subjects, tuple[IPAddress, ...]]
"""A pod, or none for ends outside, and addresses."""


class ConnectionJudge:
    """Judges in one index. ``members``: the pods of each workload, the same in every index of one
    cluster."""

    def __init__(self, index: PolicyIndex, members: Mapping[ObjectRef, tuple[Pod, ...]]) -> None:
        self._index = index
        self._members = members
        self._judge = Evaluator(index)
        self._addresses: dict[ObjectRef, tuple[_Part, ...]] = {}

    def verdicts(self, connection: ObservedConnection) -> Iterator[Verdict]:
        """What the engine says; nothing where the ends have no address of the same IP version that
        is known."""
        for source, far in self._pairs(connection):
            flow = Flow(source, far, connection.protocol, connection.port)
            yield self._judge.verdict(flow)

    def denied(self, connection: ObservedConnection) -> Verdict | None:
        """A verdict that denies, None where there is none."""
        return next((each for each in self.verdicts(connection) if not each.allowed), None)

    def is_judged(self, connection: ObservedConnection) -> bool:
        """Whether both ends have addresses of the same IP version."""
        return next(self._pairs(connection), None) is not None

    def allows(self, connection: ObservedConnection, direction: Direction) -> bool:
        """Whether one direction allows it, for all pods."""
        if direction is Direction.EGRESS:
            return all(each.egress.allowed for each in self.verdicts(connection))
        return all(each.ingress.allowed for each in self.verdicts(connection))

    def isolates(self, workload: ObjectRef, direction: Direction) -> bool:
        """Whether NetworkPolicies isolate every pod of a workload."""
        return all(
            any(tier.name == NETWORK_POLICY_TIER for tier in self._tiers(pod, direction))
            for pod in self._members[workload]
        )

    def _tiers(self, pod: Pod, direction: Direction) -> tuple[CompiledTier, ...]:
        endpoint = self._index.endpoints[f"{pod.namespace}/{pod.name}"]
        return self._index.policies[endpoint.endpoint_class].of(direction).tiers

    def _pairs(self, connection: ObservedConnection) -> Iterator[tuple[IPAddress, IPAddress]]:
        families = connection.families or _FAMILIES
        for source, sources in self._of(connection.source):
            for to, destinations in self._of(connection.destination):
                if is_itself(source, to):
                    continue
                yield from (
                    (address, remote)
                    for address in sources
                    for remote in destinations
                    if address.version == remote.version and address.version in families
                )

    def _of(self, party: KnownEnd) -> tuple[_Part, ...]:
        """Pods that stand for all of a party, with their addresses; two of each class, so that one
        is left beside itself."""
        if party.block is not None:
            return (((), tuple(self._of_block(party.block))),)
        if party.workload is None:
            return (((), (party.address,)),) if party.address is not None else ()
        found = self._addresses.get(party.workload)
        if found is None:
            of_class: dict[int, list[_Part]] = {}
            for pod in self._members[party.workload]:
                endpoint = self._index.endpoints[f"{pod.namespace}/{pod.name}"]
                some = of_class.setdefault(endpoint.endpoint_class, [])
                if len(some) < 2 and endpoint.addresses:
                    some.append(((endpoint,), endpoint.addresses))
            found = tuple(each for some in of_class.values() for each in some)
            self._addresses[party.workload] = found
        return found

    def _of_block(self, whole: AddressSet) -> Iterator[IPAddress]:
        """An address for each class of addresses outside that is in a block."""
        for each in self._index.classes:
            if each.outside is not None and (part := each.outside & whole):
                yield next(part.networks()).network_address
