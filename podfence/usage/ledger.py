"""What is known of the use of rules on one node: folded, counted, in bounded memory. Pure.

Rule: no claim without a time. A policy is counted from when its revision was first met; another
revision begins anew, since a rule with the same number may be another rule. What cannot be counted
is counted itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct, field

from podfence.model.meta import ObjectRef, Revision
from podfence.usage.credit import Kind, Rule
from podfence.usage.record import PolicyUse, Rules, RuleUse

POLICIES = 20_000
"""Policies that are counted at the most."""
KINDS = 4096
"""Kinds of connections that wait to be asked about; and as many whose answer is remembered."""
HOLDS = 30.0
"""Seconds that an answer about a kind of connections counts."""


class Use(Struct):
    """Of one rule. ``last``: seconds since 1970; 0: never."""

    uses: int = 0
    last: float = 0.0


class Entry(Struct):
    """Of one policy. ``since``: seconds since 1970. ``rules``: by path, those that apply here or
    did."""

    revision: Revision
    since: float
    rules: dict[str, Use] = field(default_factory=dict)


class Kept(Struct):
    """What outlives the agent. ``looked``: when connections were last looked at."""

    since: float
    looked: float
    away: float = 0.0
    policies: list[tuple[ObjectRef, Entry]] = field(default_factory=list)


class Ledger:
    """``date``: seconds since 1970 as RFC 3339 has them. ``kept``: of an earlier life. For one
    thread at a time."""

    def __init__(
        self, node: str, date: Callable[[float], str], now: float, kept: Kept | None = None
    ) -> None:
        self._node, self._date = node, date
        if kept is None or not 0 < kept.since <= kept.looked <= now:
            kept = Kept(now, now)
        self._since, self._looked = kept.since, kept.looked
        self._away = kept.away + now - kept.looked
        self._entries: dict[ObjectRef, Entry] = dict(kept.policies)
        self._waiting: dict[Kind, int] = {}
        self._known: dict[Kind, tuple[float, tuple[Rule, ...]]] = {}
        self._looks = self._cut = self._missed = self._uncounted = 0

    def looked(self, kinds: Iterable[tuple[Kind, int]], now: float, *, cut: bool = False) -> None:
        """A look at the connections, and how many of each kind are new."""
        self._looks += 1
        self._cut += cut
        self._looked = max(now, self._since)
        for kind, number in kinds:
            known = self._known.get(kind)
            if known is not None and 0 <= now - known[0] < HOLDS:
                self._use(known[1], number, now)
            elif kind in self._waiting or len(self._waiting) < KINDS:
                self._waiting[kind] = self._waiting.get(kind, 0) + number
            else:
                self._missed += number

    def questions(self, most: int) -> list[Kind]:
        """Kinds to ask about, the first that came first."""
        return [kind for kind, _ in zip(self._waiting, range(most), strict=False)]

    def answer(self, kind: Kind, rules: tuple[Rule, ...], now: float) -> None:
        """The rules that such connections use."""
        self._use(rules, self._waiting.pop(kind, 0), now)
        self._known.pop(kind, None)
        while len(self._known) >= KINDS:
            del self._known[next(iter(self._known))]
        self._known[kind] = now, rules

    def denied(self, rule: Rule, now: float) -> None:
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
        self._uncounted = 0
        for ref, revision in revisions.items():
            entry = self._entries.get(ref)
            if entry is None and len(self._entries) >= POLICIES:
                self._uncounted += 1
            elif entry is None or entry.revision != revision:
                entry = self._entries[ref] = Entry(revision, now)
            if entry is not None:
                for path in written.get(ref, ()):
                    entry.rules.setdefault(path, Use())

    def rules(self, namespace: str = "") -> Rules:
        """What is told; of the policies of one namespace alone, where one is given."""
        found = (
            PolicyUse(
                ref.kind,
                str(ref),
                entry.revision.uid,
                entry.revision.generation,
                self._date(entry.since),
                tuple(
                    RuleUse(path, use.uses, self._date(use.last) if use.last else "")
                    for path, use in entry.rules.items()
                ),
            )
            for ref, entry in sorted(self._entries.items())
            if entry.rules and namespace in ("", ref.namespace)
        )
        counts = int(self._away), self._looks, self._cut, self._missed, self._uncounted
        return Rules(self._node, self._date(self._since), *counts, tuple(found))

    def kept(self) -> Kept:
        """What is to outlive the agent."""
        return Kept(self._since, self._looked, self._away, list(self._entries.items()))

    def _use(self, rules: Iterable[Rule], uses: int, now: float) -> None:
        for ref, path in rules:
            entry = self._entries.get(ref)
            if entry is not None:
                use = entry.rules.setdefault(path, Use())
                use.uses += uses
                use.last = max(use.last, now)
