"""A ruleset that a kernel would refuse cannot be built."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from podfence.nft import objects as nft
from podfence.nft.objects import (
    Between,
    Chain,
    ChainVerdict,
    Field,
    Rule,
    SetCtMark,
    VerdictKind,
    goto,
    jump,
)
from podfence.nft.ruleset import InvalidRuleset, Ruleset
from podfence.sets.members import Members

V4, V6 = nft.DataType.IPV4_ADDR, nft.DataType.IPV6_ADDR
BASE = nft.BaseChain(nft.Hook.FORWARD, 0)


def chain(name: str, *parts: nft.Expression | nft.Statement) -> Chain:
    return Chain(name, (Rule(parts),))


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([Chain("a"), Chain("a")], "a is there twice"),
        ([nft.MemberSet("a", Members(4)), nft.RangeSet("a", (V4,))], "a is there twice"),
        ([nft.MemberSet("a", Members(4)), nft.VerdictMap("a", (V4,), {})], "both named a"),
        ([Chain("")], "is not a name"),
        ([Chain("a" * 129)], "is not a name"),
        ([chain("a", goto("b"))], "no chain b"),
        ([chain("a", jump("b")), Chain("b", base=BASE)], "no chain b"),
        ([nft.VerdictMap("m", (V4,), {(1,): goto("b")})], "no chain b"),
        ([chain("a", nft.Lookup((Field.IP_SADDR,), "s"))], "no set or map s"),
        ([chain("a", nft.Vmap((Field.IP_SADDR,), "m"))], "no set or map m"),
        (
            [nft.MemberSet("s", Members(6)), chain("a", nft.Lookup((Field.IP_SADDR,), "s"))],
            "s has another key type",
        ),
        ([chain("a", jump("b")), chain("b", goto("a"))], "leads back to itself"),
        ([chain("a", jump("a"))], "leads back to itself"),
        (
            [
                nft.VerdictMap("m", (V4,), {(1,): goto("a")}),
                chain("a", nft.Vmap((Field.IP_SADDR,), "m")),
            ],
            "leads back to itself",
        ),
    ],
)
def test_refused(objects: Sequence[nft.NamedObject], message: str) -> None:
    with pytest.raises(InvalidRuleset, match=message):
        Ruleset.of(nft.Table("t"), objects)


def test_two_ways_to_one_chain_are_no_loop() -> None:
    objects = [chain("a", jump("b"), jump("c")), chain("b", jump("c")), Chain("c")]
    assert list(Ruleset.of(nft.Table("t"), objects).objects()) == objects


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: ChainVerdict(VerdictKind.GOTO), id="goto nowhere"),
        pytest.param(lambda: ChainVerdict(VerdictKind.JUMP), id="jump nowhere"),
        pytest.param(lambda: ChainVerdict(VerdictKind.DROP, "c"), id="a target of drop"),
        pytest.param(lambda: Between(Field.TH_DPORT, 9, 3), id="an empty range"),
        pytest.param(lambda: SetCtMark(0xFF, 0x1), id="a mark in kept bits"),
    ],
)
def test_values_that_no_kernel_takes_cannot_be_made(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"target|holds nothing|kept"):
        make()
