"""Namespaces and their labels, and the profiles that selectors of namespaces find in them (NP-18,
NP-21)."""

from __future__ import annotations

from collections.abc import Mapping

from pyroaring import BitMap, FrozenBitMap

from podfence.model.meta import METADATA_NAME_LABEL, Labels
from podfence.model.selectors import LabelSelector
from podfence.policy.select import LabelIndex


class Namespaces:
    """Namespaces that an object declares, and those that profiles are in. ``profiles``: by
    namespace, the profiles in it, by number; this class follows the mapping and never changes
    it."""

    def __init__(self, profiles: Mapping[str, BitMap]) -> None:
        self._profiles = profiles
        self._told: dict[str, Labels] = {}
        self._index = LabelIndex()
        """Profiles by the labels of their namespaces."""

    def labels(self, name: str) -> Labels:
        """The labels of a namespace; one that nothing tells of has its name."""
        return self._told.get(name) or ((METADATA_NAME_LABEL, name),)

    def tell(self, name: str, labels: Labels | None) -> bool:
        """Take in the labels of a namespace now; None: its object is gone. Returns whether that
        changes anything for profiles that are there."""
        before = self.labels(name)
        if labels is None:
            self._told.pop(name, None)
        else:
            self._told[name] = labels
        after, here = self.labels(name), self._profiles.get(name)
        if before == after or not here:
            return False
        self._index.relabel(here, before, after)
        return True

    def enter(self, name: str, profile: int) -> None:
        """There is a profile more in a namespace."""
        self._index.add(profile, self.labels(name))

    def leave(self, name: str, profile: int) -> None:
        """There is a profile less."""
        self._index.remove(profile, self.labels(name))

    def select(self, selector: LabelSelector) -> FrozenBitMap:
        """The profiles in namespaces that a selector matches."""
        return self._index.select(selector)
