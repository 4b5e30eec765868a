"""The chains that every node has, whatever its policies: the way of a packet to its group.

Rule: nothing in here depends on pods or policies, only on the node's own settings. The order of
rules in the base chains matters, and the comments there give the reasons.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from msgspec.structs import replace

from podfence.nft.lowering.deny import STATELESS, UNKNOWN, deny_rules, prefix_of
from podfence.nft.lowering.views import (
    AUDIT_VIEWS,
    DESTINATIONS,
    FAMILIES,
    SOURCES,
    VIEWS,
    DirectionView,
)
from podfence.nft.objects import (
    ACCEPT,
    ICMP,
    ICMPV6,
    RETURN,
    BaseChain,
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
    Lookup,
    MetaIifKind,
    Rule,
    SetCtMark,
    Statement,
    Vmap,
    goto,
    jump,
)
from podfence.policy.flow import Direction

PRIORITY = -10
"""Before the filter chains of others (0), after DNAT (-100): real client, real backend (NP-28)."""
FULL_MARK = 0xFFFFFFFF
FORWARD, INPUT, STAMP = "forward", "input", "stamp"
EPOCH_CHAINS = frozenset((FORWARD, INPUT, STAMP))
"""The chains that know the epoch."""
_REST = {FORWARD: "forward_unjudged", INPUT: "input_unjudged"}
"""Where a base chain sends what it has not let pass."""
_ND_TYPES = Between(Field.ICMPV6_TYPE, 133, 137)
_ON_LINK = Compare(Field.IP6_HOPLIMIT, 255)
_LINK_LOCAL = Between(Field.IP6_SADDR, 0xFE80 << 112, (0xFEC0 << 112) - 1)
_PODS_LINK = MetaIifKind("veth")
_ERRORS = tuple(
    (CtState(CtStateBit.RELATED), Compare(Field.L4PROTO, protocol)) for protocol in (ICMP, ICMPV6)
)


def range_set(family: int) -> str:
    """The set of the node's pod ranges."""
    return f"podcidr{family}"


def verdict_map(view: DirectionView, family: int) -> str:
    """The map from local pod addresses to their group's chain in a view."""
    prefix = prefix_of(view.direction, audit=view.audit).removesuffix("_")
    return f"{prefix}{family}{view.suffix}"


def stateless_map(family: int) -> str:
    """The map from local pod addresses to what happens to packets without a connection."""
    return f"{STATELESS}{family}"


def dispatch_chain(view: DirectionView) -> str:
    """The chain that looks the judged pod up."""
    return f"{'audit_' if view.audit else ''}{view.direction.value}{view.suffix}"


def skeleton(
    mark_mask: int, mark_value: int, log_group: int, *, audit: bool = False
) -> Iterator[Chain]:
    """Every fixed chain. ``mark_value``: the current epoch, shifted into the mask. ``audit``:
    whether anything is audited; then the maps of ``AUDIT_VIEWS`` are there."""
    yield Chain(UNKNOWN, deny_rules(log_group, UNKNOWN))
    yield Chain(f"{STATELESS}_d", deny_rules(log_group, STATELESS))
    for view in VIEWS:
        maps = {family: verdict_map(view, family) for family in FAMILIES}
        yield Chain(dispatch_chain(view), _dispatch(view.subject, maps))
    yield from _stateless_chains()
    yield from epoch_chains(mark_mask, mark_value)
    audits = AUDIT_VIEWS if audit else ()
    for view in audits:
        known = (Rule((Vmap((view.subject[f],), verdict_map(view, f)),)) for f in FAMILIES)
        yield Chain(dispatch_chain(view), tuple(known))
    yield Chain("reply", _judge(audits, reply=True))
    yield Chain(_REST[FORWARD], _forward(audits))
    yield Chain(_REST[INPUT], _input(audits))


def epoch_chains(mark_mask: int, mark_value: int) -> Iterator[Chain]:
    """The only chains that know the epoch: the base chains, which let pass what was judged under
    it, and the one that writes it.

    A connection that a conntrack helper announced begins in state ``related`` and with the mark of
    the connection that announced it, so no rule has judged it yet. An ICMP error has the mark of
    the connection that it is about.

    Nearly every packet ends at the first rule. So it stands in the base chains themselves, and all
    that other packets meet stands elsewhere: a jump would cost each packet as much as a question.
    """
    judged = CtMark(mark_mask, mark_value)
    own = Rule((CtState(CtStateBit.NEW | CtStateBit.ESTABLISHED), judged, ACCEPT))
    errors = [Rule((*error, judged, ACCEPT), "errors of judged connections") for error in _ERRORS]
    for name, hook in ((FORWARD, Hook.FORWARD), (INPUT, Hook.INPUT)):
        rules = (own, *errors, Rule((goto(_REST[name]),)))
        yield Chain(name, rules, BaseChain(hook, PRIORITY))
    yield Chain(STAMP, (Rule((SetCtMark(FULL_MARK & ~mark_mask, mark_value),)),))


