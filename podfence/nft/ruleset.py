"""Ruleset: the whole wanted content of our one table.

Rule: a Ruleset that exists is one that the kernel can load: names are unique, every reference
leads somewhere of the right shape, and no chain leads back to itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from msgspec import Struct

from podfence.nft.objects import (
    Chain,
    ChainVerdict,
    DataType,
    Field,
    Lookup,
    MemberSet,
    NamedObject,
    RangeSet,
    Rule,
    Set,
    Table,
    VerdictKind,
    VerdictMap,
    Vmap,
)

T = TypeVar("T")
AnySet = Set | MemberSet | RangeSet
MAX_NAME = 128
"""Longest name that every nft of the last ten years takes."""
_WITH_TARGET = (VerdictKind.JUMP, VerdictKind.GOTO)


class InvalidRuleset(ValueError):
    """Objects that make no ruleset; the caller has a mistake, no input can cause this."""


class Ruleset(Struct, frozen=True):
    """Objects by name, in the order in which they are written. Build it with :meth:`of`."""

    table: Table
    sets: Mapping[str, AnySet]
    maps: Mapping[str, VerdictMap]
    chains: Mapping[str, Chain]

    @classmethod
    def of(cls, table: Table, objects: Iterable[NamedObject]) -> Ruleset:
        """The ruleset of these objects. Raises InvalidRuleset when they do not fit together."""
        sets: dict[str, AnySet] = {}
        maps: dict[str, VerdictMap] = {}
        chains: dict[str, Chain] = {}
        for item in objects:
            if isinstance(item, Chain):
                _add(chains, item.name, item)
            elif isinstance(item, VerdictMap):
                _add(maps, item.name, item)
            else:
                _add(sets, item.name, item)
        for name in sets.keys() & maps.keys():
            raise InvalidRuleset(f"a set and a map are both named {name}")
        result = cls(table, sets, maps, chains)
        result._check_references()
        result._check_loops()
        return result

    def objects(self) -> Iterator[NamedObject]:
        """Everything in the table: sets, then maps, then chains."""
        yield from self.sets.values()
        yield from self.maps.values()
        yield from self.chains.values()

    def _check_references(self) -> None:
        for chain in self.chains.values():
            for rule in chain.rules:
                self._check_rule(chain, rule)
        for verdict_map in self.maps.values():
            for verdict in set(verdict_map.elements.values()):
                self._check_verdict(verdict_map.name, verdict)

    def _check_rule(self, chain: Chain, rule: Rule) -> None:
        for part in rule.parts:
            if isinstance(part, Lookup):
                _check_key(chain.name, part.fields, self.sets.get(part.set), part.set)
            elif isinstance(part, Vmap):
                _check_key(chain.name, part.fields, self.maps.get(part.map), part.map)
            elif isinstance(part, ChainVerdict):
                self._check_verdict(chain.name, part)

    def _check_verdict(self, where: str, verdict: ChainVerdict) -> None:
        if verdict.kind not in _WITH_TARGET:
            return
        target = self.chains.get(verdict.chain)
        if target is None or target.base is not None:
            raise InvalidRuleset(f"{where}: no chain {verdict.chain} to go to")

    def _check_loops(self) -> None:
        """Depth first over chains; a chain met while it is still open leads back to itself."""
        done: set[str] = set()
        for start in self.chains:
            trail: list[tuple[str, Iterator[str]]] = [(start, self._targets(start))]
            opened = {start}
            while trail:
                name, rest = trail[-1]
                found = next((n for n in rest if n not in done), None)
                if found is None:
                    trail.pop()
                    opened.discard(name)
                    done.add(name)
                elif found in opened:
                    raise InvalidRuleset(f"chain {found} leads back to itself")
                else:
                    opened.add(found)
                    trail.append((found, self._targets(found)))

    def _targets(self, name: str) -> Iterator[str]:
        """Chains that a chain can hand a packet to."""
        for rule in self.chains[name].rules:
            for part in rule.parts:
                if isinstance(part, Vmap):
                    yield from {v.chain for v in self.maps[part.map].elements.values() if v.chain}
                elif isinstance(part, ChainVerdict) and part.chain:
                    yield part.chain


def _add(known: dict[str, T], name: str, item: T) -> None:
    if name in known:
        raise InvalidRuleset(f"{name} is there twice")
    if not 0 < len(name) <= MAX_NAME:
        raise InvalidRuleset(f"{name!r} is not a name")
    known[name] = item


def _check_key(
    where: str, fields: tuple[Field, ...], found: AnySet | VerdictMap | None, name: str
) -> None:
    if found is None:
        raise InvalidRuleset(f"{where}: no set or map {name}")
    key: tuple[DataType, ...] = tuple(field.type for field in fields)
    if key != found.type:
        raise InvalidRuleset(f"{where}: {name} has another key type")
