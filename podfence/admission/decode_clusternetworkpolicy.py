"""ClusterNetworkPolicy manifest -> value, as the server would store it.

Rule: a value comes out unless the server refuses the object. Elements that the server stores but
podfence cannot read become ``unknown``, each with a warning; the rest of the object is as written.
Null fields count as absent (the server drops them); ``metadata.namespace`` is ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from podfence.admission.crd import crd_problems, dropped_labels, without_nulls
from podfence.admission.crd_shapes import Object
from podfence.admission.decode_fields import generated_name, readable_part
from podfence.admission.decode_policy import leave_meaning, takes_meaning
from podfence.admission.decode_strict import metadata_problems
from podfence.admission.policy_values import text_labels
from podfence.admission.refusals import quote
from podfence.admission.schema import NOTHING, OBJECT_META, Json
from podfence.admission.validate_cidr import parse_cidr
from podfence.admission.validate_clusternetworkpolicy import (
    CLUSTER_NETWORK_POLICY,
    EGRESS_PEER,
    INGRESS_PEER,
    PROTOCOL,
    selector_faults,
    stored_but_risky,
)
from podfence.admission.validate_metadata import metadata_refusals
from podfence.errors import Problem, Source
from podfence.model.clusternetworkpolicy import (
    ClusterNetworkPolicy,
    NamespacedPod,
    Peer,
    ProtocolMatch,
    RuleAction,
    Subject,
    Tier,
    TierRule,
)
from podfence.model.meta import ObjectRef, is_audited
from podfence.model.networkpolicy import Protocol
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from podfence.sets.addresses import IPNetwork

_ACTIONS = {"Allow": RuleAction.ACCEPT, **{action.value: action for action in RuleAction}}


def decode_clusternetworkpolicy(
    manifest: Json, source: Source
) -> tuple[ClusterNetworkPolicy | None, tuple[Problem, ...]]:
    """The policy, unless it has errors, and all problems without ``source`` and ``object``."""
    stored, problems = stored_form(manifest, source, CLUSTER_NETWORK_POLICY)
    if stored is None:
        return None, problems
    spec = stored["spec"]
    problems += tuple(stored_but_risky(spec, "protocols", "destinationNamedPort"))
    read_rules = rule_reader("protocols", PROTOCOL, _protocol)
    policy = ClusterNetworkPolicy(
        ref=ref_of(stored),
        tier=Tier(spec["tier"]),
        priority=int(spec["priority"]),
        subject=subject_of(spec["subject"]),
        ingress=read_rules(spec.get("ingress", []), "from", INGRESS_PEER),
        egress=read_rules(spec.get("egress", []), "to", EGRESS_PEER),
        labels=text_labels(stored["metadata"].get("labels")),
        source=source,
        audited=is_audited(stored["metadata"].get("annotations")),
    )
    return policy, problems


def stored_form(
    manifest: Json, source: Source, schema: Object
) -> tuple[Json | None, tuple[Problem, ...]]:
    """The object as the server would store it, with a name; None if its meaning is unclear."""
    named, problems = _with_metadata(manifest, source)
    problems += dropped_labels(named, schema)
    stored: Json = without_nulls(named, schema)
    problems += crd_problems(stored, schema)
    problems = [leave_meaning(problem) for problem in problems]
    return None if any(map(takes_meaning, problems)) else stored, tuple(problems)


def _with_metadata(manifest: Json, source: Source) -> tuple[dict[str, Any], list[Problem]]:
    """The object with a name, and the server's errors about its metadata."""
    metadata = manifest.get("metadata")
    if metadata is None:
        metadata = NOTHING
    if isinstance(metadata, dict):
        metadata = {name: _whole(value) for name, value in metadata.items()}
    problems = []
    if not OBJECT_META.conforms(metadata):
        problems = list(metadata_problems(metadata))
    if any(problem.code == "PF202" for problem in problems):
        metadata = readable_part({"metadata": metadata})["metadata"] or NOTHING
    prefix = metadata.get("generateName")
    name = metadata.get("name") or (generated_name(prefix, source) if prefix else "")
    filled = {**metadata, "name": name}
    problems += metadata_refusals(filled, namespaced=False, built_in=False)
    if not name:
        filled["name"] = generated_name("unnamed-", source)
    return {**manifest, "metadata": filled}, problems


