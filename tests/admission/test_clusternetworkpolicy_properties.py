"""Laws of decoding cluster-scoped policies: nothing raises, what is written out is read back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.admission.crd_shapes import Array, BoundedInteger, CrdType, Object, String, StringMap
from podfence.admission.decode import PROBLEM_CODES
from podfence.admission.decode_adminnetworkpolicy import (
    ADMIN_NETWORK_POLICY,
    BASELINE_ADMIN_NETWORK_POLICY,
)
from podfence.admission.decode_policy import takes_meaning
from podfence.admission.validate_clusternetworkpolicy import CLUSTER_NETWORK_POLICY
from podfence.model.clusternetworkpolicy import (
    BASELINE_ADMIN_PRIORITY,
    ClusterNetworkPolicy,
    NamespacedPod,
    Peer,
    ProtocolMatch,
    RuleAction,
    Subject,
    Tier,
    TierRule,
)
from podfence.model.meta import ObjectRef
from podfence.testing.builders import UNKNOWN_FIELD
from podfence.testing.manifest import to_manifest
from tests.admission.clusterpolicies import DECODERS, manifest
from tests.admission.policies import SOURCE
from tests.admission.test_decode_properties import (
    LABELS,
    NAMES,
    PORT_NAMES,
    PORTS,
    PROTOCOLS,
    SCALARS,
    SELECTORS,
    TREES,
    blocks,
)

SCHEMAS = {
    "ClusterNetworkPolicy": CLUSTER_NETWORK_POLICY,
    "AdminNetworkPolicy": ADMIN_NETWORK_POLICY,
    "BaselineAdminNetworkPolicy": BASELINE_ADMIN_NETWORK_POLICY,
}
KINDS = list(SCHEMAS)

# ----------------------------------------------------------------------- hostile trees


def _near(schema: CrdType) -> st.SearchStrategy[Any]:
    """Values near a schema: mostly of its shape, now and then anything."""
    if isinstance(schema, Object):
        members = {name: _near(member) for name, member in schema.fields.items()}
        needed = {name: members.pop(name) for name in schema.required}
        shaped: st.SearchStrategy[Any] = st.fixed_dictionaries(needed, optional=members)
        odd_keys = st.dictionaries(SCALARS, SCALARS, max_size=1)
        shaped = st.builds(lambda a, b: {**a, **b}, shaped, st.just({}) | odd_keys)
        if schema.most == 1:
            single = [st.fixed_dictionaries({name: near}) for name, near in members.items()]
            shaped = st.one_of(*single, shaped)
    elif isinstance(schema, Array):
        shaped = st.lists(_near(schema.item), min_size=schema.least, max_size=2)
    elif isinstance(schema, StringMap):
        shaped = st.dictionaries(st.text(max_size=5) | SCALARS, SCALARS, max_size=2)
    elif isinstance(schema, BoundedInteger):
        shaped = st.integers(schema.least, schema.most) | SCALARS
    elif isinstance(schema, String) and schema.enum:
        shaped = st.sampled_from(schema.enum)
    elif isinstance(schema, String):
        shaped = st.sampled_from(["10.0.0.0/8", "::/0", "a.example", "In", "TCP"]) | SCALARS
    else:
        shaped = TREES
    return st.one_of(shaped, shaped, shaped, shaped, shaped, shaped, shaped, TREES)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_no_policy_raises(kind: str, data: st.DataObject) -> None:
    tree = data.draw(_near(SCHEMAS[kind]))
    body = tree if isinstance(tree, dict) else {"spec": tree}
    head = {name: manifest(None, kind)[name] for name in ("apiVersion", "kind")}
    policy, problems = DECODERS[kind]({**body, **head}, SOURCE)
    assert any(map(takes_meaning, problems)) is (policy is None)
    assert all(problem.message and problem.code in PROBLEM_CODES for problem in problems)


@pytest.mark.parametrize("kind", KINDS)
@given(spec=TREES)
def test_no_spec_raises(kind: str, spec: Any) -> None:
    policy, problems = DECODERS[kind](manifest(spec, kind), SOURCE)
    assert policy or problems


# -------------------------------------------------------------------------- round trip

UNKNOWN = st.just(UNKNOWN_FIELD)
NETWORKS = (
    blocks()
    .map(lambda block: block.cidr)
    .filter(lambda network: network.version == 4 or int(network.network_address) >> 32 != 0xFFFF)
)
DOMAINS = st.builds("{}{}.{}".format, st.sampled_from(["", "*."]), NAMES, NAMES)
RULE_NAMES = st.text(max_size=5)


def _namespaced(*, older: bool) -> st.SearchStrategy[NamespacedPod]:
    return st.builds(NamespacedPod, SELECTORS, SELECTORS if older else st.none() | SELECTORS)


def _distinct(items: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, min_size=1, max_size=3, unique=True).map(tuple)


def _subjects(*, older: bool) -> st.SearchStrategy[Subject]:
    return st.builds(Subject, namespaces=SELECTORS) | st.builds(
        Subject, pods=_namespaced(older=older)
    )


def _ingress_peers(*, older: bool) -> list[st.SearchStrategy[Peer]]:
    return [
        st.builds(Peer, namespaces=SELECTORS),
        st.builds(Peer, pods=_namespaced(older=older)),
        st.builds(Peer, unknown=UNKNOWN),
    ]


NUMBERS: st.SearchStrategy[ProtocolMatch] = st.builds(ProtocolMatch, PROTOCOLS, PORTS)
NAMED: list[st.SearchStrategy[ProtocolMatch]] = [st.builds(ProtocolMatch, named_port=PORT_NAMES)]


@st.composite
def ranges(draw: st.DrawFn) -> ProtocolMatch:
    start = draw(st.integers(1, 65534))
    return ProtocolMatch(draw(PROTOCOLS), start, draw(st.integers(start + 1, 65535)))


def _rules(
    peers: list[st.SearchStrategy[Peer]],
    actions: list[RuleAction],
    named: list[st.SearchStrategy[ProtocolMatch]],
) -> st.SearchStrategy[tuple[TierRule, ...]]:
    matches = st.one_of(NUMBERS, ranges(), st.builds(ProtocolMatch, unknown=UNKNOWN), *named)
    rule = st.builds(
        TierRule,
        st.sampled_from(actions),
        st.lists(st.one_of(peers), min_size=1, max_size=3).map(tuple),
        st.lists(matches, max_size=3).map(tuple),
        RULE_NAMES,
    )
    return st.lists(rule, max_size=2).map(tuple)


@st.composite
def policies(draw: st.DrawFn, kind: str) -> ClusterNetworkPolicy:
    older, baseline = kind != "ClusterNetworkPolicy", kind == "BaselineAdminNetworkPolicy"
    tier = draw(st.sampled_from(Tier))
    if older:
        tier = Tier.BASELINE if baseline else Tier.ADMIN
    actions = [RuleAction.ACCEPT, RuleAction.DENY, *([] if baseline else [RuleAction.PASS])]
    selecting = _ingress_peers(older=older)
    addressed: list[st.SearchStrategy[Peer]] = [
        st.builds(Peer, networks=_distinct(NETWORKS)),
        st.builds(Peer, nodes=SELECTORS),
    ]
    named = st.builds(Peer, domain_names=_distinct(DOMAINS))
    egress = [
        *draw(_rules(selecting, actions, NAMED)),
        *draw(_rules([*selecting, *addressed], actions, [])),
        *(() if baseline else draw(_rules([*addressed, named], [RuleAction.ACCEPT], []))),
    ]
    return ClusterNetworkPolicy(
        ObjectRef(kind, "", "default" if baseline else draw(NAMES)),
        tier,
        BASELINE_ADMIN_PRIORITY if baseline else draw(st.integers(0, 1000)),
        draw(_subjects(older=older)),
        draw(_rules(selecting, actions, NAMED)),
        tuple(egress),
        draw(LABELS),
        SOURCE,
    )


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_policy_is_read_back(kind: str, data: st.DataObject) -> None:
    policy = data.draw(policies(kind))
    decoded, problems = DECODERS[kind](to_manifest(policy), SOURCE)
    assert {p.code for p in problems if not p.refused_only} <= {"PF209"}
    assert decoded == policy
