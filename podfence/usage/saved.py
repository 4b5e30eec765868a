"""Counts of rules on one node, as bytes that outlive the machine's run. Pure.

Rule: the bytes are read as if anybody had written them, and they name their node: a disk may be
copied to another node, and an agent of another version may have written them.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from podfence.errors import UNREADABLE
from podfence.usage.kept import Kept

VERSION: Final = 1
"""Of the form. Who changes what a field means counts it up: then all is counted anew."""


class _SavedHead(Struct):
    version: Annotated[int, Meta(ge=0, le=1 << 31)]


class _Saved(_SavedHead):
    version: Literal[1]
    node: str
    kept: Kept


def saved(node: str, kept: Kept) -> bytes:
    """The bytes of a file."""
    return msgspec.json.encode(_Saved(VERSION, node, kept))


def restored(data: bytes, node: str) -> Kept:
    """What was saved of this node. Raises ValueError, which says in printable words why nothing
    of it can be used."""
    try:
        head = msgspec.json.decode(data, type=_SavedHead)
        if head.version != VERSION:
            raise ValueError(f"it is of another version of podfence (form {head.version})")
        found = msgspec.json.decode(data, type=_Saved)
    except UNREADABLE as error:
        raise ValueError("it is broken") from error
    if found.node != node:
        raise ValueError("it is of another node")
    return found.kept
