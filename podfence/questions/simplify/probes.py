"""Imaginary pods, with labels drawn from the selectors of the policies.

Rule: they are the same on both sides of a comparison, so that two clusters with different policies
are compared for far more than the existing pods.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec.structs import replace

from podfence.model.cluster import Cluster, assign_addresses
from podfence.model.meta import METADATA_NAME_LABEL, Labels, ObjectRef, labels_of
from podfence.model.networkpolicy import NetworkPolicy, Protocol
from podfence.model.objects import ContainerPort, Namespace, Pod
from podfence.model.selectors import LabelSelector
from podfence.questions.plan.newcomers import KIND, NAME

T = TypeVar("T")
_SPACES = 12
"""Namespaces that do not exist."""
_MOST_LABELS = 4
_Words = dict[str, dict[str, None]]
"""Values by key."""


def with_probes(cluster: Cluster, policies: Iterable[NetworkPolicy], number: int) -> Cluster:
    """The cluster with ``number`` such pods, in its namespaces and in new ones. ``policies``: the
    source of selectors and port names; the same ones give the same pods."""
    policies = tuple(policies)
    drawn = _Draws(number)
    of_pods, of_spaces = _Words(), _Words()
    names: dict[tuple[str, Protocol], None] = {}
    for policy in policies:
        _note(of_pods, policy.pod_selector)
        for rule in (*policy.ingress, *policy.egress):
            for peer in rule.peers:
                _note(of_pods, peer.pod_selector)
                _note(of_spaces, peer.namespace_selector)
            names |= {(p.port, p.protocol): None for p in rule.ports if isinstance(p.port, str)}
    spaces = dict(cluster.namespaces)
    for at in range(_SPACES):
        name = f"{NAME}{at}"
        said = {**dict(_labels(drawn, of_spaces)), METADATA_NAME_LABEL: name}
        spaces[name] = Namespace(name, labels_of(said))
    # Half of them where policies select, the others where they may be peers alone.
    own = sorted({policy.ref.namespace for policy in policies} & spaces.keys())
    pods = []
    for at in range(number):
        space = drawn.choice(own if own and at % 2 else sorted(spaces))
        ports = tuple(
            ContainerPort(name, 1 + drawn.below(65535), protocol)
            for name, protocol in names
            if drawn.below(2)
        )
        owner = ObjectRef(KIND, space, f"{NAME}probe{at}")
        labels = _labels(drawn, of_pods)
        pods.append(Pod(space, f"{NAME}probe{at}", labels, ports=ports, owner=owner))
    every = assign_addresses((*cluster.pods, *pods))
    return replace(cluster, namespaces=spaces, pods=every)


def _note(words: _Words, selector: LabelSelector | None) -> None:
    for key, value in _asked(selector):
        words.setdefault(key, {})[value] = None


def _asked(selector: LabelSelector | None) -> Iterator[tuple[str, str]]:
    if selector is not None:
        yield from selector.match_labels
        for each in selector.match_expressions:
            yield from ((each.key, value) for value in each.values or ("",))


def _labels(drawn: _Draws, words: _Words) -> Labels:
    keys = sorted(words)
    found: dict[str, str] = {}
    for _ in range(min(len(words), drawn.below(_MOST_LABELS + 1))):
        key = keys.pop(drawn.below(len(keys)))
        found[key] = drawn.choice([*words[key]])
    return labels_of(found)


class _Draws:
    """The same draws in every run (a linear congruential generator, its upper half)."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, limit: int) -> int:
        """A number from 0, less than ``limit``."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 33) % limit

    def choice(self, among: Sequence[T]) -> T:
        """One of them."""
        return among[self.below(len(among))]
