"""Rows about entries: the sources of each workload, and whether policies allow them.

Rule: shapes and their words only; ``entries`` judges them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct

from podfence.model.entries import EntryPoint
from podfence.model.meta import ObjectRef
from podfence.policy.index import CompiledTier
from podfence.policy.origin import Origin
from podfence.questions.entrytargets import EntryTarget
from podfence.questions.phrases.words import some

SHOWN = 4
"""Names in one row at most."""


class EntryState(Enum):
    """Whether what an entry leads to can be reached through it."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class EntryRow(Struct, frozen=True):
    """One entry, one kind of sources, one workload behind it. ``by``: the rules that allow the
    sources; empty where no policy denies them. ``pods``: those behind the entry,
    ``namespace/name``."""

    entry: EntryPoint
    sources: str
    to: str
    port: str
    state: EntryState
    by: tuple[Origin, ...] = ()
    because: str = ""
    pods: tuple[str, ...] = ()
    controller: str = ""
    """The pods that serve it; "" where they are unknown, or where only the client connects."""
    sender: str = ""
    """One of the sources, as an example: a pod (``namespace/name``) or an address; "" where there
    is none to name."""
    senders: tuple[str, ...] = ()
    """The pods among the sources."""


def row_of(
    entry: EntryPoint,
    target: EntryTarget,
    sources: str,
    state: EntryState,
    by: tuple[Origin, ...] = (),
    because: str = "",
    controller: str = "",
    sender: str = "",
    senders: tuple[str, ...] = (),
) -> EntryRow:
    """A row about pods behind an entry."""
    port = f"{entry.protocol.value}/{target.port}"
    to = target.name, port, state, by, because, target.pods
    return EntryRow(entry, sources, *to, controller, sender, senders)


def nowhere(entry: EntryPoint, because: str) -> EntryRow:
    """The row of an entry that leads to no pod."""
    to = entry.service or entry.pods_of
    port = "" if entry.port is None else f"{entry.protocol.value}/{entry.port}"
    return EntryRow(entry, "", str(to), port, EntryState.UNKNOWN, because=because)


def policies_named(tiers: Iterable[CompiledTier]) -> str:
    """The policies that isolate, in words."""
    refs: dict[ObjectRef, None] = {}
    for tier in tiers:
        for origin in tier.isolated_by:
            refs[origin.policy] = None
    return some([str(ref) for ref in refs], SHOWN, ", ") or "a policy of another tier"
