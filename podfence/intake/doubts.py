"""Objects that could not be read -> doubts: what is still known of each.

Rule: a doubt never claims too little. A part that cannot be read is widened, never guessed: an
unknown pod selector selects every pod, an unknown namespace may be any.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from podfence.admission.decode_core import owner_of
from podfence.admission.decode_fields import Fields, parse_address
from podfence.admission.decode_policy import decode_policy
from podfence.admission.kinds import CLUSTER_SCOPED, POLICY_KINDS, WANTED_KINDS
from podfence.admission.schema import Json
from podfence.errors import Problem, Severity
from podfence.intake.documents import Document, Unreadable
from podfence.model.doubt import BOTH_TYPES, Doubt
from podfence.model.meta import DEFAULT_NAMESPACE, ObjectRef, labels_of
from podfence.model.networkpolicy import PolicyType
from podfence.model.selectors import LabelSelector
from podfence.sets.addresses import IPAddress

_TOOLS_METADATA = (
    r"metadata\.(?:annotations|managedFields|finalizers|generation|resourceVersion|selfLink)\b"
)
_CONTAINER = r"spec\.(?:template\.spec\.)?(?:init|ephemeral)?[cC]ontainers\[\d+\]\.(\w+)"
_READ_OF_CONTAINERS = frozenset({"ports", "restartPolicy"})
_WITHOUT_STATUS = POLICY_KINDS | {"Namespace"}
_WITH_ADDRESSES = frozenset({"", "Pod", "Service", "Node"})
_OF_ADDRESSES = {
    "Pod": r"status(?:\.podIPs?\b.*)?",
    "Service": r"spec(?:\.(?:clusterIPs?|externalIPs)\b.*)?|status(?:\.loadBalancer\b.*)?",
}
"""Kind -> the fields that hold addresses. Those of a Node may be names as well (CNP-18)."""
_LABEL = r"(?s)metadata\.labels\[(\"?)(.*)\1\]\Z"


def can_matter(kind: str, path: str) -> bool:
    """Whether a fault at this path of an object can change what it means for a verdict."""
    if re.match(_TOOLS_METADATA, path):
        return False
    if kind in _WITHOUT_STATUS and re.match(r"status\b", path):
        return False
    if kind in POLICY_KINDS and re.match(r"metadata\.labels\b", path):
        return False
    container = re.match(_CONTAINER, path)
    return container is None or container[1] in _READ_OF_CONTAINERS


def doubt_of(document: Document, problems: Iterable[Problem]) -> Doubt:
    """What is known of an object that could not be read. ``problems``: why."""
    data, kind = document.data, str(document.data["kind"])
    faults = [p for p in problems if p.severity is Severity.ERROR and not p.refused_only]
    paths = [fault.path for fault in faults]
    metadata = _mapping(data.get("metadata"))
    selector, types = LabelSelector(), BOTH_TYPES
    if kind == "NetworkPolicy":
        selector, types = _subject(document), _types(data, paths)
    is_pod = kind == "Pod"
    return Doubt(
        kind,
        _namespace(kind, metadata, faults),
        _text(metadata.get("name")),
        document.source,
        next(iter(paths), ""),
        selector,
        types,
        _unread_keys(kind, paths),
        None if _hides_address(kind, paths) else tuple(_addresses(data)),
        tuple(_node_addresses(data)) if is_pod else (),
        _owner(document, metadata) if is_pod else None,
    )


def doubt_of_unreadable(unreadable: Unreadable) -> Doubt | None:
    """The same for text that is not an object; None if it certainly cannot matter."""
    kind = unreadable.kind.removesuffix("List")
    if kind and kind not in WANTED_KINDS:
        return None
    namespace = "" if kind in CLUSTER_SCOPED else unreadable.namespace
    addresses: tuple[IPAddress, ...] | None = ()
    if kind in _WITH_ADDRESSES:
        texts = unreadable.addresses
        addresses = None if texts is None else tuple(_parsed(texts))
    return Doubt(
        kind,
        namespace,
        "",
        unreadable.source,
        addresses=addresses,
        listed_in=unreadable.listed_in,
    )


def _namespace(kind: str, metadata: Json, faults: Iterable[Problem]) -> str:
    """The namespace, "" where it may be any: an unknown field may have been the one that names it,
    or the metadata around it."""
    if kind in CLUSTER_SCOPED:
        return ""
    is_named = metadata.get("name") or metadata.get("generateName")
    for fault in faults:
        outside = "." not in fault.path and not is_named
        if fault.path == "metadata" or (
            fault.code == "PF201" and (outside or fault.path.startswith("metadata."))
        ):
            return ""
    namespace = metadata.get("namespace", DEFAULT_NAMESPACE)
    if namespace is None or namespace == "":
        return DEFAULT_NAMESPACE
    return _text(namespace)


def _owner(document: Document, metadata: Json) -> ObjectRef | None:
    labels = {
        key: value
        for key, value in _mapping(metadata.get("labels")).items()
        if isinstance(value, str)
    }
    namespace = _text(metadata.get("namespace")) or DEFAULT_NAMESPACE
    return owner_of(Fields(document.source), metadata, namespace, labels_of(labels))


def _subject(document: Document) -> LabelSelector:
    """The pod selector, decoded separately; every pod if it cannot be read."""
    spec = _mapping(document.data.get("spec"))
    alone = {
        "metadata": {"name": "x", "namespace": "x"},
        "spec": {"podSelector": spec.get("podSelector")},
    }
    policy, _ = decode_policy(alone, document.source)
    return LabelSelector() if policy is None else policy.pod_selector


def _types(data: Json, paths: Iterable[str]) -> frozenset[PolicyType]:
    """The directions by NP-8, as far as they are certain."""
    spec = data.get("spec")
    if not isinstance(spec, Mapping) or any(re.fullmatch(r"[^.]*|spec\.[^.\[]*", p) for p in paths):
        return BOTH_TYPES  # a misspelt field may have been policyTypes or egress
    declared = spec.get("policyTypes")
    names = {each.value: each for each in PolicyType}
    if declared and isinstance(declared, list):
        known = all(isinstance(each, str) and each in names for each in declared)
        return frozenset(names[each] for each in declared) if known else BOTH_TYPES
    return BOTH_TYPES if spec.get("egress") or declared else frozenset({PolicyType.INGRESS})


def _unread_keys(kind: str, paths: list[str]) -> frozenset[str] | None:
    if kind != "Namespace" or not paths:
        return None
    keys = [re.match(_LABEL, path) for path in paths]
    return frozenset(key[2] for key in keys if key) if all(keys) else None


def _hides_address(kind: str, paths: Iterable[str]) -> bool:
    """Whether one of the faults is in an address of the object, which may then be any."""
    fields = _OF_ADDRESSES.get(kind)
    return fields is not None and any(re.fullmatch(fields, path, re.DOTALL) for path in paths)


def _addresses(data: Json) -> Iterator[IPAddress]:
    """Every address that a question may use for the object."""
    spec, status = _mapping(data.get("spec")), _mapping(data.get("status"))
    texts = [spec.get("clusterIP"), status.get("podIP")]
    texts += [*_items(spec.get("clusterIPs")), *_items(spec.get("externalIPs"))]
    balanced = _items(_mapping(status.get("loadBalancer")).get("ingress"))
    texts += [_mapping(each).get("ip") for each in (*balanced, *_items(status.get("podIPs")))]
    texts += [_mapping(each).get("address") for each in _items(status.get("addresses"))]
    return _parsed(texts)


def _node_addresses(data: Json) -> Iterator[IPAddress]:
    """The addresses of a pod's node; a pod on the host network has no other ones (NP-52)."""
    status = _mapping(data.get("status"))
    texts = [status.get("hostIP"), status.get("podIP")]
    texts += [
        _mapping(each).get("ip")
        for each in (*_items(status.get("hostIPs")), *_items(status.get("podIPs")))
    ]
    return _parsed(texts)


def _parsed(texts: Iterable[object]) -> Iterator[IPAddress]:
    for text in texts:
        if isinstance(text, str) and (address := parse_address(text)) is not None:
            yield address


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
