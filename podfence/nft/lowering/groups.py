"""DirectionPolicy -> the chains that judge one isolation group of pods in one direction.

Rule: ``return`` means allowed in this direction; the other direction is still asked. No chain in
here accepts. A group has a chain of its own for its isolation (the NetworkPolicy tier). Every other
tier is written once for all (see ``tierchains``), and asked before. Each deny chain belongs to one
chain and one view, so that a denied packet names the chain, and whether it is a reply.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from podfence.nft.lowering.deny import deny_rules, prefix_of
from podfence.nft.lowering.identifiers import Namer, group_comment, match_comment
from podfence.nft.lowering.keyed import RunWriter
from podfence.nft.lowering.peers import PeerSets
from podfence.nft.lowering.ports import PortMatches, RuleMatch, in_runs
from podfence.nft.lowering.tierchains import SharedTiers
from podfence.nft.lowering.views import DESTINATIONS, FAMILIES, SOURCES, DirectionView
from podfence.nft.objects import RETURN, Chain, ChainVerdict, Lookup, Rule, VerdictMap, goto, jump
from podfence.policy.index import CompiledTier, DirectionPolicy

VerdictMatches = list[tuple[ChainVerdict, RuleMatch]]


def self_sets() -> dict[int, str]:
    """By family, the set of pairs (pod address, the same address)."""
    return {family: f"self{family}" for family in FAMILIES}


class _Asked(Struct, frozen=True):
    """The tiers of a group that can deny, or can accept what a later tier denies. ``isolation`` is
    the last of them, where there is one."""

    before: tuple[CompiledTier, ...]
    isolation: CompiledTier | None

    @property
    def all(self) -> tuple[CompiledTier, ...]:
        """In their order."""
        return self.before if self.isolation is None else (*self.before, self.isolation)


class Groups:
    """Names and writes the chains of isolation groups. ``audit``: the groups are only audited, and
    have chains of their own."""

    def __init__(
        self,
        peers: PeerSets,
        ports: PortMatches,
        namer: Namer,
        log_group: int,
        *,
        audit: bool = False,
    ) -> None:
        self._runs = RunWriter(peers, ports, namer)
        self._tiers = SharedTiers(self._runs, namer, log_group)
        self._namer = namer
        self._log_group = log_group
        self._audit = audit
        self._asked: dict[int, _Asked] = {}
        self._isolating: dict[str, DirectionPolicy] = {}

    def name(self, policy: DirectionPolicy) -> str:
        """The name of a group, of its first chain, and in its log prefix. A chain keeps its comment
        as long as its name. So the name covers the tiers that the comment tells where the key does
        not: a policy that stops denying leaves them."""
        asked = self._tiers_of(policy).all
        key = policy.key
        if asked != policy.tiers:
            key = f"{key} asked {[tier.name for tier in asked]}"
        return self._namer.name(prefix_of(policy.direction, audit=self._audit), key)

    def denies(self, policy: DirectionPolicy) -> bool:
        """Whether a group of this policy can deny anything; otherwise it has no chains."""
        return bool(self._tiers_of(policy).all)

    @property
    def maps(self) -> tuple[VerdictMap, ...]:
        """The maps that the chains so far look ports up in."""
        return tuple(self._runs.maps)

    @property
    def deniers(self) -> dict[str, DirectionPolicy | CompiledTier]:
        """By the name in a log prefix, whose policies deny in the chains so far: a group by its
        isolation, or a tier that groups share."""
        return {**self._isolating, **self._tiers.deniers}

    def chains(self, policy: DirectionPolicy) -> Iterator[Chain]:
        """Every chain of a group that is not written yet, for both views."""
        asked = self._tiers_of(policy)
        if asked.isolation is not None:
            self._isolating[self.name(policy)] = policy
        start = Chain(self.name(policy), comment=group_comment(policy.direction, asked.all))
        entries = _entries(asked.isolation) if asked.isolation else None
        found = {
            chain.name: chain
            for reply in (False, True)
            for chain in self._of_view(
                start, asked, entries, DirectionView(policy.direction, reply, self._audit)
            )
        }
        yield from found.values()

    def _of_view(
        self, start: Chain, asked: _Asked, entries: VerdictMatches | None, view: DirectionView
    ) -> Iterator[Chain]:
        """The earlier tiers, each left by ``return`` for the next; then the isolation."""
        isolated = entries is not None
        tiers, appeal = self._tiers.asked(asked.before, view, isolated=isolated)
        yield from self._tiers.new_chains()
        name = f"{start.name}{view.suffix}"
        jumps = tuple(Rule((jump(tier),)) for tier in tiers)
        if entries is None:
            yield replace(start, name=name, rules=(*jumps[:-1], Rule((goto(tiers[-1]),))))
            return
        deny = f"{start.name}_d{view.suffix}"
        first = replace(start, name=name, rules=jumps)
        yield from self._runs.chains(first, in_runs(entries), goto(deny), view)
        yield replace(start, name=deny, rules=self._deny_rules(start.name, appeal, view))

    def _deny_rules(self, name: str, appeal: str, view: DirectionView) -> tuple[Rule, ...]:
        """A pod cannot block itself (NP-54, NP-55). This is asked only here, where it seldom costs,
        and only where isolation alone is concerned (CNP-27). It is written again and not taken from
        ``engine``: a chain decides for packets that come, and tests hold both against each other.
        """
        to_itself = (
            Rule((Lookup((SOURCES[family], DESTINATIONS[family]), pairs), RETURN))
            for family, pairs in self_sets().items()
        )
        if appeal:
            return (*to_itself, Rule((goto(appeal),)))
        return (*to_itself, *deny_rules(self._log_group, name, is_reply=view.reply))

    def _tiers_of(self, policy: DirectionPolicy) -> _Asked:
        found = self._asked.get(policy.number)
        if found is None:
            found = self._asked[policy.number] = _asked(policy)
        return found


def _entries(isolation: CompiledTier) -> VerdictMatches:
    """What isolation lets pass."""
    return [
        (RETURN, RuleMatch(match.peers, match.ports, match_comment(rule.origin, match)))
        for rule in isolation.rules
        for match in rule.matches
    ]


def _asked(policy: DirectionPolicy) -> _Asked:
    """What can neither deny nor be overruled is not written."""
    tiers = list(policy.in_force)
    while tiers and not tiers[-1].can_deny:
        tiers.pop()
    isolation = tiers.pop() if tiers and not tiers[-1].ordered else None
    before = [tier for tier in tiers if tier.can_deny or tier.can_accept]
    return _Asked(tuple(before), isolation)
