"""The rules that one node should enforce: events in, plans out. Pure.

Rule: until everything was listed, the only plan is a table that closes the pod ranges, and only
where there was no table and the ranges are known. Policies are read once all of them are there,
pods and namespaces as they come, so that fetching and indexing overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from podfence.drops.attribution import Attribution
from podfence.live.node import LiveIndex
from podfence.live.pods import At
from podfence.live.unread import UnreadPolicy
from podfence.model.facts import Event, Gone, NodeFacts, PolicyFacts, Put
from podfence.model.meta import ObjectRef
from podfence.nft.lowering.assembly import Assembly
from podfence.nft.lowering.delta import Delta
from podfence.nft.lowering.lower import LocalNode
from podfence.nft.lowering.sizes import Sizes
from podfence.nft.ruleset import Ruleset
from podfence.reconcile.quarantine import addresses
from podfence.reconcile.states import PlannedRules, RefusedUnit
from podfence.usage.credit import Credit


class DesiredState:
    """``node``: with the pod ranges that were given by hand, if any; they count instead of those of
    the Node object. ``is_new``: there was no table at the start. ``version``: it changes when other
    rules are wanted."""

    def __init__(self, node: LocalNode) -> None:
        self.ranges = node.pod_cidrs
        self.in_sync = False
        self.is_new = False
        self.version = 0
        self.refused: tuple[UnreadPolicy, ...] = ()
        self._node = node
        self._index = LiveIndex(node.name)
        self._assembly = Assembly(node, self._index.selections)
        self._held: list[Event] = []

    def begin(self, *, is_new: bool) -> list[PlannedRules]:
        """The start. ``is_new``: there is no table."""
        self.is_new = is_new
        return [self._closed()] if is_new and self.ranges else []

    def take(self, events: Iterable[Event], *, whole: bool) -> list[PlannedRules]:
        """Events; ``whole``: with them, everything is known that was there at the start."""
        planned = self._planned(events, whole=whole)
        self.version += bool(planned)
        return planned

    def _planned(self, events: Iterable[Event], *, whole: bool) -> list[PlannedRules]:
        ranges = self.ranges
        told = [self._with_ranges(event) for event in events]
        if self.in_sync:
            return _plan(self._assembly, self._apply(told))
        self._apply([event for event in told if not is_policy(event)])
        self._held += filter(is_policy, told)
        if whole:
            self._apply(self._held)
            self._held = []
            self.in_sync = True
            return [PlannedRules(self._assembly.ruleset)]
        return [self._closed()] if self.is_new and self.ranges != ranges else []

    @property
    def attribution(self) -> Attribution:
        """Who and why, by what is wanted now."""
        return Attribution(self._index, self._assembly.group)

    @property
    def credit(self) -> Credit:
        """Which rules connections use, by what is wanted now."""
        return Credit(self._index)

    @property
    def names(self) -> frozenset[str]:
        """The domain names, as they are written, of policies that select pods here."""
        return self._index.selections.names.patterns

    def ruleset(self) -> Ruleset:
        """All rules as they are wanted now."""
        return self._assembly.ruleset()

    def sizing(self) -> Iterator[Sizes | None]:
        """How much ``ruleset`` holds, counted set by set: None after each, then the sum."""
        return self._assembly.sizing()

    def selected(self, policy: ObjectRef) -> list[tuple[At, ...]]:
        """The addresses of each pod of this node that a policy selects."""
        return self._index.selected(policy)

    def _apply(self, events: Sequence[Event]) -> Delta:
        change = self._index.apply(events)
        self.refused = change.refused
        return self._assembly.apply(change)

    def _with_ranges(self, event: Event) -> Event:
        """The ranges that are closed go with our own Node, and outlive it: pods may, too."""
        match event:
            case Put(NodeFacts() as node) if node.name == self._node.name:
                self.ranges = self._node.pod_cidrs or node.pod_cidrs or self.ranges
                return Put(replace(node, pod_cidrs=self.ranges))
            case Gone("Node", _, name) if name == self._node.name:
                return Put(NodeFacts(name, pod_cidrs=self.ranges))
        return event

    def _closed(self) -> PlannedRules:
        """A table that knows no pod."""
        node = replace(self._node, pod_cidrs=self.ranges)
        return PlannedRules(Assembly(node, LiveIndex(node.name).selections).ruleset)


def is_policy(event: Event) -> bool:
    """Whether an event is about a policy, of any kind."""
    if isinstance(event, Gone):
        return event.kind not in ("Pod", "Namespace", "Node", "DomainName")
    return isinstance(event.facts, PolicyFacts)


def _plan(assembly: Assembly, delta: Delta) -> list[PlannedRules]:
    if not (delta.transaction or any(delta.released.values()) or any(delta.given.values())):
        return []
    return [
        PlannedRules(
            assembly.ruleset, delta.transaction, delta.tightens, delta.released, delta.given
        )
    ]


# -- Closed groups
# Groups of pods that are closed, since the kernel refuses their rules: what they are for, and which
# addresses that is. Pure.
# Rule: the whole ruleset is made for it, so it is made again only when something else is refused or
# wanted, however often people ask.


class ClosedGroup(Struct, frozen=True):
    """One group. ``comment``: what it is for, "" where nobody says."""

    comment: str
    addresses: frozenset[At]


class ClosedGroups:
    """Of one node; the last answer is remembered."""

    def __init__(self) -> None:
        self._refused: Mapping[str, RefusedUnit] = {}
        self._version = -1
        self._found: dict[str, ClosedGroup] = {}

    def of(
        self, refused: Mapping[str, RefusedUnit], wanted: DesiredState
    ) -> dict[str, ClosedGroup]:
        """By the name of the group, all that are refused."""
        if not refused:
            self._refused, self._found = {}, {}
        elif refused is not self._refused or wanted.version != self._version:
            rules = wanted.ruleset()
            self._refused, self._version = refused, wanted.version
            self._found = {}
            for unit in refused:
                chain = rules.chains.get(unit)
                self._found[unit] = ClosedGroup(
                    chain.comment if chain else "", addresses(rules, unit)
                )
        return self._found
