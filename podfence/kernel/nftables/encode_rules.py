"""Rules -> lists of the kernel's expressions, the same ones that ``nft`` makes of their text.

Rule: every part of a rule loads what it needs anew into the first registers; the parts share only
what the packet is known to be. Never an expression that ``nft list`` cannot print.
"""

from __future__ import annotations

import struct
from functools import cache, lru_cache

from podfence.kernel.netlink import attribute, nested, text
from podfence.kernel.nftables.constants import (
    BITWISE_DREG,
    BITWISE_LENGTH,
    BITWISE_MASK,
    BITWISE_SREG,
    BITWISE_XOR,
    COMPARE_DATA,
    COMPARE_OPERATOR,
    COMPARE_SREG,
    CT_DIRECTION,
    CT_DREG,
    CT_KEY,
    CT_MARK,
    CT_SREG,
    CT_STATE,
    DATA_VALUE,
    EQUAL,
    EXPRESSION_DATA,
    EXPRESSION_NAME,
    FIRST_REGISTER,
    FIRST_SMALL_REGISTER,
    GREATER_OR_EQUAL,
    IMMEDIATE_DATA,
    IMMEDIATE_DREG,
    LESS_OR_EQUAL,
    LIMIT_BURST,
    LIMIT_FLAGS,
    LIMIT_RATE,
    LIMIT_TYPE,
    LIMIT_UNIT,
    LIST_ITEM,
    LOG_GROUP,
    LOG_PREFIX,
    LOOKUP_DREG,
    LOOKUP_SET,
    LOOKUP_SREG,
    META_DREG,
    META_KEY,
    META_L4PROTO,
    META_NFPROTO,
    NOT_EQUAL,
    PAYLOAD_BASE,
    PAYLOAD_DREG,
    PAYLOAD_LENGTH,
    PAYLOAD_OFFSET,
    PLACES,
    SIZES,
    VERDICT_REGISTER,
    padded,
)
from podfence.kernel.nftables.encode_elements import verdict_data
from podfence.nft.objects import (
    Between,
    Compare,
    Counter,
    CtDirection,
    CtDirectionValue,
    CtMark,
    CtState,
    Expression,
    Field,
    Limit,
    Log,
    Lookup,
    Rule,
    SetCtMark,
    Statement,
    Verdict,
    Vmap,
)

_DIRECTIONS = {CtDirectionValue.ORIGINAL: 0, CtDirectionValue.REPLY: 1}
_MARK_LENGTH = 4


def expressions(rule: Rule) -> bytes:
    """The rule's expressions, one after the other, as items of a list."""
    writer = _Writer()
    return b"".join(writer.part(part) for part in rule.parts)


class _Writer:
    """One rule; remembers which protocols its earlier parts have asked for, as ``nft`` does."""

    def __init__(self) -> None:
        self._nfproto = 0
        self._l4proto = 0

    def part(self, part: Expression | Statement) -> bytes:
        match part:
            case Compare():
                return self._compare(part)
            case Between(field, low, high):
                ends = ((GREATER_OR_EQUAL, low), (LESS_OR_EQUAL, high))
                compared = (_compare(operator, _value(field, value)) for operator, value in ends)
                return b"".join((self._load((field,)), *compared))
            case Lookup(fields, name):
                return self._load(fields) + _lookup(name)
            case Vmap(fields, name):
                return self._load(fields) + _lookup(name, LOOKUP_DREG)
            case _:
                return _plain(part)

    def _compare(self, part: Compare) -> bytes:
        operator = NOT_EQUAL if part.negated else EQUAL
        data = self._load((part.field,)) + _compare(operator, _value(part.field, part.value))
        if part.field is Field.L4PROTO and not part.negated:
            self._l4proto = part.value
        return data

    def _load(self, fields: tuple[Field, ...]) -> bytes:
        """What the packet must be for the fields to be there, then their values, side by side."""
        needed = b"".join(map(self._dependency, fields))
        loads, at = [], 0
        for field in fields:
            loads.append(_load(field, at))
            at += padded(SIZES[field.type])
        return needed + b"".join(loads)

    def _dependency(self, field: Field) -> bytes:
        place = PLACES.get(field)
        if place is None or (place.l4proto and place.l4proto == self._l4proto):
            return b""
        data = b""
        if place.nfproto and place.nfproto != self._nfproto:
            self._nfproto = place.nfproto
            data += _meta_is(META_NFPROTO, place.nfproto)
        if place.l4proto:
            self._l4proto = place.l4proto
            data += _meta_is(META_L4PROTO, place.l4proto)
        return data


