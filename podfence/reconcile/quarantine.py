"""Groups of pods whose rules the kernel refuses: they are set aside, their pods closed, and the
rest enforced.

Rule: what cannot be enforced is closed, never left open, and does no harm to others. A unit is one
group of pods, with everything that only its packets are led to. Without its unit, the packets of a
pod are dropped.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec.structs import replace

from podfence.nft.lowering.deny import CLOSED, STATELESS, deny_rules
from podfence.nft.lowering.skeleton import stateless_map, verdict_map
from podfence.nft.lowering.views import AUDIT_VIEWS, FAMILIES, VIEWS
from podfence.nft.objects import Chain, ChainVerdict, Lookup, VerdictMap, Vmap, goto
from podfence.nft.ruleset import Ruleset

_OF_PODS = {verdict_map(view, family): family for view in VIEWS for family in FAMILIES}
_AUDITS = {verdict_map(view, family) for view in AUDIT_VIEWS for family in FAMILIES}
_STATELESS = {stateless_map(family): family for family in FAMILIES}
_REPLY = "_r"
ObjectContents = tuple[object, ...]
"""All that a unit's rules say; members of sets are not part of it."""


def units(ruleset: Ruleset) -> dict[str, ObjectContents]:
    """Every unit, by the name of its group, with what its rules say.

    A group has elements that lead to it, or nothing leads to it: its pods have no address yet.
    """
    audits = [name for name in _AUDITS if name in ruleset.maps]
    verdicts = (
        verdict
        for name in (*_OF_PODS, *audits)
        for verdict in set(ruleset.maps[name].elements.values())
    )
    found = {_unit(verdict.chain) for verdict in verdicts if verdict.chain}
    names = [(isinstance(item, Chain), item.name) for item in ruleset.objects()]
    led_to = {target for name in names for target in _named(ruleset, name)}
    alone = (n for n, chain in ruleset.chains.items() if not chain.base and (True, n) not in led_to)
    found |= set(map(_unit, alone))
    return {unit: _contents(ruleset, unit) for unit in sorted(found - {CLOSED})}


def addresses(ruleset: Ruleset, unit: str) -> frozenset[tuple[int, int]]:
    """The pods of a unit, as IP version and address."""
    return frozenset(
        (family, key[0])
        for name, family in _OF_PODS.items()
        for key, verdict in ruleset.maps[name].elements.items()
        if _unit(verdict.chain) == unit
    )


def without(ruleset: Ruleset, closed: Collection[str], log_group: int) -> Ruleset:
    """The ruleset without these units: their pods' packets are dropped, and what nothing else leads
    to is left out."""
    if not closed:
        return ruleset
    shut = {at for unit in closed for at in addresses(ruleset, unit)}
    leaving = _reached(ruleset, (n for unit in closed for n in _starts(ruleset, unit)))
    maps = {name: _shut(item, shut, closed) for name, item in ruleset.maps.items()}
    chains = {**ruleset.chains, CLOSED: Chain(CLOSED, deny_rules(log_group, CLOSED))}
    kept = replace(ruleset, maps=maps, chains=chains)
    staying = (name for name in kept.chains if (True, name) not in leaving)
    gone = leaving - _reached(kept, staying)
    objects = (o for o in kept.objects() if _name(o) not in gone)
    return Ruleset.of(kept.table, objects)


def halves(found: Iterable[str]) -> list[frozenset[str]]:
    """Two parts of nearly the same size; one alone stays one."""
    ordered = sorted(found)
    middle = (len(ordered) + 1) // 2
    return [frozenset(part) for part in (ordered[:middle], ordered[middle:]) if part]


NftName = tuple[bool, str]
"""Sets and chains may share names: whether it is a chain, and its name."""


def _name(item: object) -> NftName:
    return isinstance(item, Chain), str(getattr(item, "name", ""))


def _unit(chain: str) -> str:
    """Both views of a group are one unit."""
    return chain.removesuffix(_REPLY)


def _starts(ruleset: Ruleset, unit: str) -> list[str]:
    return [name for name in (unit, f"{unit}{_REPLY}") if name in ruleset.chains]


def _shut(
    item: VerdictMap, shut: Collection[tuple[int, int]], closed: Collection[str]
) -> VerdictMap:
    """Each direction of a pod is closed with its own unit. Packets without a connection are closed
    with either. A unit that only audits closes nobody: it is left out."""
    if item.name in _OF_PODS:
        elements = {
            key: goto(CLOSED) if _unit(verdict.chain) in closed else verdict
            for key, verdict in item.elements.items()
        }
    elif item.name in _AUDITS:
        elements = {k: v for k, v in item.elements.items() if _unit(v.chain) not in closed}
    elif item.name in _STATELESS:
        family = _STATELESS[item.name]
        end = goto(f"{STATELESS}_d")
        elements = {
            key: end if (family, key[0]) in shut else verdict
            for key, verdict in item.elements.items()
        }
    else:
        return item
    return replace(item, elements=elements)


def _contents(ruleset: Ruleset, unit: str) -> ObjectContents:
    reached = _reached(ruleset, _starts(ruleset, unit))
    holders = {**ruleset.sets, **ruleset.maps}
    return tuple(
        ruleset.chains[name] if is_chain else _said(holders[name])
        for is_chain, name in sorted(reached)
    )


def _said(item: object) -> object:
    return item if isinstance(item, VerdictMap) else _name(item)


def _reached(ruleset: Ruleset, starts: Iterable[str]) -> set[NftName]:
    """Chains, and the sets and maps that these name, from some chains on."""
    found: set[NftName] = set()
    waiting: list[NftName] = [(True, name) for name in starts]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _named(ruleset, name)
    return found


def _named(ruleset: Ruleset, name: NftName) -> Iterator[NftName]:
    is_chain, text = name
    if not is_chain:
        if text in ruleset.maps:
            verdicts = set(ruleset.maps[text].elements.values())
            yield from ((True, verdict.chain) for verdict in verdicts if verdict.chain)
        return
    for rule in ruleset.chains[text].rules:
        for part in rule.parts:
            if isinstance(part, Lookup):
                yield False, part.set
            elif isinstance(part, Vmap):
                yield False, part.map
            elif isinstance(part, ChainVerdict) and part.chain:
                yield True, part.chain
