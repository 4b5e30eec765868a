"""Laws of decoding: nothing raises, and what is written out is read back."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from podfence.admission.decode import decode
from podfence.admission.decode_policy import takes_meaning
from podfence.admission.kinds import WANTED_KINDS
from podfence.admission.schema import NETWORK_POLICY, ListOf, Struct, TextMap, WireType
from podfence.model.meta import METADATA_NAME_LABEL, Labels, ObjectRef, labels_of
from podfence.model.networkpolicy import (
    IPBlock,
    NetworkPolicy,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicyRule,
    PolicyType,
    Protocol,
)
from podfence.model.objects import ContainerPort, Namespace, Pod
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from podfence.model.workloads import Workload, expand
from podfence.sets.addresses import IPNetwork, unmapped
from podfence.testing.manifest import to_manifest
from tests.admission.policies import SOURCE

# ----------------------------------------------------------------------- hostile trees

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["In", "Exists", "TCP", "Ingress", "10.0.0.0/8", "::/0", "80", "http"]),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def _near(wire: WireType) -> st.SearchStrategy[Any]:
    """Values near a wire type: mostly of its shape, now and then anything."""
    if isinstance(wire, Struct):
        members = {name: _near(member) for name, member in wire.fields.items()}
        shaped: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional=members)
        odd_keys = st.dictionaries(SCALARS.filter(_is_hashable), SCALARS, max_size=1)
        shaped = st.builds(lambda a, b: {**a, **b}, shaped, st.just({}) | odd_keys)
    elif isinstance(wire, ListOf):
        shaped = st.lists(_near(wire.item), max_size=2)
    elif isinstance(wire, TextMap):
        shaped = st.dictionaries(st.text(max_size=5) | SCALARS, SCALARS, max_size=2)
    else:
        shaped = SCALARS
    return st.one_of(shaped, shaped, shaped, TREES)


def _is_hashable(value: Any) -> bool:
    return not isinstance(value, list | dict)


def _head(kind: str) -> dict[str, Any]:
    versions = {
        "NetworkPolicy": "networking.k8s.io/v1",
        "ClusterNetworkPolicy": "policy.networking.k8s.io/v1beta1",
        "AdminNetworkPolicy": "policy.networking.k8s.io/v1alpha1",
        "BaselineAdminNetworkPolicy": "policy.networking.k8s.io/v1alpha1",
        "Job": "batch/v1",
        "CronJob": "batch/v1",
    }
    apps = {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}
    return {"kind": kind, "apiVersion": versions.get(kind, "apps/v1" if kind in apps else "v1")}


@given(_near(NETWORK_POLICY))
def test_no_policy_raises(tree: Any) -> None:
    body = tree if isinstance(tree, dict) else {"spec": tree}
    decoded = decode({**body, **_head("NetworkPolicy")}, SOURCE)
    assert any(map(takes_meaning, decoded.problems)) is not bool(decoded.objects)
    assert all(problem.message and problem.source == SOURCE for problem in decoded.problems)


@given(
    st.sampled_from(sorted(WANTED_KINDS)),
    st.fixed_dictionaries({}, optional={"metadata": TREES, "spec": TREES, "status": TREES}),
)
def test_no_object_raises(kind: str, body: dict[str, Any]) -> None:
    decoded = decode({**body, **_head(kind)}, SOURCE)
    assert decoded.objects or decoded.problems


@given(st.dictionaries(st.sampled_from(["kind", "apiVersion", "metadata", "x"]), TREES))
def test_nothing_raises(data: dict[str, Any]) -> None:
    decode(data, SOURCE)


# -------------------------------------------------------------------------- round trip

NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,5}[a-z0-9])?", fullmatch=True)
KEYS = NAMES | st.builds("{}/{}".format, NAMES, NAMES)
VALUES = st.just("") | NAMES
LABELS = st.dictionaries(KEYS, VALUES, max_size=3).map(labels_of)
PORTS = st.integers(1, 65535)
PROTOCOLS = st.sampled_from(Protocol)


@st.composite
def requirements(draw: st.DrawFn) -> LabelSelectorRequirement:
    operator = draw(st.sampled_from(Operator))
    if operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST):
        return LabelSelectorRequirement(draw(KEYS), operator)
    values = draw(st.lists(VALUES, min_size=1, max_size=3))
    return LabelSelectorRequirement(draw(KEYS), operator, tuple(values))


SELECTORS = st.builds(LabelSelector, LABELS, st.lists(requirements(), max_size=2).map(tuple))


def _subnet(network: IPNetwork, length: int, number: int) -> IPNetwork:
    step = 1 << (network.max_prefixlen - length)
    count = 1 << (length - network.prefixlen)
    first = int(network.network_address) + number % count * step
    kind = IPv4Network if network.version == 4 else IPv6Network
    return kind((first, length))


@st.composite
def blocks(draw: st.DrawFn) -> IPBlock:
    families: list[IPNetwork] = [IPv4Network("0.0.0.0/0"), IPv6Network("::/0")]
    everything = draw(st.sampled_from(families))
    longest, numbers = everything.max_prefixlen, st.integers(0, 2**128)
    cidr = _subnet(everything, draw(st.integers(0, longest - 1)), draw(numbers))
    if cidr.version == 6 and int(cidr.network_address) >> 32 == 0xFFFF:
        cidr = IPv6Network("2001:db8::/32")
    lengths = st.integers(cidr.prefixlen + 1, longest)
    excepts = [_subnet(cidr, draw(lengths), draw(numbers)) for _ in range(draw(st.integers(0, 2)))]
    mapped = [net for net in excepts if int(net.network_address) >> 32 == 0xFFFF]
    return IPBlock(cidr, tuple(net for net in excepts if net.version == 4 or net not in mapped))


PEERS = st.one_of(
    st.builds(NetworkPolicyPeer, pod_selector=SELECTORS),
    st.builds(NetworkPolicyPeer, namespace_selector=SELECTORS),
    st.builds(NetworkPolicyPeer, pod_selector=SELECTORS, namespace_selector=SELECTORS),
    st.builds(NetworkPolicyPeer, ip_block=blocks()),
)
PORT_NAMES = st.from_regex(r"[a-z]([a-z0-9]{0,5})?", fullmatch=True)


@st.composite
def ports(draw: st.DrawFn) -> NetworkPolicyPort:
    port = draw(st.none() | PORTS | PORT_NAMES)
    end = draw(st.none() | st.integers(port, 65535)) if isinstance(port, int) else None
    return NetworkPolicyPort(draw(PROTOCOLS), port, end)


RULES = st.builds(
    NetworkPolicyRule,
    st.lists(PEERS, max_size=2).map(tuple),
    st.lists(ports(), max_size=2).map(tuple),
)
RULE_LISTS = st.lists(RULES, max_size=2).map(tuple)


@st.composite
def policies(draw: st.DrawFn) -> NetworkPolicy:
    egress = draw(RULE_LISTS)
    declared = draw(st.booleans())
    both = frozenset(PolicyType)
    default = both if egress else frozenset({PolicyType.INGRESS})
    types = draw(st.sampled_from([frozenset({kind}) for kind in PolicyType] + [both]))
    return NetworkPolicy(
        ObjectRef("NetworkPolicy", draw(NAMES), draw(NAMES)),
        draw(SELECTORS),
        types if declared else default,
        draw(RULE_LISTS),
        egress,
        draw(LABELS),
        declared,
        SOURCE,
    )


@given(policies())
def test_policy_is_read_back(policy: NetworkPolicy) -> None:
    decoded = decode(to_manifest(policy), SOURCE)
    assert decoded.problems == ()
    assert decoded.objects == (policy,)


@given(NAMES, LABELS)
def test_np_21_namespace_is_read_back(name: str, labels: Labels) -> None:
    namespace = Namespace(name, labels_of({**dict(labels), METADATA_NAME_LABEL: name}), SOURCE)
    assert decode(to_manifest(namespace), SOURCE).objects == (namespace,)


@st.composite
def pods(draw: st.DrawFn) -> Pod:
    has_status = draw(st.booleans())
    v6 = st.ip_addresses(v=6).filter(lambda address: unmapped(address) is address)
    addresses = st.tuples(st.ip_addresses(v=4)) | st.tuples(v6, st.ip_addresses(v=4))
    none: st.SearchStrategy[Any] = st.just(())
    ports = st.builds(ContainerPort, VALUES, PORTS, PROTOCOLS)
    owners = st.builds(ObjectRef, st.just("StatefulSet"), st.just("shop"), NAMES)
    return Pod(
        "shop",
        draw(NAMES),
        draw(LABELS),
        draw(none | addresses) if has_status else (),
        draw(st.lists(ports, max_size=2).map(tuple)),
        draw(VALUES),
        draw(none | addresses) if has_status else (),
        draw(st.booleans()),
        draw(st.booleans()) if has_status else False,
        has_status,
        draw(st.none() | owners),
        SOURCE,
    )


@given(pods())
def test_pod_is_read_back(pod: Pod) -> None:
    decoded = decode(to_manifest(pod), SOURCE)
    assert decoded.problems == ()
    assert decoded.objects == (pod,)


# --------------------------------------------------------------------------- expansion

REFS = st.builds(
    ObjectRef,
    st.sampled_from(["Deployment", "ReplicaSet", "Job", "CronJob", "StatefulSet"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["x", "x-1", "x-12345678"]),
)
WORKLOADS = st.builds(Workload, REFS, st.integers(0, 4), owner=st.none() | REFS)
OWNED = st.builds(
    Pod, st.sampled_from(["a", "b"]), st.sampled_from(["x-1", "x-2"]), owner=st.none() | REFS
)


@given(st.lists(WORKLOADS, max_size=6), st.lists(OWNED, max_size=2, unique_by=lambda pod: pod.ref))
def test_expansion_keeps_the_input_and_adds_distinct_pods(
    workloads: list[Workload], given_pods: list[Pod]
) -> None:
    pods, problems = expand(workloads, given_pods, [])
    kept, added = pods[: len(given_pods)], pods[len(given_pods) :]
    assert problems == ()
    assert [replace(pod, owner=None) for pod in kept] == [
        replace(pod, owner=None) for pod in given_pods
    ]
    assert len({pod.ref for pod in pods}) == len(pods)
    assert not {pod.owner for pod in kept} & {pod.owner for pod in added}
