"""Tiers of rules in order (Admin, Baseline) -> chains that every group with the same tier shares.

Rule: a chain ends in ``return`` or in a denial, which is one bit; Accept, Deny and Pass need two
chains. *Does the tier deny?* comes first, as a jump: what it denies is dropped, and ``return`` goes
on to the next tier, both for what it passes and for what it accepts. *Does the tier accept?* is
asked of packets that a later tier denies (an appeal): ``return`` means allowed, and everything else
is denied.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from podfence.nft.lowering.deny import deny_rules, prefix_of
from podfence.nft.lowering.identifiers import Namer, action_comment
from podfence.nft.lowering.identifiers import tier_comment as comment_of
from podfence.nft.lowering.identifiers import tier_key as key_of
from podfence.nft.lowering.keyed import RunWriter
from podfence.nft.lowering.ports import RuleMatch, in_runs
from podfence.nft.lowering.views import DirectionView
from podfence.nft.objects import (
    RETURN,
    Chain,
    ChainVerdict,
    goto,
)
from podfence.policy.flow import Action
from podfence.policy.index import CompiledTier


class SharedTiers:
    """Writes the chains of tiers, each once. Chains that nobody has fetched wait for
    ``new_chains``."""

    def __init__(self, runs: RunWriter, namer: Namer, log_group: int) -> None:
        self._runs = runs
        self._namer = namer
        self._log_group = log_group
        self._written: dict[str, Chain] = {}
        self._waiting: list[Chain] = []
        self._keys: dict[int, str] = {}
        self.deniers: dict[str, CompiledTier] = {}
        """By the name in the log prefix, the tiers with an end of their own."""

    def new_chains(self) -> Iterator[Chain]:
        """The chains written since the last call."""
        yield from self._waiting
        self._waiting.clear()

    def asked(
        self, tiers: Sequence[CompiledTier], view: DirectionView, *, isolated: bool
    ) -> tuple[list[str], str]:
        """The chains that are asked one after the other whether they deny; and the chain to appeal
        to against what is denied after them, ``""`` when none of them accepts anything.

        ``isolated``: whether isolation comes after them; if not, the last of them can deny.
        """
        deniers: list[str] = []
        appeal = ""
        for at, tier in enumerate(tiers, start=1):
            name = self._name(tier, appeal, view)
            if tier.can_deny:
                deniers.append(self._denier(tier, name, appeal, view))
            if tier.can_accept and (isolated or at < len(tiers)):
                appeal = self._appeal(tier, f"{name}_a", appeal, view)
        return deniers, appeal

    def _name(self, tier: CompiledTier, appeal: str, view: DirectionView) -> str:
        prefix = f"{prefix_of(view.direction, audit=view.audit)}{tier.name.lower()}_"
        return self._namer.name(prefix, f"{appeal.removesuffix(view.suffix)} {self._key(tier)}")

    def _key(self, tier: CompiledTier) -> str:
        found = self._keys.get(tier.number)
        if found is None:
            found = self._keys[tier.number] = key_of(tier)
        return found

    def _denier(self, tier: CompiledTier, name: str, appeal: str, view: DirectionView) -> str:
        verdicts = {Action.ACCEPT: RETURN, Action.PASS: RETURN}
        verdicts[Action.DENY] = self._denied_by(tier, name, appeal, view)
        return self._write(tier, name, "denied by", verdicts, view)

    def _appeal(self, tier: CompiledTier, name: str, appeal: str, view: DirectionView) -> str:
        """What the tier denies does not come here."""
        onward = self._denied_by(tier, name, appeal, view)
        verdicts = {Action.ACCEPT: RETURN, Action.PASS: onward}
        return self._write(tier, name, "accepted by", verdicts, view, onward)

    def _denied_by(
        self, tier: CompiledTier, name: str, appeal: str, view: DirectionView
    ) -> ChainVerdict:
        if not appeal:
            self.deniers[name] = tier
        return self._denied(name, appeal, view)

    def _denied(self, name: str, appeal: str, view: DirectionView) -> ChainVerdict:
        """Where denied packets go: to an earlier tier's acceptance, or to an end of their own."""
        if appeal:
            return goto(appeal)
        end = f"{name}_d{view.suffix}"
        if end not in self._written:
            rules = deny_rules(self._log_group, name, is_reply=view.reply)
            self._add(Chain(end, rules))
        return goto(end)

    def _write(
        self,
        tier: CompiledTier,
        name: str,
        asked: str,
        verdicts: dict[Action, ChainVerdict],
        view: DirectionView,
        otherwise: ChainVerdict = RETURN,
    ) -> str:
        """The chain that asks the rules whose action has a verdict; its name."""
        start = Chain(f"{name}{view.suffix}", comment=comment_of(view.direction, tier, asked))
        if start.name not in self._written:
            entries = (
                (
                    verdicts[rule.action],
                    RuleMatch(match.peers, match.ports, action_comment(rule, match)),
                )
                for rule in tier.rules
                if rule.action in verdicts
                for match in rule.matches
            )
            default = verdicts.get(tier.default, otherwise)
            for chain in self._runs.chains(start, in_runs(entries), default, view):
                self._add(chain)
        return start.name

    def _add(self, chain: Chain) -> None:
        self._written[chain.name] = chain
        self._waiting.append(chain)
