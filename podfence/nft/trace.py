"""trace(ruleset, flow) -> Outcome: a packet walked through the rules in memory.

Rule: does what the kernel does with the same rules, and knows nothing of policies; so it can
judge ``lower`` by the hundred thousand without a kernel.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from podfence.model.objects import IPAddress
from podfence.nft.objects import (
    ACCEPT,
    ICMP,
    ICMPV6,
    Between,
    Chain,
    Compare,
    CtDirection,
    CtDirectionValue,
    CtMark,
    CtState,
    CtStateBit,
    Expression,
    Field,
    Hook,
    IntervalSet,
    Key,
    KeyRange,
    Lookup,
    Rule,
    Set,
    SetCtMark,
    Statement,
    Verdict,
    VerdictKind,
    Vmap,
)
from podfence.nft.ports import PROTOCOL_NUMBERS
from podfence.nft.ruleset import Ruleset
from podfence.policy.flow import Flow

CLIENT_PORT = 40000
"""Source port of the first packet of a flow: policies never look at it (NP-38)."""
ECHO_REQUEST_V6 = 128


@dataclass(frozen=True, slots=True)
class Packet:
    """What rules can ask about one packet.

    ``protocol``: number of the transport protocol. Ports are 0 where the protocol has none.
    ``icmpv6_type``: None unless the protocol is ICMPv6. ``direction`` None: no connection (then
    ``state`` is INVALID or UNTRACKED, and ``mark`` means nothing).
    """

    source: IPAddress
    destination: IPAddress
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    icmpv6_type: int | None = None
    hop_limit: int = 63
    state: CtStateBit = CtStateBit.NEW
    direction: CtDirectionValue | None = CtDirectionValue.ORIGINAL
    mark: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that gave a verdict: its place in a chain, counted from 0."""

    chain: str
    rule: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Outcome:
    """``mark``: the connection's mark afterwards. ``steps``: every verdict on the way."""

    accepted: bool
    mark: int
    steps: tuple[Step, ...] = ()


def first_packet(flow: Flow) -> Packet:
    """The packet that opens a flow; protocols without ports are shown by an echo request."""
    family = flow.source.version
    number = PROTOCOL_NUMBERS.get(flow.protocol)
    if number is None:
        echo = ICMP if family == 4 else ICMPV6
        kind = None if family == 4 else ECHO_REQUEST_V6
        return Packet(flow.source, flow.destination, echo, icmpv6_type=kind)
    return Packet(flow.source, flow.destination, number, CLIENT_PORT, flow.port)


def reply_packet(flow: Flow, mark: int = 0) -> Packet:
    """An answer within a flow that carries ``mark``, by default one of no generation."""
    first = first_packet(flow)
    return replace(
        first,
        source=first.destination,
        destination=first.source,
        source_port=first.destination_port,
        destination_port=first.source_port,
        state=CtStateBit.ESTABLISHED,
        direction=CtDirectionValue.REPLY,
        mark=mark,
    )


def trace(
    ruleset: Ruleset,
    flow: Flow,
    *,
    own_addresses: Collection[IPAddress] = (),
    reply: bool = False,
) -> Outcome:
    """What one kernel says to a flow: to its first packet, or to an answer when ``reply``.

    ``own_addresses``: the node's; what they send meets no hook of ours, what they receive the
    input hook. With ``reply`` the flow was judged under another generation, if at all.
    """
    packet = reply_packet(flow) if reply else first_packet(flow)
    return trace_packet(ruleset, packet, own_addresses)


def trace_packet(
    ruleset: Ruleset, packet: Packet, own_addresses: Collection[IPAddress] = ()
) -> Outcome:
    """What one kernel says to a packet that it forwards, receives or sends."""
    if packet.source in own_addresses:
        return Outcome(True, packet.mark)
    hook = Hook.INPUT if packet.destination in own_addresses else Hook.FORWARD
    return at_hook(ruleset, packet, hook)


def at_hook(ruleset: Ruleset, packet: Packet, hook: Hook) -> Outcome:
    """Walk every base chain of a hook, by priority; a drop in one is final."""
    walk = _Walk(ruleset, packet, packet.mark)
    bases = [
        (c.base.priority, c) for c in ruleset.chains.values() if c.base and c.base.hook is hook
    ]
    accepted = all(walk.base(chain) for _, chain in sorted(bases, key=lambda found: found[0]))
    return Outcome(accepted, walk.mark, tuple(walk.steps))


