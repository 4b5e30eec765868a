"""fix_of(index, finding) -> the edit that repairs what a finding says, where it is clear.

Rule: one repair, or none: where two things may be meant, nothing is proposed. Whether the repair
opens more than the policy says is asked of the engine afterwards (``questions.repair.harmless``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address

from msgspec import Struct

from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef
from podfence.model.networkpolicy import NetworkPolicy, NetworkPolicyRule
from podfence.policy.addressblocks import ip_block
from podfence.policy.flow import Direction
from podfence.policy.index import PolicyIndex
from podfence.questions.lint.findings import Finding
from podfence.questions.lint.note import LintedPolicy, WrittenObjects
from podfence.questions.lint.note_labels import near_labels
from podfence.questions.lint.note_outside import METADATA
from podfence.questions.lint.note_ports import services_in_front
from podfence.questions.phrases.matched import Matched
from podfence.questions.repair.changes import Append, FieldEdit, ObjectPatch, Rename, SetField


class Fix(Struct, frozen=True):
    """The repair of one finding. ``words``: what the edit does."""

    finding: Finding
    policy: ObjectRef
    edit: ObjectPatch
    words: str


_Found = tuple[tuple[FieldEdit, ...], str]
"""Changes, and what they do in words."""


class Fixes:
    """Repairs for findings of one index. ``written``: how objects were written."""

    def __init__(self, index: PolicyIndex, written: WrittenObjects) -> None:
        self._index = index
        self._written = written
        self._matched = Matched(index)
        self._policies = {policy.ref: policy for policy in index.cluster.policies}

    def of(self, finding: Finding) -> Fix | None:
        """The repair; None where none is clear."""
        policy = self._policies.get(finding.object)
        make = _FIXES.get(finding.code)
        if policy is None or make is None or policy.source is None:
            return None
        raw = self._written.raw(policy.source)
        case = LintedPolicy(self._index, policy, raw, self._matched, self._written)
        found = next(make(case, finding.path), None)
        if found is None:
            return None
        changes, words = found
        return Fix(finding, policy.ref, ObjectPatch(policy.source, changes), words)


_AT = re.compile(
    r"spec\.(?P<way>ingress|egress)\[(?P<rule>\d+)\]"
    r"(?:\.(?P<list>from|to|ports)\[(?P<item>\d+)\])?"
)


class _RuleItem(Struct, frozen=True):
    """A rule, and perhaps an item of one of its lists."""

    direction: Direction
    rule: NetworkPolicyRule
    item: int

    @classmethod
    def of(cls, policy: NetworkPolicy, path: str) -> _RuleItem | None:
        found = _AT.match(path)
        if found is None:
            return None
        direction = Direction(found["way"])
        rules = policy.rules_of(direction.policy_type)
        return cls(direction, rules[int(found["rule"])], int(found["item"] or 0))


def _misspelt(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF320: the one label that is near."""
    near = near_labels(case, path)
    if len(near) != 1:
        return
    ((key, value), (right, meant)) = near[0]
    where = f"{path}.matchLabels[{key}]"
    if key == right:
        yield (SetField(where, meant),), f"{key}={value} becomes {key}={meant}"
    else:
        yield (Rename(where, right),), f"the key {key} becomes {right}"


def _name_of_namespace(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF321: the label that holds the name of a namespace."""
    listed = _RuleItem.of(case.policy, path)
    spaces = listed.rule.peers[listed.item].namespace_selector if listed else None
    known = case.index.cluster.namespaces
    for key, value in spaces.match_labels if spaces is not None else ():
        if key != METADATA_NAME_LABEL and value in known:
            change = Rename(f"{path}.matchLabels[{key}]", METADATA_NAME_LABEL)
            yield (change,), f"the key {key} becomes {METADATA_NAME_LABEL}"


def _egress_alone(case: LintedPolicy, _: str) -> Iterator[_Found]:
    """PF303."""
    yield (SetField("spec.policyTypes", ["Egress"]),), "policyTypes: [Egress] is written"


def _type_missing(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF304."""
    missing = Direction(path.removeprefix("spec.")).policy_type.value
    yield (Append("spec.policyTypes", missing),), f"policyTypes gets {missing}"


def _dns_over_udp(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF312."""
    ports = path.rpartition("[")[0]
    yield (Append(ports, {"protocol": "UDP", "port": 53}),), "UDP port 53 is added beside it"


def _other_protocol(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF327: where the pods declare the number for one protocol."""
    listed = _RuleItem.of(case.policy, path)
    if listed is None:
        return
    number = listed.rule.ports[listed.item].port
    lists = case.matched.port_lists(case.targets(listed.direction, listed.rule))
    declared = {p.protocol.value for ports in lists for p in ports if p.port == number}
    if len(declared) == 1:
        [protocol] = declared
        yield (SetField(f"{path}.protocol", protocol),), f"the protocol becomes {protocol}"


def _port_of_pods(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF309, PF329: the port of the pods in place of that of their Service."""
    listed = _RuleItem.of(case.policy, path)
    if listed is None:
        return
    targets = case.targets(listed.direction, listed.rule)
    services = services_in_front(case, targets, listed.rule.ports[listed.item])
    meant = {item.target_port for _, item in services}
    if len(meant) == 1:
        [port] = meant
        yield (SetField(f"{path}.port", port),), f"the port becomes {port}"


def _without_metadata(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF353: where every address is allowed."""
    listed = _RuleItem.of(case.policy, path)
    block = listed.rule.peers[listed.item].ip_block if listed else None
    if block is None or block.cidr.prefixlen:
        return
    addresses = ip_block(block).addresses
    hit = [address for address in map(ip_address, map(str, METADATA)) if address in addresses]
    wanted = [f"{address}/{address.max_prefixlen}" for address in hit]
    changes = tuple(Append(f"{path}.ipBlock.except", each) for each in wanted)
    yield changes, f"except gets {', '.join(wanted)}"


_FIXES: Mapping[str, Callable[[LintedPolicy, str], Iterator[_Found]]] = {
    "PF303": _egress_alone,
    "PF304": _type_missing,
    "PF309": _port_of_pods,
    "PF312": _dns_over_udp,
    "PF320": _misspelt,
    "PF321": _name_of_namespace,
    "PF327": _other_protocol,
    "PF329": _port_of_pods,
    "PF353": _without_metadata,
}
