"""trace(ruleset, flow) -> Outcome: a packet walked through the rules in memory.

Rule: does what the kernel does with the same rules, and knows nothing of policies; so it can
judge ``lower`` by the hundred thousand without a kernel.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection

from msgspec import Struct, field
from msgspec.structs import replace

from podfence.nft.lowering.ports import PROTOCOL_NUMBERS
from podfence.nft.objects import (
    ACCEPT,
    ICMP,
    ICMPV6,
    Between,
    Chain,
    ChainVerdict,
    Compare,
    CtDirection,
    CtDirectionValue,
    CtMark,
    CtState,
    CtStateBit,
    Expression,
    Field,
    Hook,
    Key,
    KeyRange,
    Lookup,
    MemberSet,
    MetaIifKind,
    Rule,
    Set,
    SetCtMark,
    Statement,
    VerdictKind,
    Vmap,
)
from podfence.nft.ruleset import AnySet, Ruleset
from podfence.policy.flow import Flow
from podfence.sets.addresses import IPAddress

CLIENT_PORT = 40000
"""Source port of the first packet of a flow: policies never look at it (NP-38)."""
ECHO_REQUEST_V6 = 128


class Packet(Struct, frozen=True):
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
    came_by: str = ""
    """The kind of the device that it came by."""


class TraceStep(Struct, frozen=True):
    """A rule that gave a verdict: its index in a chain, counted from 0."""

    chain: str
    rule: int
    verdict: ChainVerdict


class TraceResult(Struct, frozen=True):
    """``mark``: the connection's mark afterwards. ``steps``: every verdict on the way."""

    accepted: bool
    mark: int
    steps: tuple[TraceStep, ...] = ()


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
    """An answer within a flow that carries ``mark``, by default one of no epoch."""
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
) -> TraceResult:
    """What one kernel says to a flow: to its first packet, or to an answer when ``reply``.

    ``own_addresses``: the node's; what they send meets no hook of ours, what they receive the
    input hook. With ``reply`` the flow was judged under another epoch, if at all. What a pod
    sends to its own address never leaves its namespace, so no kernel is asked (CNP-27); a packet
    of a pod that comes back to it from a Service is one for :func:`trace_packet`.
    """
    if flow.source == flow.destination:
        return TraceResult(True, 0)
    packet = reply_packet(flow) if reply else first_packet(flow)
    return trace_packet(ruleset, packet, own_addresses)


def trace_packet(
    ruleset: Ruleset, packet: Packet, own_addresses: Collection[IPAddress] = ()
) -> TraceResult:
    """What one kernel says to a packet that it forwards, receives or sends."""
    if packet.source in own_addresses:
        return TraceResult(True, packet.mark)
    hook = Hook.INPUT if packet.destination in own_addresses else Hook.FORWARD
    return at_hook(ruleset, packet, hook)


def at_hook(ruleset: Ruleset, packet: Packet, hook: Hook) -> TraceResult:
    """Walk every base chain of a hook, by priority; a drop in one is final."""
    walk = _PacketWalk(ruleset, packet, packet.mark, _fields(packet))
    bases = [
        (c.base.priority, c) for c in ruleset.chains.values() if c.base and c.base.hook is hook
    ]
    accepted = all(walk.base(chain) for _, chain in sorted(bases, key=lambda found: found[0]))
    return TraceResult(accepted, walk.mark, tuple(walk.steps))


def _fields(packet: Packet) -> dict[Field, int]:
    """What a packet has; what it lacks is not in there."""
    found = {
        Field.L4PROTO: packet.protocol,
        Field.TH_SPORT: packet.source_port,
        Field.TH_DPORT: packet.destination_port,
    }
    if packet.source.version == 4:
        found[Field.IP_SADDR] = int(packet.source)
        found[Field.IP_DADDR] = int(packet.destination)
    else:
        found[Field.IP6_SADDR] = int(packet.source)
        found[Field.IP6_DADDR] = int(packet.destination)
        found[Field.IP6_HOPLIMIT] = packet.hop_limit
    if packet.icmpv6_type is not None:
        found[Field.ICMPV6_TYPE] = packet.icmpv6_type
    return found


class _PacketWalk(Struct):
    """One packet on its way; ``mark`` may change under it."""

    ruleset: Ruleset
    packet: Packet
    mark: int
    fields: dict[Field, int]
    steps: list[TraceStep] = field(default_factory=list)

    def base(self, chain: Chain) -> bool:
        """Whether a base chain lets the packet pass."""
        assert chain.base is not None
        verdict = self._chain(chain) or chain.base.policy
        return verdict == ACCEPT

    def _chain(self, chain: Chain) -> ChainVerdict | None:
        """ACCEPT or DROP; None when the caller goes on after its jump."""
        for at, rule in enumerate(chain.rules):
            verdict = self._rule(rule)
            if verdict is None:
                continue
            self.steps.append(TraceStep(chain.name, at, verdict))
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

    def _rule(self, rule: Rule) -> ChainVerdict | None:
        """The verdict of a rule, None when it fails or gives none."""
        for part in rule.parts:
            if isinstance(part, ChainVerdict):
                return part
            if isinstance(part, Vmap):
                key = self._key(part.fields)
                return None if key is None else self.ruleset.maps[part.map].elements.get(key)
            if not self._holds(part):
                return None
        return None

    def _holds(self, part: Expression | Statement) -> bool:
        """Whether the rule goes on after this part."""
        if isinstance(part, Lookup):
            key = self._key(part.fields)
            return key is not None and _in_set(self.ruleset.sets[part.set], key)
        if isinstance(part, Compare):
            found = self.fields.get(part.field)
            return found is not None and (found == part.value) is not part.negated
        if isinstance(part, Between):
            found = self.fields.get(part.field)
            return found is not None and part.low <= found <= part.high
        if isinstance(part, MetaIifKind):
            return self.packet.came_by == part.kind
        if isinstance(part, CtState):
            return bool(self.packet.state & part.states)
        if isinstance(part, CtDirection | CtMark | SetCtMark):
            return self.packet.direction is not None and self._connection(part)
        return True  # counters, logs, and limits that are not reached yet

    def _connection(self, part: CtDirection | CtMark | SetCtMark) -> bool:
        """What needs a connection."""
        if isinstance(part, CtDirection):
            return self.packet.direction is part.direction
        if isinstance(part, CtMark):
            return self.mark & part.mask == part.value
        self.mark = self.mark & part.keep | part.value
        return True

    def _key(self, names: tuple[Field, ...]) -> Key | None:
        fields = self.fields
        key = tuple(fields[name] for name in names if name in fields)
        return key if len(key) == len(names) else None


def _lowest(element: KeyRange) -> Key:
    return element[0]


def _in_set(found: AnySet, key: Key) -> bool:
    if isinstance(found, MemberSet):
        return key[0] in found.elements
    if isinstance(found, Set):
        return key in found.elements
    if len(found.type) == 1:
        at = bisect_right(found.elements, key, key=_lowest) - 1
        return at >= 0 and key <= found.elements[at][1]
    return any(
        all(a <= value <= b for a, value, b in zip(low, key, high, strict=True))
        for low, high in found.elements
    )
