"""Rules -> lists of the kernel's expressions, the same ones that ``nft`` makes of their text.

Rule: every part of a rule loads what it needs again into the first registers; the parts share only
what the packet is known to be. Never an expression that ``nft list`` cannot print.
"""

from __future__ import annotations

import struct
from functools import cache, lru_cache

from podfence.kernel.netlink import attribute, nested, text
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.encode_elements import verdict_data
from podfence.nft.objects import (
    SIZES,
    Between,
    ChainVerdict,
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
    MetaIifKind,
    Rule,
    SetCtMark,
    Statement,
    Vmap,
)

_DIRECTIONS = {CtDirectionValue.ORIGINAL: 0, CtDirectionValue.REPLY: 1}
_MARK_LENGTH = 4
_NAME_LENGTH = 16


def expressions(rule: Rule) -> bytes:
    """The rule's expressions, one after the other, as items of a list."""
    writer = _RuleEncoder()
    return b"".join(writer.part(part) for part in rule.parts)


class _RuleEncoder:
    """One rule; remembers which protocols its earlier parts have asked for, as ``nft`` does."""

    def __init__(self) -> None:
        self._nfproto = 0
        self._l4proto = 0

    def part(self, part: Expression | Statement) -> bytes:
        match part:
            case Compare():
                return self._compare(part)
            case Between(field, low, high):
                ends = ((nf.NFT_CMP_GTE, low), (nf.NFT_CMP_LTE, high))
                compared = (_compare(operator, _value(field, value)) for operator, value in ends)
                return b"".join((self._load((field,)), *compared))
            case Lookup(fields, name):
                return self._load(fields) + _lookup(name)
            case Vmap(fields, name):
                return self._load(fields) + _lookup(name, nf.NFTA_LOOKUP_DREG)
            case _:
                return _plain(part)

    def _compare(self, part: Compare) -> bytes:
        operator = nf.NFT_CMP_NEQ if part.negated else nf.NFT_CMP_EQ
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
            at += nf.padded(SIZES[field.type])
        return needed + b"".join(loads)

    def _dependency(self, field: Field) -> bytes:
        location = nf.LOCATIONS.get(field)
        if location is None or (location.l4proto and location.l4proto == self._l4proto):
            return b""
        data = b""
        if location.nfproto and location.nfproto != self._nfproto:
            self._nfproto = location.nfproto
            data += _meta_is(nf.NFT_META_NFPROTO, location.nfproto)
        if location.l4proto:
            self._l4proto = location.l4proto
            data += _meta_is(nf.NFT_META_L4PROTO, location.l4proto)
        return data


@lru_cache(maxsize=512)
def _plain(part: Expression | Statement) -> bytes:
    """Parts that read no field of the packet."""
    match part:
        case MetaIifKind(kind):
            loaded = _meta_load(nf.NFT_META_IIFKIND)
            return loaded + _compare(nf.NFT_CMP_EQ, kind.encode().ljust(_NAME_LENGTH, b"\0"))
        case CtState(states):
            loaded = _ct_load(nf.NFT_CT_STATE) + _bitwise(states.value, 0)
            return loaded + _compare(nf.NFT_CMP_NEQ, bytes(_MARK_LENGTH))
        case CtDirection(direction):
            return _ct_load(nf.NFT_CT_DIRECTION) + _compare(
                nf.NFT_CMP_EQ, bytes([_DIRECTIONS[direction]])
            )
        case CtMark(mask, value):
            return (
                _ct_load(nf.NFT_CT_MARK) + _bitwise(mask, 0) + _compare(nf.NFT_CMP_EQ, _mark(value))
            )
        case SetCtMark(keep, value):
            wanted = (
                _ct_load(nf.NFT_CT_MARK) + _bitwise(keep, value) if keep else _immediate_mark(value)
            )
            return wanted + _expression(
                "ct", _number(nf.NFTA_CT_KEY, nf.NFT_CT_MARK), _number(nf.NFTA_CT_SREG, 1)
            )
        case Counter():
            return _expression("counter")
        case Limit():
            return _limit(part)
        case Log(group, prefix):
            return _expression(
                "log",
                text(nf.NFTA_LOG_PREFIX, prefix),
                attribute(nf.NFTA_LOG_GROUP, struct.pack(">H", group)),
            )
        case ChainVerdict():
            return _immediate(nf.NFT_REG_VERDICT, verdict_data(part))
        case _:
            raise AssertionError(f"{part} reads a field")


