"""Numbers and layouts of ``linux/netfilter/nf_tables.h``, and the types that ``nft`` prints by.

Rule: what both the writer and the reader need to know stands here once.
"""

from __future__ import annotations

import struct

from msgspec import Struct

from podfence.nft.objects import DataType, Field, Hook, VerdictKind

NFNL_SUBSYS_NFTABLES = 10
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11
NFPROTO_INET = 1
"""Family of our table."""

NFT_MSG_NEWTABLE, NFT_MSG_GETTABLE, NFT_MSG_DELTABLE = 0, 1, 2
NFT_MSG_NEWCHAIN, NFT_MSG_GETCHAIN, NFT_MSG_DELCHAIN = 3, 4, 5
NFT_MSG_NEWRULE, NFT_MSG_GETRULE, NFT_MSG_DELRULE = 6, 7, 8
NFT_MSG_NEWSET, NFT_MSG_GETSET, NFT_MSG_DELSET = 9, 10, 11
NFT_MSG_NEWSETELEM, NFT_MSG_GETSETELEM, NFT_MSG_DELSETELEM = 12, 13, 14
NFT_MSG_NEWGEN, NFT_MSG_GETGEN = 15, 16
NFT_MSG_NEWFLOWTABLE, NFT_MSG_GETFLOWTABLE = 22, 23

NFTA_TABLE_NAME, NFTA_TABLE_USERDATA = 1, 6
NFTA_FLOWTABLE_TABLE = 1
NFTA_FLOWTABLE_NAME = 2

NFTA_CHAIN_TABLE = 1
NFTA_CHAIN_NAME = 3
NFTA_CHAIN_HOOK = 4
NFTA_CHAIN_POLICY = 5
NFTA_CHAIN_TYPE = 7
NFTA_CHAIN_USERDATA = 12
NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY = 1, 2
NFTA_RULE_TABLE, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_USERDATA = 1, 2, 4, 7
NFTA_SET_TABLE, NFTA_SET_NAME, NFTA_SET_FLAGS, NFTA_SET_KEY_TYPE, NFTA_SET_KEY_LEN = 1, 2, 3, 4, 5
NFTA_SET_DATA_TYPE = 6
NFTA_SET_DATA_LEN = 7
NFTA_SET_DESC = 9
NFTA_SET_ID = 10
NFTA_SET_USERDATA = 13
NFTA_SET_DESC_CONCAT, NFTA_SET_FIELD_LEN = 2, 1
NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_ELEMENTS = 1, 2, 3
NFTA_SET_ELEM_KEY = 1
NFTA_SET_ELEM_DATA = 2
NFTA_SET_ELEM_FLAGS = 3
NFTA_SET_ELEM_USERDATA = 6
NFTA_SET_ELEM_KEY_END = 10
NFTA_LIST_ELEM, NFTA_DATA_VALUE, NFTA_DATA_VERDICT = 1, 1, 2
NFTA_VERDICT_CODE, NFTA_VERDICT_CHAIN = 1, 2
NFTA_GEN_ID, NFTA_GEN_PROC_PID, NFTA_GEN_PROC_NAME = 1, 2, 3
NFNLGRP_NFTABLES = 7
"""The multicast group of changes."""

NFT_SET_INTERVAL, NFT_SET_MAP, NFT_SET_CONCAT = 0x4, 0x8, 0x80
NFT_SET_ELEM_INTERVAL_END = 1
NFT_DATA_VERDICT = 0xFFFFFF00

