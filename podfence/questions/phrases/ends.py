"""Ends: pods that one policy, rule or peer means, by their ordinals in the list of all endpoints.

Rule: a rule may mean thousands of pods. The ordinals alone answer most of what is asked of them;
the pods themselves are looked up where somebody asks for them one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from pyroaring import BitMap

from podfence.model.objects import ContainerPort
from podfence.policy.index import Endpoint


class Ends(Collection[Endpoint]):
    """Endpoints in the order of ``everybody``, each once. What was found out of them is kept here:
    ``port_lists``, ``by_label`` and ``names`` belong to ``Matched``."""

    __slots__ = ("_everybody", "_found", "by_label", "names", "ordinals", "port_lists")

    def __init__(self, everybody: Sequence[Endpoint], ordinals: BitMap) -> None:
        self._everybody = everybody
        self._found: tuple[Endpoint, ...] | None = None
        self.ordinals = ordinals
        self.port_lists: list[tuple[ContainerPort, ...]] | None = None
        self.by_label: dict[tuple[str, str], list[Endpoint]] | None = None
        self.names: dict[tuple[int, str], str] = {}

    def __iter__(self) -> Iterator[Endpoint]:
        if self._found is None:
            self._found = tuple(map(self._everybody.__getitem__, self.ordinals))
        return iter(self._found)

    def __len__(self) -> int:
        return len(self.ordinals)

    def __bool__(self) -> bool:
        return bool(self.ordinals)

    def __contains__(self, end: object) -> bool:
        return any(end is each for each in self)
