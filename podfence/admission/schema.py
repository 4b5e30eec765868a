"""The wire form of networking.k8s.io/v1 NetworkPolicy: field names and types as on the server.

Rule: shapes as data, no meaning. ``go`` is the type's name in the server's own error texts. JSON
null is absent for every field, so ``conforms`` is never asked about a field whose value is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from podfence.admission.gotime import time_complaint

Json = Mapping[str, Any]
"""A JSON object."""
NOTHING: Json = {}
"""The value of an absent or null object."""

INT32 = range(-(2**31), 2**31)
INT64 = range(-(2**63), 2**63)


class Text(msgspec.Struct, frozen=True):
    """A JSON string."""

    go: str = "string"

    def conforms(self, value: Any) -> bool:
        """Whether the value can be read without any remark."""
        return isinstance(value, str)


class Integer(msgspec.Struct, frozen=True):
    """A JSON integer within ``bounds``; a bool is not one, unlike in Python, and neither is a
    float."""

    go: str
    bounds: range

    def conforms(self, value: Any) -> bool:
        """Whether the value can be read without any remark."""
        return type(value) is int and value in self.bounds


class Boolean(msgspec.Struct, frozen=True):
    """A JSON boolean."""

    go: str = "bool"

    def conforms(self, value: Any) -> bool:
        """Whether the value can be read without any remark."""
        return isinstance(value, bool)


class IntOrString(msgspec.Struct, frozen=True):
    """``port``: a JSON string is a name, everything else has to be an int32."""

    go: str = "int32"

    def conforms(self, value: Any) -> bool:
        """Whether the value can be read without any remark."""
        return isinstance(value, str) or (type(value) is int and value in INT32)


class Timestamp(msgspec.Struct, frozen=True):
    """A JSON string that Go reads as a time of RFC 3339."""

    go: str = "string"

    def conforms(self, value: Any) -> bool:
        """Whether the value can be read without any remark."""
        return isinstance(value, str) and not time_complaint(value)


class Anything(msgspec.Struct, frozen=True):
    """A field whose content is not checked."""

    go: str = "any"

    def conforms(self, value: Any) -> bool:
        """Always true."""
        return True


class TextMap(msgspec.Struct, frozen=True):
    """A JSON object of strings. A null value is read as "", which deserves a remark."""

    go: str = "map[string]string"

    def conforms(self, value: Any) -> bool:
        """Whether the value can be read without any remark."""
        if not isinstance(value, dict):
            return False
        for key, text in value.items():
            if type(key) is not str or type(text) is not str:
                return False
        return True


class Struct(msgspec.Struct, frozen=True, eq=False):
    """A JSON object with known fields; ``name`` is the Go struct. Keys match by exact case only."""

    name: str
    fields: Mapping[str, WireType]

    @property
    def go(self) -> str:
        """The Go type."""
        return f"v1.{self.name}"

    def conforms(self, value: Any) -> bool:
        """Whether the value can be read without any remark."""
        if not isinstance(value, dict):
            return False
        fields = self.fields
        for key, member in value.items():
            wire = fields.get(key)
            if wire is None:
                return False
            # Most members are strings that may be strings: decided without a call.
            if type(member) is str and type(wire) is Text:
                continue
            if member is not None and not wire.conforms(member):
                return False
        return True


class ListOf(msgspec.Struct, frozen=True):
    """A JSON array. A null item is read as a zero value (NP-15a), which deserves a remark."""

    item: WireType

    @property
    def go(self) -> str:
        """The Go type."""
        return f"[]{self.item.go}"

    def conforms(self, value: Any) -> bool:
        """Whether the value can be read without any remark."""
        if not isinstance(value, list):
            return False
        conforms = self.item.conforms
        for item in value:  # noqa: SIM110 (all() costs twice as much on lists this short)
            if not conforms(item):
                return False
        return True


WireType = Text | Integer | Boolean | IntOrString | Timestamp | Anything | TextMap | Struct | ListOf

_TEXT = Text()
_TEXTS = ListOf(_TEXT)
_TEXT_MAP = TextMap()
_INT64 = Integer("int64", INT64)
_TIME = Timestamp()

OWNER_REFERENCE = Struct(
    "OwnerReference",
    {
        "apiVersion": _TEXT,
        "kind": _TEXT,
        "name": _TEXT,
        "uid": Text("types.UID"),
        "controller": Boolean(),
        "blockOwnerDeletion": Boolean(),
    },
)

MANAGED_FIELDS_ENTRY = Struct(
    "ManagedFieldsEntry",
    {
        "manager": _TEXT,
        "operation": Text("v1.ManagedFieldsOperationType"),
        "apiVersion": _TEXT,
        "time": _TIME,
        "fieldsType": _TEXT,
        "fieldsV1": Anything(),
        "subresource": _TEXT,
    },
)

OBJECT_META = Struct(
    "ObjectMeta",
    {
        "name": _TEXT,
        "generateName": _TEXT,
        "namespace": _TEXT,
        "selfLink": _TEXT,
        "uid": Text("types.UID"),
        "resourceVersion": _TEXT,
        "generation": _INT64,
        "creationTimestamp": _TIME,
        "deletionTimestamp": _TIME,
        "deletionGracePeriodSeconds": _INT64,
        "labels": _TEXT_MAP,
        "annotations": _TEXT_MAP,
        "ownerReferences": ListOf(OWNER_REFERENCE),
        "finalizers": _TEXTS,
        "managedFields": ListOf(MANAGED_FIELDS_ENTRY),
    },
)

LABEL_SELECTOR = Struct(
    "LabelSelector",
    {
        "matchLabels": _TEXT_MAP,
        "matchExpressions": ListOf(
            Struct(
                "LabelSelectorRequirement",
                {"key": _TEXT, "operator": Text("v1.LabelSelectorOperator"), "values": _TEXTS},
            )
        ),
    },
)

_PEER = Struct(
    "NetworkPolicyPeer",
    {
        "podSelector": LABEL_SELECTOR,
        "namespaceSelector": LABEL_SELECTOR,
        "ipBlock": Struct("IPBlock", {"cidr": _TEXT, "except": _TEXTS}),
    },
)

_PORT = Struct(
    "NetworkPolicyPort",
    {
        "protocol": Text("v1.Protocol"),
        "port": IntOrString(),
        "endPort": Integer("int32", INT32),
    },
)

PEERS = ListOf(_PEER)
PORTS = ListOf(_PORT)
POLICY_TYPES = ListOf(Text("v1.PolicyType"))

NETWORK_POLICY_SPEC = Struct(
    "NetworkPolicySpec",
    {
        "podSelector": LABEL_SELECTOR,
        "policyTypes": POLICY_TYPES,
        "ingress": ListOf(Struct("NetworkPolicyIngressRule", {"ports": PORTS, "from": PEERS})),
        "egress": ListOf(Struct("NetworkPolicyEgressRule", {"ports": PORTS, "to": PEERS})),
    },
)

NETWORK_POLICY = Struct(
    "NetworkPolicy",
    {"apiVersion": _TEXT, "kind": _TEXT, "metadata": OBJECT_META, "spec": NETWORK_POLICY_SPEC},
)
