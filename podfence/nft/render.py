"""Values -> the text of ``nft -f -``.

Rule: the only module that writes nft's grammar, and the owner of every newline. What it writes is
one transaction, and names no table but ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address

from podfence.nft import transaction as tx
from podfence.nft.objects import (
    ICMP,
    ICMPV6,
    SCTP,
    TCP,
    UDP,
    Between,
    Chain,
    ChainVerdict,
    Compare,
    Counter,
    CtDirection,
    CtMark,
    CtState,
    DataType,
    Expression,
    Field,
    Key,
    KeyRange,
    Limit,
    Log,
    Lookup,
    MemberSet,
    MetaIifKind,
    NamedObject,
    RangeSet,
    Rule,
    SetCtMark,
    Statement,
    Table,
    VerdictMap,
    Vmap,
)
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import ElementHolder, Operation, Transaction

_PROTOCOLS = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "ipv6-icmp", SCTP: "sctp"}
_BITS = {DataType.IPV4_ADDR: 32, DataType.IPV6_ADDR: 128}


def render(ruleset: Ruleset) -> str:
    """One transaction that leaves exactly ``ruleset`` in our table, whatever was there before."""
    table = ruleset.table
    name = f"{table.family} {table.name}"
    lines = [f"add table {name}", f"delete table {name}", f"table {name} {{"]
    if table.comment:
        lines.append(f'\tcomment "{table.comment}"')
    for item in ruleset.objects():
        lines.append("")
        lines.extend(_object_lines(item))
    lines.append("}")
    return "\n".join(lines) + "\n"


def render_object(item: NamedObject) -> str:
    """One set, map or chain as it stands inside the table, with its last newline."""
    return "\n".join(_object_lines(item)) + "\n"


def render_rule(rule: Rule) -> str:
    """One rule, without a newline."""
    words = [_part(part) for part in rule.parts]
    if rule.comment:
        words.append(f'comment "{rule.comment}"')
    return " ".join(words)


# -- transactions


def render_transaction(transaction: Transaction) -> str:
    """Exactly what ``nft -f -`` reads; empty for a transaction that changes nothing."""
    table = transaction.table
    return "".join(f"{_operation(operation, table)}\n" for operation in transaction)


def _operation(operation: Operation, table: Table) -> str:
    where = f"{table.family} {table.name}"
    match operation:
        case tx.AddTable():
            return _braced(f"add table {where}", _comment(table.comment))
        case tx.DeleteTable():
            return f"delete table {where}"
        case tx.AddSet(item):
            return _braced(f"add {_kind(item)} {where} {item.name}", _declaration(item))
        case tx.DeleteSet(name, kind):
            return f"delete {'map' if kind is VerdictMap else 'set'} {where} {name}"
        case tx.AddElements(part):
            return f"add element {where} {part.name} {_element_list(part)}"
        case tx.DeleteElements(part):
            return f"delete element {where} {part.name} {_element_list(part)}"
        case tx.AddChain() | tx.FlushChain() | tx.AddRules() | tx.DeleteChain():
            return _chain_operation(operation, where)


def _chain_operation(
    operation: tx.AddChain | tx.FlushChain | tx.AddRules | tx.DeleteChain, where: str
) -> str:
    match operation:
        case tx.AddChain(name, base, comment):
            return _braced(f"add chain {where} {name}", _chain_body(Chain(name, (), base, comment)))
        case tx.FlushChain(name):
            return f"flush chain {where} {name}"
        case tx.AddRules(name, rules):
            return "\n".join(f"add rule {where} {name} {render_rule(rule)}" for rule in rules)
        case tx.DeleteChain(name):
            return f"delete chain {where} {name}"


def _braced(head: str, body: Iterable[str]) -> str:
    """A declaration on one line; there, every part ends with a semicolon."""
    parts = [line if line.endswith(";") else f"{line};" for line in body]
    return f"{head} {{ {' '.join(parts)} }}" if parts else head


def _element_list(part: ElementHolder) -> str:
    """One element a line, so that what nft refuses is shown alone."""
    texts = ",\n".join(f"\t{text}" for text in element_texts(part))
    return f"{{\n{texts}\n}}"


# -- objects


def _object_lines(item: NamedObject) -> Iterator[str]:
    yield f"\t{_kind(item)} {item.name} {{"
    for line in _body(item):
        yield f"\t\t{line}"
    yield "\t}"


def _kind(item: NamedObject) -> str:
    if isinstance(item, Chain):
        return "chain"
    return "map" if isinstance(item, VerdictMap) else "set"


def _body(item: NamedObject) -> Iterator[str]:
    if isinstance(item, Chain):
        yield from _chain_body(item)
        return
    yield from _declaration(item)
    yield from _elements(element_texts(item))


def _declaration(item: ElementHolder) -> Iterator[str]:
    types = " . ".join(part.value for part in item.type)
    yield f"type {types} : verdict" if isinstance(item, VerdictMap) else f"type {types}"
    if isinstance(item, RangeSet):
        yield "flags interval"
    yield from _comment(item.comment)


def _chain_body(chain: Chain) -> Iterator[str]:
    yield from _comment(chain.comment)
    if chain.base is not None:
        base = chain.base
        policy = render_verdict(base.policy)
        yield f"type filter hook {base.hook.value} priority {base.priority}; policy {policy};"
    for rule in chain.rules:
        yield render_rule(rule)


def _comment(text: str) -> Iterator[str]:
    if text:
        yield f'comment "{text}"'


def _elements(texts: Iterable[str]) -> Iterator[str]:
    """One element a line, so that two rulesets compare line by line."""
    lines = list(texts)
    if lines:
        yield "elements = {"
        yield from (f"\t{text}," for text in lines[:-1])
        yield f"\t{lines[-1]}"
        yield "}"


def element_texts(item: ElementHolder) -> Iterator[str]:
    """Every element as nft writes it, in order: a key, a range, or a key and its verdict."""
    if isinstance(item, RangeSet):
        return (_key_range(item.type, element) for element in item.elements)
    if isinstance(item, VerdictMap):
        return (
            f"{_key(item.type, key)} : {render_verdict(item.elements[key])}"
            for key in sorted(item.elements)
        )
    if isinstance(item, MemberSet):
        return (_value(item.type[0], address) for address in sorted(item.elements))
    return (_key(item.type, key) for key in sorted(item.elements))


def _key(types: tuple[DataType, ...], key: Key) -> str:
    return " . ".join(map(_value, types, key))


def _key_range(types: tuple[DataType, ...], element: KeyRange) -> str:
    low, high = element
    return " . ".join(map(_range, types, low, high))


def _range(kind: DataType, low: int, high: int) -> str:
    """One value, a prefix where the range is one, else both ends."""
    if low == high:
        return _value(kind, low)
    size = high - low + 1
    if kind in _BITS and size & (size - 1) == 0 and low % size == 0:
        return f"{_value(kind, low)}/{_BITS[kind] - size.bit_length() + 1}"
    return f"{_value(kind, low)}-{_value(kind, high)}"


@lru_cache(maxsize=1 << 16)
def _value(kind: DataType, value: int) -> str:
    if kind is DataType.IPV4_ADDR:
        return str(IPv4Address(value))
    if kind is DataType.IPV6_ADDR:
        return str(IPv6Address(value))
    if kind is DataType.INET_PROTO:
        return _PROTOCOLS.get(value, str(value))
    return str(value)


# -- rules


def render_verdict(verdict: ChainVerdict) -> str:
    """``drop``, ``goto in_4be0…``."""
    return f"{verdict.kind.value} {verdict.chain}" if verdict.chain else verdict.kind.value


def _part(part: Expression | Statement) -> str:
    match part:
        case Compare(field, value, negated):
            return f"{field.value} {'!= ' if negated else ''}{_value(field.type, value)}"
        case Between(field, low, high):
            return f"{field.value} {_value(field.type, low)}-{_value(field.type, high)}"
        case Lookup(fields, name):
            return f"{_fields(fields)} @{name}"
        case MetaIifKind(kind):
            return f'meta iifkind "{kind}"'
        case Vmap(fields, name):
            return f"{_fields(fields)} vmap @{name}"
        case ChainVerdict():
            return render_verdict(part)
        case Counter():
            return "counter"
        case Limit(rate, burst):
            return f"limit rate {rate}/second burst {burst} packets"
        case Log(group, prefix):
            return f'log prefix "{prefix}" group {group}'
        case CtState() | CtDirection() | CtMark() | SetCtMark():
            return _ct(part)


def _fields(fields: tuple[Field, ...]) -> str:
    return " . ".join(field.value for field in fields)


def _ct(part: CtState | CtDirection | CtMark | SetCtMark) -> str:
    match part:
        case CtState(states):
            return f"ct state {','.join((s.name or '').lower() for s in states)}"
        case CtDirection(direction):
            return f"ct direction {direction.value}"
        case CtMark(mask, value):
            return f"ct mark & 0x{mask:08x} == 0x{value:08x}"
        case SetCtMark(keep, value) if keep:
            return f"ct mark set ct mark & 0x{keep:08x} | 0x{value:08x}"
        case SetCtMark(_, value):
            return f"ct mark set 0x{value:08x}"
