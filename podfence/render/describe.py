"""A policy description for the terminal.

Rule: no line is wider than WIDTH unless a single name is; every text that came from a manifest
is made printable. Two descriptions that differ in meaning never print the same.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable

from podfence.errors import Source
from podfence.questions.describe import (
    DirectionDescription,
    OtherPolicy,
    PeerDescription,
    PolicyDescription,
    RuleDescription,
)
from podfence.questions.describe_tiers import (
    TierDirectionDescription,
    TierPolicyDescription,
    TierRuleDescription,
)
from podfence.questions.lint.findings import LintFinding
from podfence.questions.phrases.matched import PodGroup
from podfence.text import printable

WIDTH = 88
GROUPS_SHOWN = 20
"""Longer lists of pods are cut here and the rest is counted."""

LocateText = Callable[[Source | None, str], str]
"""(source, field path) -> ``file:line:col``, or "" if the position is unknown."""


def render_description(
    description: PolicyDescription, locate: LocateText, notes: Iterable[LintFinding] = ()
) -> str:
    """The whole text, with a newline at its end. ``notes``: the notes of the same policy."""
    writer = _PolicyDescription(description, locate)
    writer.head()
    writer.direction(description.ingress)
    writer.direction(description.egress)
    writer.others(description.others)
    writer.tiers(description.tiers)
    writer.exempt(description.exempt)
    writer.notes(tuple(notes))
    return "\n".join(writer.lines) + "\n"


def render_tier_description(
    description: TierPolicyDescription, locate: LocateText, notes: Iterable[LintFinding] = ()
) -> str:
    """The same for a policy of the Admin or the Baseline tier."""
    writer = _TierWriter(description, locate)
    writer.head()
    writer.direction(description.ingress)
    writer.direction(description.egress)
    writer.exempt(description.exempt)
    writer.notes(tuple(notes))
    return "\n".join(writer.lines) + "\n"


class _DescriptionLines:
    """Collects lines about a policy that was written in ``source``."""

    def __init__(self, source: Source | None, locate: LocateText) -> None:
        self.lines: list[str] = []
        self._source = source
        self._locate = locate

    def exempt(self, text: str) -> None:
        self.lines.append("")
        self._add(text)

    def notes(self, notes: tuple[LintFinding, ...]) -> None:
        for note in notes:
            self.lines.append("")
            self._add(f"note[{note.code}]: {note.title}{self._position(note.path)}", "", "  ")
            self._add(note.text, "  ")

    def _peer(self, peer: PeerDescription, lead: str, *, everyone: bool = False) -> None:
        self._add(f"{lead}{peer.text}", "    ", "      ")
        if everyone:  # a list of all pods would say nothing
            return
        if peer.now:
            self._add(peer.now, "      ", "        ")
        elif peer.pods:
            self._pods(peer.pods, "      now ")
        elif not peer.outside:
            self.lines.append("      now no pod")

    def _pods(self, groups: tuple[PodGroup, ...], indent: str) -> None:
        names = [str(group) for group in groups[:GROUPS_SHOWN]]
        if len(groups) > GROUPS_SHOWN:
            names.append(f"and {len(groups) - GROUPS_SHOWN} more")
        if names:
            self._add(", ".join(names), indent, " " * len(indent))

    def _position(self, path: str, source: Source | None = None) -> str:
        position = self._locate(source or self._source, path)
        return f"  ({position})" if position else ""

    def _add(self, text: str, indent: str = "", later: str | None = None) -> None:
        self.lines.extend(
            textwrap.wrap(
                printable(text),
                WIDTH,
                initial_indent=indent,
                subsequent_indent=indent if later is None else later,
                break_long_words=False,
                break_on_hyphens=False,
            )
        )


class _PolicyDescription(_DescriptionLines):
    """The page of a NetworkPolicy."""

    def __init__(self, description: PolicyDescription, locate: LocateText) -> None:
        super().__init__(description.source, locate)
        self._description = description

    def head(self) -> None:
        description = self._description
        self._add(f"NetworkPolicy {description.policy}{self._position('')}", "", "  ")
        self.lines.append("")
        self._add(description.selects)
        self._pods(description.pods, "  ")
        self._add(description.types)

    def direction(self, direction: DirectionDescription) -> None:
        self.lines.append("")
        name = direction.direction.value.capitalize()
        self._add(f"{name}. {direction.text}")
        for rule in direction.rules:
            self._rule(rule, "from" if name == "Ingress" else "to")
        if direction.others:
            self._add(direction.others)

    def others(self, others: tuple[OtherPolicy, ...]) -> None:
        if not others:
            return
        self.lines.append("")
        self._add("Policies add up: what any of these allows is allowed as well.")
        for other in others:
            position = self._position("", other.source)
            self._add(f"{other.policy}: {other.text}{position}", "  ", "    ")

    def tiers(self, sentences: tuple[str, ...]) -> None:
        if sentences:
            self.lines.append("")
        for sentence in sentences:
            self._add(sentence, "", "  ")

    # -- parts

    def _rule(self, rule: RuleDescription, word: str) -> None:
        self._add(f"- {rule.path}{self._position(rule.path)}", "  ", "    ")
        if len(rule.peers) == 1:
            self._peer(rule.peers[0], f"{word} ", everyone=rule.peers[0].path == rule.path)
        else:
            self._add(f"{word} any one of these {len(rule.peers)}:", "    ")
            for number, peer in enumerate(rule.peers):
                self._peer(peer, f"{'or ' if number else 'either '}")
        self._add(rule.ports, "    ", "      ")


class _TierWriter(_DescriptionLines):
    """The page of a policy of the Admin or the Baseline tier."""

    def __init__(self, description: TierPolicyDescription, locate: LocateText) -> None:
        super().__init__(description.source, locate)
        self._description = description

    def head(self) -> None:
        description = self._description
        policy = description.policy
        self._add(f"{policy.kind} {policy}{self._position('')}", "", "  ")
        self.lines.append("")
        self._add(description.selects)
        self._pods(description.pods, "  ")
        self._add(description.when_asked)
        for neighbour in description.neighbours:
            self._add(neighbour)

    def direction(self, direction: TierDirectionDescription) -> None:
        self.lines.append("")
        name = direction.direction.value.capitalize()
        self._add(f"{name}. {direction.text}")
        for number, rule in enumerate(direction.rules, 1):
            self._rule(number, rule, "from" if name == "Ingress" else "to")

    def _rule(self, number: int, rule: TierRuleDescription, word: str) -> None:
        name = f" ({rule.name})" if rule.name else ""
        head = f"{number}. {rule.path}{name} {rule.does}{self._position(rule.path)}"
        self._add(head, "  ", "     ")
        if rule.broken:
            self._add(f"because it cannot be read whole: {rule.broken}", "    ", "      ")
            return
        if len(rule.peers) == 1:
            self._peer(rule.peers[0], f"{word} ")
        else:
            self._add(f"{word} any one of these {len(rule.peers)}:", "    ")
            for at, peer in enumerate(rule.peers):
                self._peer(peer, f"{'or ' if at else 'either '}")
        self._add(rule.ports, "    ", "      ")
