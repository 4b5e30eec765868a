"""Policies kept small: nearly all text of a policy is in every other policy, too.

Rule: unpacking gives what was packed, byte for byte. A policy is packed at every event, and
unpacked only when somebody reads it.
"""

from __future__ import annotations

import zlib

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
