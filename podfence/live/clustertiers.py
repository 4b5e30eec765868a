"""What all policies together say to each class, followed from state to state.

Rule: only classes that a changed policy selected, or selects now, are worked out again. Compilers
of other policies, tiers and directions are shared with earlier states.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from pyroaring import BitMap, FrozenBitMap

from podfence.live.clustercuts import NeededCuts
from podfence.model.cluster import Policy
from podfence.model.meta import ObjectRef
from podfence.policy.compile import TIERS, Tiers
from podfence.policy.flow import Direction
from podfence.policy.index import EndpointClass, EndpointPolicy
from podfence.policy.rulecompiler import PolicyCompiler, RuleCompiler, TierCompiler

_TierKey = tuple[Direction, str]
"""A tier in one direction."""
_Applying = Mapping[int, tuple[PolicyCompiler, ...]]
_NOTHING: Mapping[Any, Any] = MappingProxyType({})
_SPARE = 1000
"""Tiers that nobody has any more are kept until there are so many more of them than of others."""


class CompiledTierPolicy(Struct, frozen=True, eq=False):
    """One policy: the classes that it selects, its compilers, and the cuts that it needs."""

    policy: Policy
    selected: FrozenBitMap
    compilers: tuple[PolicyCompiler, ...]
    wanted: NeededCuts

    def subjects(self, direction: Direction) -> FrozenBitMap:
        """The classes to which it says something in a direction."""
        has = any(compiler.policy.direction is direction for compiler in self.compilers)
        return self.selected if has else FrozenBitMap()


def _compilers(said: CompiledTierPolicy | None) -> Iterator[tuple[PolicyCompiler, FrozenBitMap]]:
    """The compilers of a policy, each with the classes that it selects."""
    if said is not None:
        for compiler in said.compilers:
            yield compiler, said.selected


class ClusterTiers(Struct, frozen=True, eq=False):
    """``applying``: for each class, the compilers of the policies that select it, in order."""

    applying: Mapping[_TierKey, _Applying]
    tiers: Tiers

    @classmethod
    def empty(cls) -> ClusterTiers:
        """No policy says anything."""
        keys = [(direction, name) for direction in Direction for name, _ in TIERS]
        nothing: Mapping[_TierKey, _Applying] = dict.fromkeys(keys, _NOTHING)
        return cls(nothing, _tiers(nothing, None))

    def policy(self, subject: EndpointClass, rules: RuleCompiler) -> EndpointPolicy:
        """Both directions of one class."""
        return self.tiers.policy(subject, rules)

    def after(
        self,
        changed: Iterable[tuple[CompiledTierPolicy | None, CompiledTierPolicy | None]],
        died: FrozenBitMap,
    ) -> tuple[ClusterTiers, FrozenBitMap]:
        """Policies before and after, and classes that are gone. Returns the classes that are told
        something else, too."""
        changed = tuple(changed)
        if not changed and not died:
            return self, FrozenBitMap()
        gone: dict[_TierKey, dict[int, set[int]]] = {}
        put: dict[_TierKey, dict[int, list[PolicyCompiler]]] = {}
        for before, now in changed:
            for compiler, selected in _compilers(before):
                of = gone.setdefault(_tier_key(compiler), {})
                for number in selected:
                    of.setdefault(number, set()).add(compiler.number)
            for compiler, selected in _compilers(now):
                entries = put.setdefault(_tier_key(compiler), {})
                for number in selected:
                    entries.setdefault(number, []).append(compiler)
        applying = dict(self.applying)
        told = BitMap()
        for key in dict.fromkeys((*gone, *put)) if not died else self.applying:
            applying[key] = new = dict(self.applying[key])
            left, come = gone.get(key, {}), put.get(key, {})
            for number in left.keys() | come.keys():
                there = [c for c in new.get(number, ()) if c.number not in left.get(number, ())]
                there += come.get(number, ())
                there.sort(key=_order)
                if tuple(there) != new.get(number, ()):
                    new[number] = tuple(there)
                    told.add(number)
            for number in died:
                new.pop(number, None)
        return ClusterTiers(applying, _tiers(applying, self.tiers)), FrozenBitMap(told)

    def compilers(self, numbers: Iterable[int]) -> Iterator[PolicyCompiler]:
        """Those of the policies that select one of these classes."""
        for number in numbers:
            for applying in self.applying.values():
                yield from applying.get(number, ())

    def pruned(
        self,
        classes: Sequence[EndpointClass],
        policies: Iterable[EndpointPolicy],
        rules: RuleCompiler,
    ) -> ClusterTiers:
        """Without the tiers that no class has any more, once there are many of them."""
        used = 2 * sum(map(len, self.applying.values())) + _SPARE
        if len(self.tiers.shared) + sum(len(c.tiers) for c in self._compilers()) < 2 * used:
            return self
        shared = {
            (each.direction, tuple(tier.number for tier in each.tiers)): each
            for both in policies
            for each in (both.ingress, both.egress)
        }
        compilers = {
            direction: tuple(each.pruned(classes, rules) for each in compilers)
            for direction, compilers in self.tiers.compilers.items()
        }
        return ClusterTiers(self.applying, Tiers(compilers, shared))

    def _compilers(self) -> Iterable[TierCompiler]:
        return (each for compilers in self.tiers.compilers.values() for each in compilers)


class Readers(Struct, frozen=True, eq=False):
    """Which policies were compiled with which peers. ``of``: by key of the peers, the policies by
    the number of their compiler. ``known``: the compilers in ``of``, with their peers."""

    of: Mapping[str, Mapping[int, ObjectRef]] = _NOTHING
    known: Mapping[int, frozenset[str]] = _NOTHING

    def after(self, gone: Iterable[PolicyCompiler], read: Iterable[PolicyCompiler]) -> Readers:
        """Without some, and with those of ``read`` that somebody has read by now."""
        known = dict(self.known)
        moved: dict[str, dict[int, ObjectRef | None]] = {}
        for compiler in gone:
            for key in known.pop(compiler.number, ()):
                moved.setdefault(key, {})[compiler.number] = None
        for compiler in read:
            if compiler.number not in known and compiler.peers:
                known[compiler.number] = compiler.peers
                for key in compiler.peers:
                    moved.setdefault(key, {})[compiler.number] = compiler.policy.ref
        if not moved:
            return self
        of = dict(self.of)
        for key, entries in moved.items():
            every = {**of.get(key, {}), **entries}
            of[key] = {number: ref for number, ref in every.items() if ref is not None}
            if not of[key]:
                del of[key]
        return Readers(of, known)

    def refs(self, peers: Iterable[str]) -> set[ObjectRef]:
        """The policies that were compiled with some of these peers."""
        return {ref for key in peers for ref in self.of.get(key, {}).values()}


def _tiers(applying: Mapping[_TierKey, _Applying], before: Tiers | None) -> Tiers:
    """Compilers of tiers for what applies now. They know what earlier ones have compiled; the
    earlier ones learn nothing from them, since a state that many others follow must not remember
    all of those."""
    compilers = {
        direction: tuple(
            TierCompiler(
                name,
                default,
                applying[direction, name],
                {} if before is None else dict(before.compilers[direction][at].tiers),
            )
            for at, (name, default) in enumerate(TIERS)
        )
        for direction in Direction
    }
    return Tiers(compilers, {} if before is None else dict(before.shared))


def _tier_key(compiler: PolicyCompiler) -> _TierKey:
    return compiler.policy.direction, compiler.policy.tier


def _order(compiler: PolicyCompiler) -> tuple[int, str, str]:
    return compiler.policy.order
