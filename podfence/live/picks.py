"""The picks of the selections in use: which profiles each takes in, and which picks are about a
namespace.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from pyroaring import BitMap, FrozenBitMap

from podfence.live.profiles import HeldSelection, Profile, Profiles
from podfence.model.meta import METADATA_NAME_LABEL, Labels
from podfence.model.selectors import LabelSelector
from podfence.policy.namedports import PortName, named_number
from podfence.policy.select import LabelIndex
from podfence.policy.words import Pick

Scope = str | LabelSelector
"""A namespace by name, or those that a selector selects."""


class Picks:
    """The picks in use, and the selections that they belong to."""

    def __init__(self, profiles: Profiles, namespaces: Namespaces) -> None:
        self._profiles = profiles
        self._namespaces = namespaces
        self._in_use: dict[Scope, dict[Pick, set[HeldSelection]]] = defaultdict(dict)
        """By namespace or selector of namespaces."""

    def add(self, pick: Pick, held: HeldSelection) -> None:
        """A selection has a pick."""
        self._in_use[_scope(pick)].setdefault(pick, set()).add(held)

    def drop(self, pick: Pick, held: HeldSelection) -> None:
        """Nobody looks at the selection any more."""
        picks = self._in_use[_scope(pick)]
        picks[pick].discard(held)
        if not picks[pick]:
            del picks[pick]
            if not picks:
                del self._in_use[_scope(pick)]

    def about(self, namespace: str) -> Iterator[tuple[Pick, set[HeldSelection]]]:
        """Those that are about a namespace, with whose they are."""
        labels = dict(self._namespaces.labels(namespace))
        for scope, picks in self._in_use.items():
            if scope == namespace if isinstance(scope, str) else scope.matches(labels):
                yield from picks.items()

    def turned(
        self, before: Mapping[str, str], after: Mapping[str, str]
    ) -> Iterator[tuple[Pick, set[HeldSelection], bool]]:
        """Those that are about a namespace with one of these sets of labels and not with the other,
        with whose they are, and whether they are about it after."""
        for scope, picks in self._in_use.items():
            if not isinstance(scope, str):
                now = scope.matches(after)
                if now is not scope.matches(before):
                    for pick, helds in picks.items():
                        yield pick, helds, now

    # -- who is picked

    def picked(self, pick: Pick) -> FrozenBitMap:
        """The profiles that a pick takes in, whatever ports and addresses they have."""
        found = self._profiles.labels.select(pick.pods)
        if pick.namespace is not None:
            return found & self._profiles.of_namespace.get(pick.namespace, BitMap())
        if pick.namespaces.selects_everything:
            return found
        return found & self._namespaces.select(pick.namespaces)

    def taken(self, pick: Pick, among: BitMap) -> FrozenBitMap:
        """The profiles, of some in namespaces that a pick is about, that it takes in."""
        return self.declaring(pick, self._profiles.labels.select_among(pick.pods, among))

    def declaring(self, pick: Pick, among: FrozenBitMap) -> FrozenBitMap:
        """Those of some profiles that give the number to the port that a pick asks for, if it asks
        for one."""
        if pick.port is None or not among:
            return among
        found = self._profiles.declaring(PortName(*pick.port))
        parts = (profiles for numbers, profiles in found if numbers == pick.numbers)
        return among & BitMap.union(BitMap(), *parts)

    def takes(self, pick: Pick, profile: Profile) -> bool:
        """Whether a pick takes a profile in, whatever its ports and addresses."""
        namespace = dict(self._namespaces.labels(profile.namespace))
        return is_of(pick, profile.namespace, namespace) and pick.pods.matches(dict(profile.labels))


def is_of(pick: Pick, name: str, labels: Mapping[str, str]) -> bool:
    """Whether a pick is about a namespace."""
    return pick.namespaces.matches(labels) if pick.namespace is None else pick.namespace == name


def declares(pick: Pick, profile: Profile) -> bool:
    """Whether a profile gives the number to the port that a pick asks for, if it asks for one."""
    if pick.port is None:
        return True
    return named_number(profile.ports, PortName(*pick.port)) == pick.numbers


def _scope(pick: Pick) -> Scope:
    return pick.namespaces if pick.namespace is None else pick.namespace


# -- Namespaces
# Their labels, and the profiles that selectors of namespaces find in them (NP-18,
# NP-21).


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