@dataclass(slots=True)
class _Walk:
    """One packet on its way; ``mark`` may change under it."""

    ruleset: Ruleset
    packet: Packet
    mark: int
    steps: list[Step] = field(default_factory=list)

    def base(self, chain: Chain) -> bool:
        """Whether a base chain lets the packet pass."""
        assert chain.base is not None
        verdict = self._chain(chain) or chain.base.policy
        return verdict == ACCEPT

    def _chain(self, chain: Chain) -> Verdict | None:
        """ACCEPT or DROP; None when the caller goes on after its jump."""
        for at, rule in enumerate(chain.rules):
            verdict = self._rule(rule)
            if verdict is None:
                continue
            self.steps.append(Step(chain.name, at, verdict))
            if verdict.kind is VerdictKind.RETURN:
                return None
            if verdict.kind is VerdictKind.GOTO:
                return self._chain(self.ruleset.chains[verdict.chain])
            if verdict.kind is not VerdictKind.JUMP:
                return verdict
            final = self._chain(self.ruleset.chains[verdict.chain])
            if final is not None:
                return final
        return None

    def _rule(self, rule: Rule) -> Verdict | None:
        """The verdict of a rule, None when it fails or gives none."""
        for part in rule.parts:
            if isinstance(part, Verdict):
                return part
            if isinstance(part, Vmap):
                key = self._key(part.fields)
                return None if key is None else self.ruleset.maps[part.map].elements.get(key)
            if not self._holds(part):
                return None
        return None

    def _holds(self, part: Expression | Statement) -> bool:
        """Whether the rule goes on after this part."""
        match part:
            case Compare(name, value, negated):
                found = self._read(name)
                return found is not None and (found == value) is not negated
            case Between(name, low, high):
                found = self._read(name)
                return found is not None and low <= found <= high
            case Lookup(fields, name):
                key = self._key(fields)
                return key is not None and _in_set(self.ruleset.sets[name], key)
            case SetCtMark(keep, value):
                return self._set_mark(keep, value)
            case CtState() | CtDirection() | CtMark():
                return self._ct(part)
        return True  # counters, logs and limits that are not yet reached

    def _ct(self, part: CtState | CtDirection | CtMark) -> bool:
        if isinstance(part, CtState):
            return bool(self.packet.state & part.states)
        if self.packet.direction is None:
            return False
        if isinstance(part, CtDirection):
            return self.packet.direction is part.direction
        return self.mark & part.mask == part.value

    def _set_mark(self, keep: int, value: int) -> bool:
        if self.packet.direction is None:
            return False
        self.mark = self.mark & keep | value
        return True

    def _key(self, fields: tuple[Field, ...]) -> Key | None:
        key = tuple(value for name in fields if (value := self._read(name)) is not None)
        return key if len(key) == len(fields) else None

    def _read(self, name: Field) -> int | None:
        packet = self.packet
        match name:
            case Field.IP_SADDR:
                return int(packet.source) if packet.source.version == 4 else None
            case Field.IP_DADDR:
                return int(packet.destination) if packet.source.version == 4 else None
            case Field.IP6_SADDR:
                return int(packet.source) if packet.source.version == 6 else None
            case Field.IP6_DADDR:
                return int(packet.destination) if packet.source.version == 6 else None
            case Field.L4PROTO:
                return packet.protocol
            case Field.TH_SPORT:
                return packet.source_port
            case Field.TH_DPORT:
                return packet.destination_port
            case Field.ICMPV6_TYPE:
                return packet.icmpv6_type
            case Field.IP6_HOPLIMIT:
                return packet.hop_limit if packet.source.version == 6 else None


def _lowest(element: KeyRange) -> Key:
    return element[0]


def _in_set(found: Set | IntervalSet, key: Key) -> bool:
    if isinstance(found, Set):
        return key in found.elements
    if len(found.type) == 1:
        at = bisect_right(found.elements, key, key=_lowest) - 1
        return at >= 0 and key <= found.elements[at][1]
    return any(
        all(a <= value <= b for a, value, b in zip(low, key, high, strict=True))
        for low, high in found.elements
    )
