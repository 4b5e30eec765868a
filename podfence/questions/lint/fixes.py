"""fix_of(index, finding) -> the edit that repairs a finding, if it is clear.

Rule: one repair, or none: where two are possible, none is proposed. Afterwards the engine checks
whether the repair opens more than the policy says (``questions.repair.harmless``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address

from msgspec import Struct

from podfence.model.meta import METADATA_NAME_LABEL, ObjectRef
from podfence.model.networkpolicy import (
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyRule,
)
from podfence.policy.addressblocks import ip_block
from podfence.policy.flow import Direction
from podfence.policy.index import PolicyIndex
from podfence.questions.describe import peer_path
from podfence.questions.lint.findings import NEEDS_EVERYBODY, LintFinding
from podfence.questions.lint.note import LintedPolicy, PeerItem, PortItem, WrittenObjects
from podfence.questions.lint.note_labels import near_labels
from podfence.questions.lint.note_outside import METADATA
from podfence.questions.lint.note_peers import and_partners
from podfence.questions.lint.note_ports import services_in_front
from podfence.questions.phrases.matched import MatchedPods
from podfence.questions.repair.changes import (
    Append,
    FieldEdit,
    NewObject,
    ObjectPatch,
    Remove,
    Rename,
    SetField,
    steps,
    value_at,
)
from podfence.sets.addresses import IPNetwork


class Fix(Struct, frozen=True):
    """The repair of one finding. ``words``: what the edit does. ``unsafe``: a person has to confirm
    it, because it opens or closes connections that no text names."""

    finding: LintFinding
    policy: ObjectRef
    edit: ObjectPatch | NewObject
    words: str
    unsafe: bool = False


_Found = tuple[tuple[FieldEdit, ...], str]
"""Changes, and what they do in words."""


class Fixes:
    """Repairs for findings of one index. ``written``: how objects were written. ``pod_cidrs``: the
    ranges of the cluster's pods. ``is_partial``: the cluster has pods that are not in the index, so
    a selector that matches nothing may be right."""

    def __init__(
        self,
        index: PolicyIndex,
        written: WrittenObjects,
        pod_cidrs: tuple[IPNetwork, ...] = (),
        *,
        is_partial: bool = False,
    ) -> None:
        self._index = index
        self._written = written
        self._pod_cidrs = pod_cidrs
        self._is_partial = is_partial
        self._matched = MatchedPods(index)
        self._policies = {policy.ref: policy for policy in index.cluster.policies}

    def of(self, finding: LintFinding) -> Fix | None:
        """The repair; None where none is clear."""
        if finding.code == "PF351":
            return self._default_deny(finding)
        policy = self._policies.get(finding.object)
        if policy is None or policy.source is None:
            return None
        raw = self._written.raw(policy.source)
        case = LintedPolicy.of(self._index, policy, raw, self._matched, self._written)
        make = _FIXES.get(finding.code)
        unsafe = make is None or (self._is_partial and finding.code in NEEDS_EVERYBODY)
        if make is None:
            make = self._made_unsafely(finding.code)
        found = next(make(case, finding.path), None) if make is not None else None
        if found is None:
            return None
        changes, words = found
        return Fix(finding, policy.ref, ObjectPatch(policy.source, changes), words, unsafe)

    def _made_unsafely(self, code: str) -> Callable[[LintedPolicy, str], Iterator[_Found]] | None:
        if code == "PF341":
            return self._without_pods
        return _UNSAFE.get(code)

    def _without_pods(self, case: LintedPolicy, path: str) -> Iterator[_Found]:
        """PF341: ``except`` with where the pods are."""
        rule_item = _RuleItem.of(case.policy, path)
        block = rule_item.rule.peers[rule_item.item].ip_block if rule_item else None
        if block is None:
            return
        inside = [
            str(each)
            for each in self._pod_cidrs
            if each.version == block.cidr.version and each not in block.except_
        ]
        if inside:
            changes = tuple(Append(f"{path}.ipBlock.except", each) for each in inside)
            yield changes, f"except gets {', '.join(inside)}"

    def _default_deny(self, finding: LintFinding) -> Fix | None:
        """PF351: a policy that closes the directions of the finding for all pods."""
        name = finding.object.name
        ref = ObjectRef("NetworkPolicy", name, "default-deny")
        beside = [p for p in self._policies.values() if p.ref.namespace == name and p.source]
        taken = {policy.ref for policy in self._index.cluster.with_audited().policies}
        if ref in taken or not beside:
            return None
        first = beside[0].source
        assert first is not None
        types = [Direction(way).policy_type.value for way in finding.names]
        manifest = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": ref.name, "namespace": name},
            "spec": {"podSelector": {}, "policyTypes": types},
        }
        words = f"a policy {ref.name} closes {' and '.join(finding.names)} of all its pods"
        return Fix(finding, ref, NewObject(first, manifest), words, unsafe=True)


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
    yield (SetField("spec.policyTypes", ["Egress"]),), "policyTypes: [Egress] is added"


def _type_missing(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF304."""
    missing = Direction(path.removeprefix("spec.")).policy_type.value
    yield (Append("spec.policyTypes", missing),), f"policyTypes gets {missing}"


