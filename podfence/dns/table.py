"""The rules that copy DNS packets to us: a table of its own, which decides nothing.

Rule: the table is there only while some policy here has domain names. It comes after our verdicts,
so a denied packet is not copied. It has no verdict of its own, so no packet waits or ends for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from podfence.dns.packets import TCP, UDP
from podfence.dns.reader import PORT
from podfence.nft.lowering.skeleton import PRIORITY
from podfence.nft.lowering.views import FAMILIES
from podfence.nft.objects import (
    BaseChain,
    Chain,
    Compare,
    CtDirection,
    CtDirectionValue,
    CtState,
    CtStateBit,
    Field,
    Hook,
    Limit,
    Log,
    Lookup,
    MemberSet,
    NamedObject,
    Rule,
    Table,
    jump,
)
from podfence.nft.ruleset import Ruleset
from podfence.policy.domains import At
from podfence.sets.members import Members

TABLE = "podfence-names"
QUESTION, ANSWER = "podfence:question", "podfence:answer-of-dns"
"""Log prefixes."""
COPIED = 8192
"""Bytes of a packet that are copied."""
LIMIT = Limit(rate=2000, burst=4000)
"""Copies a second of questions, and as many of answers: a flood must not cost a processor."""


def names_table(group: int, resolvers: Collection[At]) -> Ruleset:
    """The table that copies what goes to and comes from resolvers to a log group."""
    objects: list[NamedObject] = [
        MemberSet(_set(family), Members.of(family, (n for f, n in resolvers if f == family)))
        for family in FAMILIES
    ]
    there = (CtDirection(CtDirectionValue.ORIGINAL),)
    back = (CtDirection(CtDirectionValue.REPLY), CtState(CtStateBit.ESTABLISHED))
    to = {4: Field.IP_DADDR, 6: Field.IP6_DADDR}
    by = {4: Field.IP_SADDR, 6: Field.IP6_SADDR}
    alone = (CtState(CtStateBit.UNTRACKED),)
    objects += [
        Chain("questions", tuple(_copies(to, there, Log(group, QUESTION)))),
        Chain("answers", tuple(_copies(by, back, Log(group, ANSWER)))),
        Chain("questions_alone", tuple(_copies(to, alone, Log(group, QUESTION)))),
        Chain("answers_alone", tuple(_copies(by, alone, Log(group, ANSWER)))),
    ]
    asks = tuple(_leads(Field.TH_DPORT, "questions"))
    tells = tuple(_leads(Field.TH_SPORT, "answers"))
    # A resolver of the node itself; NodeLocal DNSCache has its packets not tracked. Only the node
    # sends by the hook of answers, so there they need no connection to be believed.
    asks_here = (*asks, *_leads(Field.TH_DPORT, "questions_alone"))
    tells_here = (*tells, *_leads(Field.TH_SPORT, "answers_alone"))
    for hook, rules in (
        (Hook.FORWARD, (*asks, *tells)),
        (Hook.INPUT, asks_here),
        (Hook.OUTPUT, tells_here),
    ):
        objects.append(Chain(hook.value, rules, BaseChain(hook, PRIORITY + 1)))
    return Ruleset.of(Table(TABLE, "managed by podfence"), objects)


def _set(family: int) -> str:
    return f"resolvers{family}"


def _leads(port: Field, chain: str) -> Iterator[Rule]:
    for protocol in (UDP, TCP):
        yield Rule((Compare(Field.L4PROTO, protocol), Compare(port, PORT), jump(chain)))


def _copies(
    ends: dict[int, Field], asked: tuple[CtDirection | CtState, ...], log: Log
) -> Iterator[Rule]:
    for family, field in ends.items():
        yield Rule((Lookup((field,), _set(family)), *asked, LIMIT, log))