def without_epoch(chain: Chain) -> Chain:
    """The chain as it is whatever the epoch: two that differ in their epochs alone are the same."""
    rules = (replace(rule, parts=tuple(map(_unmarked, rule.parts))) for rule in chain.rules)
    return replace(chain, rules=tuple(rules))


def _unmarked(part: Expression | Statement) -> Expression | Statement:
    if isinstance(part, CtMark):
        return CtMark(part.mask, 0)
    return SetCtMark(part.keep, 0) if isinstance(part, SetCtMark) else part


def _dispatch(subject: dict[int, Field], maps: dict[int, str]) -> tuple[Rule, ...]:
    """Every pod we know is in the maps; another address of the pod ranges has no policy yet."""
    known = (Rule((Vmap((subject[family],), maps[family]),)) for family in FAMILIES)
    unknown = (
        Rule((Lookup((subject[family],), range_set(family)), goto(UNKNOWN))) for family in FAMILIES
    )
    return (*known, *unknown)


def _stateless_chains() -> Iterator[Chain]:
    """Packets without a connection could be either direction of one: closed for isolated pods."""
    maps = {family: stateless_map(family) for family in FAMILIES}
    ends = {f"{STATELESS}_s": SOURCES, f"{STATELESS}_t": DESTINATIONS}
    for name, subject in ends.items():
        yield Chain(name, _dispatch(subject, maps))
    yield Chain(STATELESS, tuple(Rule((jump(name),)) for name in ends))


def _judge(audits: Collection[DirectionView], *, reply: bool) -> tuple[Rule, ...]:
    """Both ends must agree (NP-6); then the connection gets the epoch that judged it. Audits come
    last: they accept what they would deny, so nothing may be left to ask."""
    views = [view for view in VIEWS if view.reply is reply]
    asked = [view for view in audits if view.reply is reply]
    return (*_jumps(views), Rule((jump(STAMP),)), *_jumps(asked))


def _jumps(views: Iterable[DirectionView]) -> Iterator[Rule]:
    return (Rule((jump(dispatch_chain(view)),)) for view in views)


def _neighbours() -> Rule:
    """Neighbour discovery is never judged (NP-39). It never crosses a router (hop limit 255), so
    nobody can smuggle data in it."""
    return Rule((_ON_LINK, _ND_TYPES, ACCEPT), "neighbour discovery")


def _other_errors(chain: str) -> Iterator[Rule]:
    """Errors of connections that these rules have not let pass: after a packet that passes there
    are none. They must not come to the stamp, which would write the mark of the connection."""
    return (Rule((*error, goto(chain)), "errors of other connections") for error in _ERRORS)


def _forward(audits: Collection[DirectionView]) -> tuple[Rule, ...]:
    return (
        _neighbours(),
        Rule((CtState(CtStateBit.INVALID | CtStateBit.UNTRACKED), goto(STATELESS))),
        *_other_errors(STATELESS),
        # a connection judged under an older epoch, met on its way back
        Rule((CtDirection(CtDirectionValue.REPLY), goto("reply"))),
        *_judge(audits, reply=False),
    )


def _input(audits: Collection[DirectionView]) -> tuple[Rule, ...]:
    """From pods to their own node: egress is judged (NP-53), answers to the node pass (NP-52).

    A packet without a connection is judged like the first one of a connection.
    """
    return (
        _neighbours(),
        Rule((CtDirection(CtDirectionValue.REPLY), RETURN)),
        *_other_errors(f"{STATELESS}_s"),
        # an address that every pod has and the API does not contain: the pod is unknown
        Rule((_LINK_LOCAL, _PODS_LINK, goto(UNKNOWN)), "pods by link-local addresses"),
        Rule((jump(dispatch_chain(DirectionView(Direction.EGRESS, reply=False))),)),
        Rule((jump(STAMP),)),
        *_jumps(v for v in audits if v.direction is Direction.EGRESS and not v.reply),
    )