def _port_at(case: LintedPolicy, path: str) -> PortItem | None:
    return next((item for item in case.ports if item.path == path), None)


def _dns_over_udp(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF312."""
    ports = path.rpartition("[")[0]
    yield (Append(ports, {"protocol": "UDP", "port": 53}),), "UDP port 53 is added"


def _other_protocol(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF327: where the pods declare the number for one protocol."""
    item = _port_at(case, path)
    if item is None or not isinstance(item.port.port, int):
        return
    declared = case.matched.protocols(item.targets, item.port.port)
    if len(declared) == 1:
        [protocol] = [each.value for each in declared]
        yield (SetField(f"{path}.protocol", protocol),), f"the protocol becomes {protocol}"


def _port_of_pods(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF309, PF329: the port of the pods in place of that of their Service."""
    item = _port_at(case, path)
    if item is None:
        return
    services = services_in_front(case, item.targets, item.port)
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


def _one_item(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF315: the two items that are one, torn by a dash."""
    for item in case.peers:
        if peer_path(item.direction, item.number, item.at) == path:
            beside = and_partners(case, item)
            written = [at for at, peer in enumerate(_peers(case, item)) if peer in beside]
            selector = value_at(case.raw, steps(f"{path}.podSelector"))
            if len(written) == 1 and selector is not None:
                other = peer_path(item.direction, item.number, written[0])
                changes = (SetField(f"{other}.podSelector", selector), Remove(path))
                yield changes, f"{path} and {other} become one item"


def _peers(case: LintedPolicy, item: PeerItem) -> tuple[NetworkPolicyPeer, ...]:
    return case.policy.rules_of(item.direction.policy_type)[item.number].peers


def _pods_of_service(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF340: the pods behind the one Service whose address a block holds."""
    rule_item = _RuleItem.of(case.policy, path)
    block = rule_item.rule.peers[rule_item.item].ip_block if rule_item else None
    if block is None:
        return
    addresses = ip_block(block).addresses
    services = [
        each
        for each in case.index.cluster.services
        if any(address in addresses for address in each.cluster_ips)
    ]
    if len(services) != 1 or not services[0].selector:
        return
    [service] = services
    pods: dict[str, object] = {"podSelector": {"matchLabels": dict(service.selector)}}
    if service.ref.namespace != case.namespace:
        own = {METADATA_NAME_LABEL: service.ref.namespace}
        pods = {"namespaceSelector": {"matchLabels": own}, **pods}
    yield (SetField(path, pods),), f"the block becomes the pods behind Service {service.ref}"


def _other_family(case: LintedPolicy, path: str) -> Iterator[_Found]:
    """PF313: the catch-all of the other IP family beside the one that is there."""
    rule_item = _RuleItem.of(case.policy, path)
    if rule_item is None:
        return
    [version] = {
        peer.ip_block.cidr.version
        for peer in rule_item.rule.peers
        if peer.ip_block is not None and not peer.ip_block.cidr.prefixlen
    }
    every = "::/0" if version == 4 else "0.0.0.0/0"
    peers = f"{path}.{rule_item.direction.peer_field}"
    yield (Append(peers, {"ipBlock": {"cidr": every}}),), f"{every} is added"


_UNSAFE: Mapping[str, Callable[[LintedPolicy, str], Iterator[_Found]]] = {
    "PF313": _other_family,
    "PF315": _one_item,
    "PF340": _pods_of_service,
}
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
