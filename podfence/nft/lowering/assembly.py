"""Assembly: the ruleset of one node, changed by what events change.

Rule: whatever came before, the ruleset is that of ``lower`` for the same cluster; a delta says what
is done to the kernel's table to get there. Elements that are asked for and not new cost nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from podfence.live.change import Change
from podfence.live.pods import At
from podfence.live.profiles import Held
from podfence.live.selections import Moved, Selections
from podfence.model.networkpolicy import IPNetwork
from podfence.nft.difference import Steps, steps
from podfence.nft.lowering.delta import Delta, Objects, SetChange, set_changes
from podfence.nft.lowering.dispatch import leads_of, map_types, range_sets, self_set, spoken
from podfence.nft.lowering.fragments import Fixed, Fragment, fragment
from podfence.nft.lowering.identifiers import Namer
from podfence.nft.lowering.lower import TABLE, LocalNode
from podfence.nft.lowering.skeleton import skeleton
from podfence.nft.lowering.views import FAMILIES
from podfence.nft.objects import (
    Chain,
    Key,
    MemberSet,
    NamedObject,
    RangeSet,
    Set,
    Table,
    Verdict,
    VerdictMap,
)
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import ElementHolder, Transaction
from podfence.policy.flow import Direction
from podfence.policy.index import DirectionPolicy, EndpointPolicy
from podfence.sets.members import Members

OUR_TABLE = Table(TABLE, "managed by podfence")
Name = tuple[bool, str]
"""Chains and sets may share names: whether it is a chain, and its name."""


class _Members:
    """A set of addresses. ``held``: whose members it shows; None: ``declared`` has them."""

    __slots__ = ("declared", "held")

    def __init__(self, declared: MemberSet, held: Held | None) -> None:
        self.declared = declared
        self.held = held


class Assembly:
    """The ruleset of a node, whose pods, policies and selections a live index follows."""

    def __init__(self, node: LocalNode, selections: Selections) -> None:
        self._node = node
        self._selections = selections
        self._namer = Namer()
        self._cidrs = node.pod_cidrs
        self._families = spoken((), node.pod_cidrs)
        self._policies: dict[int, DirectionPolicy] = {}
        self._fragments: dict[int, Fragment] = {}
        self._uses: Counter[Name] = Counter()
        self._lent: Counter[str] = Counter()
        self._fixed: dict[Name, Fixed] = {}
        self._members: dict[str, _Members] = {}
        self._showing: dict[int, dict[str, int]] = {}
        """By ``Held.number``, the sets that show it, each with its family."""
        self._local: dict[At, _Lead] = {}
        self._leads: dict[str, dict[Key, Verdict]] = {name: {} for name, _ in map_types()}
        self._batch = _Batch({})

    def __len__(self) -> int:
        """How many objects and names there are for groups of pods."""
        return len(self._fixed) + len(self._members) + len(self._lent) + len(self._uses)

    def apply(self, change: Change) -> Delta:
        """Take a change in. Changes have to be taken in one by one, each when it was made."""
        self._batch = _Batch({(m.number, m.family): m for m in change.moved})
        self._set_cidrs(change.pod_cidrs)
        self._take_policies(change)
        for at, policies in change.verdicts.items():
            self._lead(at, policies)
        for policy in change.gone:
            self._release(self._fragments.pop(policy.number))
        self._free_names()
        return self._delta(change)

    def ruleset(self) -> Ruleset:
        """The whole table as it is wanted now."""
        objects: list[NamedObject] = [*range_sets(self._cidrs), *self._pairs()]
        objects += map(self._with_members, self._members.values())
        objects += [VerdictMap(name, key, dict(self._leads[name])) for name, key in map_types()]
        objects += self._fixed.values()
        node = self._node
        objects += skeleton(node.mark_mask, node.mark_value, node.log_group)
        return Ruleset.of(OUR_TABLE, objects)

    # -- fragments

    def _take_policies(self, change: Change) -> None:
        before = self._families
        for policy in change.gone:
            del self._policies[policy.number]
        for policy in change.new:
            self._policies[policy.number] = policy
        here = {at for at in self._local if at not in change.verdicts}
        here.update(at for at, policies in change.verdicts.items() if policies)
        self._families = spoken((family for family, _ in here), self._cidrs)
        changed = change.new if self._families == before else tuple(self._policies.values())
        for policy in changed:
            made = fragment(policy, self._namer, self._families, self._node.log_group)
            self._acquire(made)
            known = self._fragments.get(policy.number)
            if known is not None:
                self._release(known)
            self._fragments[policy.number] = made

    def _acquire(self, made: Fragment) -> None:
        self._lent.update(made.names)
        for item in made.fixed:
            self._set_fixed((isinstance(item, Chain), item.name), item)
        for declared in made.members:
            self._uses[False, declared.name] += 1
            self._show(declared, made)

    def _release(self, made: Fragment) -> None:
        for name in made.names:
            self._lent[name] -= 1
            if not self._lent[name]:
                del self._lent[name]
                self._batch.unnamed.add(name)
        for item in made.fixed:
            self._drop_fixed((isinstance(item, Chain), item.name))
        for declared in made.members:
            if self._is_unused((False, declared.name)):
                shown = self._members.pop(declared.name)
                self._note(declared.name, shown)
                self._stop_showing(declared.name, shown)

    def _set_fixed(self, name: Name, item: Fixed) -> None:
        self._uses[name] += 1
        self._batch.fixed.setdefault(name, self._fixed.get(name))
        self._fixed[name] = item

    def _drop_fixed(self, name: Name) -> None:
        if self._is_unused(name):
            self._batch.fixed.setdefault(name, self._fixed[name])
            del self._fixed[name]

    def _is_unused(self, name: Name) -> bool:
        """Whether nobody uses it, once one less does."""
        self._uses[name] -= 1
        if self._uses[name]:
            return False
        del self._uses[name]
        return True

    def _free_names(self) -> None:
        for name in self._batch.unnamed:
            if name not in self._lent:
                self._namer.free(name)

    # -- sets of addresses

    def _show(self, declared: MemberSet, made: Fragment) -> None:
        """A fragment needs a set of addresses."""
        name = declared.name
        words = made.selections.get(name)
        known = self._members.get(name)
        if known is not None:
            if words is None and known.declared == declared:
                return
            if words is not None and known.held is not None and known.held.selection == words:
                return
        self._note(name, known)
        held = None if words is None else self._selections.hold(words)
        if known is not None:
            self._stop_showing(name, known)
        self._members[name] = _Members(declared, held)
        if held is not None:
            self._showing.setdefault(held.number, {})[name] = declared.elements.family

    def _stop_showing(self, name: str, shown: _Members) -> None:
        if shown.held is not None:
            showing = self._showing[shown.held.number]
            del showing[name]
            if not showing:
                del self._showing[shown.held.number]
            self._selections.release(shown.held)

    def _note(self, name: str, known: _Members | None) -> None:
        """Remember what a set was when the batch began, before it comes, goes or shows another
        selection."""
        if name not in self._batch.members:
            before = None if known is None else self._before(known)
            self._batch.members[name] = before

    def _before(self, known: _Members) -> MemberSet:
        if known.held is None:
            return known.declared
        family = known.declared.elements.family
        members = self._selections.members(known.held, family)
        moved = self._batch.moved.get((known.held.number, family))
        if moved is not None:
            doubtful = known.held.selection.addresses.family(family)
            kept = Members.of(family, (a for a in moved.joined if a in doubtful))
            members = (members - (moved.joined - kept)) | moved.left
        return replace(known.declared, elements=members)

    def _with_members(self, shown: _Members) -> MemberSet:
        if shown.held is None:
            return shown.declared
        family = shown.declared.elements.family
        return replace(shown.declared, elements=self._selections.members(shown.held, family))

    # -- addresses of pods here

    def _lead(self, at: At, policies: tuple[EndpointPolicy, ...]) -> None:
        """Lead the packets of an address to the groups of the pods that it may belong to."""
        family, address = at
        before = self._local.pop(at, None)
        if policies:
            after = self._local[at] = self._lead_of(family, policies)
            self._acquire(after.chains)
            for name, verdict in after.verdicts.items():
                self._set_lead(name, (address,), verdict)
        elif before is not None:
            for name in before.verdicts:
                self._set_lead(name, (address,), None)
        if before is not None:
            self._release(before.chains)
        if bool(policies) is not bool(before):
            self._batch.pairs[at] = bool(policies)

    def _lead_of(self, family: int, policies: Iterable[EndpointPolicy]) -> _Lead:
        self._namer.given.clear()
        groups = {
            direction: {
                name
                for policy in policies
                if (name := self._fragments[policy.of(direction).number].group)
            }
            for direction in Direction
        }
        leads = list(leads_of(family, groups, self._namer))
        chains = tuple(chain for _, _, chain in leads if chain is not None)
        return _Lead(
            {name: verdict for name, verdict, _ in leads},
            Fragment(fixed=chains, names=frozenset(self._namer.given)),
        )

    def _set_lead(self, name: str, key: Key, verdict: Verdict | None) -> None:
        known = self._leads[name]
        self._batch.leads.setdefault(name, {}).setdefault(key, known.get(key))
        if verdict is None:
            known.pop(key, None)
        else:
            known[key] = verdict

    def _pairs(self) -> Iterator[Set]:
        for family in FAMILIES:
            yield self_set(family, (a for version, a in self._local if version == family))

    # -- the delta

    def _set_cidrs(self, pod_cidrs: tuple[IPNetwork, ...] | None) -> None:
        if pod_cidrs is not None:
            self._batch.ranges = tuple(range_sets(self._cidrs))
            self._cidrs = pod_cidrs

    def _delta(self, change: Change) -> Delta:
        before, after = Objects(), Objects()
        for (is_chain, name), item in self._batch.fixed.items():
            before.add(item)
            after.add(self._fixed.get((is_chain, name)))
        for ranges in self._batch.ranges:
            before.add(ranges)
        for ranges in range_sets(self._cidrs) if self._batch.ranges else ():
            after.add(ranges)
        for name, declared in self._batch.members.items():
            before.add(declared)
            shown = self._members.get(name)
            after.add(None if shown is None else self._with_members(shown))
        found = steps(before.sets, after.sets, before.chains, after.chains)
        changes = [*set_changes(before.sets, after.sets)]
        for moved in change.moved:
            changes += self._show_moved(moved, found)
        for taken, put in self._led():
            found.taken += taken
            found.put += put
        names = dict.fromkeys((*before.chains, *after.chains))
        chains = ((before.chains.get(name), after.chains.get(name)) for name in names)
        return Delta(
            Transaction(OUR_TABLE, tuple(found.operations())),
            tuple(changes),
            tuple((a, b) for a, b in chains if a != b),
            change.freed,
        )

    def _show_moved(self, moved: Moved, found: Steps) -> Iterator[SetChange]:
        """What moved in a selection moves in the sets that showed it before and do so now."""
        for name, family in self._showing.get(moved.number, {}).items():
            if family == moved.family and name not in self._batch.members:
                declared = self._members[name].declared
                if moved.left:
                    found.taken.append(replace(declared, elements=moved.left))
                if moved.joined:
                    found.put.append(replace(declared, elements=moved.joined))
                yield SetChange(name, moved.joined, moved.left)

    def _led(self) -> Iterator[tuple[list[ElementHolder], list[ElementHolder]]]:
        """Elements of the maps and sets that lead pods to their groups."""
        types = dict(map_types())
        for name, before in self._batch.leads.items():
            after = self._leads[name]
            old = {k: v for k, v in before.items() if v is not None and after.get(k) != v}
            new = {k: after[k] for k, v in before.items() if k in after and after[k] != v}
            yield (
                [VerdictMap(name, types[name], old)] if old else [],
                [VerdictMap(name, types[name], new)] if new else [],
            )
        for family in FAMILIES:
            pairs = {a: put for (f, a), put in self._batch.pairs.items() if f == family}
            gone = self_set(family, (a for a, put in pairs.items() if not put))
            came = self_set(family, (a for a, put in pairs.items() if put))
            yield [gone] if gone.elements else [], [came] if came.elements else []


class _Lead(Struct, frozen=True):
    """Where the packets of an address go, by map; and the chains that lead to several groups."""

    verdicts: dict[str, Verdict]
    chains: Fragment


class _Batch:
    """What was there before a change touched it. ``moved``: members of selections, by number and
    family. ``fixed`` and ``members``: objects by name, None where there was none. ``leads``:
    elements of maps. ``pairs``: addresses that came (True) or went. ``unnamed``: names that a
    fragment gave back."""

    def __init__(self, moved: Mapping[tuple[int, int], Moved]) -> None:
        self.moved = moved
        self.fixed: dict[Name, Fixed | None] = {}
        self.members: dict[str, MemberSet | None] = {}
        self.leads: dict[str, dict[Key, Verdict | None]] = {}
        self.pairs: dict[At, bool] = {}
        self.ranges: tuple[RangeSet, ...] = ()
        self.unnamed: set[str] = set()
