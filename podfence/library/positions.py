"""Origins and positions as the library's values."""

from __future__ import annotations

from podfence.errors import Locate, Position
from podfence.library.values import Change, Rule
from podfence.policy.origin import Origin
from podfence.questions.phrases.tierwords import origin_name
from podfence.questions.plan.outcomes import Outcome


def shown(position: Position | None) -> str:
    """``file:line:column``, "" for none."""
    return str(position) if position else ""


def rule_of(origin: Origin, locate: Locate) -> Rule:
    """A rule with its position."""
    position = shown(locate(origin.source, origin.path))
    return Rule(origin_name(origin).partition(" spec")[0], origin.path, position)


def change_of(outcome: Outcome) -> Change:
    """What opens and closes."""
    opens, closes = (str(ports) if ports else "" for ports in (outcome.opened, outcome.closed))
    ends = outcome.sources.names, outcome.destinations.names
    return Change(*ends, opens, closes, outcome.family, outcome.newcomers)
