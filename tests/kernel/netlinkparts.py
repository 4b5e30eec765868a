"""Sets and rulesets that tests of netlink share."""

from __future__ import annotations

from ipaddress import ip_network

from podfence.nft.objects import (
    ACCEPT,
    DROP,
    RETURN,
    BaseChain,
    Chain,
    DataType,
    Field,
    Hook,
    Lookup,
    MemberSet,
    NamedObject,
    RangeSet,
    Rule,
    Table,
    VerdictMap,
    Vmap,
    goto,
)
from podfence.nft.ruleset import Ruleset
from podfence.sets.members import Members

TABLE = Table("podfence", "managed by podfence")
V4, V6, PORT = DataType.IPV4_ADDR, DataType.IPV6_ADDR, DataType.INET_SERVICE
TEN = int(ip_network("10.0.0.0/8")[0])


def ruleset(*objects: NamedObject) -> Ruleset:
    return Ruleset.of(TABLE, objects)


HELD = MemberSet("p_set", Members.of(4, [TEN, TEN + 1]))
VERDICTS = VerdictMap("v_map", (V4,), {(TEN,): goto("deny"), (TEN + 1,): RETURN})
SPANS = RangeSet("i_set", (V4,), (((TEN,), (TEN + 9,)),))
DENY = Chain("deny", (Rule((DROP,)),))
FORWARD = Chain(
    "forward",
    (
        Rule((Lookup((Field.IP_SADDR,), "p_set"), ACCEPT)),
        Rule((Vmap((Field.IP_DADDR,), "v_map"),)),
    ),
    BaseChain(Hook.FORWARD, 0),
)
LOADED = ruleset(HELD, VERDICTS, SPANS, DENY, FORWARD)


def large(count: int, comment: str = "") -> Ruleset:
    """Chains, sets and a map that together need several transactions."""
    sets = [MemberSet(f"s{n}", Members.of(4, range(n, count)), comment) for n in range(4)]
    chains = [
        Chain(f"c{n}", (Rule((Lookup((Field.IP_SADDR,), f"s{n % 4}"), RETURN)),)) for n in range(90)
    ]
    verdicts = VerdictMap("v_map", (V4,), {(n,): goto(f"c{n}") for n in range(90)})
    forward = Chain("forward", (Rule((Vmap((Field.IP_DADDR,), "v_map"),)),), FORWARD.base)
    return ruleset(*sets, verdicts, *chains, forward)
