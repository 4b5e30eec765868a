"""From the rules that nodes enforce to the rules that they should enforce.

Rule: all or nothing. When one node refuses its part, the other nodes get their old rules back.
Pure: the caller passes in what enforces.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from typing import Self

from msgspec import Struct

from podfence.errors import PodfenceError
from podfence.nft.lowering.epoch import epoch, mark_mask
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import Transaction
from podfence.reconcile.states import PlannedRules, ReconcileState, Write
from podfence.reconcile.step import step

EnforceOnNode = Callable[[str, Transaction], None]
"""Applies a transaction on a node, by the node's name. Raises PodfenceError when it is refused;
then the rules of that node are as before."""


class NodeStep(Struct, frozen=True):
    """One node's step."""

    current: Ruleset
    wanted: Ruleset
    """In its epoch: the current one, or the next one when a permission goes."""
    transaction: Transaction
    """Empty when nothing changes."""

    @classmethod
    def between(cls, current: Ruleset, wanted: Ruleset) -> Self:
        """The step from one ruleset to another, whatever epoch ``wanted`` is written in.

        Raises ValueError when they keep their epochs in different bits of the mark. Then the marks
        of connections mean nothing, and conntrack has to be emptied first.
        """
        if mark_mask(current) != mark_mask(wanted):
            raise ValueError("the rulesets keep their epoch in different bits of the mark")
        before = ReconcileState.of(current, limit=inf, strict=True)
        after, actions = step(before, [PlannedRules(lambda: wanted)], 0.0)
        writes = [action.transaction for action in actions if isinstance(action, Write)]
        if after.pending is None or after.pending.goal is None:
            return cls(current, current, Transaction(current.table))
        return cls(current, after.pending.goal, *writes)

    @property
    def judges_again(self) -> bool:
        """Whether live connections have to pass the rules once more, because a permission goes."""
        return epoch(self.current) != epoch(self.wanted)

    def back(self) -> NodeStep:
        """The step that takes this one back. What it had allowed is judged again, too."""
        return NodeStep.between(self.wanted, self.current)


class Commit(Struct, frozen=True):
    """What became of a change of several nodes."""

    rules: Mapping[str, Ruleset]
    """What each node enforces now."""
    refused: PodfenceError | None = None
    """Why nothing changed; None when everything did."""


def commit(changes: Mapping[str, NodeStep], enforce: EnforceOnNode) -> Commit:
    """Make every node's step, or none. Never raises PodfenceError.

    A node that cannot be put back, after another one has refused, keeps the new rules: ``rules``
    and the message of ``refused`` say so.
    """
    rules = {node: change.current for node, change in changes.items()}
    for node, change in changes.items():
        if change.transaction:
            try:
                enforce(node, change.transaction)
            except PodfenceError as refused:
                return _put_back(changes, rules, refused, enforce)
        rules[node] = change.wanted
    return Commit(rules)


def _put_back(
    changes: Mapping[str, NodeStep],
    rules: dict[str, Ruleset],
    refused: PodfenceError,
    enforce: EnforceOnNode,
) -> Commit:
    message = refused.message
    for node, change in changes.items():
        if rules[node] is change.current:
            continue
        back = change.back()
        try:
            enforce(node, back.transaction)
            rules[node] = back.wanted
        except PodfenceError as error:
            message += f"; node {node} could not be put back: {error.message}"
    return Commit(rules, type(refused)(message, code=refused.code))
