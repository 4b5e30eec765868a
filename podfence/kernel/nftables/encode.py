"""Transaction -> messages of nftables, as bytes.

Rule: one operation, one message (elements: one for each 64 kB), in the same order; no socket in
here. What the messages make, ``nft list`` shows as if ``nft`` had read it from ``render``'s text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from podfence.kernel.netlink import APPEND, CREATE, HEADER, attribute, nested, text
from podfence.kernel.nftables.constants import (
    BIG_ENDIAN,
    CHAIN_HOOK,
    CHAIN_NAME,
    CHAIN_POLICY,
    CHAIN_TABLE,
    CHAIN_TYPE,
    CHAIN_USERDATA,
    COMMENT,
    DELETE_CHAIN,
    DELETE_ELEMENTS,
    DELETE_RULE,
    DELETE_SET,
    DELETE_TABLE,
    DESCRIPTION_CONCATENATION,
    FIELD_LENGTH,
    HOOK_NUMBER,
    HOOK_PRIORITY,
    HOOKS,
    INET,
    LIST_ELEMENTS,
    LIST_ITEM,
    LIST_SET,
    LIST_TABLE,
    NEW_CHAIN,
    NEW_ELEMENTS,
    NEW_RULE,
    NEW_SET,
    NEW_TABLE,
    RULE_CHAIN,
    RULE_EXPRESSIONS,
    RULE_TABLE,
    RULE_USERDATA,
    SET_BYTE_ORDER,
    SET_COMMENT,
    SET_CONCATENATION,
    SET_DATA_BYTE_ORDER,
    SET_DATA_INTERVAL,
    SET_DATA_LENGTH,
    SET_DATA_TYPE,
    SET_DESCRIPTION,
    SET_FLAGS,
    SET_ID,
    SET_INTERVAL,
    SET_KEY_LENGTH,
    SET_KEY_TYPE,
    SET_MAP,
    SET_NAME,
    SET_TABLE,
    SET_USERDATA,
    SIZES,
    SUBSYSTEM,
    TABLE_NAME,
    TABLE_USERDATA,
    TYPE_BITS,
    TYPE_NUMBERS,
    VERDICT_DATA,
    VERDICTS,
    padded,
)
from podfence.kernel.nftables.encode_elements import ElementList, element_lists
from podfence.kernel.nftables.encode_rules import expressions
from podfence.nft.objects import BaseChain, DataType, IntervalSet, Rule, Table, VerdictMap
from podfence.nft.render import render_rule
from podfence.nft.transaction import (
    AddChain,
    AddElements,
    AddRules,
    AddSet,
    AddTable,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    DeleteTable,
    ElementHolder,
    FlushChain,
    Operation,
    Transaction,
)

FAMILY = struct.pack(">BBH", INET, 0, 0)
"""The header of the protocol, before the attributes of each message."""


@dataclass(frozen=True, slots=True)
class Message:
    """One nftables message without its header.

    ``about``: the object in words (``set p4_ab12``). ``detail``: names the part that holds a byte
    of the message, counted from its header, in words that continue ``about``, or ``""``.
    """

    type: int
    flags: int
    body: bytes
    about: str
    detail: Callable[[int], str] | None = None

    def name(self, offset: int) -> str:
        """The object, as exactly as the offset of an error allows."""
        return self.about + (self.detail(offset) if self.detail else "")


def encode(transaction: Transaction) -> Iterator[Message]:
    """The messages of a transaction, in order."""
    writer = _Writer(transaction.table)
    for operation in transaction:
        yield from writer.messages(operation)


class _Writer:
    """The messages of one table's operations."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._sets = 0

    def messages(self, operation: Operation) -> Iterator[Message]:
        match operation:
            case AddTable():
                comment = attribute(TABLE_USERDATA, _comment(self._table.comment))
                yield self._on_table(NEW_TABLE, CREATE, comment if self._table.comment else b"")
            case DeleteTable():
                yield self._on_table(DELETE_TABLE, 0, b"")
            case AddSet(declared):
                yield self._new_set(declared)
            case DeleteSet(name, kind):
                body = text(SET_TABLE, self._table.name) + text(SET_NAME, name)
                about = f"{'map' if kind is VerdictMap else 'set'} {name}"
                yield _message(DELETE_SET, 0, body, about)
            case AddElements(part):
                yield from self._elements(NEW_ELEMENTS, CREATE, part)
            case DeleteElements(part):
                yield from self._elements(DELETE_ELEMENTS, 0, part)
            case _:
                yield from self._on_chain(operation)

    def _on_chain(
        self, operation: AddChain | FlushChain | AddRules | DeleteChain
    ) -> Iterator[Message]:
        match operation:
            case AddChain(name, base, comment):
                userdata = attribute(CHAIN_USERDATA, _comment(comment)) if comment else b""
                more = (_base(base) if base else b"") + userdata
                yield self._chain(NEW_CHAIN, CREATE, name, more)
            case DeleteChain(name):
                yield self._chain(DELETE_CHAIN, 0, name, b"")
            case FlushChain(name):
                body = text(RULE_TABLE, self._table.name) + text(RULE_CHAIN, name)
                yield _message(DELETE_RULE, 0, body, f"rules of chain {name}")
            case AddRules(chain, rules):
                start = text(RULE_TABLE, self._table.name) + text(RULE_CHAIN, chain)
                for rule in rules:
                    yield _new_rule(chain, start, rule)

    def _on_table(self, kind: int, flags: int, more: bytes) -> Message:
        name = self._table.name
        return _message(kind, flags, text(TABLE_NAME, name) + more, f"table {name}")

    def _chain(self, kind: int, flags: int, name: str, more: bytes) -> Message:
        body = text(CHAIN_TABLE, self._table.name) + text(CHAIN_NAME, name) + more
        return _message(kind, flags, body, f"chain {name}")

    def _new_set(self, declared: ElementHolder) -> Message:
        """The kernel wants a number for a set, to tell sets without a name apart."""
        self._sets += 1
        body = (
            text(SET_TABLE, self._table.name)
            + text(SET_NAME, declared.name)
            + _set_type(declared)
            + _number(SET_ID, self._sets)
            + attribute(SET_USERDATA, _set_userdata(declared))
        )
        return _message(NEW_SET, CREATE, body, _about(declared))

    def _elements(self, kind: int, flags: int, part: ElementHolder) -> Iterator[Message]:
        start = text(LIST_TABLE, self._table.name) + text(LIST_SET, part.name)
        for elements in element_lists(part, delete=kind == DELETE_ELEMENTS):
            body = start + nested(LIST_ELEMENTS, *elements.encoded)
            before = HEADER.size + len(FAMILY) + len(start) + 4
            yield _message(kind, flags, body, _about(part), partial(_element, elements, before))


