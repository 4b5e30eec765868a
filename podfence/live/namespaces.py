"""Namespaces and their labels, as selectors of namespaces see them (NP-18, NP-21)."""

from __future__ import annotations

from podfence.model.meta import METADATA_NAME_LABEL, Labels
from podfence.model.selectors import LabelSelector
from podfence.policy.select import LabelIndex


class Namespaces:
    """Those that an object of their own tells of, and those that pods are in."""

    def __init__(self) -> None:
        self._told: dict[str, Labels] = {}
        self._numbers: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._free: list[int] = []
        self._index = LabelIndex()

    def labels(self, name: str) -> Labels:
        """The labels of a namespace; one that nothing tells of has its name."""
        return self._told.get(name) or ((METADATA_NAME_LABEL, name),)

    def tell(self, name: str, labels: Labels | None) -> bool:
        """The labels of a namespace now; None: its object is gone. Whether that changes anything
        for pods that are there."""
        before = self.labels(name)
        if labels is None:
            self._told.pop(name, None)
        else:
            self._told[name] = labels
        after = self.labels(name)
        if before == after or name not in self._numbers:
            return False
        number = self._numbers[name]
        self._index.remove(number, before)
        self._index.add(number, after)
        return True

    def enter(self, name: str) -> None:
        """There are pods in a namespace."""
        if name not in self._numbers:
            number = self._free.pop() if self._free else len(self._numbers)
            self._numbers[name] = number
            self._names[number] = name
            self._index.add(number, self.labels(name))

    def leave(self, name: str) -> None:
        """There are none any more."""
        number = self._numbers.pop(name)
        del self._names[number]
        self._free.append(number)
        self._index.remove(number, self.labels(name))

    def select(self, selector: LabelSelector) -> list[str]:
        """Those with pods that a selector matches."""
        return [self._names[number] for number in self._index.select(selector)]
