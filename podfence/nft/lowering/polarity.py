"""The use of a set: whether it allows its members or denies them.

Rule: the use follows from the verdict of the rule that asks. A chain of ours either returns (pass)
or ends in a denial, and what follows a rule that denies passes no less than the denial. So a set
whose rule returns passes more when it grows, and a set whose rule leads to a denial passes less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from enum import Flag

from podfence.nft.objects import (
    ACCEPT,
    RETURN,
    Chain,
    ChainVerdict,
    Lookup,
    Rule,
    VerdictKind,
    Vmap,
)


class Polarity(Flag):
    """How a set takes part in verdicts. Both: in different rules, or in a way that is not known."""

    ACCEPTS = 1
    DENIES = 2
    BOTH = 3


_NONE = Polarity(0)


def rule_polarity(rule: Rule) -> Polarity:
    """The polarity of the sets that a rule asks."""
    last = rule.parts[-1]
    if last in (RETURN, ACCEPT):
        return Polarity.ACCEPTS
    if isinstance(last, ChainVerdict) and last.kind is not VerdictKind.JUMP:
        return Polarity.DENIES
    return Polarity.BOTH


class ChainUses:
    """Which chains ask which sets and maps. It changes with the chains; one chain costs its
    rules."""

    def __init__(self, chains: Iterable[Chain] = ()) -> None:
        self._sets: defaultdict[str, dict[str, Polarity]] = defaultdict(dict)
        self._maps: defaultdict[str, set[str]] = defaultdict(set)
        self.bases: dict[str, Chain] = {}
        """The base chains, by name."""
        for chain in chains:
            self.add(chain)

    def add(self, chain: Chain) -> None:
        """Note a chain that was not there."""
        if chain.base is not None:
            self.bases[chain.name] = chain
        for rule in chain.rules:
            for part in rule.parts:
                if isinstance(part, Lookup):
                    users = self._sets[part.set]
                    users[chain.name] = users.get(chain.name, _NONE) | rule_polarity(rule)
                elif isinstance(part, Vmap):
                    self._maps[part.map].add(chain.name)

    def remove(self, chain: Chain) -> None:
        """Forget a chain as it was added."""
        self.bases.pop(chain.name, None)
        for name in asked(chain):
            for users in (self._sets, self._maps):
                _forget(users, name, chain.name)

    def of_set(self, name: str, apart_from: Set[str] = frozenset()) -> Polarity:
        """The polarity of a set in all chains but some."""
        found = _NONE
        for chain, polarity in self._sets.get(name, {}).items():
            if polarity is not found and chain not in apart_from:
                if found is not _NONE:
                    return Polarity.BOTH  # two that differ
                found = polarity
        return found

    def of_map(self, name: str) -> Set[str]:
        """The chains that look a map up."""
        return self._maps.get(name, frozenset())


def asked(chain: Chain) -> Iterator[str]:
    """The sets and maps that a chain names, as often as it does."""
    for rule in chain.rules:
        for part in rule.parts:
            if isinstance(part, Lookup):
                yield part.set
            elif isinstance(part, Vmap):
                yield part.map


def _forget(
    users: Mapping[str, dict[str, Polarity]] | Mapping[str, set[str]], name: str, chain: str
) -> None:
    found = users.get(name)
    if isinstance(found, dict):
        found.pop(chain, None)
    elif found is not None:
        found.discard(chain)
