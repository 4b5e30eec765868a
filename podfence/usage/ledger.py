"""The use of rules on one node: folded, counted, in bounded memory. Pure.

Rule: no claim without a time. A policy is counted from when its revision was first met. Another
revision begins again, since a rule with the same number may be another rule. Everything begins
again when nobody has looked for an hour. Connections that cannot be credited are counted, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from podfence.model.meta import ObjectRef, Revision
from podfence.usage.credit import ConnectionKind, RuleRef
from podfence.usage.kept import KeptPolicyUse, KeptRuleUse, KeptUsage
from podfence.usage.record import NodeUsage, PolicyUse, RuleUse

POLICIES = 20_000
"""Policies that are known at the most."""
ROOM = 100_000
"""Rules that are counted at the most, so that all of them are told in 12 MB at the most."""
NAME = 4
"""A policy takes as much room as so many rules besides its own, for names are long."""
KINDS = 4096
"""Kinds of connections that wait to be asked about; and as many whose answer is remembered."""
GAP = 3600.0
"""Seconds between two looks after which all is counted again: too much was let pass unseen, or the
clock was set."""


class UsageLedger:
    """``kept``: counts of an earlier life, unless ``unusable`` says otherwise. One thread at a time
    uses it."""

    def __init__(self, now: float, kept: KeptUsage | None = None) -> None:
        self._is_away = kept is not None
        kept = kept or KeptUsage(now, now)
        self._since, self._looked, self._away = kept.since, kept.looked, kept.away
        self._entries: dict[ObjectRef, KeptPolicyUse] = dict(kept.policies)
        self._waiting: dict[ConnectionKind, int] = {}
        self._known: dict[ConnectionKind, tuple[RuleRef, ...]] = {}
        self._fault = ""
        self._looks = self._cut = self._missed = self._uncounted = 0

    def looked(
        self, kinds: Iterable[tuple[ConnectionKind, int]], now: float, *, cut: bool = False
    ) -> None:
        """A look at the connections, and how many of each kind are new. 0: none, but there are
        some of before."""
        if abs(now - self._looked) > GAP:
            self._begin(now)
        elif self._is_away:
            self._away += max(now - self._looked, 0.0)
        self._is_away, self._fault = False, ""
        self._looks += 1
        self._cut += cut
        self._looked = max(now, self._since)
        for kind, number in kinds:
            known = self._known.get(kind)
            if known is not None:
                self._use(known, number, now)
            elif kind in self._waiting or len(self._waiting) < KINDS:
                self._waiting[kind] = self._waiting.get(kind, 0) + number
            else:
                self._missed += max(number, 1)

    def failed(self, fault: str) -> None:
        """Connections could not be looked at: nobody looks from the last look on."""
        self._is_away, self._fault = True, fault

    def questions(self, most: int) -> list[ConnectionKind]:
        """Kinds to ask about, the first that came first."""
        return [kind for kind, _ in zip(self._waiting, range(most), strict=False)]

    def answer(self, kind: ConnectionKind, rules: tuple[RuleRef, ...], now: float) -> None:
        """The rules that such connections use, until ``forget``."""
        self._use(rules, self._waiting.pop(kind, 0), now)
        self._known.pop(kind, None)
        while len(self._known) >= KINDS:
            del self._known[next(iter(self._known))]
        self._known[kind] = rules

    def forget(self) -> None:
        """Answers may be others now."""
        self._known.clear()

    def denied(self, rule: RuleRef, now: float) -> None:
        """A denied packet was put down to a rule."""
        self._use((rule,), 1, now)

    def survey(
        self,
        revisions: Mapping[ObjectRef, Revision],
        written: Mapping[ObjectRef, tuple[str, ...]],
        now: float,
    ) -> None:
        """All policies that there are; and the rules of those that apply to pods here."""
        for ref in [ref for ref in self._entries if ref not in revisions]:
            del self._entries[ref]
        for ref, revision in revisions.items():
            entry = self._entries.get(ref)
            if entry is not None and entry.revision != revision:
                self._entries[ref] = KeptPolicyUse(revision, now)
        self._uncounted = 0
        room = ROOM - sum(map(_size, self._entries.values()))
        for ref, revision in revisions.items():
            entry = self._entries.get(ref)
            if entry is None:
                if len(self._entries) >= POLICIES:
                    self._uncounted += 1
                    continue
                entry = self._entries[ref] = KeptPolicyUse(revision, now)
            new = {path: KeptRuleUse() for path in written.get(ref, ()) if path not in entry.rules}
            more = len(new) + (NAME if new and not entry.rules else 0)
            if more > room:
                self._uncounted += 1
            else:
                room -= more
                entry.rules.update(new)

    def knows(self, rules: Iterable[RuleRef]) -> bool:
        """Whether all of these were written when it was last surveyed."""
        entries = self._entries
        return all(ref in entries and path in entries[ref].rules for ref, path in rules)

    def seen(self, now: float, namespace: str = "") -> UsageSnapshot:
        """What is known; of the policies of one namespace alone, where one is given."""
        fault = self._fault
        if not fault and abs(now - self._looked) > GAP:
            fault = "connections were not looked at for an hour, or the clock was set"
        away = max(now - self._looked, 0.0) if self._is_away else 0.0
        counts = self._looks, self._cut, self._missed, self._uncounted
        policies = self._copies(namespace)
        return UsageSnapshot(self._since, self._looked, fault, self._away + away, *counts, policies)

    def kept(self) -> KeptUsage:
        """What is to outlive the agent. It changes no more."""
        return KeptUsage(self._since, self._looked, self._away, self._copies())

    def _copies(self, namespace: str = "") -> list[tuple[ObjectRef, KeptPolicyUse]]:
        return [
            (ref, KeptPolicyUse(entry.revision, entry.since, entry.rules.copy()))
            for ref, entry in self._entries.items()
            if namespace in ("", ref.namespace)
        ]

    def _begin(self, now: float) -> None:
        """Count again."""
        self._since, self._away = now, 0.0
        for ref, entry in self._entries.items():
            self._entries[ref] = KeptPolicyUse(
                entry.revision, now, dict.fromkeys(entry.rules, KeptRuleUse())
            )

    def _use(self, rules: Iterable[RuleRef], uses: int, now: float) -> None:
        """Of rules that nobody has written there is none to be used: the policy is another one
        now, or there is no room for it."""
        for ref, path in rules:
            entry = self._entries.get(ref)
            use = None if entry is None else entry.rules.get(path)
            if entry is not None and use is not None:
                entry.rules[path] = KeptRuleUse(use.uses + uses, max(use.last, now))


def _size(entry: KeptPolicyUse) -> int:
    return len(entry.rules) + NAME if entry.rules else 0


def unusable(kept: KeptUsage, now: float) -> str:
    """Why kept counts cannot be continued; "" where they can. The clock may have been set since, by
    as much as it may be while an agent runs."""
    entries = [entry for _, entry in kept.policies]
    if not kept.can_be(now + GAP):
        return "its times cannot be right: the file is broken, or the clock was set"
    if now - kept.looked > GAP:
        return "connections were not looked at for an hour, or the clock was set"
    if len(entries) > POLICIES or sum(map(_size, entries)) > ROOM:
        return "it holds more than there is room for"
    return ""


# -- The state of a ledger at one moment -> the record of it. Pure
# Rule: nothing in it changes any more, so writing it out holds nobody up.


class UsageSnapshot(Struct, frozen=True):
    """Times are seconds since 1970. The rest is as in ``NodeUsage``."""

    since: float
    looked: float
    fault: str
    away: float
    looks: int
    cut: int
    missed: int
    uncounted: int
    policies: list[tuple[ObjectRef, KeptPolicyUse]]

    def rules(self, node: str, date: Callable[[float], str]) -> NodeUsage:
        """``date``: seconds since 1970 as RFC 3339 has them."""
        found = (
            PolicyUse(
                ref.kind,
                str(ref),
                entry.revision.uid,
                entry.revision.generation,
                date(entry.since),
                tuple(
                    RuleUse(path, use.uses, date(use.last) if use.last else "")
                    for path, use in entry.rules.items()
                ),
            )
            for ref, entry in sorted(self.policies, key=lambda each: each[0])
            if entry.rules
        )
        counts = int(self.away), self.looks, self.cut, self.missed, self.uncounted
        looked = date(self.looked) if self.fault else ""
        return NodeUsage(node, date(self.since), *counts, tuple(found), self.fault, looked)