def _whole(value: Any) -> Any:
    """``1.0`` is an integer in the metadata of custom resources, as the server reads it twice."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def ref_of(stored: Json) -> ObjectRef:
    """The identity of a stored object, which has no namespace."""
    return ObjectRef(stored["kind"], "", stored["metadata"]["name"])


# ---------------------------------------------------------------------------- subjects and rules


def subject_of(subject: Json) -> Subject:
    """The subject of a stored object."""
    if fault := _fault(subject):
        return Subject(unknown=fault)
    return Subject(_selector(subject.get("namespaces")), _pods(subject.get("pods")))


ReadProtocol = Callable[[Json], ProtocolMatch]
ReadRules = Callable[[list[Json], str, Object], tuple[TierRule, ...]]


def rule_reader(protocols: str, schema: Object, read: ReadProtocol) -> ReadRules:
    """A function of stored rules, the field of their peers and the schema of a peer.

    ``protocols`` is the field that lists protocols or ports, with items of this ``schema``; an item
    with a field that is not in there is unknown, every other one is for ``read``.
    """

    def match(item: Json) -> ProtocolMatch:
        unknown = _unknown_field(schema, item)
        return ProtocolMatch(unknown=unknown) if unknown else read(item)

    def rules(items: list[Json], peers: str, peer_schema: Object) -> tuple[TierRule, ...]:
        return tuple(
            TierRule(
                _ACTIONS[item["action"]],
                tuple(_peer(peer, peer_schema) for peer in item[peers]),
                tuple(match(protocol) for protocol in item.get(protocols, ())),
                item.get("name", ""),
            )
            for item in items
        )

    return rules


def _unknown_field(schema: Object, value: Json) -> str:
    name = schema.unknown_field(value)
    return "" if name is None else f"unknown field {quote(name)}"


def _fault(parent: Json) -> str:
    for field, fault in selector_faults(parent):
        return f"{field}.{fault}"
    return ""


def _peer(peer: Json, schema: Object) -> Peer:
    if unknown := _unknown_field(schema, peer) or _fault(peer):
        return Peer(unknown=unknown)
    return Peer(
        _selector(peer.get("namespaces")),
        _pods(peer.get("pods")),
        _selector(peer.get("nodes")),
        tuple(_network(text) for text in peer.get("networks", ())),
        tuple(dict.fromkeys(normal_name(name) for name in peer.get("domainNames", ()))),
    )


def normal_name(name: str) -> str:
    """A domain name or pattern in the form for comparison: lower case, without a final dot."""
    return name.lower().removesuffix(".")


def _network(text: str) -> IPNetwork:
    cidr = parse_cidr(text)
    assert cidr is not None, "validated before"
    return cidr.network


def _pods(pods: Json | None) -> NamespacedPod | None:
    if pods is None:
        return None
    selector = _selector(pods["podSelector"]) or LabelSelector()
    return NamespacedPod(selector, _selector(pods.get("namespaceSelector")))


def _selector(selector: Json | None) -> LabelSelector | None:
    if selector is None:
        return None
    expressions = tuple(
        LabelSelectorRequirement(
            item["key"], Operator(item["operator"]), tuple(item.get("values", ()))
        )
        for item in selector.get("matchExpressions", ())
    )
    return LabelSelector(text_labels(selector.get("matchLabels")), expressions)


# ------------------------------------------------------------------------------------ protocols


def _protocol(item: Json) -> ProtocolMatch:
    ((name, value),) = item.items()
    if name == "destinationNamedPort":
        return named_port(value)
    return _transport(Protocol(name.upper()), value)


def named_port(name: str) -> ProtocolMatch:
    """A container port by its name; "" names none (CNP-23)."""
    return ProtocolMatch(named_port=name) if name else ProtocolMatch(unknown="empty port name")


def _transport(protocol: Protocol, value: Json) -> ProtocolMatch:
    match value:
        case {"destinationPort": {"number": number}}:
            return ProtocolMatch(protocol, int(number))
        case {"destinationPort": {"range": {"start": start, "end": end}}}:
            return ProtocolMatch(protocol, int(start), int(end))
        case {"destinationPort": destination}:
            return ProtocolMatch(unknown=f"unknown field {quote(next(iter(destination)))}")
        case _:
            return ProtocolMatch(unknown=f"unknown field {quote(next(iter(value)))}")
