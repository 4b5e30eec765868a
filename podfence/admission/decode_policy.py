"""NetworkPolicy manifest -> value: strictly decoded, defaulted, validated, as the server does it.

Rule: a value comes out only when it is clear what the policy means, also where the server would not
store it (``Problem.refused_only``). Defaults: policyTypes (NP-8),
protocol TCP (NP-30), namespace ``default``; null, absent and empty lists are the same (NP-9); null
items are zero values (NP-15a). An explicit protocol "" is not defaulted, but refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from msgspec.structs import replace

from podfence.admission.decode_names import generated_name
from podfence.admission.decode_partial import independent, readable_part
from podfence.admission.decode_strict import strict_problems
from podfence.admission.schema import NETWORK_POLICY, NOTHING, Json
from podfence.admission.validate import cidr_warnings, validate
from podfence.admission.validate_cidr import parse_cidr
from podfence.errors import Problem, Severity, Source
from podfence.likeness import similar
from podfence.model.meta import Labels, ObjectRef
from podfence.model.networkpolicy import (
    IPBlock,
    IPNetwork,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
    Protocol,
)
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator

_INGRESS = frozenset({PolicyType.INGRESS})
_EGRESS = frozenset({PolicyType.EGRESS})
_TYPES = {
    frozenset(type_.value for type_ in types): types
    for types in (_INGRESS, _EGRESS, _INGRESS | _EGRESS)
}
_OPERATORS = {operator.value: operator for operator in Operator}
_PROTOCOLS = {protocol.value: protocol for protocol in Protocol}


def decode_policy(
    manifest: Json, source: Source, strict_cidrs: bool = True
) -> tuple[NetworkPolicy | None, tuple[Problem, ...]]:
    """The policy, unless it is not clear what it means, and all problems without ``source`` and
    ``object``.

    Where a field has the wrong type the server validates nothing; here the rest is validated.
    """
    problems = [] if NETWORK_POLICY.conforms(manifest) else list(strict_problems(manifest))
    wrong = [problem.path for problem in problems if problem.code == "PF202"]
    defaulted = _with_names(readable_part(manifest) if wrong else manifest, source)
    found = [*validate(defaulted, strict_cidrs), *cidr_warnings(defaulted, strict_cidrs)]
    problems += independent(found, wrong) if wrong else found
    problems = [leave_meaning(problem) for problem in problems]
    if any(map(takes_meaning, problems)):
        return None, tuple(problems)
    return _policy(_named(defaulted, source), source), tuple(problems)


def leave_meaning(problem: Problem) -> Problem:
    """The problem, marked where it leaves no doubt what the policy means: metadata and status have
    no part in that, but for the names of the policy and its namespace."""
    if problem.severity is not Severity.ERROR or not re.match(_NO_MEANING, problem.path):
        return problem
    if problem.code == "PF202" and re.fullmatch(_WHERE_IT_IS, problem.path):
        return problem
    if problem.code == "PF201" and _may_be_namespace(problem.path):
        return problem
    return replace(problem, refused_only=True)


def _may_be_namespace(path: str) -> bool:
    """Whether an unknown field of the metadata may be a misspelt ``namespace``: the policy then
    belongs elsewhere than where it seems to be."""
    field = path.removeprefix("metadata.").lower()
    return bool(similar(field, ("namespace",), cutoff=_LIKE_NAMESPACE))


def takes_meaning(problem: Problem) -> bool:
    """Whether an object with this problem cannot be judged."""
    return problem.severity is Severity.ERROR and not problem.refused_only


_NO_MEANING = r"(?:metadata|status)(?=[.\[]|\Z)"
_LIKE_NAMESPACE = 0.7
_WHERE_IT_IS = r"metadata(?:\.name|\.namespace)?"


def _named(manifest: Json, source: Source) -> Json:
    """A policy without any name, which no server stores, gets one: its meaning is clear."""
    metadata = manifest["metadata"]
    if metadata["name"]:
        return manifest
    return {**manifest, "metadata": {**metadata, "name": generated_name("unnamed-", source)}}


def _with_names(manifest: Json, source: Source) -> Json:
    """Fills in what the server fills in before it validates: name and namespace."""
    metadata = manifest.get("metadata") or NOTHING
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if name and namespace:
        return manifest
    prefix = metadata.get("generateName")
    names = {
        "name": name or (generated_name(prefix, source) if prefix else ""),
        "namespace": namespace or "default",
    }
    return {**manifest, "metadata": {**metadata, **names}}


def _policy(manifest: Json, source: Source) -> NetworkPolicy:
    metadata, spec = manifest["metadata"], manifest.get("spec") or NOTHING
    egress = _rules(spec.get("egress"), "to")
    declared = spec.get("policyTypes")
    return NetworkPolicy(
        ref=ObjectRef("NetworkPolicy", metadata["namespace"], metadata["name"]),
        pod_selector=_selector(spec.get("podSelector")) or LabelSelector(),
        policy_types=_policy_types(declared, bool(egress)),
        ingress=_rules(spec.get("ingress"), "from"),
        egress=egress,
        labels=text_labels(metadata.get("labels")),
        declared_types=bool(declared),
        source=source,
    )


def _policy_types(declared: list[str] | None, has_egress: bool) -> frozenset[PolicyType]:
    """NP-8: without policyTypes: ingress, and egress only if there are egress rules."""
    if declared:
        return _TYPES[frozenset(declared)]
    return _INGRESS | _EGRESS if has_egress else _INGRESS


def _rules(rules: list[Json | None] | None, peers: str) -> tuple[NetworkPolicyRule, ...]:
    return tuple([_rule(rule or NOTHING, peers) for rule in rules or ()])


def _rule(rule: Json, peers: str) -> NetworkPolicyRule:
    return NetworkPolicyRule(
        tuple([_peer(peer) for peer in rule.get(peers) or ()]),
        tuple([_port_of(port or NOTHING) for port in rule.get("ports") or ()]),
    )


def _port_of(port: Json) -> NetworkPolicyPort:
    return _port(port.get("protocol"), port.get("port"), port.get("endPort"))


@lru_cache(maxsize=1 << 14)
def _port(protocol: str | None, port: int | str | None, end: int | None) -> NetworkPolicyPort:
    return NetworkPolicyPort(_PROTOCOLS[protocol or "TCP"], port, end)


def _peer(peer: Json) -> NetworkPolicyPeer:
    return NetworkPolicyPeer(
        _selector(peer.get("podSelector")),
        _selector(peer.get("namespaceSelector")),
        _ip_block(peer.get("ipBlock")),
    )


def _ip_block(block: Json | None) -> IPBlock | None:
    if block is None:
        return None
    return IPBlock(_network(block["cidr"]), tuple(map(_network, block.get("except") or ())))


@lru_cache(maxsize=1 << 14)
def _network(text: str) -> IPNetwork:
    cidr = parse_cidr(text)
    assert cidr is not None, "validated before"
    return cidr.network


def _selector(selector: Json | None) -> LabelSelector | None:
    """``None`` stays ``None``: a peer without this selector. ``{}`` selects everything."""
    if selector is None:
        return None
    labels = text_labels(selector.get("matchLabels"))
    requirements = selector.get("matchExpressions")
    if not requirements:
        return _labels_only(labels)
    return LabelSelector(labels, tuple([_requirement(item) for item in requirements]))


@lru_cache(maxsize=1 << 16)
def _labels_only(labels: Labels) -> LabelSelector:
    return LabelSelector(labels)


def _requirement(requirement: Json) -> LabelSelectorRequirement:
    values = tuple([value or "" for value in requirement.get("values") or ()])
    return LabelSelectorRequirement(requirement["key"], _OPERATORS[requirement["operator"]], values)


def text_labels(labels: Mapping[str, str | None] | None) -> Labels:
    """Sorted label pairs, shared among equal label sets; a null value is ""."""
    if not labels:
        return ()
    return _shared_labels(tuple(sorted([(key, value or "") for key, value in labels.items()])))


@lru_cache(maxsize=1 << 16)
def _shared_labels(labels: Labels) -> Labels:
    return labels
