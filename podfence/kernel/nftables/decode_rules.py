"""The kernel's expressions -> parts of a rule.

Rule: the inverse of the writing, and of what ``nft`` makes of the same text. What a field needs the
packet to be is part of the field, and not told again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from podfence.kernel.netlink import attributes
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.decode_elements import read_verdict
from podfence.nft.objects import (
    ICMPV6,
    SIZES,
    Between,
    Compare,
    Counter,
    CtDirection,
    CtDirectionValue,
    CtMark,
    CtState,
    CtStateBit,
    Expression,
    Field,
    Limit,
    Log,
    Lookup,
    MetaIifKind,
    SetCtMark,
    Statement,
    Vmap,
)

Attributes = dict[int, bytes]
Part = Expression | Statement
_DIRECTIONS = {0: CtDirectionValue.ORIGINAL, 1: CtDirectionValue.REPLY}
_STARTS = {
    (location.base, location.offset, location.length): field
    for field, location in nf.LOCATIONS.items()
}
_LONGEST = max(location.length for location in nf.LOCATIONS.values())


class ForeignExpression(ValueError):
    """An expression, or a sequence of them, that podfence never writes."""


def read_parts(data: bytes) -> tuple[Part, ...]:
    """The parts of a rule whose list of expressions is given. Raises ForeignExpression."""
    reader = _RuleDecoder()
    for _, item in attributes(data):
        expression = dict(attributes(item))
        name = _text(expression.get(nf.NFTA_EXPR_NAME, b""))
        try:
            reader.take(name, dict(attributes(expression.get(nf.NFTA_EXPR_DATA, b""))))
        except ForeignExpression:
            raise
        except (KeyError, IndexError, ValueError, struct.error) as error:
            raise ForeignExpression(f"{name} of another form") from error
    return reader.finish()


class _RuleDecoder:
    """Collects what has been loaded until an expression uses it."""

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._nfproto = 0
        self._asked_icmpv6 = False
        self._may_drop: int | None = None
        """Index of the part that asked for ICMPv6 first; it may have come with a field."""
        self._forget()

    def _forget(self) -> None:
        self._asks_nfproto = False
        self._asks_kind = False
        self._fields: list[Field] = []
        self._low: int | None = None
        self._ct: int | None = None
        self._bits: tuple[int, int] | None = None
        self._constant: int | None = None

    def take(self, name: str, data: Attributes) -> None:
        """The next expression of the rule."""
        known: dict[str, Callable[[Attributes], None]] = {
            "meta": self._meta,
            "payload": self._payload,
            "ct": self._conntrack,
            "bitwise": self._bitwise,
            "byteorder": self._byteorder,
            "cmp": self._compare,
            "lookup": self._lookup,
            "immediate": self._immediate,
        }
        if name in known:
            known[name](data)
        else:
            self._add(_statement(name, data))

    def finish(self) -> tuple[Part, ...]:
        """All parts; raises ForeignExpression when the last loads something that nobody uses."""
        if self._loaded():
            raise ForeignExpression("a value that nothing uses")
        return tuple(self._parts)

    def _loaded(self) -> bool:
        unused = (self._ct, self._constant, self._low)
        asks = self._asks_nfproto or self._asks_kind or bool(self._fields)
        return asks or any(value is not None for value in unused)

    def _add(self, part: Part) -> None:
        self._forget()
        self._parts.append(part)

    # -- what loads

    def _meta(self, data: Attributes) -> None:
        key = _number(data[nf.NFTA_META_KEY])
        if key == nf.NFT_META_NFPROTO:
            self._asks_nfproto = True
        elif key == nf.NFT_META_IIFKIND:
            self._asks_kind = True
        elif key == nf.NFT_META_L4PROTO:
            self._fields.append(Field.L4PROTO)
        else:
            raise ForeignExpression(f"meta {key}")

    def _payload(self, data: Attributes) -> None:
        location = [
            _number(data[k])
            for k in (nf.NFTA_PAYLOAD_BASE, nf.NFTA_PAYLOAD_OFFSET, nf.NFTA_PAYLOAD_LEN)
        ]
        for field in _split(*location):
            if field is Field.ICMPV6_TYPE:
                self._drop_needed_protocol()
            self._fields.append(field)

    def _drop_needed_protocol(self) -> None:
        """``icmpv6 type`` alone makes ``meta l4proto 58`` before it, once in a rule."""
        implied = self._nfproto == nf.LOCATIONS[Field.ICMPV6_TYPE].nfproto
        if implied and self._may_drop == len(self._parts) - 1:
            self._parts.pop()
            self._may_drop = None

    def _conntrack(self, data: Attributes) -> None:
        key = _number(data[nf.NFTA_CT_KEY])
        if nf.NFTA_CT_DREG in data:
            self._ct = key
        elif key != nf.NFT_CT_MARK:
            raise ForeignExpression(f"set ct {key}")
        elif self._constant is not None:
            self._add(SetCtMark(0, self._constant))
        else:
            self._add(SetCtMark(*self._masked(nf.NFT_CT_MARK)))

    def _bitwise(self, data: Attributes) -> None:
        if nf.NFTA_BITWISE_MASK not in data or nf.NFTA_BITWISE_XOR not in data:
            raise ForeignExpression("bitwise without mask")
        self._bits = (_host(data[nf.NFTA_BITWISE_MASK]), _host(data[nf.NFTA_BITWISE_XOR]))

    def _byteorder(self, _: Attributes) -> None:
        """``nft`` wants the protocol in network order for ranges: one byte, so nothing to do."""
        if self._fields[-1:] != [Field.L4PROTO]:
            raise ForeignExpression("byteorder of another value")

    def _masked(self, key: int) -> tuple[int, int]:
        """Mask and bits of the conntrack value that has been loaded."""
        if self._ct != key or self._bits is None:
            raise ForeignExpression("bitwise of another value")
        return self._bits

    # -- what uses it

    def _lookup(self, data: Attributes) -> None:
        if not self._fields:
            raise ForeignExpression("lookup of another value")
        fields, name = tuple(self._fields), _text(data[nf.NFTA_LOOKUP_SET])
        self._add(Vmap(fields, name) if nf.NFTA_LOOKUP_DREG in data else Lookup(fields, name))

    def _immediate(self, data: Attributes) -> None:
        wrapped = dict(attributes(data[nf.NFTA_IMMEDIATE_DATA]))
        if _number(data[nf.NFTA_IMMEDIATE_DREG]) == nf.NFT_REG_VERDICT:
            self._add(read_verdict(wrapped[nf.NFTA_DATA_VERDICT]))
        else:
            (self._constant,) = _HOST.unpack(wrapped[nf.NFTA_DATA_VALUE])

    def _compare(self, data: Attributes) -> None:
        operator = _number(data[nf.NFTA_CMP_OP])
        value = dict(attributes(data[nf.NFTA_CMP_DATA]))[nf.NFTA_DATA_VALUE]
        if self._asks_nfproto and operator == nf.NFT_CMP_EQ:
            self._nfproto = value[0]
            self._forget()
        elif self._asks_kind and operator == nf.NFT_CMP_EQ:
            self._add(MetaIifKind(_text(value)))
        elif self._ct is not None:
            self._compare_conntrack(operator, value)
        elif len(self._fields) == 1:
            self._compare_field(self._fields[0], operator, int.from_bytes(value, "big"))
        elif self._fields and operator == nf.NFT_CMP_EQ:
            self._compare_merged(value)
        else:
            raise ForeignExpression("comparison of another value")

    def _compare_field(self, field: Field, operator: int, value: int) -> None:
        if operator in (nf.NFT_CMP_EQ, nf.NFT_CMP_NEQ):
            part = Compare(field, value, negated=operator == nf.NFT_CMP_NEQ)
            if part == Compare(Field.L4PROTO, ICMPV6) and not self._asked_icmpv6:
                self._asked_icmpv6, self._may_drop = True, len(self._parts)
            self._add(part)
        elif operator == nf.NFT_CMP_GTE:
            self._low = value
        elif operator == nf.NFT_CMP_LTE and self._low is not None:
            self._add(Between(field, self._low, value))
        else:
            raise ForeignExpression(f"comparison {operator}")

    def _compare_merged(self, value: bytes) -> None:
        """``nft`` compares neighbours in the packet at once."""
        fields, at = tuple(self._fields), 0
        for field in fields:
            size = SIZES[field.type]
            self._add(Compare(field, int.from_bytes(value[at : at + size], "big")))
            at += size

    def _compare_conntrack(self, operator: int, value: bytes) -> None:
        if (
            self._ct == nf.NFT_CT_DIRECTION
            and operator == nf.NFT_CMP_EQ
            and value[0] in _DIRECTIONS
        ):
            self._add(CtDirection(_DIRECTIONS[value[0]]))
        elif self._ct == nf.NFT_CT_STATE and operator == nf.NFT_CMP_NEQ:
            self._add(CtState(CtStateBit(self._masked(nf.NFT_CT_STATE)[0])))
        elif self._ct == nf.NFT_CT_MARK and operator == nf.NFT_CMP_EQ:
            (wanted,) = _HOST.unpack(value)
            self._add(CtMark(self._masked(nf.NFT_CT_MARK)[0], wanted))
        else:
            raise ForeignExpression(f"comparison of ct {self._ct}")


def _split(base: int, offset: int, length: int) -> Iterator[Field]:
    """The fields that a stretch of the packet holds, the longest first where two begin."""
    while length:
        # What the kernel says is not believed: a length has 32 bits.
        longest = min(length, _LONGEST)
        fitting = (n for n in range(longest, 0, -1) if (base, offset, n) in _STARTS)
        size = next(fitting, 0)
        if not size:
            raise ForeignExpression(f"{length} bytes at {offset} of header {base}")
        yield _STARTS[base, offset, size]
        offset, length = offset + size, length - size


def _statement(name: str, data: Attributes) -> Statement:
    if name == "counter":
        return Counter()
    if name == "log" and data.keys() >= {nf.NFTA_LOG_GROUP, nf.NFTA_LOG_PREFIX}:
        return Log(int.from_bytes(data[nf.NFTA_LOG_GROUP], "big"), _text(data[nf.NFTA_LOG_PREFIX]))
    if name == "limit":
        return _limit(data)
    raise ForeignExpression(name)


def _limit(data: Attributes) -> Limit:
    wanted = (
        nf.NFTA_LIMIT_RATE,
        nf.NFTA_LIMIT_UNIT,
        nf.NFTA_LIMIT_BURST,
        nf.NFTA_LIMIT_TYPE,
        nf.NFTA_LIMIT_FLAGS,
    )
    rate, unit, burst, kind, flags = (int.from_bytes(data.get(k, b""), "big") for k in wanted)
    if (unit, kind, flags) != (1, 0, 0):
        raise ForeignExpression("limit of something else than packets a second")
    return Limit(rate, burst)


_HOST = struct.Struct("=I")


def _host(data: bytes) -> int:
    """The number in wrapped data; marks and states have the host's byte order."""
    (value,) = _HOST.unpack(dict(attributes(data))[nf.NFTA_DATA_VALUE])
    return int(value)


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")