def _plain(part: Expression | Statement) -> bytes:
    """Parts that read no field of the packet."""
    match part:
        case CtState(states):
            loaded = _ct_load(CT_STATE) + _bitwise(states.value, 0)
            return loaded + _compare(NOT_EQUAL, bytes(_MARK_LENGTH))
        case CtDirection(direction):
            return _ct_load(CT_DIRECTION) + _compare(EQUAL, bytes([_DIRECTIONS[direction]]))
        case CtMark(mask, value):
            return _ct_load(CT_MARK) + _bitwise(mask, 0) + _compare(EQUAL, _mark(value))
        case SetCtMark(keep, value):
            wanted = _ct_load(CT_MARK) + _bitwise(keep, value) if keep else _immediate_mark(value)
            return wanted + _expression("ct", _number(CT_KEY, CT_MARK), _number(CT_SREG, 1))
        case Counter():
            return _expression("counter")
        case Limit():
            return _limit(part)
        case Log(group, prefix):
            return _expression(
                "log", text(LOG_PREFIX, prefix), attribute(LOG_GROUP, struct.pack(">H", group))
            )
        case Verdict():
            return _immediate(VERDICT_REGISTER, verdict_data(part))
        case _:
            raise AssertionError(f"{part} reads a field")


# -- expressions of the kernel


def _expression(name: str, *attributes: bytes) -> bytes:
    data = nested(EXPRESSION_DATA, *attributes)
    return nested(LIST_ITEM, text(EXPRESSION_NAME, name), data)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _long(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">Q", value))


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(DATA_VALUE, value))


def _value(field: Field, value: int) -> bytes:
    return value.to_bytes(SIZES[field.type], "big")


def _mark(value: int) -> bytes:
    """Marks and states have the host's byte order."""
    return struct.pack("=I", value)


@cache
def _load(field: Field, at: int) -> bytes:
    """Load a field into the registers from byte ``at`` on."""
    register = FIRST_SMALL_REGISTER + at // 4 if at else FIRST_REGISTER
    place = PLACES.get(field)
    if place is None:
        return _expression("meta", _number(META_KEY, META_L4PROTO), _number(META_DREG, register))
    return _expression(
        "payload",
        _number(PAYLOAD_DREG, register),
        _number(PAYLOAD_BASE, place.base),
        _number(PAYLOAD_OFFSET, place.offset),
        _number(PAYLOAD_LENGTH, place.length),
    )


@cache
def _meta_is(key: int, value: int) -> bytes:
    load = _expression("meta", _number(META_KEY, key), _number(META_DREG, FIRST_REGISTER))
    return load + _compare(EQUAL, bytes([value]))


@lru_cache(maxsize=1024)
def _compare(operator: int, value: bytes) -> bytes:
    return _expression(
        "cmp",
        _number(COMPARE_SREG, FIRST_REGISTER),
        _number(COMPARE_OPERATOR, operator),
        _data(COMPARE_DATA, value),
    )


def _lookup(name: str, *verdict: int) -> bytes:
    to_verdict = [_number(kind, VERDICT_REGISTER) for kind in verdict]
    return _expression(
        "lookup", text(LOOKUP_SET, name), _number(LOOKUP_SREG, FIRST_REGISTER), *to_verdict
    )


@cache
def _ct_load(key: int) -> bytes:
    return _expression("ct", _number(CT_KEY, key), _number(CT_DREG, FIRST_REGISTER))


def _bitwise(mask: int, xor: int) -> bytes:
    return _expression(
        "bitwise",
        _number(BITWISE_SREG, FIRST_REGISTER),
        _number(BITWISE_DREG, FIRST_REGISTER),
        _number(BITWISE_LENGTH, _MARK_LENGTH),
        _data(BITWISE_MASK, _mark(mask)),
        _data(BITWISE_XOR, _mark(xor)),
    )


def _immediate(register: int, data: bytes) -> bytes:
    """``data``: a value or a verdict, already wrapped as one."""
    return _expression("immediate", _number(IMMEDIATE_DREG, register), nested(IMMEDIATE_DATA, data))


def _immediate_mark(value: int) -> bytes:
    return _immediate(FIRST_REGISTER, attribute(DATA_VALUE, _mark(value)))


def _limit(part: Limit) -> bytes:
    """Packets (type 0) a second (unit 1)."""
    return _expression(
        "limit",
        _long(LIMIT_RATE, part.rate),
        _long(LIMIT_UNIT, 1),
        _number(LIMIT_BURST, part.burst),
        _number(LIMIT_TYPE, 0),
        _number(LIMIT_FLAGS, 0),
    )
