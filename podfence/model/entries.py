"""Entries: what of a cluster wants to be reached from outside, and through whom.

Rule: an entry grants nothing. Policies alone decide whether what it leads to can be reached; shapes
only, no meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from podfence.errors import Source
from podfence.model.meta import Labels, ObjectRef
from podfence.model.networkpolicy import Protocol
from podfence.model.selectors import LabelSelector
from podfence.sets.addresses import IPNetwork


class EntryPath(Enum):
    """Whose packets reach the pods behind an entry."""

    CONTROLLER = "controller"
    """Those of the pods that serve an Ingress, a Gateway or a Route."""
    CLIENT = "client"
    """Those of the client itself: its address is kept."""
    NODE = "node"
    """Those of the client, of a load balancer or of a node (NP-48)."""


class EntryPoint(Struct, frozen=True):
    """One way in. ``asked``: host and path that outside asks for, or the port there; "" for any.

    Of ``service`` and ``pods_of`` one is set: what it leads to is a Service, or the workload (or
    pod) that has a hostPort.
    """

    ref: ObjectRef
    way: EntryPath
    asked: str = ""
    service: ObjectRef | None = None
    port: int | str | None = None
    """Of the Service, by number or name; None: all its ports. Of ``pods_of``: the container's."""
    is_target: bool = False
    """``port`` is that of the pods, as a Route may name it."""
    protocol: Protocol = Protocol.TCP
    pods_of: ObjectRef | None = None
    classes: tuple[str, ...] = ()
    """What names the controller: the class of an Ingress; empty where nothing is named."""
    gateways: tuple[ObjectRef, ...] = ()
    """The Gateways that a route hangs on."""
    ranges: tuple[IPNetwork, ...] = ()
    """``loadBalancerSourceRanges``: the clients that are let in; empty: all."""
    source: Source | None = None
    path: str = ""
    """The field that names what it leads to."""


class Gateway(Struct, frozen=True):
    """A Gateway and its class. ``takes``: of which namespaces its listeners take routes, None for
    its own; () where that is not known."""

    ref: ObjectRef
    class_name: str
    takes: tuple[LabelSelector | None, ...] = ()


class ReferenceGrant(Struct, frozen=True):
    """A ReferenceGrant: routes of a kind and a namespace may lead to a Service of another one;
    ``service`` "": to any of it."""

    kind: str
    namespace: str
    to_namespace: str
    service: str = ""


class ControllerClass(Struct, frozen=True):
    """An IngressClass or GatewayClass: a name for a controller."""

    kind: str
    name: str
    controller: str
    is_default: bool = False


class Callback(Struct, frozen=True):
    """What the API server calls itself: a webhook, or an API that a Service serves. ``what``: in
    words, for people."""

    ref: ObjectRef
    what: str
    service: ObjectRef
    port: int
    source: Source | None = None
    path: str = ""


class BoundAccount(Struct, frozen=True):
    """A ServiceAccount that a RoleBinding or ClusterRoleBinding names."""

    namespace: str
    name: str


class Controllers(Struct, frozen=True):
    """Who serves entries, as the configuration says: by class, a namespace and labels."""

    by_class: Mapping[str, tuple[str, Labels]] = {}


class Entries(Struct, frozen=True):
    """All entries of an input with what names their controllers."""

    entries: tuple[EntryPoint, ...] = ()
    gateways: Mapping[ObjectRef, Gateway] = {}
    classes: tuple[ControllerClass, ...] = ()
    callbacks: tuple[Callback, ...] = ()
    accounts: frozenset[BoundAccount] = frozenset()
    grants: frozenset[ReferenceGrant] = frozenset()
