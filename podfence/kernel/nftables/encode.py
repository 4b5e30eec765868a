"""Transaction -> messages of nftables, as bytes.

Rule: one operation, one message (elements: one for each 64 kB), in the same order; no socket in
here. ``nft list`` shows what the messages make as if ``nft`` had read it from ``render``'s text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache, partial

from msgspec import Struct

from podfence.kernel.netlink import HEADER, NLM_F_APPEND, NLM_F_CREATE, attribute, nested, text
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.encode_elements import ElementList, element_lists
from podfence.kernel.nftables.encode_rules import expressions
from podfence.kernel.nftables.members import MemberList
from podfence.nft import transaction as tx
from podfence.nft.objects import (
    SIZES,
    BaseChain,
    DataType,
    MemberSet,
    RangeSet,
    Rule,
    Table,
    VerdictMap,
)
from podfence.nft.render import render_rule
from podfence.nft.transaction import ElementHolder, Operation, Transaction

Elements = tuple[ElementList | MemberList, bytes]
_FEW = 64
"""Members that are worth to be remembered as bytes."""
FAMILY = struct.pack(">BBH", nf.NFPROTO_INET, 0, 0)
"""The header of the protocol, before the attributes of each message."""


class NftMessage(Struct, frozen=True):
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


def encode(transaction: Transaction) -> Iterator[NftMessage]:
    """The messages of a transaction, in order."""
    writer = _TableEncoder(transaction.table)
    for operation in transaction:
        yield from writer.messages(operation)


def emptied(table: str) -> NftMessage:
    """Takes all rules out of a table, and leaves its chains and sets."""
    return _message(
        nf.NFT_MSG_DELRULE, 0, text(nf.NFTA_RULE_TABLE, table), f"rules of table {table}"
    )


class _TableEncoder:
    """The messages of one table's operations."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._sets = 0
        self._members: dict[int, tuple[Elements, ...]] = {}
        """By identity: the transaction holds them."""

    def messages(self, operation: Operation) -> Iterator[NftMessage]:
        match operation:
            case tx.AddTable():
                comment = attribute(nf.NFTA_TABLE_USERDATA, _comment(self._table.comment))
                yield self._on_table(
                    nf.NFT_MSG_NEWTABLE, NLM_F_CREATE, comment if self._table.comment else b""
                )
            case tx.DeleteTable():
                yield self._on_table(nf.NFT_MSG_DELTABLE, 0, b"")
            case tx.AddSet(declared):
                yield self._new_set(declared)
            case tx.DeleteSet(name, kind):
                body = text(nf.NFTA_SET_TABLE, self._table.name) + text(nf.NFTA_SET_NAME, name)
                about = f"{'map' if kind is VerdictMap else 'set'} {name}"
                yield _message(nf.NFT_MSG_DELSET, 0, body, about)
            case tx.AddElements(part):
                yield from self._elements(nf.NFT_MSG_NEWSETELEM, NLM_F_CREATE, part)
            case tx.DeleteElements(part):
                yield from self._elements(nf.NFT_MSG_DELSETELEM, 0, part)
            case _:
                yield from self._on_chain(operation)

    def _on_chain(
        self, operation: tx.AddChain | tx.FlushChain | tx.AddRules | tx.DeleteChain
    ) -> Iterator[NftMessage]:
        match operation:
            case tx.AddChain(name, base, comment):
                userdata = attribute(nf.NFTA_CHAIN_USERDATA, _comment(comment)) if comment else b""
                more = (_base(base) if base else b"") + userdata
                yield self._chain(nf.NFT_MSG_NEWCHAIN, NLM_F_CREATE, name, more)
            case tx.DeleteChain(name):
                yield self._chain(nf.NFT_MSG_DELCHAIN, 0, name, b"")
            case tx.FlushChain(name):
                body = text(nf.NFTA_RULE_TABLE, self._table.name) + text(nf.NFTA_RULE_CHAIN, name)
                yield _message(nf.NFT_MSG_DELRULE, 0, body, f"rules of chain {name}")
            case tx.AddRules(chain, rules):
                start = text(nf.NFTA_RULE_TABLE, self._table.name) + text(nf.NFTA_RULE_CHAIN, chain)
                for rule in rules:
                    yield _new_rule(chain, start, rule)

    def _on_table(self, kind: int, flags: int, more: bytes) -> NftMessage:
        name = self._table.name
        return _message(kind, flags, text(nf.NFTA_TABLE_NAME, name) + more, f"table {name}")

    def _chain(self, kind: int, flags: int, name: str, more: bytes) -> NftMessage:
        body = text(nf.NFTA_CHAIN_TABLE, self._table.name) + text(nf.NFTA_CHAIN_NAME, name) + more
        return _message(kind, flags, body, f"chain {name}")

    def _new_set(self, declared: ElementHolder) -> NftMessage:
        """The kernel wants a number for a set, to tell sets without a name apart."""
        self._sets += 1
        body = (
            text(nf.NFTA_SET_TABLE, self._table.name)
            + text(nf.NFTA_SET_NAME, declared.name)
            + _set_type(declared)
            + _number(nf.NFTA_SET_ID, self._sets)
            + attribute(nf.NFTA_SET_USERDATA, _set_userdata(declared))
        )
        return _message(nf.NFT_MSG_NEWSET, NLM_F_CREATE, body, _about(declared))

    def _elements(self, kind: int, flags: int, part: ElementHolder) -> Iterator[NftMessage]:
        start = _of_set(self._table.name, part.name)
        before = HEADER.size + len(start) + 4
        kind_of = nf.NFNL_SUBSYS_NFTABLES << 8 | kind
        about = _about(part)
        for elements, data in self._lists(part, delete=kind == nf.NFT_MSG_DELSETELEM):
            detail = partial(_element, elements, before)
            yield NftMessage(kind_of, flags, start + data, about, detail)

    def _lists(self, part: ElementHolder, *, delete: bool) -> Iterable[Elements]:
        """The elements as attributes. Many sets of a transaction get the very same few members."""
        if not isinstance(part, MemberSet) or len(part.elements) > _FEW:
            return _attributes(element_lists(part, delete=delete))
        found = self._members.get(id(part.elements))
        if found is None:
            found = tuple(_attributes(element_lists(part)))
            self._members[id(part.elements)] = found
        return found


