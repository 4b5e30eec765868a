"""The use of rules on all nodes of a cluster. Pure.

Rule: a rule is called unused when all nodes that have counted it have seen no use of it, and only
for as long as the youngest of these counts. While one of these nodes does not look, it is not.
Times are compared as texts: all have one form.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from podfence.usage.record import NodeUsage, PolicyUse

_Told = tuple[PolicyUse, bool]
"""By a node; and whether that does not look now."""


class RuleTotal(Struct, frozen=True, omit_defaults=True):
    """One rule on all nodes where its policy selects pods, or did. ``since``: from when on all of
    these have counted this revision of its policy; ``nodes``: how many they are; ``blind``: how
    many of them do not look now. ``last``: "" for never."""

    kind: str
    policy: str
    path: str
    generation: int
    since: str
    nodes: int
    uses: int = 0
    last: str = ""
    blind: int = 0

    def used_since(self, date: str) -> bool:
        """Whether a use was seen after a time."""
        return self.last > date

    def unused_since(self, date: str) -> bool:
        """Whether none was seen after a time, although everybody has looked from then on."""
        return not (self.blind or self.used_since(date)) and self.since <= date


def together(found: Iterable[NodeUsage]) -> list[RuleTotal]:
    """By kind, policy and rule, in the order of the policy."""
    by_policy: dict[tuple[str, str], list[_Told]] = defaultdict(list)
    for rules in found:
        for policy in rules.policies:
            by_policy[policy.kind, policy.policy].append((policy, bool(rules.fault)))
    return [total for _, told in sorted(by_policy.items()) for total in _totals(told)]


def _totals(told: Sequence[_Told]) -> Iterator[RuleTotal]:
    """Of one policy: of its latest revision alone, where nodes are not of one mind yet."""
    uid = max((each for each, _ in told), key=lambda each: each.since).uid
    generation = max(each.generation for each, _ in told if each.uid == uid)
    looking = [found for found in told if (found[0].uid, found[0].generation) == (uid, generation)]
    current = [each for each, _ in looking]
    since = max(each.since for each in current)
    uses: dict[str, int] = {}
    last: dict[str, str] = {}
    for each in current:
        for rule in each.rules:
            uses[rule.path] = uses.get(rule.path, 0) + rule.uses
            last[rule.path] = max(last.get(rule.path, ""), rule.last)
    for path in sorted(uses, key=_in_order):
        first = current[0]
        yield RuleTotal(
            first.kind,
            first.policy,
            path,
            generation,
            since,
            len(current),
            uses[path],
            last[path],
            sum(is_blind for _, is_blind in looking),
        )


def _in_order(path: str) -> tuple[str, int, str]:
    """``spec.ingress[2]`` before ``spec.ingress[10]``."""
    head, _, number = path.removesuffix("]").rpartition("[")
    return (
        head,
        int(number) if number.isascii() and number.isdigit() and len(number) < 9 else 0,
        path,
    )
