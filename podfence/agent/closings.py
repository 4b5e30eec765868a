"""Groups of pods that are closed, since the kernel refuses their rules: what they are for, and
which addresses that is. Pure.

Rule: the whole ruleset is made for it, so it is made again only when something else is refused or
wanted, however often people ask.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from podfence.agent.wanted import DesiredState
from podfence.live.pods import At
from podfence.reconcile.quarantine import addresses
from podfence.reconcile.states import RefusedUnit


class Closing(Struct, frozen=True):
    """One group. ``comment``: what it is for, "" where nobody says."""

    comment: str
    addresses: frozenset[At]


class Closings:
    """Of one node; the last answer is remembered."""

    def __init__(self) -> None:
        self._refused: Mapping[str, RefusedUnit] = {}
        self._version = -1
        self._found: dict[str, Closing] = {}

    def of(self, refused: Mapping[str, RefusedUnit], wanted: DesiredState) -> dict[str, Closing]:
        """By the name of the group, all that are refused."""
        if not refused:
            self._refused, self._found = {}, {}
        elif refused is not self._refused or wanted.version != self._version:
            rules = wanted.ruleset()
            self._refused, self._version = refused, wanted.version
            self._found = {}
            for unit in refused:
                chain = rules.chains.get(unit)
                self._found[unit] = Closing(chain.comment if chain else "", addresses(rules, unit))
        return self._found