def _message(
    kind: int, flags: int, body: bytes, about: str, detail: Callable[[int], str] | None = None
) -> NftMessage:
    return NftMessage(nf.NFNL_SUBSYS_NFTABLES << 8 | kind, flags, FAMILY + body, about, detail)


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


@lru_cache(maxsize=8192)
def _of_set(table: str, name: str) -> bytes:
    """What a message about elements begins with, with the header of the protocol."""
    return FAMILY + text(nf.NFTA_SET_ELEM_LIST_TABLE, table) + text(nf.NFTA_SET_ELEM_LIST_SET, name)


def _attributes(lists: Iterable[ElementList | MemberList]) -> Iterator[Elements]:
    return ((each, nested(nf.NFTA_SET_ELEM_LIST_ELEMENTS, each.data)) for each in lists)


def _about(holder: ElementHolder) -> str:
    return f"{'map' if isinstance(holder, VerdictMap) else 'set'} {holder.name}"


def _element(elements: ElementList | MemberList, before: int, offset: int) -> str:
    name = elements.name_at(offset - before) if offset else ""
    return f", element {name}" if name else ""


# -- userdata: what nft keeps for itself


def _userdata(kind: int, value: bytes) -> bytes:
    return bytes([kind, len(value)]) + value


def _comment(comment: str, kind: int = nf.NFTNL_UDATA_COMMENT) -> bytes:
    return _userdata(kind, comment.encode("utf-8") + b"\0")


def _set_userdata(declared: ElementHolder) -> bytes:
    """The byte order of keys; a concatenation has none, each of its fields has its own."""
    order = nf.BYTEORDER_BIG_ENDIAN if len(declared.type) == 1 else 0
    data = _userdata(nf.NFTNL_UDATA_SET_KEYBYTEORDER, struct.pack("=I", order))
    if isinstance(declared, VerdictMap):
        data += _userdata(nf.NFTNL_UDATA_SET_DATABYTEORDER, struct.pack("=I", 0))
        data += _userdata(nf.NFTNL_UDATA_SET_DATA_INTERVAL, struct.pack("=I", 0))
    return data + (
        _comment(declared.comment, nf.NFTNL_UDATA_SET_COMMENT) if declared.comment else b""
    )


# -- parts of messages


def _set_type(declared: ElementHolder) -> bytes:
    types = declared.type
    flags = nf.NFT_SET_INTERVAL if isinstance(declared, RangeSet) else 0
    more = b""
    if flags and len(types) > 1:
        flags |= nf.NFT_SET_CONCAT
        more = _fields(types)
    if isinstance(declared, VerdictMap):
        flags |= nf.NFT_SET_MAP
        more = _number(nf.NFTA_SET_DATA_TYPE, nf.NFT_DATA_VERDICT) + _number(
            nf.NFTA_SET_DATA_LEN, 0
        )
    length = SIZES[types[0]] if len(types) == 1 else sum(nf.padded(SIZES[kind]) for kind in types)
    return (
        _number(nf.NFTA_SET_FLAGS, flags)
        + _number(nf.NFTA_SET_KEY_TYPE, key_type(types))
        + _number(nf.NFTA_SET_KEY_LEN, length)
        + more
    )


def key_type(types: tuple[DataType, ...]) -> int:
    """The number that nft prints keys by."""
    number = 0
    for kind in types:
        number = number << nf.TYPE_BITS | nf.TYPE_NUMBERS[kind]
    return number


def _fields(types: tuple[DataType, ...]) -> bytes:
    """The lengths of the fields, which the kernel needs to know of ranges of several fields."""
    lengths = [
        nested(nf.NFTA_LIST_ELEM, _number(nf.NFTA_SET_FIELD_LEN, SIZES[kind])) for kind in types
    ]
    return nested(nf.NFTA_SET_DESC, nested(nf.NFTA_SET_DESC_CONCAT, *lengths))


def _base(base: BaseChain) -> bytes:
    hook = _number(nf.NFTA_HOOK_HOOKNUM, nf.HOOKS[base.hook]) + attribute(
        nf.NFTA_HOOK_PRIORITY, struct.pack(">i", base.priority)
    )
    policy = _number(nf.NFTA_CHAIN_POLICY, nf.VERDICTS[base.policy.kind])
    return text(nf.NFTA_CHAIN_TYPE, "filter") + policy + nested(nf.NFTA_CHAIN_HOOK, hook)


def _new_rule(chain: str, start: bytes, rule: Rule) -> NftMessage:
    body = start + nested(nf.NFTA_RULE_EXPRESSIONS, expressions(rule))
    if rule.comment:
        body += attribute(nf.NFTA_RULE_USERDATA, _comment(rule.comment))
    return _message(
        nf.NFT_MSG_NEWRULE,
        NLM_F_CREATE | NLM_F_APPEND,
        body,
        f"chain {chain}",
        partial(_rule, rule),
    )


def _rule(rule: Rule, _offset: int) -> str:
    return f", rule '{render_rule(rule)}'"
