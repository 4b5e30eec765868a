"""The bytes of a DNS message -> what was asked, and which addresses were answered.

Rule: the bytes are hostile. Whatever they are, reading ends, raises nothing, and takes no part of
an incomplete message. Only what can matter is read: one question of class IN for A or AAAA, and in
its answer the addresses at the end of a chain of CNAMEs that begins with the name asked for.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from msgspec import Struct

from podfence.policy.domains import At

A, CNAME, AAAA = 1, 5, 28
"""Types of records."""
_FAMILIES = {A: 4, AAAA: 6}
_SIZES = {A: 4, AAAA: 16}
_IN = 1
_HEAD = struct.Struct(">HHHHHH")
_QUESTION, _RECORD, _POINTER = struct.Struct(">HH"), struct.Struct(">HHIH"), struct.Struct(">H")
_RESPONSE, _OPCODE, _CUT, _CODE = 0x8000, 0x7800, 0x0200, 0x000F
_LONGEST_NAME = 255
"""Bytes of a name with the lengths of its labels (RFC 1035, 2.3.4)."""
MOST_POINTERS = 16
"""Pointers that one name is followed through."""
MOST_RECORDS = 512
"""Records of an answer that are looked at; one with more counts as none."""
MOST_ALIASES = 16
"""CNAMEs from the name asked for to its addresses."""
_LABEL = re.compile(rb"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?")

WireName = bytes
"""A name in lower case, without compression: each label after its length, the root at the end."""


class Question(Struct, frozen=True):
    """``type``: ``A`` or ``AAAA``."""

    name: WireName
    type: int


class DnsMessage(Struct, frozen=True):
    """A question, or an answer with the question that it repeats. ``number``: the sender's ID.
    ``is_useful``: it is an answer, it is complete, and it says that the name exists."""

    number: int
    is_answer: bool
    is_useful: bool
    question: Question
    answers: int
    """How many records the answer says it has."""
    end: int
    """Where they begin."""


class AddressRecord(Struct, frozen=True):
    """An address that a name has for ``seconds`` more. The chain leads there; its least time
    counts."""

    address: At
    seconds: int


def read_head(data: bytes) -> DnsMessage | None:
    """None: no message, or about something else than one name's addresses."""
    if len(data) < _HEAD.size:
        return None
    number, flags, questions, answers, _, _ = _HEAD.unpack_from(data)
    found = _name(data, _HEAD.size) if questions == 1 and not flags & _OPCODE else None
    if found is None or found[1] + _QUESTION.size > len(data):
        return None
    name, at = found
    kind, group = _QUESTION.unpack_from(data, at)
    if group != _IN or kind not in _FAMILIES:
        return None
    is_answer = bool(flags & _RESPONSE)
    is_useful = is_answer and not flags & (_CUT | _CODE)
    return DnsMessage(
        number, is_answer, is_useful, Question(name, kind), answers, at + _QUESTION.size
    )


def read_addresses(data: bytes, head: DnsMessage) -> tuple[AddressRecord, ...]:
    """The addresses that a useful answer gives to the name asked for. There are none where a record
    cannot be read, or two records contradict each other."""
    if not head.is_useful or head.answers > MOST_RECORDS:
        return ()
    aliases: dict[WireName, tuple[WireName, int]] = {}
    addresses: dict[WireName, list[AddressRecord]] = {}
    at = head.end
    for _ in range(head.answers):
        record = _record(data, at)
        if record is None:
            return ()
        owner, kind, seconds, start, at = record
        if kind == CNAME:
            target = _name(data, start)
            if target is None or target[1] != at:
                return ()
            if aliases.setdefault(owner, (target[0], seconds))[0] != target[0]:
                return ()
        elif kind == head.question.type:
            if at - start != _SIZES[kind]:
                return ()
            address = _FAMILIES[kind], int.from_bytes(data[start:at], "big")
            addresses.setdefault(owner, []).append(AddressRecord(address, seconds))
    return tuple(_at_the_end(head.question.name, aliases, addresses))


def text_of(name: WireName) -> str | None:
    """A name as rules write it: lower case, without the final dot. None: no rule can write it."""
    labels: list[str] = []
    at = 0
    while length := name[at]:
        label = name[at + 1 : at + 1 + length]
        if _LABEL.fullmatch(label) is None:
            return None
        labels.append(label.decode("ascii"))
        at += 1 + length
    return ".".join(labels) or None


def _at_the_end(
    name: WireName,
    aliases: dict[WireName, tuple[WireName, int]],
    addresses: dict[WireName, list[AddressRecord]],
) -> Iterator[AddressRecord]:
    """A name that is an alias has no addresses of its own (RFC 1034, 3.6.2)."""
    least = 0xFFFFFFFF
    for _ in range(MOST_ALIASES + 1):
        if name not in aliases:
            for told in addresses.get(name, ()):
                yield AddressRecord(told.address, min(least, told.seconds))
            return
        name, seconds = aliases[name]
        least = min(least, seconds)


def _record(data: bytes, at: int) -> tuple[WireName, int, int, int, int] | None:
    """Owner, type (0: of no class that counts), seconds, and from where to where its data lie."""
    found = _name(data, at)
    if found is None or found[1] + _RECORD.size > len(data):
        return None
    owner, at = found
    kind, group, seconds, length = _RECORD.unpack_from(data, at)
    start = at + _RECORD.size
    if start + length > len(data):
        return None
    seconds = 0 if seconds >> 31 else seconds  # RFC 2181, 8
    return owner, kind if group == _IN else 0, seconds, start, start + length


def _name(data: bytes, at: int) -> tuple[WireName, int] | None:
    """A name, and where the bytes after it begin.

    A pointer must lead to before the position where the reading of it began, so none is met twice.
    """
    parts: list[bytes] = []
    size, pointers = 1, 0
    after: int | None = None
    earliest = at
    while at < len(data):
        length = data[at]
        if not length:
            name = b"".join((*parts, b"\0")).lower()
            return name, at + 1 if after is None else after
        if length < 0x40:
            size += 1 + length
            if size > _LONGEST_NAME or at + 1 + length > len(data):
                return None
            parts.append(data[at : at + 1 + length])
            at += 1 + length
        elif length >= 0xC0 and at + 2 <= len(data) and pointers < MOST_POINTERS:
            after = at + 2 if after is None else after
            at = _POINTER.unpack_from(data, at)[0] & 0x3FFF
            if not _HEAD.size <= at < earliest:
                return None
            earliest, pointers = at, pointers + 1
        else:
            return None
    return None
