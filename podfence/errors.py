"""Every error that podfence shows to a person, as values.

Rule: an error says what is wrong, where, and what would be right. Nothing in here knows how it is
printed. Codes are stable (``PF101``); each has an entry in ``docs/errors.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Final

import msgspec
from msgspec import Struct

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding JSON of others raises: it is none or has another form, is no UTF-8, or is nested
deeper than Python goes. ValidationError is a DecodeError."""

COMMAND_CODES: Mapping[str, str] = {
    "PF000": "internal error",
    "PF001": "the command line cannot be understood",
    "PF002": "a question names something that the input does not hold",
    "PF003": "a question is malformed",
    "PF004": "this machine cannot do it: the lab, or the agent",
    "PF005": "the kernel, or nft, refused a ruleset",
    "PF006": "nothing could be read",
    "PF007": "no verdict, because an object could not be read",
    "PF008": "a cluster cannot be asked",
    "PF009": "a revision cannot be read out of git",
    "PF010": "a chart or a kustomization cannot be rendered",
    "PF011": "flow records cannot be read, or say too little",
}
"""Every code that ends a command, with its meaning in one line."""


class PodfenceError(Exception):
    """Base class: anything a command reports as ``error[CODE]`` with exit status 2."""

    code = "PF001"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class UnknownObject(PodfenceError):
    """A question names a pod, namespace, workload or policy that the input does not hold."""

    code = "PF002"


class UnreadObject(UnknownObject):
    """A question names an object that is in the input, but could not be read: ``path`` of the
    object at ``source``."""

    def __init__(self, message: str, source: Source | None, path: str) -> None:
        super().__init__(message)
        self.source = source
        self.path = path


class QuestionError(PodfenceError):
    """A question is malformed: a bad port, protocol or address."""

    code = "PF003"


class HostError(PodfenceError):
    """This machine lacks or forbids something: namespaces, links, settings, a program."""

    code = "PF004"


class LabError(PodfenceError):
    """The lab cannot be built or run on this machine."""

    code = "PF004"


class LabGone(LabError):
    """No lab has the name that was asked for, or it ended before it answered."""


class NftError(PodfenceError):
    """The kernel, or ``nft``, refused a ruleset; nothing of it was applied."""

    code = "PF005"


class NftUnanswered(NftError):
    """The kernel was not reached, or its answer was not: what was sent may have been applied."""


class ClusterError(PodfenceError):
    """A cluster cannot be asked: no access to it, or no answer from it."""

    code = "PF008"


class Severity(Enum):
    """How much a problem weighs, the heaviest first: an error fails ``check``."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Source(Struct, frozen=True, cache_hash=True):
    """Where an object was read.

    ``file`` is the path as the user gave it (``-`` for standard input, "" for an object of a live
    cluster, which has no lines). ``document`` counts the documents of that file from 0. ``item`` is
    the index in a ``kind: List``, ``None`` outside one. ``line`` is the first line of the document,
    from 1 (not of the item: that is found on demand, by ``manifests.positions``).
    """

    file: str
    document: int = 0
    item: int | None = None
    line: int = 1


class Position(Struct, frozen=True, order=True):
    """A position in a file; ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


Locate = Callable[[Source | None, str], Position | None]
"""The position of a field of an object, by its path; None if it is unknown."""


class Problem(Struct, frozen=True):
    """Something wrong with the input, with its position.

    ``path`` is the field path (``spec.ingress[0].ports[1].port``), relative to the object, ``""``
    for the document as a whole. ``message`` is complete without the position. ``position`` is set
    where the reader already knows it (a syntax error); otherwise ``source`` and ``path`` say where.
    ``reason`` is the API server's error type (``FieldValueInvalid``, ...) when there is one.
    ``object`` is ``Kind namespace/name`` when known, else ``""``.
    """

    code: str
    severity: Severity
    message: str
    source: Source | None = None
    path: str = ""
    object: str = ""
    position: Position | None = None
    reason: str = ""
    refused_only: bool = False
    """The API server refuses the object for this, and yet it is clear what the object means: it is
    judged as it stands."""
