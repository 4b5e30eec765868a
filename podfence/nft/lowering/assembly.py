"""Assembly: the ruleset of one node, changed by what events change.

Rule: whatever came before, the ruleset equals that of ``lower`` for the same cluster. A delta says
how the kernel's table gets there. Elements that are asked for and not new cost nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from podfence.live.node import LiveChange
from podfence.live.pods import At
from podfence.live.profiles import HeldSelection
from podfence.live.selections import MembershipChange, Selections
from podfence.nft.difference import TableSteps, steps
from podfence.nft.lowering.delta import Delta, TableObjects
from podfence.nft.lowering.dispatch import AUDIT_MAPS, range_sets, spoken
from podfence.nft.lowering.fragments import FixedObject, Fragment, fragment
from podfence.nft.lowering.identifiers import Namer
from podfence.nft.lowering.leads import GroupMaps
from podfence.nft.lowering.lower import TABLE, LocalNode
from podfence.nft.lowering.polarity import ChainUses
from podfence.nft.lowering.side import ObjectName, ObjectSource, PriorState, RulesetSide, SetState
from podfence.nft.lowering.sizes import Sizes, sizes
from podfence.nft.lowering.skeleton import range_set, skeleton
from podfence.nft.lowering.tightening import Differences, Released, Tightening, judged, of_members
from podfence.nft.lowering.views import FAMILIES
from podfence.nft.objects import Chain, MemberSet, NamedObject, RangeSet, Table, VerdictMap
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import Transaction
from podfence.policy.flow import Direction
from podfence.policy.index import DirectionPolicy, EndpointPolicy
from podfence.sets.addresses import IPNetwork
from podfence.sets.members import Members

OUR_TABLE = Table(TABLE, "managed by podfence")
_RANGES = {range_set(family): family for family in FAMILIES}


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
        self._uses: Counter[ObjectName] = Counter()
        self._lent: Counter[str] = Counter()
        self._fixed: dict[ObjectName, FixedObject] = {}
        self._members: dict[str, SetState] = {}
        self._showing: dict[int, dict[str, int]] = {}
        """By ``HeldSelection.number``, the sets that show it, each with its family."""
        self._leads = GroupMaps(self._namer)
        self._speaking = dict.fromkeys(FAMILIES, 0)
        """By IP version, how many addresses lead somewhere."""
        self._audits = False
        self._skeleton = _skeleton(node, audit=False)
        self._chain_uses = ChainUses(self._skeleton.values())
        self._batch = PriorState({})

    def __len__(self) -> int:
        """How many objects and names there are for groups of pods."""
        objects = len(self._fixed) + len(self._members) + len(self._uses)
        return objects + len(self._lent) + len(self._namer)

    def apply(self, change: LiveChange) -> Delta:
        """Take a change in. Changes have to be taken in one by one, each when it was made."""
        if not change:
            nothing = Transaction(OUR_TABLE)
            return Delta(nothing, released=change.released, given=change.given)
        self._batch = PriorState({(m.number, m.family): m for m in change.moved})
        self._leads.begin()
        self._set_cidrs(change.pod_cidrs)
        self._take_policies(change)
        for at, policies in change.verdicts.items():
            self._lead(at, policies)
        self._set_audit()
        for policy in change.gone:
            self._release(self._fragments.pop(policy.number))
        self._free_names()
        delta = self._delta(change)
        for held in self._batch.unheld:
            self._selections.release(held)
        self._batch.members.clear()
        return delta

    def group(self, policy: DirectionPolicy) -> str:
        """The name of a group, as it is in log prefixes; "" where it has no chains."""
        found = self._fragments.get(policy.number)
        return "" if found is None else found.group

    def ruleset(self) -> Ruleset:
        """The whole table as it is wanted now."""
        objects: list[NamedObject] = [*range_sets(self._cidrs)]
        objects += (
            replace(found, elements=dict(found.elements))
            if isinstance(found, VerdictMap)
            else found
            for found in map(self._leads.find, self._leads.names())
        )
        objects += map(self._with_members, self._members.values())
        self._batch.members.clear()
        objects += self._fixed.values()
        objects += self._skeleton.values()
        return Ruleset.of(OUR_TABLE, objects)

    def sizing(self) -> Iterator[Sizes | None]:
        """How much ``ruleset`` holds: None after each set, and anything may change before the next;
        then the sum."""
        counts = []
        for name in [*self._members]:
            if (shown := self._members.get(name)) is not None:
                counts.append(shown.count(self._selections))
            yield None
        leads = map(self._leads.find, self._leads.names())
        fixed = (*range_sets(self._cidrs), *self._fixed.values(), *self._skeleton.values())
        yield sizes((*leads, *fixed), counts)

    # -- fragments

    def _take_policies(self, change: LiveChange) -> None:
        before = self._families
        for policy in change.gone:
            del self._policies[policy.number]
        for policy in change.new:
            self._policies[policy.number] = policy
        for at, policies in change.verdicts.items():
            self._speaking[at[0]] += bool(policies) - (at in self._leads)
        self._families = spoken((f for f, pods in self._speaking.items() if pods), self._cidrs)
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

    def _set_fixed(self, name: ObjectName, item: FixedObject) -> None:
        self._uses[name] += 1
        self._batch.changed.setdefault(name, self._fixed.get(name))
        self._fixed[name] = item

    def _drop_fixed(self, name: ObjectName) -> None:
        if self._is_unused(name):
            self._batch.changed.setdefault(name, self._fixed[name])
            del self._fixed[name]

    def _is_unused(self, name: ObjectName) -> bool:
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
        self._members[name] = SetState(declared, held)
        if held is not None:
            self._showing.setdefault(held.number, {})[name] = declared.elements.family

    def _stop_showing(self, name: str, shown: SetState) -> None:
        if shown.held is not None:
            showing = self._showing[shown.held.number]
            del showing[name]
            if not showing:
                del self._showing[shown.held.number]
            self._batch.unheld.append(shown.held)

    def _note(self, name: str, known: SetState | None) -> None:
        """Remember what a set was when the batch began, before it comes, goes or shows another
        selection."""
        self._batch.shown.setdefault(name, known)

    def _before(self, known: SetState) -> MemberSet:
        if known.held is None:
            return known.declared
        family = known.declared.elements.family
        members = self._members_of(known.held, family)
        moved = self._batch.moved.get((known.held.number, family))
        if moved is not None:
            doubtful = known.held.selection.addresses.family(family)
            kept = Members.of(family, (a for a in moved.joined if a in doubtful))
            members = (members - (moved.joined - kept)) | moved.left
        return replace(known.declared, elements=members)

    def _with_members(self, shown: SetState) -> MemberSet:
        if shown.held is None:
            return shown.declared
        family = shown.declared.elements.family
        return replace(shown.declared, elements=self._members_of(shown.held, family))

    def _members_of(self, held: HeldSelection, family: int) -> Members:
        """Of a selection, read once in a batch: several sets may show it, before and after."""
        key, known = (held.number, family), self._batch.members
        if key not in known:
            known[key] = self._selections.members(held, family)
        return known[key]

    # -- addresses of pods here

    def _lead(self, at: At, policies: tuple[EndpointPolicy, ...]) -> None:
        """Lead the packets of an address to the groups of the pods that it may belong to."""
        groups = {d: self._groups_of(p.of(d) for p in policies) for d in Direction}
        audits = {d: self._groups_of(p.audit(d) for p in policies) for d in Direction}
        new, old = self._leads.lead(at, groups if policies else None, audits)
        self._acquire(new)
        self._release(old)

    def _groups_of(self, policies: Iterable[DirectionPolicy | None]) -> set[str]:
        """The names of those that have chains."""
        fragments = (self._fragments[policy.number] for policy in policies if policy is not None)
        return {fragment.group for fragment in fragments if fragment.group}

    # -- the delta

    def _set_audit(self) -> None:
        """What asks for audits is there as long as anything is audited."""
        audits = self._leads.audits
        if audits is self._audits:
            return
        self._audits = audits
        before, self._skeleton = self._skeleton, _skeleton(self._node, audit=audits)
        for name in {**before, **self._skeleton}:
            if before.get(name) != self._skeleton.get(name):
                self._batch.changed[True, name] = before.get(name)
        for name in AUDIT_MAPS:
            known = None if audits else self._leads.find_before(name)
            assert known is None or isinstance(known, VerdictMap)
            self._batch.changed[False, name] = known

    def _set_cidrs(self, pod_cidrs: tuple[IPNetwork, ...] | None) -> None:
        if pod_cidrs is not None:
            self._batch.changed.update(((False, s.name), s) for s in range_sets(self._cidrs))
            self._cidrs = pod_cidrs

    def _delta(self, change: LiveChange) -> Delta:
        before, after = TableObjects(), TableObjects()
        for name, item in self._batch.changed.items():
            before.add(item)
            after.add(None if self._kind(name) is None else self._find(name))
        for text, known in self._batch.shown.items():
            now = self._members.get(text)
            if known is not None:  # of a set that goes, nobody need know who was in it
                before.add(known.declared if now is None else self._before(known))
            after.add(None if now is None else self._with_members(now))
        found = steps(before.sets, after.sets, before.chains, after.chains)
        for moved in change.moved:
            self._show_moved(moved, found)
        for taken, put in self._leads.changes():
            found.taken += taken
            found.put += put
        transaction = Transaction(OUR_TABLE, tuple(found.operations()))
        tightens = self._tightens(transaction, found, change.released)
        for chain in before.chains.values():
            self._chain_uses.remove(chain)
        for chain in after.chains.values():
            self._chain_uses.add(chain)
        return Delta(transaction, tightens, change.released, change.given)

    def _tightens(self, done: Transaction, found: TableSteps, released: Released) -> Tightening:
        if not (self._batch.changed or self._batch.shown or self._leads.is_changed):
            return of_members(found.taken, found.put, self._chain_uses, released)
        before = RulesetSide(ObjectSource(self._kind_before, self._find_before, self._names_before))
        after = RulesetSide(ObjectSource(self._kind, self._find, self._names))
        touched = Differences.by(done, before, after)
        return judged(before, after, touched, self._chain_uses, released, self._is_within)

    def _is_within(self, old: str, new: str) -> bool | None:
        """Whether all members of a set before are in a set now, as far as the selections show that;
        None: members have to be compared."""
        before, after = self._batch.shown.get(old) or self._members.get(old), self._members.get(new)
        if before is None or after is None or before.held is None or after.held is None:
            return None
        family = before.declared.elements.family
        if family != after.declared.elements.family or any(
            (held.number, family) in self._batch.moved for held in (before.held, after.held)
        ):
            return None
        return self._selections.is_within(before.held, after.held, family)

    def _show_moved(self, moved: MembershipChange, found: TableSteps) -> None:
        """What moved in a selection moves in the sets that showed it before and do so now."""
        for name, family in self._showing.get(moved.number, {}).items():
            if family == moved.family and name not in self._batch.shown:
                declared = self._members[name].declared
                if moved.left:
                    found.taken.append(replace(declared, elements=moved.left))
                if moved.joined:
                    found.put.append(replace(declared, elements=moved.joined))

    # -- every object of the table by name, as it is and as it was before this change

    def _kind(self, name: ObjectName) -> type[NamedObject] | None:
        is_chain, text = name
        item = self._fixed.get(name)
        if item is not None:
            return type(item)
        if is_chain:
            return Chain if text in self._skeleton else None
        if text in self._members:
            return MemberSet
        return RangeSet if text in _RANGES else self._leads.kind(text)

    def _find(self, name: ObjectName) -> NamedObject:
        is_chain, text = name
        item = self._fixed.get(name)
        if item is not None:
            return item
        if is_chain:
            return self._skeleton[text]
        if text in self._members:
            return self._with_members(self._members[text])
        if text in _RANGES:
            return next(ranges for ranges in range_sets(self._cidrs) if ranges.name == text)
        return self._leads.find(text)

    def _names(self) -> Iterator[ObjectName]:
        yield from self._fixed
        yield from ((True, name) for name in self._skeleton)
        yield from ((False, name) for name in (*self._members, *_RANGES, *self._leads.names()))

    def _kind_before(self, name: ObjectName) -> type[NamedObject] | None:
        if name in self._batch.changed:
            item = self._batch.changed[name]
            return None if item is None else type(item)
        is_chain, text = name
        if not is_chain and text in self._batch.shown:
            return None if self._batch.shown[text] is None else MemberSet
        return self._kind(name)

    def _find_before(self, name: ObjectName) -> NamedObject:
        item = self._batch.changed.get(name)
        if item is not None:
            return item
        is_chain, text = name
        shown = self._batch.shown.get(text) or self._members.get(text)
        if shown is not None and not is_chain:
            return self._before(shown)
        is_led = name not in self._fixed and self._leads.kind(text) is not None
        return self._leads.find_before(text) if is_led else self._find(name)

    def _names_before(self) -> Iterator[ObjectName]:
        shown = ((False, name) for name in self._batch.shown)
        yield from dict.fromkeys((*self._names(), *self._batch.changed, *shown))


def _skeleton(node: LocalNode, *, audit: bool) -> dict[str, Chain]:
    fixed = skeleton(node.mark_mask, node.mark_value, node.log_group, audit=audit)
    return {chain.name: chain for chain in fixed}
