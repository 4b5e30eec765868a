"""The elements that lead packets of this node's pods to their groups, as they change.

Rule: the elements follow from the groups of each address. A change is told by element.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from podfence.live.pods import At
from podfence.nft.lowering.dispatch import (
    GroupNames,
    audit_map_types,
    leads_of,
    map_types,
    self_set,
)
from podfence.nft.lowering.fragments import NOTHING, Fragment
from podfence.nft.lowering.groups import self_sets
from podfence.nft.lowering.identifiers import Namer
from podfence.nft.lowering.views import FAMILIES
from podfence.nft.objects import ChainVerdict, Key, NamedObject, Set, VerdictMap
from podfence.nft.transaction import ElementHolder

_AUDITS = dict(audit_map_types())
_TYPES = {**dict(map_types()), **_AUDITS}
_PAIRS = {name: family for family, name in self_sets().items()}


class _Lead(Struct, frozen=True):
    """Where the packets of an address go, by map; and the chains that lead to several groups."""

    verdicts: dict[str, ChainVerdict]
    chains: Fragment


class GroupMaps:
    """The maps from addresses to groups, and the sets of an address and itself."""

    def __init__(self, namer: Namer) -> None:
        self._namer = namer
        self._local: dict[At, _Lead] = {}
        self._elements: dict[str, dict[Key, ChainVerdict]] = {name: {} for name in _TYPES}
        self._before: dict[str, dict[Key, ChainVerdict | None]] = {}
        self._moved: dict[At, bool] = {}
        """Addresses that came (True) or went since the last change."""
        self._audited = False
        """Whether anything was audited when the last change began."""

    def __contains__(self, at: At) -> bool:
        return at in self._local

    def begin(self) -> None:
        """What is now is what was before."""
        self._before = {}
        self._moved = {}
        self._audited = self.audits

    @property
    def is_changed(self) -> bool:
        """Whether anything leads elsewhere since the last change."""
        return bool(self._before or self._moved)

    @property
    def audits(self) -> bool:
        """Whether anything is audited: only then there are maps for it."""
        return any(self._elements[name] for name in _AUDITS)

    def lead(
        self, at: At, groups: GroupNames | None, audits: GroupNames
    ) -> tuple[Fragment, Fragment]:
        """Lead an address to these groups; None: the address is no pod's. Returns the chains that
        this needs, and the chains that were needed before."""
        family, address = at
        old = self._local.pop(at, None)
        new = None if groups is None else self._lead_of(family, groups, audits)
        verdicts = (new or _NOWHERE).verdicts
        for name in {**(old or _NOWHERE).verdicts, **verdicts}:
            self._set(name, (address,), verdicts.get(name))
        if new is not None:
            self._local[at] = new
        if bool(new) is not bool(old):
            self._moved[at] = new is not None
        return (new or _NOWHERE).chains, (old or _NOWHERE).chains

    def changes(self) -> Iterator[tuple[list[ElementHolder], list[ElementHolder]]]:
        """Parts of maps and sets to take out and to put in, of those that are there before and
        after."""
        new_or_gone = _AUDITS if self._audited is not self.audits else {}
        for name, before in self._before.items():
            if name in new_or_gone:
                continue
            after = self._elements[name]
            old = {k: v for k, v in before.items() if v is not None and after.get(k) != v}
            new = {k: after[k] for k, v in before.items() if k in after and after[k] != v}
            yield (
                [VerdictMap(name, _TYPES[name], old)] if old else [],
                [VerdictMap(name, _TYPES[name], new)] if new else [],
            )
        for family in FAMILIES if self._moved else ():
            moved = {a: came for (f, a), came in self._moved.items() if f == family}
            gone = self_set(family, (a for a, came in moved.items() if not came))
            came = self_set(family, (a for a, came in moved.items() if came))
            yield [gone] if gone.elements else [], [came] if came.elements else []

    # -- objects by name

    def kind(self, name: str) -> type[NamedObject] | None:
        """What a name stands for, None for nothing of these."""
        if name in _TYPES:
            return VerdictMap if name not in _AUDITS or self.audits else None
        return Set if name in _PAIRS else None

    def find(self, name: str) -> VerdictMap | Set:
        """An object as it is; a map goes on changing, but for those of audits, which come and go as
        a whole."""
        if name in _AUDITS:
            return VerdictMap(name, _TYPES[name], dict(self._elements[name]))
        if name in _TYPES:
            return VerdictMap(name, _TYPES[name], self._elements[name])
        family = _PAIRS[name]
        return self_set(family, (a for version, a in self._local if version == family))

    def find_before(self, name: str) -> VerdictMap | Set:
        """An object as it was when the change began."""
        if name in _TYPES:
            if name not in self._before:
                return self.find(name)
            were = {**self._elements[name], **self._before[name]}
            known = {key: verdict for key, verdict in were.items() if verdict is not None}
            return VerdictMap(name, _TYPES[name], known)
        family = _PAIRS[name]
        known_before = {at for at in self._local if at not in self._moved}
        known_before.update(at for at, came in self._moved.items() if not came)
        return self_set(family, (a for version, a in known_before if version == family))

    def names(self) -> Iterator[str]:
        """Of all objects."""
        yield from (name for name in _TYPES if self.kind(name) is not None)
        yield from _PAIRS

    def _lead_of(self, family: int, groups: GroupNames, audits: GroupNames) -> _Lead:
        self._namer.given.clear()
        leads = list(leads_of(family, groups, audits, self._namer))
        chains = tuple(chain for _, _, chain in leads if chain is not None)
        return _Lead(
            {name: verdict for name, verdict, _ in leads},
            Fragment(fixed=chains, names=frozenset(self._namer.given)),
        )

    def _set(self, name: str, key: Key, verdict: ChainVerdict | None) -> None:
        known = self._elements[name]
        self._before.setdefault(name, {}).setdefault(key, known.get(key))
        if verdict is None:
            known.pop(key, None)
        else:
            known[key] = verdict


_NOWHERE = _Lead({}, NOTHING)
