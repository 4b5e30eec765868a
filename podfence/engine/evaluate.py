"""evaluate(index, flow) -> Verdict: the first back end answers one flow in memory.

Rule: a loop over compiled data; nothing about selectors, defaults or manifests is known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from podfence.engine.permitted import from_own_node, is_itself
from podfence.policy.flow import Action, Decision, Direction, Flow, Reason, Verdict
from podfence.policy.index import (
    CompiledRule,
    CompiledTier,
    DirectionPolicy,
    Endpoint,
    PolicyIndex,
)
from podfence.sets.addresses import IPAddress

_ALLOWED = {
    reason: Decision(True, reason)
    for reason in (
        Reason.DEFAULT,
        Reason.NOT_ISOLATED,
        Reason.NOT_A_POD,
        Reason.SELF,
        Reason.OWN_NODE,
    )
}
_ITSELF = Verdict(_ALLOWED[Reason.SELF], _ALLOWED[Reason.SELF])  # NP-54


def evaluate(index: PolicyIndex, flow: Flow) -> Verdict:
    """Judge one connection attempt at both ends (NP-6)."""
    return Evaluator(index).verdict(flow)


class EvaluatedEnd(Struct, frozen=True):
    """What an end of flows means, whatever the flow. ``subjects``: the pods whose policies judge
    it; several where it is not clear whose the address is (NP-60a). ``of_node``: the address is one
    of a known node."""

    subjects: tuple[Endpoint, ...]
    endpoint_class: int
    of_node: bool = False


class Evaluator:
    """``evaluate`` for many flows of one index: what is asked again of the same classes is
    remembered, and decisions of the same rules are one object."""

    def __init__(self, index: PolicyIndex) -> None:
        self.index = index
        self._memo: dict[tuple[int, int, int, str, int], Decision] = {}
        self._same: dict[tuple[int, ...], Decision] = {}
        self._sides: dict[IPAddress, EvaluatedEnd] = {}

    def verdict(self, flow: Flow, *, through: bool = False) -> Verdict:
        """Judge one connection attempt; see :func:`evaluate`. ``through``: a Service leads there,
        perhaps back to the pod that asks."""
        ends = self.side(flow.source), self.side(flow.destination)
        return self.between(*ends, flow, through=through)

    def between(
        self, source: EvaluatedEnd, destination: EvaluatedEnd, flow: Flow, *, through: bool = False
    ) -> Verdict:
        """The same for known ends: a pod is itself, even if another pod has its address."""
        ask = (flow.source.version, flow.protocol, flow.port)
        if is_itself(source.subjects, destination.subjects):
            return self._brought_back(source, ask) if through else _ITSELF
        egress = self.decision(source, Direction.EGRESS, destination.endpoint_class, ask)
        if (
            # seldom: hashing and comparing addresses is slow
            (source.of_node or any(s.pod.host_addresses for s in destination.subjects))
            and not source.subjects
        ):
            own = [from_own_node(self.index, flow.source, s) for s in destination.subjects]
            if own and all(own):
                return Verdict(egress, _ALLOWED[Reason.OWN_NODE])
            others = (s for s, exempt in zip(destination.subjects, own, strict=True) if not exempt)
            destination = replace(destination, subjects=tuple(others))
        ingress = self.decision(destination, Direction.INGRESS, source.endpoint_class, ask)
        return Verdict(egress, ingress)

    def _brought_back(self, pod: EvaluatedEnd, ask: tuple[int, str, int]) -> Verdict:
        """What a Service leads back to the pod that asks it: tiers in order judge it, unlike what a
        pod sends to its own address (CNP-27); isolation does not (NP-55)."""

        def one(direction: Direction) -> Decision:
            ends = (self.end(each, direction, pod.endpoint_class, *ask) for each in pod.subjects)
            said = [_ALLOWED[Reason.SELF] if d.reason is Reason.ISOLATED else d for d in ends]
            return next((decision for decision in said if not decision.allowed), said[0])

        return Verdict(one(Direction.EGRESS), one(Direction.INGRESS))

    def side(self, address: IPAddress) -> EvaluatedEnd:
        """What an address means as an end."""
        found = self._sides.get(address)
        if found is None:
            index = self.index
            of_node = address in index.by_node_address
            found = EvaluatedEnd(index.subjects_at(address), index.class_of(address), of_node)
            self._sides[address] = found
        return found

    def decision(
        self, side: EvaluatedEnd, direction: Direction, remote_class: int, ask: tuple[int, str, int]
    ) -> Decision:
        """One direction; each of several subjects has to allow it."""
        if len(side.subjects) < 2:
            subject = side.subjects[0] if side.subjects else None
            return self.end(subject, direction, remote_class, *ask)
        said = [self.end(subject, direction, remote_class, *ask) for subject in side.subjects]
        return next((decision for decision in said if not decision.allowed), said[0])

    def end(
        self,
        subject: Endpoint | None,
        direction: Direction,
        remote_class: int,
        family: int,
        protocol: str,
        port: int,
    ) -> Decision:
        """One direction for a subject pod; ``None``: that end is no pod, so nothing judges it."""
        if subject is None:
            return _ALLOWED[Reason.NOT_A_POD]
        policy = self.index.policies[subject.endpoint_class].of(direction)
        key = (policy.number, remote_class, family, protocol, port)
        found = self._memo.get(key)
        if found is None:
            found = self._decide(policy, remote_class, family, protocol, port)
            self._memo[key] = found
        return found

    def _decide(
        self, policy: DirectionPolicy, remote_class: int, family: int, protocol: str, port: int
    ) -> Decision:
        """As ``deciding``, with one object for decisions of the same rules."""
        found = deciding(policy, lambda r: fits(r, remote_class, family, protocol, port))
        if found is None:
            return _ALLOWED[Reason.DEFAULT if policy.tiers else Reason.NOT_ISOLATED]
        tier, action, fitting = found
        key = (tier.number, *(rule.number for rule in fitting))
        same = self._same.get(key)
        if same is None:
            same = self._same[key] = _decision(tier, action, fitting)
        return same


def decide(
    policy: DirectionPolicy, fits: Callable[[CompiledRule], bool]
) -> tuple[Decision, CompiledTier | None]:
    """One direction, for readers that know by themselves which rules fit; and the tier that
    decides, if one does."""
    found = deciding(policy, fits)
    if found is None:
        return _ALLOWED[Reason.DEFAULT if policy.tiers else Reason.NOT_ISOLATED], None
    return _decision(*found), found[0]


def deciding(
    policy: DirectionPolicy, fits: Callable[[CompiledRule], bool]
) -> tuple[CompiledTier, Action, list[CompiledRule]] | None:
    """The tier that decides, what it says, and its rules that say so; None: nothing decides."""
    for said in asked(policy, fits):
        if said[1] is not Action.PASS:
            return said
    return None


def asked(
    policy: DirectionPolicy, fits: Callable[[CompiledRule], bool]
) -> Iterator[tuple[CompiledTier, Action, list[CompiledRule]]]:
    """The tiers that are asked about one flow, in their order, each with what it says and its rules
    that say so: every rule that fits (NP-7), of a tier in order the first (CNP-7), none where the
    default says it. PASS goes on to the next tier (CNP-12)."""
    for tier in policy.tiers:
        if tier.ordered:
            first = next((rule for rule in tier.rules if fits(rule)), None)
            fitting = [] if first is None else [first]
        else:
            fitting = [rule for rule in tier.rules if fits(rule)]
        action = fitting[0].action if fitting else tier.default
        yield tier, action, fitting
        if action is not Action.PASS:
            return


def _decision(tier: CompiledTier, action: Action, fitting: list[CompiledRule]) -> Decision:
    if not fitting:
        return Decision(action is Action.ACCEPT, Reason.ISOLATED, tier.isolated_by)
    return Decision(action is Action.ACCEPT, Reason.RULE, tuple(rule.origin for rule in fitting))


def fits(rule: CompiledRule, remote_class: int, family: int, protocol: str, port: int) -> bool:
    """Whether some match of the rule holds the remote end and the port (NP-10, NP-14)."""
    for match in rule.matches:  # no generator: this is the innermost loop of every answer
        if match.peers.holds(remote_class, family) and (protocol, port) in match.ports:
            return True
    return False
