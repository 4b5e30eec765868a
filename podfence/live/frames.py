"""Pods as a mirror tells them: who has which address, in few bytes, and back to facts.

Rule: a frame says how things are at its version, not how to get there. So a reader may take a frame
twice, and from any version between its beginning and its end. What pods have in common (namespace,
labels, named ports) is an identity. An identity is told once and named by a hash of itself, so that
all mirrors of a cluster use the same names.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from podfence.errors import UNREADABLE, ClusterError
from podfence.model.facts import NO_ADDRESS, PodFacts
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import ContainerPort

PATH: Final = "/mirror/v1/pods"
RESOURCE: Final = "mirror"
"""Whose ``get`` in the group ``podfence.io`` who asks must have."""
FRAME: Final = "FRAME"
"""The type of an event that carries a ``Frame``."""
_IDENTITY_BYTES: Final = 12
_NODE_BYTES: Final = 6
Key = tuple[str, str]
"""Namespace and name."""
_Number = Annotated[int, Meta(ge=1, le=65535)]
_V4 = Annotated[int, Meta(ge=NO_ADDRESS, le=(1 << 32) - 1)]
_V6 = Annotated[str, Meta(pattern="^[0-9a-f]{0,32}$")]


class Identity(Struct, frozen=True, array_like=True):
    """All that policies can see of a pod, except its address. ``labels``: the JSON that the API
    sent, null for none. ``ports``: those with a name."""

    key: str
    namespace: str
    labels: Raw
    ports: tuple[tuple[str, _Number, Protocol], ...] = ()


class IdentityPod(Struct, frozen=True, array_like=True):
    """A pod of an identity. ``node``: a hash of its node's name. ``v6``: in hex, "" for none."""

    name: str
    node: str
    v4: _V4 = NO_ADDRESS
    v6: _V6 = ""
    deleting: bool = False

    def short(self) -> tuple[str | int | bool, ...]:
        """Without what is as usual at its end."""
        whole = (self.name, self.node, self.v4, self.v6, self.deleting)
        return whole if self.deleting else whole[: 4 if self.v6 else 3]


class Frame(Struct, frozen=True, omit_defaults=True):
    """``version``: the API server's resourceVersion at which all of this holds. ``age``: seconds
    since the mirror heard from the API server. ``began``: identities that pods have now and did not
    have at some version within the frame; ``ended``: identities that no pod has any more. ``put``:
    pods by identity. ``gone``: names by namespace."""

    version: str = ""
    age: int = 0
    began: tuple[Identity, ...] = ()
    ended: tuple[str, ...] = ()
    put: tuple[tuple[str, tuple[IdentityPod, ...]], ...] = ()
    gone: tuple[tuple[str, tuple[str, ...]], ...] = ()


class _Short(Struct, omit_defaults=True):
    """A frame whose rows leave out what is usual at their end."""

    version: str = ""
    age: int = 0
    began: tuple[Identity, ...] = ()
    ended: tuple[str, ...] = ()
    put: tuple[tuple[str, list[tuple[str | int | bool, ...]]], ...] = ()
    gone: tuple[tuple[str, tuple[str, ...]], ...] = ()


_FRAME: Final = msgspec.json.Decoder(Frame)
_encode: Final = msgspec.json.Encoder().encode


def line_of(frame: Frame) -> bytes:
    """The line of a watch that carries a frame."""
    put = tuple((key, [row.short() for row in rows]) for key, rows in frame.put)
    short = _Short(frame.version, frame.age, frame.began, frame.ended, put, frame.gone)
    # Labels are JSON as somebody else wrote it: between its words there may be ends of lines.
    return _encode({"type": FRAME, "object": short}).replace(b"\n", b" ") + b"\n"


def frame_of(text: Raw | bytes) -> Frame:
    """The frame of an event. Raises ClusterError."""
    try:
        return _FRAME.decode(text)
    except UNREADABLE as error:
        raise ClusterError(f"the mirror sent a frame of another form: {error}") from None


def identity_of(pod: PodFacts) -> Identity:
    """What a pod has in common with others."""
    ports = tuple((port.name, port.port, port.protocol) for port in pod.ports)
    labels = pod.labels or b"null"
    words = _encode((pod.namespace, ports)) + b"\n" + labels
    return Identity(_hash(words, _IDENTITY_BYTES), pod.namespace, Raw(labels), ports)


def row_of(pod: PodFacts) -> IdentityPod:
    """What a pod has for itself."""
    v6 = "" if pod.v6 == NO_ADDRESS else f"{pod.v6:x}"
    return IdentityPod(pod.name, node_hash(pod.node), pod.v4, v6, pod.deleting)


def node_hash(name: str) -> str:
    """How frames name a node."""
    return _hash(name.encode(), _NODE_BYTES)


def _hash(words: bytes, size: int) -> str:
    return urlsafe_b64encode(blake2b(words, digest_size=size).digest()).decode("ascii")


class Identities:
    """The identities that frames have told, for the reader of frames. ``node``: its pods are left
    out, since somebody else tells of them."""

    def __init__(self, node: str) -> None:
        self._own = node_hash(node)
        self._known: dict[str, tuple[str, bytes, tuple[ContainerPort, ...]]] = {}

    def __len__(self) -> int:
        return len(self._known)

    def clear(self) -> None:
        """Forget all: a snapshot begins."""
        self._known.clear()

    def take(self, frame: Frame) -> tuple[list[PodFacts], list[Key]]:
        """The pods of other nodes that are there now, and the names of pods that are not.

        Raises ClusterError for an identity that no frame has told: then nothing is known for
        certain.
        """
        for each in frame.began:
            labels = bytes(each.labels)
            ports = tuple(ContainerPort(*port) for port in each.ports)
            self._known[each.key] = each.namespace, b"" if labels == b"null" else labels, ports
        gone = [(namespace, name) for namespace, names in frame.gone for name in names]
        there = [*self._pods(frame.put, gone)]
        for key in frame.ended:
            self._known.pop(key, None)
        return there, gone

    def _pods(
        self, put: Iterable[tuple[str, tuple[IdentityPod, ...]]], gone: list[Key]
    ) -> Iterator[PodFacts]:
        for key, rows in put:
            known = self._known.get(key)
            if known is None:
                raise ClusterError("the mirror sent pods whose identity it has not told")
            namespace, labels, ports = known
            for row in rows:
                if row.node == self._own:
                    gone.append((namespace, row.name))
                    continue
                v6 = int(row.v6, 16) if row.v6 else NO_ADDRESS
                yield PodFacts(
                    namespace, row.name, labels, ports, row.v4, v6, deleting=row.deleting
                )
