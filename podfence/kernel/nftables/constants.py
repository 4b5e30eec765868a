"""Numbers and layouts of ``linux/netfilter/nf_tables.h``, and the types that ``nft`` prints by.

Rule: what both the writer and the reader need to know stands here once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from podfence.nft.objects import DataType, Field, Hook, VerdictKind

SUBSYSTEM = 10
BATCH_BEGIN, BATCH_END = 0x10, 0x11
INET = 1
"""Family of our table."""

NEW_TABLE, GET_TABLE, DELETE_TABLE = 0, 1, 2
NEW_CHAIN, GET_CHAIN, DELETE_CHAIN = 3, 4, 5
NEW_RULE, GET_RULE, DELETE_RULE = 6, 7, 8
NEW_SET, GET_SET, DELETE_SET = 9, 10, 11
NEW_ELEMENTS, GET_ELEMENTS, DELETE_ELEMENTS = 12, 13, 14
NEW_GENERATION, GET_GENERATION = 15, 16

TABLE_NAME, TABLE_USERDATA = 1, 6
CHAIN_TABLE, CHAIN_NAME, CHAIN_HOOK, CHAIN_POLICY, CHAIN_TYPE, CHAIN_USERDATA = 1, 3, 4, 5, 7, 12
HOOK_NUMBER, HOOK_PRIORITY = 1, 2
RULE_TABLE, RULE_CHAIN, RULE_EXPRESSIONS, RULE_USERDATA = 1, 2, 4, 7
SET_TABLE, SET_NAME, SET_FLAGS, SET_KEY_TYPE, SET_KEY_LENGTH = 1, 2, 3, 4, 5
SET_DATA_TYPE, SET_DATA_LENGTH, SET_DESCRIPTION, SET_ID, SET_USERDATA = 6, 7, 9, 10, 13
DESCRIPTION_CONCATENATION, FIELD_LENGTH = 2, 1
LIST_TABLE, LIST_SET, LIST_ELEMENTS = 1, 2, 3
ELEMENT_KEY, ELEMENT_DATA, ELEMENT_FLAGS, ELEMENT_USERDATA, ELEMENT_KEY_END = 1, 2, 3, 6, 10
LIST_ITEM, DATA_VALUE, DATA_VERDICT = 1, 1, 2
VERDICT_CODE, VERDICT_CHAIN = 1, 2
GENERATION_ID = 1

SET_INTERVAL, SET_MAP, SET_CONCATENATION = 0x4, 0x8, 0x80
ELEMENT_INTERVAL_END = 1
VERDICT_DATA = 0xFFFFFF00

EXPRESSION_NAME, EXPRESSION_DATA = 1, 2
META_DREG, META_KEY = 1, 2
META_NFPROTO, META_L4PROTO = 15, 16
COMPARE_SREG, COMPARE_OPERATOR, COMPARE_DATA = 1, 2, 3
EQUAL, NOT_EQUAL, LESS_OR_EQUAL, GREATER_OR_EQUAL = 0, 1, 3, 5
PAYLOAD_DREG, PAYLOAD_BASE, PAYLOAD_OFFSET, PAYLOAD_LENGTH = 1, 2, 3, 4
NETWORK_HEADER, TRANSPORT_HEADER = 1, 2
LOOKUP_SET, LOOKUP_SREG, LOOKUP_DREG = 1, 2, 3
BITWISE_SREG, BITWISE_DREG, BITWISE_LENGTH, BITWISE_MASK, BITWISE_XOR = 1, 2, 3, 4, 5
CT_DREG, CT_KEY, CT_SREG = 1, 2, 4
CT_STATE, CT_DIRECTION, CT_MARK = 0, 1, 3
IMMEDIATE_DREG, IMMEDIATE_DATA = 1, 2
LIMIT_RATE, LIMIT_UNIT, LIMIT_BURST, LIMIT_TYPE, LIMIT_FLAGS = 1, 2, 3, 4, 5
LOG_GROUP, LOG_PREFIX = 1, 2

VERDICT_REGISTER, FIRST_REGISTER, FIRST_SMALL_REGISTER = 0, 1, 8
"""A register of 16 bytes is four small ones of 4 bytes."""

COMMENT = 0
"""Userdata of tables, chains and rules: a list of type, length, value, a byte each of the first."""
SET_BYTE_ORDER, SET_DATA_BYTE_ORDER, SET_DATA_INTERVAL, SET_COMMENT = 0, 1, 6, 7
"""Userdata of sets."""
BIG_ENDIAN = 2
OPEN_INTERVAL = struct.pack("=BBI", 1, 4, 1)
"""Userdata of an element that starts a range and has no end: it goes up to the last value."""

HOOKS = {Hook.INPUT: 1, Hook.FORWARD: 2}
VERDICTS = {
    VerdictKind.DROP: 0,
    VerdictKind.ACCEPT: 1,
    VerdictKind.JUMP: -3,
    VerdictKind.GOTO: -4,
    VerdictKind.RETURN: -5,
}
SIZES = {
    DataType.IPV4_ADDR: 4,
    DataType.IPV6_ADDR: 16,
    DataType.INET_PROTO: 1,
    DataType.INET_SERVICE: 2,
    DataType.ICMPV6_TYPE: 1,
    DataType.INTEGER: 1,
}
"""Bytes of a value; the only integer that rules read is the hop limit."""
TYPE_NUMBERS = {
    DataType.INTEGER: 4,
    DataType.IPV4_ADDR: 7,
    DataType.IPV6_ADDR: 8,
    DataType.INET_PROTO: 12,
    DataType.INET_SERVICE: 13,
    DataType.ICMPV6_TYPE: 29,
}
"""What nft prints a key by; the kernel only keeps it."""
TYPE_BITS = 6
"""Bits of each number in the type of a concatenation."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a field stands in a packet. ``nfproto`` and ``l4proto``: what the packet must be for
    the field to be there, 0: anything."""

    base: int
    offset: int
    length: int
    nfproto: int = 0
    l4proto: int = 0


IPV4, IPV6 = 2, 10
"""Values of nfproto."""
PLACES = {
    Field.IP_SADDR: Place(NETWORK_HEADER, 12, 4, IPV4),
    Field.IP_DADDR: Place(NETWORK_HEADER, 16, 4, IPV4),
    Field.IP6_SADDR: Place(NETWORK_HEADER, 8, 16, IPV6),
    Field.IP6_DADDR: Place(NETWORK_HEADER, 24, 16, IPV6),
    Field.IP6_HOPLIMIT: Place(NETWORK_HEADER, 7, 1, IPV6),
    Field.TH_SPORT: Place(TRANSPORT_HEADER, 0, 2),
    Field.TH_DPORT: Place(TRANSPORT_HEADER, 2, 2),
    Field.ICMPV6_TYPE: Place(TRANSPORT_HEADER, 0, 1, IPV6, 58),
}
"""Every field but the protocol, which conntrack and the IP layer know without a header."""


def padded(length: int) -> int:
    """Bytes that a value takes in a concatenation, and in registers."""
    return length + -length % 4
