"""What a table of the kernel holds, as values: chains, rules, sets, verdict maps.

Rule: nft's own words and numbers, nothing of Kubernetes, and no text that would have to be parsed
again: ``render`` writes these values for ``nft``, ``trace`` walks packets through them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, Flag

from msgspec import Struct

from podfence.sets.members import Members


class DataType(Enum):
    """Types of the values that rules compare and sets hold, spelled as nft spells them."""

    IPV4_ADDR = "ipv4_addr"
    IPV6_ADDR = "ipv6_addr"
    INET_PROTO = "inet_proto"
    INET_SERVICE = "inet_service"
    ICMPV6_TYPE = "icmpv6_type"
    INTEGER = "integer"


class Field(Enum):
    """What a rule reads from a packet. A packet that has no such field fails the rule."""

    IP_SADDR = "ip saddr"
    IP_DADDR = "ip daddr"
    IP6_SADDR = "ip6 saddr"
    IP6_DADDR = "ip6 daddr"
    IP6_HOPLIMIT = "ip6 hoplimit"
    L4PROTO = "meta l4proto"
    TH_SPORT = "th sport"
    TH_DPORT = "th dport"
    ICMPV6_TYPE = "icmpv6 type"

    @property
    def type(self) -> DataType:
        """The type of the values that this field has."""
        return _FIELD_TYPES[self]


_FIELD_TYPES = {
    Field.IP_SADDR: DataType.IPV4_ADDR,
    Field.IP_DADDR: DataType.IPV4_ADDR,
    Field.IP6_SADDR: DataType.IPV6_ADDR,
    Field.IP6_DADDR: DataType.IPV6_ADDR,
    Field.IP6_HOPLIMIT: DataType.INTEGER,
    Field.L4PROTO: DataType.INET_PROTO,
    Field.TH_SPORT: DataType.INET_SERVICE,
    Field.TH_DPORT: DataType.INET_SERVICE,
    Field.ICMPV6_TYPE: DataType.ICMPV6_TYPE,
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

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
"""Numbers of ``meta l4proto``."""


# -- verdicts


class VerdictKind(Enum):
    """What may end the walk through a chain."""

    ACCEPT = "accept"
    DROP = "drop"
    RETURN = "return"
    JUMP = "jump"
    GOTO = "goto"


class ChainVerdict(Struct, frozen=True):
    """``chain``: the target of JUMP and GOTO, ``""`` for the others."""

    kind: VerdictKind
    chain: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for a jump to nowhere, or a target that is never reached."""
        if (self.kind in (VerdictKind.JUMP, VerdictKind.GOTO)) is not bool(self.chain):
            raise ValueError(f"verdict {self.kind.value} with target {self.chain!r}")


ACCEPT = ChainVerdict(VerdictKind.ACCEPT)
DROP = ChainVerdict(VerdictKind.DROP)
RETURN = ChainVerdict(VerdictKind.RETURN)


def jump(chain: str) -> ChainVerdict:
    """Go through ``chain`` and come back after it."""
    return ChainVerdict(VerdictKind.JUMP, chain)


def goto(chain: str) -> ChainVerdict:
    """Go on in ``chain`` instead of this chain: a return there returns from here."""
    return ChainVerdict(VerdictKind.GOTO, chain)


# -- expressions: each holds or fails for a packet


def _require_value(field: Field, value: int) -> None:
    if value < 0 or value.bit_length() > 8 * SIZES[field.type]:
        raise ValueError(f"{field.value} is never {value}")