NFTA_EXPR_NAME, NFTA_EXPR_DATA = 1, 2
NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS = 1, 2
NFTA_META_DREG, NFTA_META_KEY = 1, 2
NFT_META_NFPROTO, NFT_META_L4PROTO, NFT_META_IIFKIND = 15, 16, 26
NFTA_CMP_SREG, NFTA_CMP_OP, NFTA_CMP_DATA = 1, 2, 3
NFT_CMP_EQ, NFT_CMP_NEQ, NFT_CMP_LTE, NFT_CMP_GTE = 0, 1, 3, 5
NFTA_PAYLOAD_DREG, NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_OFFSET, NFTA_PAYLOAD_LEN = 1, 2, 3, 4
NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER = 1, 2
NFTA_LOOKUP_SET, NFTA_LOOKUP_SREG, NFTA_LOOKUP_DREG = 1, 2, 3
NFTA_BITWISE_SREG = 1
NFTA_BITWISE_DREG = 2
NFTA_BITWISE_LEN = 3
NFTA_BITWISE_MASK = 4
NFTA_BITWISE_XOR = 5
NFTA_CT_DREG, NFTA_CT_KEY, NFTA_CT_SREG = 1, 2, 4
NFT_CT_STATE, NFT_CT_DIRECTION, NFT_CT_MARK = 0, 1, 3
NFTA_IMMEDIATE_DREG, NFTA_IMMEDIATE_DATA = 1, 2
NFTA_LIMIT_RATE = 1
NFTA_LIMIT_UNIT = 2
NFTA_LIMIT_BURST = 3
NFTA_LIMIT_TYPE = 4
NFTA_LIMIT_FLAGS = 5
NFTA_LOG_GROUP, NFTA_LOG_PREFIX = 1, 2

NFT_REG_VERDICT, NFT_REG_1, NFT_REG32_00 = 0, 1, 8
"""A register of 16 bytes is four small ones of 4 bytes."""

NFTNL_UDATA_COMMENT = 0
"""Userdata of tables, chains and rules: a list of type, length, value, a byte each of the first."""
NFTNL_UDATA_SET_KEYBYTEORDER = 0
NFTNL_UDATA_SET_DATABYTEORDER = 1
NFTNL_UDATA_SET_DATA_INTERVAL = 6
NFTNL_UDATA_SET_COMMENT = 7
"""Userdata of sets."""
BYTEORDER_BIG_ENDIAN = 2
OPEN_INTERVAL = struct.pack("=BBI", 1, 4, 1)
"""Userdata of an element that starts a range and has no end: it goes up to the last value."""

HOOKS = {Hook.INPUT: 1, Hook.FORWARD: 2, Hook.OUTPUT: 3}
VERDICTS = {
    VerdictKind.DROP: 0,
    VerdictKind.ACCEPT: 1,
    VerdictKind.JUMP: -3,
    VerdictKind.GOTO: -4,
    VerdictKind.RETURN: -5,
}
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


class PayloadLocation(Struct, frozen=True):
    """Where a field stands in a packet. ``nfproto`` and ``l4proto``: what the packet must be for
    the field to be there, 0: anything."""

    base: int
    offset: int
    length: int
    nfproto: int = 0
    l4proto: int = 0


NFPROTO_IPV4, NFPROTO_IPV6 = 2, 10
"""Values of nfproto."""
LOCATIONS = {
    Field.IP_SADDR: PayloadLocation(NFT_PAYLOAD_NETWORK_HEADER, 12, 4, NFPROTO_IPV4),
    Field.IP_DADDR: PayloadLocation(NFT_PAYLOAD_NETWORK_HEADER, 16, 4, NFPROTO_IPV4),
    Field.IP6_SADDR: PayloadLocation(NFT_PAYLOAD_NETWORK_HEADER, 8, 16, NFPROTO_IPV6),
    Field.IP6_DADDR: PayloadLocation(NFT_PAYLOAD_NETWORK_HEADER, 24, 16, NFPROTO_IPV6),
    Field.IP6_HOPLIMIT: PayloadLocation(NFT_PAYLOAD_NETWORK_HEADER, 7, 1, NFPROTO_IPV6),
    Field.TH_SPORT: PayloadLocation(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2),
    Field.TH_DPORT: PayloadLocation(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2),
    Field.ICMPV6_TYPE: PayloadLocation(NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, NFPROTO_IPV6, 58),
}
"""Every field but the protocol, which conntrack and the IP layer know without a header."""


def padded(length: int) -> int:
    """Bytes that a value takes in a concatenation, and in registers."""
    return length + -length % 4
