"""Facts that a live reader keeps of an object: values of a few bytes, and events that carry them.

Rule: nothing of an object is kept that no rule asks for. Labels and policies stay the bytes that
the API sent until somebody has to look into them: most pods and policies are of other nodes.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.model.meta import Labels
from podfence.model.objects import ContainerPort
from podfence.sets.addresses import IPAddress, IPNetwork

NO_ADDRESS = -1


class PodFacts(Struct, frozen=True):
    """A pod. ``labels``: a JSON object, or nothing. ``ports``: those with a name, sorted by it.
    ``v4`` and ``v6``: its addresses as integers, or NO_ADDRESS. ``seen``: policies see it, so it is
    neither finished nor on the host network (NP-50, NP-60)."""

    namespace: str
    name: str
    labels: bytes = b""
    ports: tuple[ContainerPort, ...] = ()
    v4: int = NO_ADDRESS
    v6: int = NO_ADDRESS
    node: str = ""
    deleting: bool = False
    seen: bool = True


class NamespaceFacts(Struct, frozen=True):
    """A namespace. ``labels``: with the automatic one (NP-21)."""

    name: str
    labels: Labels = ()


class NodeFacts(Struct, frozen=True):
    """A node, as ``Node`` has it."""

    name: str
    labels: Labels = ()
    addresses: tuple[IPAddress, ...] = ()
    pod_cidrs: tuple[IPNetwork, ...] = ()


class PolicyFacts(Struct, frozen=True):
    """A policy of any kind. ``document``: the object as JSON."""

    kind: str
    namespace: str
    """"" for kinds without one."""
    name: str
    document: bytes


class NameFacts(Struct, frozen=True):
    """A domain name, in lower case without a final dot, as pods of this node were told of it.
    ``live``: its addresses, as IP version and number; ``kept``: those that it had."""

    name: str
    live: frozenset[tuple[int, int]] = frozenset()
    kept: frozenset[tuple[int, int]] = frozenset()


Facts = PodFacts | NamespaceFacts | NodeFacts | PolicyFacts | NameFacts


class Put(Struct, frozen=True):
    """An object is there, or it has changed."""

    facts: Facts


class Gone(Struct, frozen=True):
    """An object is not there any more."""

    kind: str
    namespace: str
    name: str


Event = Put | Gone