class Compare(Struct, frozen=True):
    """``field value``, or ``field != value`` when ``negated`` (absent fields fail both)."""

    field: Field
    value: int
    negated: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for a value that the field never has."""
        _require_value(self.field, self.value)


class Between(Struct, frozen=True):
    """``field low-high``, both ends included."""

    field: Field
    low: int
    high: int

    def __post_init__(self) -> None:
        """Raises ValueError for a value that the field never has, and for a range that holds
        nothing, which the kernel refuses."""
        _require_value(self.field, self.low)
        _require_value(self.field, self.high)
        if self.low > self.high:
            raise ValueError(f"{self.field.value} {self.low}-{self.high} holds nothing")


class Lookup(Struct, frozen=True):
    """``fields @set``: the concatenated values are an element of a set."""

    fields: tuple[Field, ...]
    set: str

    def __post_init__(self) -> None:
        """Raises ValueError for a key of no field."""
        if not self.fields:
            raise ValueError(f"a lookup of nothing in {self.set}")


class MetaIifKind(Struct, frozen=True):
    """``meta iifkind "kind"``: the device that the packet came by is of this kind (veth)."""

    kind: str


class CtStateBit(Flag):
    """Conntrack's view of a packet, with the kernel's bits.

    INVALID: conntrack refused it; UNTRACKED: it did not look. Neither has a connection.
    """

    INVALID = 1
    ESTABLISHED = 2
    RELATED = 4
    NEW = 8
    UNTRACKED = 64


class CtState(Struct, frozen=True):
    """``ct state a,b``: the state is one of these."""

    states: CtStateBit

    def __post_init__(self) -> None:
        """Raises ValueError for no state."""
        if not self.states:
            raise ValueError("ct state of no state")


class CtDirectionValue(Enum):
    """ORIGINAL: the way the first packet of the connection went."""

    ORIGINAL = "original"
    REPLY = "reply"


class CtDirection(Struct, frozen=True):
    """``ct direction``; fails for a packet without connection."""

    direction: CtDirectionValue


class CtMark(Struct, frozen=True):
    """``ct mark & mask == value``; fails for a packet without connection."""

    mask: int
    value: int

    def __post_init__(self) -> None:
        """Raises ValueError when a bit of ``value`` is not looked at: this never holds."""
        if self.value & ~self.mask:
            raise ValueError(f"mark {self.value:#x} has bits outside {self.mask:#x}")


# -- statements: each does something, some end the rule


class SetCtMark(Struct, frozen=True):
    """``ct mark set (ct mark & keep) | value``; ``value`` has no bit of ``keep``."""

    keep: int
    value: int

    def __post_init__(self) -> None:
        """Raises ValueError when a bit of ``value`` is one that is kept."""
        if self.keep & self.value:
            raise ValueError(f"mark {self.value:#x} has bits of {self.keep:#x}, which are kept")


class Counter(Struct, frozen=True):
    """Counts the packets and bytes that come here."""


class Limit(Struct, frozen=True):
    """Lets ``rate`` packets a second pass, ``burst`` at once; fails for the others."""

    rate: int
    burst: int

    def __post_init__(self) -> None:
        """Raises ValueError for a rate that lets nothing pass."""
        if self.rate < 1 or self.burst < 0:
            raise ValueError(f"{self.rate} packets a second, {self.burst} at once")


MAX_LOG_PREFIX = 63
"""Bytes that every reader of the log shows whole."""


class Log(Struct, frozen=True):
    """Sends a copy to the listeners of a netlink log group (0..65535). ``prefix``: at most 63 bytes
    of the characters that ``printable`` lets through."""

    group: int
    prefix: str

    def __post_init__(self) -> None:
        """Raises ValueError for a group that is none, and for a prefix that would be cut."""
        if not 0 <= self.group <= 0xFFFF:
            raise ValueError(f"no log group: {self.group}")
        if len(self.prefix.encode("utf-8")) > MAX_LOG_PREFIX:
            raise ValueError(f"a log prefix of more than {MAX_LOG_PREFIX} bytes")


class Vmap(Struct, frozen=True):
    """``fields vmap @map``: the verdict of the element; fails when there is none."""

    fields: tuple[Field, ...]
    map: str

    def __post_init__(self) -> None:
        """Raises ValueError for a key of no field."""
        if not self.fields:
            raise ValueError(f"a lookup of nothing in {self.map}")


Expression = Compare | Between | Lookup | MetaIifKind | CtState | CtDirection | CtMark
Statement = SetCtMark | Counter | Limit | Log | Vmap | ChainVerdict


class Rule(Struct, frozen=True):
    """nftables' own word; ``library.values.Rule`` is one of a policy. Parts from left to right; the
    first that fails ends the rule. ``comment``: where the rule comes from, at most 128 bytes of the
    characters that ``printable`` lets through; ``""``: none.
    """

    parts: tuple[Expression | Statement, ...]
    comment: str = ""


# -- named objects


class Table(Struct, frozen=True):
    """``family`` is always inet here: both IP versions pass through the same chains."""

    name: str
    comment: str = ""
    family: str = "inet"


class Hook(Enum):
    """Where the kernel calls a base chain: FORWARD for routed packets, INPUT for those to the host,
    OUTPUT for those that it sends."""

    FORWARD = "forward"
    INPUT = "input"
    OUTPUT = "output"


class BaseChain(Struct, frozen=True):
    """``priority``: lower runs earlier. ``policy``: ACCEPT or DROP, said when no rule decides."""

    hook: Hook
    priority: int
    policy: ChainVerdict = ACCEPT

    def __post_init__(self) -> None:
        """Raises ValueError for another policy."""
        if self.policy not in (ACCEPT, DROP):
            raise ValueError(f"a base chain never ends in {self.policy.kind.value}")


class Chain(Struct, frozen=True):
    """``base`` None: a regular chain, reached by jump, goto or a verdict map only."""

    name: str
    rules: tuple[Rule, ...] = ()
    base: BaseChain | None = None
    comment: str = ""


ADDRESS_TYPES = {4: DataType.IPV4_ADDR, 6: DataType.IPV6_ADDR}
"""The types of addresses, by IP version."""
Key = tuple[int, ...]
"""One number a field of the key; addresses as integers."""
KeyRange = tuple[Key, Key]
"""Lowest and highest value of each field, both included."""


class Set(Struct, frozen=True):
    """A hash set of ports or of concatenations; addresses alone lie in a :class:`MemberSet`."""

    name: str
    type: tuple[DataType, ...]
    elements: frozenset[Key] = frozenset()
    comment: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for addresses alone: the same set would have two values."""
        if len(self.type) == 1 and self.type[0] in ADDRESS_TYPES.values():
            raise ValueError(f"{self.name}: addresses alone are a MemberSet")


class MemberSet(Struct, frozen=True):
    """A hash set of addresses of one IP version. Empty is usual: a selector that matches nobody
    now keeps its set. There may be a million elements on a node, so they are bitmaps."""

    name: str
    elements: Members
    comment: str = ""

    @property
    def type(self) -> tuple[DataType, ...]:
        """The type of a key: an address."""
        return (ADDRESS_TYPES[self.elements.family],)


class RangeSet(Struct, frozen=True):
    """A set of ranges (``flags interval``): in order, no two overlap."""

    name: str
    type: tuple[DataType, ...]
    elements: tuple[KeyRange, ...] = ()
    comment: str = ""

    def __post_init__(self) -> None:
        """Raises ValueError for a range that holds nothing. Overlaps are found where a table
        would hold them (``contents``)."""
        for low, high in self.elements:
            if any(first > last for first, last in zip(low, high, strict=True)):
                raise ValueError(f"{self.name}: {low} to {high} holds nothing")


class VerdictMap(Struct, frozen=True):
    """A hash map from keys to verdicts."""

    name: str
    type: tuple[DataType, ...]
    elements: Mapping[Key, ChainVerdict]
    comment: str = ""


NamedObject = Set | MemberSet | RangeSet | VerdictMap | Chain
