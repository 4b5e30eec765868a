"""FakeNft answers as a kernel does: by itself, and beside one."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from podfence.errors import NftError
from podfence.kernel.nftcli import run_nft
from podfence.nft import objects as nft
from podfence.nft.contents import OperationRefusal, RefusalCode
from podfence.nft.difference import diff, load
from podfence.nft.objects import Chain, MemberSet, RangeSet, Rule, VerdictMap
from podfence.nft.render import render, render_transaction
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import (
    AddChain,
    AddElements,
    AddRules,
    AddSet,
    AddTable,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    DeleteTable,
    FlushChain,
    Operation,
    Transaction,
)
from podfence.sets.members import Members
from podfence.testing.fakenft import FakeNft
from tests.nft.test_difference import AFTER, BEFORE, TABLE, V4, random_ruleset
from tests.nft.test_kernel import Kernel, needs_root

SADDR = (nft.Field.IP_SADDR,)
V6 = (nft.DataType.IPV6_ADDR,)
HOOK = nft.BaseChain(nft.Hook.FORWARD, 0)
START = Ruleset.of(
    TABLE,
    [
        MemberSet("s", Members.of(4, [1])),
        RangeSet("i", V4, (((16,), (31,)), ((48,), (63,)))),
        VerdictMap("m", V4, {(1,): nft.goto("a"), (2,): nft.RETURN}),
        Chain("a"),
        Chain("b", (Rule((nft.Lookup(SADDR, "s"), nft.RETURN)),)),
        Chain("c", (Rule((nft.jump("b"),)),)),
        Chain("f", (Rule((nft.Vmap(SADDR, "m"),)), Rule((nft.jump("c"),))), HOOK),
    ],
)
MISSING, EXISTS, BUSY = RefusalCode.MISSING, RefusalCode.EXISTS, RefusalCode.BUSY

NO_CHAIN, NO_SET = OperationRefusal(MISSING, "chain", "x"), OperationRefusal(MISSING, "set", "x")
LOOP = OperationRefusal(RefusalCode.INVALID, "ruleset", "")


def span(low: int, high: int) -> RangeSet:
    return RangeSet("i", V4, (((low,), (high,)),))


def verdict(key: int, said: nft.ChainVerdict) -> VerdictMap:
    return VerdictMap("m", V4, {(key,): said})


def key(*numbers: int, name: str = "s") -> MemberSet:
    return MemberSet(name, Members.of(4, numbers))


def rule(chain: str, *parts: nft.Expression | nft.Statement) -> AddRules:
    return AddRules(chain, (Rule(parts),))


CASES: dict[str, tuple[list[Operation], OperationRefusal | None]] = {
    "an equal set": ([AddSet(MemberSet("s", Members(4)))], None),
    "a set with another key": (
        [AddSet(MemberSet("s", Members(6)))],
        OperationRefusal(EXISTS, "set", "s"),
    ),
    "a set of another kind": ([AddSet(RangeSet("s", V4))], OperationRefusal(EXISTS, "set", "s")),
    "a map over a set": ([AddSet(VerdictMap("s", V4, {}))], OperationRefusal(EXISTS, "set", "s")),
    "an equal chain": ([AddChain("a")], None),
    "a hook for a chain without": (
        [AddChain("a", HOOK)],
        OperationRefusal(RefusalCode.NOT_SUPPORTED, "chain", "a"),
    ),
    "a second AddTable": ([AddTable()], None),
    "no table": ([DeleteTable(), AddChain("x")], OperationRefusal(MISSING, "table", "podfence")),
    "an equal element": ([AddElements(key(1))], None),
    "an equal element of a map": ([AddElements(verdict(1, nft.goto("a")))], None),
    "another verdict": (
        [AddElements(verdict(1, nft.RETURN))],
        OperationRefusal(EXISTS, "element", "m"),
    ),
    "another verdict, deleted first": (
        [DeleteElements(verdict(1, nft.goto("a"))), AddElements(verdict(1, nft.goto("b")))],
        None,
    ),
    "the key says which": ([DeleteElements(verdict(1, nft.DROP))], None),
    "an element that is not there": (
        [DeleteElements(key(9))],
        OperationRefusal(MISSING, "element", "s"),
    ),
    "an element of no set": ([AddElements(key(1, name="x"))], NO_SET),
    "a verdict to no chain": (
        [AddElements(verdict(9, nft.goto("x")))],
        NO_CHAIN,
    ),
    "a rule with no set": (
        [rule("a", nft.Lookup(SADDR, "x"), nft.DROP)],
        NO_SET,
    ),
    "a rule of no chain": ([rule("x", nft.DROP)], NO_CHAIN),
    "a jump to no chain": ([rule("a", nft.jump("x"))], NO_CHAIN),
    "a jump to a hook": (
        [rule("a", nft.jump("f"))],
        OperationRefusal(RefusalCode.NOT_SUPPORTED, "chain", "f"),
    ),
    "a chain back to itself": (
        [rule("b", nft.jump("c"))],
        LOOP,
    ),
    "flush of no chain": ([FlushChain("x")], NO_CHAIN),
    "a set that a rule names": ([DeleteSet("s", MemberSet)], OperationRefusal(BUSY, "set", "s")),
    "a set after its rule": ([FlushChain("b"), DeleteSet("s", MemberSet)], None),
    "a map that a rule names": ([DeleteSet("m", VerdictMap)], OperationRefusal(BUSY, "set", "m")),
    "no set to delete": ([DeleteSet("x", MemberSet)], NO_SET),
    "a chain that a map names": ([DeleteChain("a")], OperationRefusal(BUSY, "chain", "a")),
    "a chain after its element": (
        [DeleteElements(verdict(1, nft.goto("a"))), DeleteChain("a")],
        None,
    ),
    "a chain that a rule names": ([DeleteChain("b")], OperationRefusal(BUSY, "chain", "b")),
    "a chain with rules": ([FlushChain("c"), DeleteChain("b")], None),
    "no chain to delete": ([DeleteChain("x")], NO_CHAIN),
    "a range again": ([AddElements(span(16, 31))], None),
    "a range inside another": (
        [AddElements(span(16, 23))],
        OperationRefusal(EXISTS, "element", "i"),
    ),
    "a range over the end": ([AddElements(span(24, 40))], OperationRefusal(EXISTS, "element", "i")),
    "a range around": ([AddElements(span(8, 40))], OperationRefusal(EXISTS, "element", "i")),
    "a range beside": ([AddElements(span(32, 47))], None),
    "a part of a range": (
        [DeleteElements(span(16, 23))],
        OperationRefusal(MISSING, "element", "i"),
    ),
    "a range made smaller": ([DeleteElements(span(16, 31)), AddElements(span(16, 23))], None),
    "use before it is made": (
        [rule("a", nft.jump("x")), AddChain("x")],
        NO_CHAIN,
    ),
    "made before its use": ([AddChain("x"), rule("a", nft.jump("x"))], None),
}


@pytest.mark.parametrize("name", CASES)
def test_the_fake_answers(name: str) -> None:
    operations, refusal = CASES[name]
    assert FakeNft(START).check(Transaction(TABLE, tuple(operations))) == refusal


def test_a_refused_transaction_changes_nothing() -> None:
    fake = FakeNft(START)
    with pytest.raises(NftError, match="the kernel refused the transaction: ENOENT: chain x"):
        fake.run(Transaction(TABLE, (AddElements(key(5)), rule("x", nft.DROP))))
    assert fake.list() is START
    assert fake.transactions == []


def test_what_ran_is_remembered_and_listed() -> None:
    fake = FakeNft()
    assert fake.list() is None
    fake.run(load(BEFORE))
    assert fake.list() == BEFORE
    fake.run(diff(BEFORE, AFTER))
    assert fake.list() == AFTER
    assert fake.transactions == [load(BEFORE), diff(BEFORE, AFTER)]


def test_a_difference_to_nothing_needs_a_table() -> None:
    assert FakeNft().check(diff(BEFORE, AFTER)) == OperationRefusal(MISSING, "table", "podfence")
    assert FakeNft().check(Transaction(TABLE)) is None


# -- beside a kernel


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    found = Kernel()
    yield found
    found.close()


@pytest.mark.kernel
@needs_root
@pytest.mark.parametrize("name", CASES)
def test_the_kernel_answers_the_same(kernel: Kernel, name: str) -> None:
    operations, refusal = CASES[name]
    run_nft(render_transaction(load(START)), kernel.fd)
    text = render_transaction(Transaction(TABLE, tuple(operations)))
    if refusal is None:
        run_nft(text, kernel.fd)
    else:
        with pytest.raises(NftError, match="Error"):
            run_nft(text, kernel.fd)


@pytest.mark.kernel
@needs_root
def test_differences_leave_in_a_kernel_what_they_say(kernel: Kernel) -> None:
    current = BEFORE
    run_nft(render_transaction(load(current)), kernel.fd)
    rulesets = [random_ruleset(Random(seed)) for seed in range(12)]
    for wanted in (AFTER, *rulesets, BEFORE):
        run_nft(render_transaction(diff(current, wanted)), kernel.fd)
        changed = sorted_lines(kernel)
        run_nft(render(wanted), kernel.fd)
        assert changed == sorted_lines(kernel)
        current = wanted


def sorted_lines(kernel: Kernel) -> list[str]:
    """The listing by objects: sets and chains made later stand later."""
    text = kernel.nft("list", "ruleset")
    return sorted(block.strip("}\n\t ") for block in text.split("\n\t}\n"))
