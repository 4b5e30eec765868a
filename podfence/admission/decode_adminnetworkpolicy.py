"""AdminNetworkPolicy and BaselineAdminNetworkPolicy (v1alpha1) -> ClusterNetworkPolicy.

Rule: the differences of these kinds are translated here, nothing is added. ``Allow`` is Accept; the
kind is the tier; ``ports`` are protocols, TCP by default. A protocol other than TCP, UDP and SCTP
and a range that ends before it starts are stored by the server, and unknown here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from podfence.admission.crd import FAILS_CLOSED
from podfence.admission.crd_shapes import (
    LABEL_SELECTOR,
    Array,
    BoundedInteger,
    CrdType,
    Object,
    String,
    ValidationRule,
)
from podfence.admission.decode_clusternetworkpolicy import (
    named_port,
    ref_of,
    rule_reader,
    stored_form,
    subject_of,
)
from podfence.admission.policy_values import text_labels
from podfence.admission.refusals import quote
from podfence.admission.schema import Json
from podfence.admission.validate_clusternetworkpolicy import (
    DOMAIN_NAMES_BEFORE,
    NETWORKS_BEFORE,
    PORT,
    named_port_rule,
    one_of,
    pods_schema,
    resource,
    stored_but_risky,
)
from podfence.errors import Problem, Severity, Source
from podfence.model.clusternetworkpolicy import (
    BASELINE_ADMIN_PRIORITY,
    ClusterNetworkPolicy,
    ProtocolMatch,
    Tier,
)
from podfence.model.meta import is_audited
from podfence.model.networkpolicy import Protocol

_PROTOCOLS = {protocol.value: protocol for protocol in Protocol}
_MOST = 100

# -------------------------------------------------------------------------------------- schemas

_TCP = {"protocol": "TCP"}
_PORT_NUMBER = Object(
    {"protocol": String(), "port": PORT}, required=("protocol", "port"), defaults=_TCP
)
_PORT_RANGE = Object(
    {"protocol": String(), "start": PORT, "end": PORT}, required=("start", "end"), defaults=_TCP
)
_PORT_ITEM = one_of({"portNumber": _PORT_NUMBER, "portRange": _PORT_RANGE, "namedPort": String()})
_SELECTORS = {
    "namespaces": LABEL_SELECTOR,
    "pods": pods_schema("namespaceSelector", "podSelector"),
}
_INGRESS_PEER = one_of(_SELECTORS)
_BASELINE_EGRESS_PEER = one_of({**_SELECTORS, "networks": NETWORKS_BEFORE, "nodes": LABEL_SELECTOR})
_ADMIN_EGRESS_PEER = one_of({**_BASELINE_EGRESS_PEER.fields, "domainNames": DOMAIN_NAMES_BEFORE})


def _rules(
    actions: tuple[str, ...], peers: str, peer: Object, rule: ValidationRule | None = None
) -> Array:
    fields: Mapping[str, CrdType] = {
        "name": String(longest=100),
        "action": String(enum=actions),
        "ports": Array(_PORT_ITEM, 1, _MOST),
        peers: Array(peer, 1, _MOST),
    }
    return Array(Object(fields, required=("action", peers), rule=rule), 0, _MOST)


def _spec(actions: tuple[str, ...], egress_peer: Object, names: str) -> Mapping[str, CrdType]:
    rule = named_port_rule(names, "ports", "namedPort")
    return {
        "subject": Object(_SELECTORS, least=1, most=1),
        "ingress": _rules(actions, "from", _INGRESS_PEER),
        "egress": _rules(actions, "to", egress_peer, rule),
    }


def _is_default(manifest: Json) -> bool:
    return bool(manifest["metadata"]["name"] == "default")


ADMIN_NETWORK_POLICY = resource(
    Object(
        {
            "priority": BoundedInteger(0, 1000),
            **_spec(("Allow", "Deny", "Pass"), _ADMIN_EGRESS_PEER, "networks/nodes/domainNames"),
        },
        required=("priority", "subject"),
    )
)
BASELINE_ADMIN_NETWORK_POLICY = resource(
    Object(
        _spec(("Allow", "Deny"), _BASELINE_EGRESS_PEER, "networks/nodes"), required=("subject",)
    ),
    ValidationRule(
        'Only one baseline admin network policy with metadata.name="default" can be created in '
        "the cluster",
        _is_default,
        at="metadata.name",
    ),
)

# ------------------------------------------------------------------------------------- decoding

DecodedTierPolicy = tuple[ClusterNetworkPolicy | None, tuple[Problem, ...]]


def decode_adminnetworkpolicy(manifest: Json, source: Source) -> DecodedTierPolicy:
    """The policy in the Admin tier, unless it has errors, and all problems without ``source``."""
    return _decode(manifest, source, ADMIN_NETWORK_POLICY, Tier.ADMIN)


def decode_baselineadminnetworkpolicy(manifest: Json, source: Source) -> DecodedTierPolicy:
    """The policy in the Baseline tier, unless it has errors, and all problems without ``source``.

    Its priority is ``BASELINE_ADMIN_PRIORITY``: the kind has none, there is one such object.
    """
    return _decode(manifest, source, BASELINE_ADMIN_NETWORK_POLICY, Tier.BASELINE)


def _decode(manifest: Json, source: Source, schema: Object, tier: Tier) -> DecodedTierPolicy:
    stored, problems = stored_form(manifest, source, schema)
    if stored is None:
        return None, problems
    spec = stored["spec"]
    problems += (*stored_but_risky(spec, "ports", "namedPort"), *_odd_ports(spec))
    egress_peer = _ADMIN_EGRESS_PEER if tier is Tier.ADMIN else _BASELINE_EGRESS_PEER
    read_rules = rule_reader("ports", _PORT_ITEM, _port)
    policy = ClusterNetworkPolicy(
        ref=ref_of(stored),
        tier=tier,
        priority=int(spec.get("priority", BASELINE_ADMIN_PRIORITY)),
        subject=subject_of(spec["subject"]),
        ingress=read_rules(spec.get("ingress", []), "from", _INGRESS_PEER),
        egress=read_rules(spec.get("egress", []), "to", egress_peer),
        labels=text_labels(stored["metadata"].get("labels")),
        source=source,
        audited=is_audited(stored["metadata"].get("annotations")),
    )
    return policy, problems


def _odd_ports(spec: Json) -> Iterator[Problem]:
    """PF209 for ports that the server stores although they make no sense."""
    for direction in ("ingress", "egress"):
        for index, rule in enumerate(spec.get(direction, ())):
            for number, item in enumerate(rule.get("ports", ())):
                unread = _port(item).unknown if _PORT_ITEM.unknown_field(item) is None else ""
                if unread and "namedPort" not in item:
                    path = f"spec.{direction}[{index}].ports[{number}]"
                    text = f"{path}: {unread}: stored all the same: {FAILS_CLOSED}"
                    yield Problem("PF209", Severity.WARNING, text, path=path)


def _port(item: Json) -> ProtocolMatch:
    match item:
        case {"namedPort": name}:
            return named_port(name)
        case {"portNumber": {"protocol": protocol, "port": port}}:
            return _numbers(protocol, int(port), None)
        case _:
            ports = item["portRange"]
            return _numbers(ports["protocol"], int(ports["start"]), int(ports["end"]))


def _numbers(protocol: str, start: int, end: int | None) -> ProtocolMatch:
    if protocol not in _PROTOCOLS:
        return ProtocolMatch(unknown=f"unknown protocol {quote(protocol)}")
    if end is not None and end < start:
        return ProtocolMatch(unknown=f"range {start}-{end} ends before it starts")
    return ProtocolMatch(_PROTOCOLS[protocol], start, end)
