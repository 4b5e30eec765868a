"""Ends: pods that one policy, rule or peer matches, by their ordinals in the list of all endpoints.

Rule: a rule may match thousands of pods. The ordinals alone answer most questions; the pods
themselves are looked up only where they are needed one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from pyroaring import BitMap

from podfence.model.objects import ContainerPort
from podfence.policy.index import Endpoint


class Ends(Collection[Endpoint]):
    """Endpoints in the order of ``everybody``, each once. Results are kept here: ``port_lists``,
    ``by_label`` and ``names`` belong to ``MatchedPods``."""

    __slots__ = (
        "_classes",
        "_everybody",
        "_first",
        "_is_some",
        "_ordinals",
        "by_label",
        "names",
        "port_lists",
    )

    def __init__(
        self,
        everybody: Sequence[Endpoint],
        ordinals: BitMap | None,
        classes: Iterable[int] = (),
        first: Sequence[int] = (),
    ) -> None:
        """``ordinals``: None if they are those of some ``classes``; ``first``: the ordinal of each
        class's first endpoint, and the end of the last. Often the only question is whether there
        are any ends, so ordinals are computed on demand."""
        self._everybody = everybody
        self._classes = classes
        self._first = first
        self._is_some: bool | None = None
        self._ordinals = ordinals
        self.port_lists: list[tuple[ContainerPort, ...]] | None = None
        self.by_label: dict[tuple[str, str], list[Endpoint]] | None = None
        self.names: dict[tuple[int, str], str] = {}

    @property
    def ordinals(self) -> BitMap:
        """The positions of the endpoints in the list of all endpoints."""
        if self._ordinals is None:
            self._ordinals, first = BitMap(), self._first
            for number in self._classes:
                self._ordinals.add_range(first[number], first[number + 1])
        return self._ordinals

    def __iter__(self) -> Iterator[Endpoint]:
        return map(self._everybody.__getitem__, self.ordinals)

    def __len__(self) -> int:
        return len(self.ordinals)

    def __bool__(self) -> bool:
        if self._is_some is None:
            first = self._first
            some = any(first[number] < first[number + 1] for number in self._classes)
            self._is_some = some if self._ordinals is None else bool(self._ordinals)
        return self._is_some

    def __contains__(self, end: object) -> bool:
        return any(end is each for each in self)
