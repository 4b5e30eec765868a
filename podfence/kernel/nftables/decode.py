"""A dump of our table -> the values that the table was written from.

Rule: only what podfence writes is understood, whether ``nft`` or netlink loaded it; anything else
is an error that names it, never left out in silence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct, field

from podfence.errors import NftError
from podfence.kernel.netlink import attributes
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.decode_elements import ranges, read_items, read_keys
from podfence.kernel.nftables.decode_rules import ForeignExpression, read_parts
from podfence.kernel.nftables.members import read_members
from podfence.nft.objects import (
    ADDRESS_TYPES,
    BaseChain,
    Chain,
    ChainVerdict,
    DataType,
    MemberSet,
    RangeSet,
    Rule,
    Set,
    Table,
    VerdictMap,
)
from podfence.nft.ruleset import InvalidRuleset, Ruleset
from podfence.nft.transaction import ElementHolder

_TYPES = {number: kind for kind, number in nf.TYPE_NUMBERS.items()}
_FAMILIES = {kind: family for family, kind in ADDRESS_TYPES.items()}
_HOOKS = {number: hook for hook, number in nf.HOOKS.items()}
_POLICIES = {code: ChainVerdict(kind) for kind, code in nf.VERDICTS.items() if code >= 0}


class Dump(Struct):
    """The bodies of messages that together are a table. ``elements``: by the name of their set."""

    table: bytes
    chains: Sequence[bytes] = ()
    rules: Sequence[bytes] = ()
    sets: Sequence[bytes] = ()
    elements: Mapping[str, Sequence[bytes]] = field(default_factory=dict)


def read(dump: Dump) -> Ruleset:
    """The ruleset in a dump. Raises NftError for what podfence never writes."""
    try:
        return _ruleset(dump)
    except (KeyError, IndexError, ValueError) as error:
        raise NftError(f"the table is of another form than podfence writes: {error!r}") from error


def _ruleset(dump: Dump) -> Ruleset:
    data = dict(attributes(dump.table))
    table = Table(_text(data[nf.NFTA_TABLE_NAME]), _comment(data.get(nf.NFTA_TABLE_USERDATA, b"")))
    holders = [_holder(body, dump.elements) for body in dump.sets]
    rules = defaultdict(list)
    for body in dump.rules:
        chain, rule = _rule(body)
        rules[chain].append(rule)
    chains = [_chain(body, rules) for body in dump.chains if _table(body) == table.name]
    try:
        return Ruleset.of(table, [*holders, *chains])
    except InvalidRuleset as error:
        raise NftError(f"table {table.name} is not a ruleset of podfence: {error}") from error


def set_name(body: bytes) -> str:
    """The name of a set, of the message that describes it."""
    return _text(dict(attributes(body))[nf.NFTA_SET_NAME])


def chain_names(bodies: Iterable[bytes], table: str) -> set[str]:
    """The names of the chains of a table, of the messages that describe all chains."""
    return {
        _text(dict(attributes(body))[nf.NFTA_CHAIN_NAME])
        for body in bodies
        if _table(body) == table
    }


def genid(body: bytes) -> int:
    """The number of the last transaction."""
    return int.from_bytes(dict(attributes(body))[nf.NFTA_GEN_ID], "big")


def _table(chain: bytes) -> str:
    return _text(dict(attributes(chain))[nf.NFTA_CHAIN_TABLE])


def _rule(body: bytes) -> tuple[str, Rule]:
    data = dict(attributes(body))
    chain = _text(data[nf.NFTA_RULE_CHAIN])
    try:
        parts = read_parts(data.get(nf.NFTA_RULE_EXPRESSIONS, b""))
    except ForeignExpression as error:
        raise NftError(f"chain {chain} holds a rule that podfence never writes: {error}") from error
    return chain, Rule(parts, _comment(data.get(nf.NFTA_RULE_USERDATA, b"")))


def _chain(body: bytes, rules: Mapping[str, Sequence[Rule]]) -> Chain:
    data = dict(attributes(body))
    name = _text(data[nf.NFTA_CHAIN_NAME])
    comment = _comment(data.get(nf.NFTA_CHAIN_USERDATA, b""))
    base = _base(name, data) if nf.NFTA_CHAIN_HOOK in data else None
    return Chain(name, tuple(rules.get(name, ())), base, comment)


def _base(name: str, data: dict[int, bytes]) -> BaseChain:
    hook = dict(attributes(data[nf.NFTA_CHAIN_HOOK]))
    number = int.from_bytes(hook[nf.NFTA_HOOK_HOOKNUM], "big")
    if number not in _HOOKS or _text(data[nf.NFTA_CHAIN_TYPE]) != "filter":
        raise NftError(f"chain {name} is on a hook that podfence never uses")
    priority = int.from_bytes(hook[nf.NFTA_HOOK_PRIORITY], "big", signed=True)
    policy = _POLICIES[int.from_bytes(data[nf.NFTA_CHAIN_POLICY], "big")]
    return BaseChain(_HOOKS[number], priority, policy)


def _holder(body: bytes, dumped: Mapping[str, Sequence[bytes]]) -> ElementHolder:
    data = dict(attributes(body))
    name = _text(data[nf.NFTA_SET_NAME])
    types = _key_types(name, int.from_bytes(data[nf.NFTA_SET_KEY_TYPE], "big"))
    comment = _comment(data.get(nf.NFTA_SET_USERDATA, b""), nf.NFTNL_UDATA_SET_COMMENT)
    found = dumped.get(name, ())
    flags = int.from_bytes(data.get(nf.NFTA_SET_FLAGS, b""), "big") & ~nf.NFT_SET_CONCAT
    if flags == nf.NFT_SET_INTERVAL:
        return RangeSet(name, types, ranges(types, read_items(types, found)), comment)
    leads_to_verdicts = (
        int.from_bytes(data.get(nf.NFTA_SET_DATA_TYPE, b""), "big") == nf.NFT_DATA_VERDICT
    )
    if flags == nf.NFT_SET_MAP and leads_to_verdicts:
        items = read_items(types, found)
        leads = {item.key: item.verdict for item in items if item.verdict is not None}
        return VerdictMap(name, types, leads, comment)
    if flags:
        raise NftError(f"set {name} is of a kind that podfence never makes ({flags:#x})")
    if len(types) == 1 and types[0] in _FAMILIES:
        return MemberSet(name, read_members(_FAMILIES[types[0]], found), comment)
    return Set(name, types, frozenset(read_keys(types, found)), comment)


def _key_types(name: str, number: int) -> tuple[DataType, ...]:
    types = []
    while number:
        number, last = number >> nf.TYPE_BITS, number & (1 << nf.TYPE_BITS) - 1
        if last not in _TYPES:
            raise NftError(f"set {name} has keys of a type that podfence never uses ({last})")
        types.append(_TYPES[last])
    return tuple(reversed(types))


def _comment(userdata: bytes, wanted: int = nf.NFTNL_UDATA_COMMENT) -> str:
    """The comment among what nft keeps with an object: type, length and value, again and again."""
    at = 0
    while at + 2 <= len(userdata):
        kind, length = userdata[at], userdata[at + 1]
        if kind == wanted:
            return _text(userdata[at + 2 : at + 2 + length])
        at += 2 + length
    return ""


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")
