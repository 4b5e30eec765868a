"""Policies as the API sent them, read when somebody has to know what they say.

Rule: what is in force follows from the objects that are there now. A policy that cannot be read is
replaced by what may hold in its place (``unread``). Otherwise an earlier version would still hold
here, and would not hold on a node that starts now.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct, field
from msgspec.json import Decoder

from podfence.admission.decode import decode
from podfence.errors import UNREADABLE, Severity
from podfence.live.unread import NETWORK_POLICY, SOURCE, UnreadPolicy, instead_of, selector
from podfence.model.cluster import Policy
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.facts import PolicyFacts
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.model.selectors import LabelSelector
from podfence.policy.classes import asked_keys

OF_CLUSTER = ""
"""The namespace of policies that have none."""
_MAX_SELECTORS = 1 << 12
_selectors: dict[bytes, LabelSelector] = {}
"""By their text: most workloads have more than one policy."""


class _SelectorSpec(Struct, rename="camel"):
    pod_selector: Raw = field(default_factory=Raw)


class _Subject(Struct):
    spec: _SelectorSpec


_subject = Decoder(_Subject)


class _Stored:
    """A policy. ``subject``: whom it selects, once somebody has looked. ``policy``: all of it,
    while it is needed. Both stay unknown for a policy that says nothing because it could not be
    read."""

    __slots__ = ("_packed", "policy", "subject")

    def __init__(self, document: bytes) -> None:
        self._packed = pack(document)
        self.subject: LabelSelector | None = None
        self.policy: Policy | None = None

    def facts(self, ref: ObjectRef) -> PolicyFacts:
        """What was told of it under its name."""
        return PolicyFacts(ref.kind, ref.namespace, ref.name, unpack(self._packed))


class PolicyStore:
    """All policies. In a namespace with pods here, the store reads whom a policy selects, and the
    rest where that is a pod here. Policies of the cluster (namespace "") are read whole."""

    def __init__(self) -> None:
        self._unseen: dict[str, dict[ObjectRef, _Stored]] = defaultdict(dict)
        """Those of which nothing was read."""
        self._seen: dict[str, dict[ObjectRef, _Stored]] = defaultdict(dict)
        self.refused: dict[ObjectRef, UnreadPolicy] = {}

    def put(self, facts: PolicyFacts) -> None:
        """A policy as it is now."""
        self.gone(facts.kind, facts.namespace, facts.name)
        ref = ObjectRef(facts.kind, facts.namespace, facts.name)
        self._unseen[facts.namespace][ref] = _Stored(facts.document)

    def gone(self, kind: str, namespace: str, name: str) -> None:
        """A policy is not there any more."""
        ref = ObjectRef(kind, namespace, name)
        for policies in (self._unseen, self._seen):
            if namespace in policies:
                policies[namespace].pop(ref, None)
                if not policies[namespace]:
                    del policies[namespace]
        self.refused.pop(ref, None)

    def look(self, namespace: str) -> Iterator[str]:
        """Read whom the policies of a namespace select, where nobody has yet; and the policies of
        the cluster. The keys of the pod labels that are asked for."""
        for ref, stored in self._unseen.pop(namespace, {}).items():
            self._seen[namespace][ref] = stored
            if ref.kind == NETWORK_POLICY and namespace != OF_CLUSTER:
                stored.subject = subject_of(stored.facts(ref))
            if stored.subject is not None:
                yield from stored.subject.asked_keys
            else:
                yield from self._read(ref, stored)

    def read(self, namespace: str, labels: Mapping[str, str]) -> Iterator[str]:
        """Read the policies of a namespace that select these labels, where nobody has yet. The keys
        of the pod labels that they ask for."""
        for ref, stored in self._selecting(namespace, labels):
            if stored.policy is None:
                yield from self._read(ref, stored)

    def selecting(self, namespace: str, labels: Mapping[str, str]) -> Iterator[Policy]:
        """The policies of a namespace that select these labels, read before."""
        for _, stored in self._selecting(namespace, labels):
            assert stored.policy is not None
            yield stored.policy

    def of_cluster(self) -> Iterator[Policy]:
        """The policies of the cluster that could be read."""
        for stored in self._seen.get(OF_CLUSTER, {}).values():
            if stored.policy is not None:
                yield stored.policy

    def put_away(self, ref: ObjectRef) -> None:
        """Nobody here is selected any more by a policy of a namespace: it is read again when
        somebody is."""
        stored = self._seen.get(ref.namespace, {}).get(ref)
        if stored is not None:
            stored.policy = None
            self.refused.pop(ref, None)

    def _selecting(
        self, namespace: str, labels: Mapping[str, str]
    ) -> Iterator[tuple[ObjectRef, _Stored]]:
        for ref, stored in self._seen.get(namespace, {}).items():
            if stored.subject is not None and stored.subject.matches(labels):
                yield ref, stored

    def _read(self, ref: ObjectRef, stored: _Stored) -> Iterator[str]:
        policy, refusal = read_policy(stored.facts(ref))
        if refusal is not None:
            self.refused[ref] = refusal
        stored.policy = policy
        if policy is None:
            stored.subject = None
        else:
            if isinstance(policy, NetworkPolicy):
                stored.subject = policy.pod_selector
            yield from asked_keys(policy)


def subject_of(facts: PolicyFacts) -> LabelSelector | None:
    """Whom a NetworkPolicy selects; None where only the whole may tell."""
    try:
        text = bytes(_subject.decode(facts.document).spec.pod_selector)
    except UNREADABLE:
        return None
    found = _selectors.get(text)
    if found is None and text:
        value = msgspec.json.decode(text)
        found = selector(ObjectRef(facts.kind, facts.namespace, facts.name), value)
        if found is not None:
            if len(_selectors) >= _MAX_SELECTORS:
                _selectors.clear()
            _selectors[text] = found
    return found


def read_policy(facts: PolicyFacts) -> tuple[Policy | None, UnreadPolicy | None]:
    """What a policy says; and why it could not be read."""
    ref = ObjectRef(facts.kind, facts.namespace, facts.name)
    try:
        document = msgspec.json.decode(facts.document, type=dict[str, Any])
    except UNREADABLE as error:
        return _refused(ref, {}, "", str(error))
    decoded = decode(document, SOURCE)
    for found in decoded.objects:
        if isinstance(found, NetworkPolicy | ClusterNetworkPolicy) and found.ref == ref:
            return found, None
    error_ = next((p for p in decoded.problems if p.severity is Severity.ERROR), None)
    path, reason = (error_.path, error_.message) if error_ else ("", "it is another object")
    return _refused(ref, document, path, reason)


def _refused(
    ref: ObjectRef, document: Mapping[str, Any], path: str, reason: str
) -> tuple[Policy | None, UnreadPolicy]:
    policy, instead = instead_of(ref, document)
    return policy, UnreadPolicy(ref, path, reason, instead)


# -- Policies kept small: nearly all text of a policy is in every other policy, too
# Rule: unpacking gives what was packed, byte for byte. A policy is packed at every event, and
# unpacked only when somebody reads it.


_FASTEST = 1
_NO_HEADER = -13
"""Window of 8 KiB, and neither header nor checksum."""
_SMALL_TABLE = 5
_USUAL = (
    b'{"apiVersion":"policy.networking.k8s.io/v1beta1","kind":"ClusterNetworkPolicy","spec":{"tier"'
    b':"Admin","priority":"subject":{"namespaces":{},"action":"Accept""Deny""Pass""protocol":{"tcp":'
    b'{"destinationPort":{"number":"networks":["ipBlock":{"cidr":"","except":["values":["operator":'
    b'"NotIn""Exists""DoesNotExist""In","matchExpressions":[{"key":"endPort":"protocol":"UDP"'
    b'{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"","namespace":'
    b'"","uid":"","generation":1},"spec":{"policyTypes":["Ingress","Egress"],"egress":[{"to":[{'
    b'"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"podSelector":{"matchLabels"'
    b':{"app.kubernetes.io/name":"app":"ports":[{"protocol":"TCP","port":"ingress":[{"from":[{'
)
"""What policies say; the most usual last, where it is found nearest. Never changed while anything
is packed."""


def pack(document: bytes) -> bytes:
    """A policy, in a quarter of its bytes or so."""
    packer = zlib.compressobj(_FASTEST, zlib.DEFLATED, _NO_HEADER, _SMALL_TABLE, zdict=_USUAL)
    return packer.compress(document) + packer.flush()


def unpack(packed: bytes) -> bytes:
    """What was packed."""
    return zlib.decompressobj(_NO_HEADER, zdict=_USUAL).decompress(packed)
