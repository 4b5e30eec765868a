"""Wrong answers -> classes, each with its smallest case and the argument.

Rule: a class is told by the smallest case, not by the tool's name. What no class fits is shown as
not explained: nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench.conformance.asking import Ask, Miss, Objects
from bench.conformance.peers import Peer
from bench.conformance.shrinking import smallest

LOOKED_INTO = 30
"""Wrong answers of one tool that are made small."""


@dataclass(frozen=True)
class Kind:
    """A sort of wrong answers. ``fits``: told by the smallest case. ``clause``: of the semantics.
    ``text``: what Kubernetes says of it, and where."""

    title: str
    clause: str
    text: str
    fits: Callable[[Objects], bool]


@dataclass(frozen=True)
class Found:
    """A class that a tool's answers fell into: how many of those looked into, and the smallest."""

    title: str
    clause: str
    text: str
    count: int
    miss: Miss
    objects: Objects
    said: str


def _has(objects: Objects, field: str, wanted: Callable[[Any], bool]) -> bool:
    """Whether a field of this name has such a value anywhere in a policy."""

    def inside(value: object) -> bool:
        if isinstance(value, dict):
            return any((k == field and wanted(v)) or inside(v) for k, v in value.items())
        return isinstance(value, list) and any(map(inside, value))

    return any(inside(item) for item in objects if item["kind"].endswith("Policy"))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _has_bare_item(ports: object) -> bool:
    items = ports if isinstance(ports, list) else []
    return any(isinstance(item, dict) and set(item) <= {"protocol"} for item in items)


KINDS = (
    Kind(
        "`NotIn` on a key that is missing",
        "NP-4",
        "Kubernetes documentation, Labels and selectors, of `tier notin (frontend, backend)`: it "
        "selects *all resources with key equal to `tier` and values other than `frontend` and "
        "`backend`, and all resources with no labels with the `tier` key*.",
        lambda objects: _has(objects, "operator", lambda value: value == "NotIn"),
    ),
    Kind(
        "A label with an empty value taken for a label that is missing",
        "NP-4",
        "API reference, LabelSelector: *A single {key,value} in the matchLabels map is equivalent "
        'to an element of matchExpressions, whose key field is "key", the operator is "In", and '
        'the values array contains only "value".* `In` needs the key.',
        lambda objects: _has(objects, "matchLabels", lambda value: "" in value.values()),
    ),
    Kind(
        "A port name of the older kinds taken for every port of a pod that has the name",
        "CNP-23",
        "Comment of AdminNetworkPolicyPort: *NamedPort selects a port on a pod(s) based on name.*",
        lambda objects: _has(objects, "namedPort", _is_text),
    ),
    Kind(
        "A port name that the pod does not have taken for port 0",
        "NP-35",
        "API reference, NetworkPolicyPort, `port`: *If present, only traffic on the specified "
        "protocol AND port will be matched.*",
        lambda objects: _has(objects, "port", _is_text),
    ),
    Kind(
        "An `ipBlock` never taken for a pod",
        "NP-27",
        "The end-to-end tests of Kubernetes expect a match: *should allow egress access to server "
        "in CIDR block*, *should enforce except clause while egress access to server in CIDR "
        "block*, *should ensure an IP overlapping both IPBlock.CIDR and IPBlock.Except is "
        "allowed*.",
        lambda objects: _has(objects, "cidr", _is_text),
    ),
    Kind(
        "An item without `port` taken for every protocol",
        "NP-31",
        "API reference, NetworkPolicyPort: *protocol represents the protocol (TCP, UDP, or SCTP) "
        "which traffic must match. If not specified, this field defaults to TCP.* And of `port`: "
        "*If this field is not provided, this matches all port names and numbers.*",
        lambda objects: _has(objects, "ports", _has_bare_item),
    ),
    Kind(
        "`matchExpressions` not looked at",
        "NP-4",
        "API reference, LabelSelector: *The result of matchLabels and matchExpressions are ANDed.*",
        lambda objects: _has(objects, "matchExpressions", bool),
    ),
)


def classes(wrong: list[Miss], ask: Ask, peer: Peer) -> Iterator[Found]:
    """The classes of a tool's wrong answers, the largest first."""
    groups: dict[tuple[str, str, str], list[tuple[int, Miss, Objects, str]]] = {}
    for miss in _spread(wrong):
        objects, said = smallest(miss, ask, peer)
        kind = next((each for each in KINDS if each.fits(objects)), None)
        clause = miss.case.clause
        key = (
            (kind.title, kind.clause, kind.text)
            if kind
            else (f"Not explained: {clause or miss.case.group}", clause, "")
        )
        groups.setdefault(key, []).append((len(str(objects)), miss, objects, said))
    for (title, clause, text), found in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0])):
        _, miss, objects, said = min(found, key=lambda each: each[0])
        yield Found(title, clause, text, len(found), miss, objects, said)


def _spread(wrong: list[Miss]) -> list[Miss]:
    """Not more than LOOKED_INTO, from all over the list."""
    count = min(len(wrong), LOOKED_INTO)
    return [wrong[number * len(wrong) // count] for number in range(count)]
