"""DirectionPolicy -> the chains that judge one isolation group of pods in one direction.

Rule: ``return`` means allowed in this direction, and the other direction is still asked; nothing
accepts in here. One chain a tier (more where it has many rules, see ``keyed``), rules in their
order; the chains of a group end in its own deny
chain, so that a denied packet names the group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from podfence.nft.keyed import Entry, Run, RunWriter
from podfence.nft.names import MAX_LOG_PREFIX, Namer, group_comment, match_comment, printable
from podfence.nft.objects import (
    DROP,
    RETURN,
    Chain,
    Counter,
    Limit,
    Log,
    Lookup,
    Rule,
    Verdict,
    VerdictMap,
    goto,
)
from podfence.nft.peers import PeerSets
from podfence.nft.ports import PortQuestions
from podfence.nft.views import DESTINATIONS, FAMILIES, SOURCES, View
from podfence.policy.flow import Action, Direction
from podfence.policy.index import DirectionPolicy, Tier

PREFIXES = {Direction.EGRESS: "eg_", Direction.INGRESS: "in_"}
LOG_LIMIT = Limit(rate=20, burst=40)
"""A flood of denied packets must not become a flood of log messages."""


def deny_rules(log_group: int, what: str) -> tuple[Rule, ...]:
    """Log with the prefix ``podfence:what``, within limits, then count and drop."""
    prefix = printable(f"podfence:{what}", MAX_LOG_PREFIX)
    return (Rule((LOG_LIMIT, Log(log_group, prefix))), Rule((Counter(), DROP)))


def self_sets() -> dict[int, str]:
    """By family, the set of pairs (pod address, the same address)."""
    return {family: f"self{family}" for family in FAMILIES}


class Groups:
    """Names and writes the chains of isolation groups."""

    def __init__(self, peers: PeerSets, ports: PortQuestions, namer: Namer, log_group: int) -> None:
        self._runs = RunWriter(peers, ports, namer)
        self._namer = namer
        self._log_group = log_group

    def name(self, policy: DirectionPolicy) -> str:
        """The name of a group, of its first chain, and in its log prefix."""
        return self._namer.name(PREFIXES[policy.direction], policy.key)

    @property
    def maps(self) -> tuple[VerdictMap, ...]:
        """The maps that the chains so far look ports up in."""
        return tuple(self._runs.maps)

    def chains(self, policy: DirectionPolicy) -> Iterator[Chain]:
        """Every chain of a group: each tier in both views, and the deny chain."""
        name = self.name(policy)
        comment = group_comment(policy)
        for reply in (False, True):
            view = View(policy.direction, reply)
            names = tier_chains(name, policy.tiers, view)
            for at, tier in enumerate(policy.tiers):
                onward = goto(names[at + 1]) if at + 1 < len(names) else RETURN
                verdicts = {Action.ACCEPT: RETURN, Action.DENY: goto(f"{name}_d")}
                verdicts[Action.PASS] = onward
                start = Chain(names[at], comment=comment)
                yield from self._runs.chains(
                    start, _runs(tier, verdicts), verdicts[tier.default], view
                )
        yield Chain(f"{name}_d", self._deny_rules(name), comment=comment)

    def _deny_rules(self, name: str) -> tuple[Rule, ...]:
        """A pod cannot block itself (NP-54, NP-55): asked here only, where it seldom costs."""
        to_itself = (
            Rule((Lookup((SOURCES[family], DESTINATIONS[family]), pairs), RETURN))
            for family, pairs in self_sets().items()
        )
        return (*to_itself, *deny_rules(self._log_group, f"deny:{name}"))


def _runs(tier: Tier, verdicts: Mapping[Action, Verdict]) -> list[Run]:
    """The rules of a tier, in their order; neighbours with one action together."""
    return [
        Run(
            tuple(
                Entry(match.peers, match.ports, match_comment(rule.origin, match))
                for rule in rules
                for match in rule.matches
            ),
            verdicts[action],
        )
        for action, rules in groupby(tier.rules, key=lambda rule: rule.action)
    ]


def tier_chains(name: str, tiers: Sequence[Tier], view: View) -> list[str]:
    """Names of the chains of a group's tiers, the first tier's without a number."""
    return [f"{name}{f'_t{at}' if at else ''}{view.suffix}" for at in range(len(tiers))]