# -- expressions of the kernel


def _expression(name: str, *attributes: bytes) -> bytes:
    data = nested(nf.NFTA_EXPR_DATA, *attributes)
    return nested(nf.NFTA_LIST_ELEM, text(nf.NFTA_EXPR_NAME, name), data)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _long(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">Q", value))


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(nf.NFTA_DATA_VALUE, value))


def _value(field: Field, value: int) -> bytes:
    return value.to_bytes(SIZES[field.type], "big")


def _mark(value: int) -> bytes:
    """Marks and states have the host's byte order."""
    return struct.pack("=I", value)


@cache
def _load(field: Field, at: int) -> bytes:
    """Load a field into the registers from byte ``at`` on."""
    register = nf.NFT_REG32_00 + at // 4 if at else nf.NFT_REG_1
    location = nf.LOCATIONS.get(field)
    if location is None:
        return _expression(
            "meta",
            _number(nf.NFTA_META_KEY, nf.NFT_META_L4PROTO),
            _number(nf.NFTA_META_DREG, register),
        )
    return _expression(
        "payload",
        _number(nf.NFTA_PAYLOAD_DREG, register),
        _number(nf.NFTA_PAYLOAD_BASE, location.base),
        _number(nf.NFTA_PAYLOAD_OFFSET, location.offset),
        _number(nf.NFTA_PAYLOAD_LEN, location.length),
    )


@cache
def _meta_is(key: int, value: int) -> bytes:
    return _meta_load(key) + _compare(nf.NFT_CMP_EQ, bytes([value]))


def _meta_load(key: int) -> bytes:
    return _expression(
        "meta", _number(nf.NFTA_META_KEY, key), _number(nf.NFTA_META_DREG, nf.NFT_REG_1)
    )


@lru_cache(maxsize=1024)
def _compare(operator: int, value: bytes) -> bytes:
    return _expression(
        "cmp",
        _number(nf.NFTA_CMP_SREG, nf.NFT_REG_1),
        _number(nf.NFTA_CMP_OP, operator),
        _data(nf.NFTA_CMP_DATA, value),
    )


@lru_cache(maxsize=512)
def _lookup(name: str, *verdict: int) -> bytes:
    to_verdict = [_number(kind, nf.NFT_REG_VERDICT) for kind in verdict]
    return _expression(
        "lookup",
        text(nf.NFTA_LOOKUP_SET, name),
        _number(nf.NFTA_LOOKUP_SREG, nf.NFT_REG_1),
        *to_verdict,
    )


@cache
def _ct_load(key: int) -> bytes:
    return _expression("ct", _number(nf.NFTA_CT_KEY, key), _number(nf.NFTA_CT_DREG, nf.NFT_REG_1))


def _bitwise(mask: int, xor: int) -> bytes:
    return _expression(
        "bitwise",
        _number(nf.NFTA_BITWISE_SREG, nf.NFT_REG_1),
        _number(nf.NFTA_BITWISE_DREG, nf.NFT_REG_1),
        _number(nf.NFTA_BITWISE_LEN, _MARK_LENGTH),
        _data(nf.NFTA_BITWISE_MASK, _mark(mask)),
        _data(nf.NFTA_BITWISE_XOR, _mark(xor)),
    )


def _immediate(register: int, data: bytes) -> bytes:
    """``data``: a value or a verdict, already wrapped as one."""
    return _expression(
        "immediate", _number(nf.NFTA_IMMEDIATE_DREG, register), nested(nf.NFTA_IMMEDIATE_DATA, data)
    )


def _immediate_mark(value: int) -> bytes:
    return _immediate(nf.NFT_REG_1, attribute(nf.NFTA_DATA_VALUE, _mark(value)))


def _limit(part: Limit) -> bytes:
    """Packets (type 0) a second (unit 1)."""
    return _expression(
        "limit",
        _long(nf.NFTA_LIMIT_RATE, part.rate),
        _long(nf.NFTA_LIMIT_UNIT, 1),
        _number(nf.NFTA_LIMIT_BURST, part.burst),
        _number(nf.NFTA_LIMIT_TYPE, 0),
        _number(nf.NFTA_LIMIT_FLAGS, 0),
    )
