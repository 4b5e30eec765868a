"""allowing(asker, answer) -> the smallest edits after which a denied connection is allowed.

Rule: what opens beyond the connection comes first, the size of the edit second. An item is added to
a rule only where it means nothing more than the connection; else a rule is added to a policy that
selects the workload alone; else a policy is written that does, where it isolates nobody again; else
the policy with the fewest other pods gets the rule. So nothing is closed. What the edits really
open is shown by their plan, never claimed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct

from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyPort, NetworkPolicyRule
from podfence.model.objects import Pod
from podfence.policy.flow import Decision, Direction, Reason
from podfence.policy.index import PolicyIndex
from podfence.questions.can import EndPair
from podfence.questions.parties import PartyEnd
from podfence.questions.phrases.matched import MatchedPods
from podfence.questions.phrases.tierwords import policy_name
from podfence.questions.repair.changes import Append, NewObject, ObjectPatch
from podfence.questions.repair.telling import peer_of, telling_labels
from podfence.sets.ports import OTHER


class AllowStep(Struct, frozen=True):
    """One edit, for one direction. ``policy``: that is edited or written."""

    direction: Direction
    policy: ObjectRef
    edit: ObjectPatch | NewObject


class Repair(Struct, frozen=True):
    """The edits that a connection needs. ``because``: why there are none; "" where there are."""

    steps: tuple[AllowStep, ...] = ()
    because: str = ""


def allowing(index: PolicyIndex, case: EndPair) -> Repair:
    """What to edit so that a denied case is allowed."""
    steps: list[AllowStep] = []
    for direction, near, far, decision in (
        (Direction.EGRESS, case.source, case.destination, case.verdict.egress),
        (Direction.INGRESS, case.destination, case.source, case.verdict.ingress),
    ):
        if decision.allowed:
            continue
        if because := _beyond(near, decision):
            return Repair(because=because)
        side = _DirectionSide(index, direction, near, far, case)
        step = side.best()
        if step is None:
            return Repair(because="the policies come from no file, so there is nothing to edit")
        steps.append(step)
    return Repair(tuple(steps))


def _beyond(near: PartyEnd, decision: Decision) -> str:
    """Why no NetworkPolicy can allow it; "" if one can."""
    if decision.reason is not Reason.ISOLATED or near.endpoint is None:
        by = policy_name(decision.origins[0].policy) if decision.origins else "no policy"
        return f"{by} denies it, and no NetworkPolicy can allow what its tier denies"
    return ""


class _DirectionSide:
    """One direction of a connection. ``near``: the end that is isolated."""

    def __init__(
        self, index: PolicyIndex, direction: Direction, near: PartyEnd, far: PartyEnd, case: EndPair
    ) -> None:
        self._index = index
        self._direction = direction
        self._far = far
        self._case = case
        self._matched = MatchedPods(index)
        assert near.endpoint is not None
        self._subject = near.endpoint.pod
        self._own = self._workload(self._subject)
        self._others = self._workload(far.endpoint.pod) if far.endpoint is not None else ()
        self._namespace = self._subject.namespace

    def _workload(self, pod: Pod) -> tuple[Pod, ...]:
        if pod.owner is None:
            return (pod,)
        return tuple(
            each
            for each in self._index.cluster.pods
            if each.owner == pod.owner and not each.host_network
        )

    def best(self) -> AllowStep | None:
        """The step that opens least; None where no policy has a file."""
        usable = [policy for policy in self._policies if policy.source is not None]
        alone = [policy for policy in usable if self._strangers(policy) == 0]
        for policy in alone:
            for path, rule in self._rules(policy):
                change = self._into(path, rule)
                if change is not None and policy.source is not None:
                    return AllowStep(
                        self._direction, policy.ref, ObjectPatch(policy.source, (change,))
                    )
        if alone:
            return self._with_rule(alone[0])
        if usable:
            labels = telling_labels(self._index.cluster, self._own)
            least = min(usable, key=self._strangers)
            if self._is_closer(labels, least):
                return self._written(usable[0], labels)
            return self._with_rule(least)
        return None

    @cached_property
    def _policies(self) -> list[NetworkPolicy]:
        """The policies that isolate the subject: first those with rules, then by name."""
        name = f"{self._subject.namespace}/{self._subject.name}"
        number = self._index.endpoints[name].endpoint_class
        return [
            policy
            for policy in sorted(self._index.cluster.policies, key=self._rank)
            if policy.ref.namespace == self._namespace
            and self._direction.policy_type in policy.policy_types
            and number in self._index.selected.get(policy.ref, ())
        ]

    def _rank(self, policy: NetworkPolicy) -> tuple[bool, str]:
        return not policy.rules_of(self._direction.policy_type), policy.ref.name

    def _strangers(self, policy: NetworkPolicy) -> int:
        """How many pods of other workloads a policy selects."""
        own = {pod.name for pod in self._own}
        return sum(end.pod.name not in own for end in self._matched.subjects(policy))

    def _is_closer(self, labels: Mapping[str, str], least: NetworkPolicy) -> bool:
        """Whether a policy for these labels selects fewer pods of other workloads than the present
        best one, and only pods that are isolated already: it would isolate the others."""
        meant = {
            pod.name
            for pod in self._index.cluster.pods
            if pod.namespace == self._namespace and labels.items() <= dict(pod.labels).items()
        }
        isolated = {
            end.pod.name
            for policy in self._matched.policies_of(self._namespace)
            if self._direction.policy_type in policy.policy_types
            for end in self._matched.subjects(policy)
        }
        strangers = meant - {pod.name for pod in self._own}
        return meant <= isolated and len(strangers) < self._strangers(least)

    def _rules(self, policy: NetworkPolicy) -> Iterator[tuple[str, NetworkPolicyRule]]:
        for at, rule in enumerate(policy.rules_of(self._direction.policy_type)):
            yield f"spec.{self._direction.value}[{at}]", rule

    # -- edits

    def _into(self, path: str, rule: NetworkPolicyRule) -> Append | None:
        """An item for a rule that means this connection in all but one list; None for others."""
        if not rule.peers or not rule.ports or self._case.protocol == OTHER:
            return None
        if self._means_far(rule):
            return Append(f"{path}.ports", self._port())
        peers = self._peers()
        if len(peers) == 1 and rule.ports and all(map(self._is_port, rule.ports)):
            return Append(f"{path}.{self._direction.peer_field}", peers[0])
        return None

    def _means_far(self, rule: NetworkPolicyRule) -> bool:
        """Whether the peers of a rule are the pods of the far workload, the end among them."""
        if self._far.endpoint is None or any(peer.ip_block for peer in rule.peers):
            return False
        found = {
            (end.pod.namespace, end.pod.name)
            for peer in rule.peers
            for end in self._matched.peers(self._namespace, peer)
        }
        pod = self._far.endpoint.pod
        return (pod.namespace, pod.name) in found and found <= {
            (each.namespace, each.name) for each in self._others
        }

    def _is_port(self, port: NetworkPolicyPort) -> bool:
        """Whether a port of a rule is that of the connection and no other."""
        if port.protocol.value != self._case.protocol or port.end_port not in (None, port.port):
            return False
        if isinstance(port.port, int):
            return port.port == self._case.port
        pod = self._case.destination.endpoint
        declared = pod.pod.ports if pod is not None else ()
        return any(
            (each.name, each.protocol, each.port) == (port.port, port.protocol, self._case.port)
            for each in declared
        )

    def _with_rule(self, policy: NetworkPolicy) -> AllowStep:
        assert policy.source is not None
        change = Append(f"spec.{self._direction.value}", self._rule())
        return AllowStep(self._direction, policy.ref, ObjectPatch(policy.source, (change,)))

    def _written(self, beside: NetworkPolicy, labels: Mapping[str, str]) -> AllowStep:
        assert beside.source is not None
        name = self._free_name()
        value = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": self._namespace},
            "spec": {
                "podSelector": {"matchLabels": dict(labels)} if labels else {},
                "policyTypes": [self._direction.policy_type.value],
                self._direction.value: [self._rule()],
            },
        }
        ref = ObjectRef("NetworkPolicy", self._namespace, name)
        return AllowStep(self._direction, ref, NewObject(beside.source, value))

    def _free_name(self) -> str:
        taken = {p.ref.name for p in self._index.cluster.policies}
        stem = self._subject.owner.name if self._subject.owner else self._subject.name
        name = f"{stem}-{self._direction.value}"[:240]
        number = 2
        while name in taken:
            name, number = f"{stem}-{self._direction.value}"[:240] + f"-{number}", number + 1
        return name

    def _rule(self) -> dict[str, object]:
        rule: dict[str, object] = {self._direction.peer_field: self._peers()}
        if self._case.protocol != OTHER:
            rule["ports"] = [self._port()]
        return rule

    def _peers(self) -> list[object]:
        return peer_of(self._index.cluster, self._far, self._others, self._namespace)

    def _port(self) -> dict[str, object]:
        port: dict[str, object] = {"port": self._case.port}
        if self._case.protocol != "TCP":
            port["protocol"] = self._case.protocol
        return port
