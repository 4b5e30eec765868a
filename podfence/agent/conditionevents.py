"""Conditions as Events: what people read who ask about a policy, a pod or a node.

Rule: an Event is written when a condition begins, when its message changes, and now and then while
it holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from podfence.agent.conditions import Condition, ConditionKind
from podfence.agent.eventseries import FORGET, EventContent
from podfence.model.meta import ObjectRef

AGAIN: Final = FORGET / 2
"""Seconds after which what still holds is said again, before servers forget it."""
OF_NODE: Final = frozenset(
    {
        ConditionKind.DRIFT,
        ConditionKind.TABLE_REFUSED,
        ConditionKind.SWEEP_FAILED,
        ConditionKind.NOT_FAIL_CLOSED,
        ConditionKind.BYPASSED,
        ConditionKind.MARK_IN_USE,
        ConditionKind.SECOND_ENFORCER,
        ConditionKind.CONNTRACK_FULL,
        ConditionKind.NAMES_UNREAD,
    }
)
"""Conditions of the node itself. That the API cannot be asked is not said through the API."""


class ConditionEvents:
    """The Events of one node. Times are monotonic seconds."""

    def __init__(self, node: str) -> None:
        self._node = ObjectRef("Node", "", node)
        self._said: dict[EventContent, float] = {}

    def look(self, conditions: Sequence[Condition], now: float) -> list[EventContent]:
        """What is to be said of those that hold now."""
        held = {said: None for each in conditions for said in self._of(each)}
        self._said = {said: at for said, at in self._said.items() if said in held}
        found = [said for said in held if now - self._said.get(said, now - AGAIN) >= AGAIN]
        self._said.update(dict.fromkeys(found, now))
        return found

    def _of(self, condition: Condition) -> Iterator[EventContent]:
        if condition.about is not None:
            yield EventContent(condition.about, condition.kind.value, condition.message)
        elif condition.kind in OF_NODE:
            yield EventContent(self._node, condition.kind.value, condition.message)
        for pod in condition.closed:
            namespace, _, name = pod.partition("/")
            note = f"nothing of this pod passes: {condition.message}"
            yield EventContent(ObjectRef("Pod", namespace, name), "Closed", note)