def _message(
    kind: int, flags: int, body: bytes, about: str, detail: Callable[[int], str] | None = None
) -> Message:
    return Message(SUBSYSTEM << 8 | kind, flags, FAMILY + body, about, detail)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _about(holder: ElementHolder) -> str:
    return f"{'map' if isinstance(holder, VerdictMap) else 'set'} {holder.name}"


def _element(elements: ElementList, before: int, offset: int) -> str:
    name = elements.name_at(offset - before) if offset else ""
    return f", element {name}" if name else ""


# -- userdata: what nft keeps for itself


def _userdata(kind: int, value: bytes) -> bytes:
    return bytes([kind, len(value)]) + value


def _comment(comment: str, kind: int = COMMENT) -> bytes:
    return _userdata(kind, comment.encode("utf-8") + b"\0")


def _set_userdata(declared: ElementHolder) -> bytes:
    """The byte order of keys; a concatenation has none, each of its fields has its own."""
    order = BIG_ENDIAN if len(declared.type) == 1 else 0
    data = _userdata(SET_BYTE_ORDER, struct.pack("=I", order))
    if isinstance(declared, VerdictMap):
        data += _userdata(SET_DATA_BYTE_ORDER, struct.pack("=I", 0))
        data += _userdata(SET_DATA_INTERVAL, struct.pack("=I", 0))
    return data + (_comment(declared.comment, SET_COMMENT) if declared.comment else b"")


# -- parts of messages


def _set_type(declared: ElementHolder) -> bytes:
    types = declared.type
    flags = SET_INTERVAL if isinstance(declared, IntervalSet) else 0
    more = b""
    if flags and len(types) > 1:
        flags |= SET_CONCATENATION
        more = _fields(types)
    if isinstance(declared, VerdictMap):
        flags |= SET_MAP
        more = _number(SET_DATA_TYPE, VERDICT_DATA) + _number(SET_DATA_LENGTH, 0)
    length = SIZES[types[0]] if len(types) == 1 else sum(padded(SIZES[kind]) for kind in types)
    return (
        _number(SET_FLAGS, flags)
        + _number(SET_KEY_TYPE, key_type(types))
        + _number(SET_KEY_LENGTH, length)
        + more
    )


def key_type(types: tuple[DataType, ...]) -> int:
    """The number that nft prints keys by."""
    number = 0
    for kind in types:
        number = number << TYPE_BITS | TYPE_NUMBERS[kind]
    return number


def _fields(types: tuple[DataType, ...]) -> bytes:
    """The lengths of the fields, which the kernel needs to know of ranges of several fields."""
    lengths = [nested(LIST_ITEM, _number(FIELD_LENGTH, SIZES[kind])) for kind in types]
    return nested(SET_DESCRIPTION, nested(DESCRIPTION_CONCATENATION, *lengths))


def _base(base: BaseChain) -> bytes:
    hook = _number(HOOK_NUMBER, HOOKS[base.hook]) + attribute(
        HOOK_PRIORITY, struct.pack(">i", base.priority)
    )
    policy = _number(CHAIN_POLICY, VERDICTS[base.policy.kind])
    return text(CHAIN_TYPE, "filter") + policy + nested(CHAIN_HOOK, hook)


def _new_rule(chain: str, start: bytes, rule: Rule) -> Message:
    body = start + nested(RULE_EXPRESSIONS, expressions(rule))
    if rule.comment:
        body += attribute(RULE_USERDATA, _comment(rule.comment))
    return _message(NEW_RULE, CREATE | APPEND, body, f"chain {chain}", partial(_rule, rule))


def _rule(rule: Rule, _offset: int) -> str:
    return f", rule '{render_rule(rule)}'"
