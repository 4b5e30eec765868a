"""From one ruleset to another: what changes, in which order, and that nothing else does."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.nft import objects as nft
from podfence.nft.contents import OperationRefusal, OperationRefused, RefusalCode
from podfence.nft.difference import apply, diff, load
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.objects import Chain, MemberSet, NamedObject, RangeSet, Rule, VerdictMap
from podfence.nft.render import render_transaction
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import (
    AddElements,
    AddSet,
    AddTable,
    DeleteElements,
    DeleteTable,
    FlushChain,
    Transaction,
    outline,
)
from podfence.policy.compile import compile_cluster
from podfence.sets.members import Members
from podfence.testing.builders import pod
from podfence.testing.fakenft import FakeNft
from tests.nft.cases import CASES, DB_ALLOW, NODE, Case, index_of
from tests.support.random_clusters import random_cluster

V4 = (nft.DataType.IPV4_ADDR,)
TABLE = nft.Table("podfence", "managed by podfence")


def of(*objects: NamedObject) -> Ruleset:
    return Ruleset.of(TABLE, objects)


def random_ruleset(rng: Random) -> Ruleset:
    return lower(
        compile_cluster(random_cluster(rng)),
        LocalNode("n", pod_cidrs=NODE.pod_cidrs[: rng.randint(0, 2)], epoch=rng.randint(1, 9)),
    )


@given(st.randoms(use_true_random=False))
def test_a_difference_leads_where_it_says(rng: Random) -> None:
    one, other = random_ruleset(rng), random_ruleset(rng)
    assert apply(one, diff(one, other)) == other
    assert apply(one, load(other)) == other
    assert not diff(one, Ruleset.of(one.table, one.objects()))


def test_equal_cases_differ_in_nothing() -> None:
    for case in CASES:
        assert not diff(case.ruleset, case.ruleset)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(MemberSet("s", Members(4)), RangeSet("s", V4), id="kind of a set"),
        pytest.param(MemberSet("s", Members(4)), MemberSet("s", Members(6)), id="type of a key"),
        pytest.param(
            MemberSet("s", Members(4)),
            MemberSet("s", Members(4), comment="x"),
            id="comment of a set",
        ),
        pytest.param(
            MemberSet("s", Members(4)), VerdictMap("s", V4, {}), id="set that becomes a map"
        ),
        pytest.param(Chain("c"), Chain("c", comment="x"), id="comment of a chain"),
        pytest.param(Chain("c"), Chain("c", (), nft.BaseChain(nft.Hook.INPUT, 0)), id="hook"),
    ],
)
def test_what_cannot_be_changed_replaces_the_table(before: NamedObject, after: NamedObject) -> None:
    transaction = diff(of(before), of(after))
    assert transaction.operations[:3] == (AddTable(), DeleteTable(), AddTable())
    assert apply(of(before), transaction) == of(after)


def test_another_comment_of_the_table_replaces_it() -> None:
    before = of(MemberSet("s", Members(4)))
    after = Ruleset.of(nft.Table("podfence", "other"), [MemberSet("s", Members(4))])
    assert apply(before, diff(before, after)) == after


NEW_POD = pod("shop/web2", {"app": "web"}, addresses=["10.1.0.7"])


def test_a_new_pod_adds_elements_only() -> None:
    before = Case("", index_of(DB_ALLOW)).ruleset
    after = Case("", index_of(DB_ALLOW, NEW_POD)).ruleset
    changes = diff(before, after)
    touched = [op.part.name[:3] for op in changes if isinstance(op, AddElements)]
    assert len(touched) == len(changes)
    assert set(touched) == {"p4_", "eg4", "in4", "sel", "sta"}


EVERYTHING = """\
add set inet podfence new { type ipv4_addr; flags interval; comment "blocks"; }
add map inet podfence newmap { type ipv4_addr : verdict; }
add chain inet podfence fresh { comment "shop/a"; }
flush chain inet podfence changed
flush chain inet podfence gone
delete element inet podfence moved {
	10.0.0.1,
	10.0.0.2
}
delete element inet podfence maps {
	0.0.0.1 : goto gone
}
add element inet podfence new {
	10.0.0.0/24,
	10.0.2.0-10.0.2.2
}
add element inet podfence newmap {
	0.0.0.9 : goto fresh
}
add element inet podfence moved {
	10.0.0.3
}
add element inet podfence maps {
	0.0.0.1 : goto fresh
}
add rule inet podfence fresh ip saddr @new return comment "one"
add rule inet podfence fresh drop
add rule inet podfence changed ip saddr @moved return
add rule inet podfence changed ip saddr vmap @newmap
delete set inet podfence old
delete map inet podfence oldmap
delete chain inet podfence gone
"""
SADDR = (nft.Field.IP_SADDR,)
TEN = 0x0A000000
BEFORE = of(
    MemberSet("moved", Members.of(4, [TEN + 1, TEN + 2, TEN + 4])),
    MemberSet("old", Members.of(4, [1])),
    VerdictMap("maps", V4, {(1,): nft.goto("gone"), (2,): nft.RETURN}),
    VerdictMap("oldmap", V4, {(1,): nft.goto("gone")}),
    Chain("changed", (Rule((nft.Lookup(SADDR, "old"), nft.DROP)),)),
    Chain("gone", (Rule((nft.Lookup(SADDR, "old"), nft.DROP)),)),
    Chain("still", (Rule((nft.Lookup(SADDR, "moved"), nft.DROP)),)),
)
AFTER = of(
    MemberSet("moved", Members.of(4, [TEN + 3, TEN + 4])),
    RangeSet("new", V4, (((TEN,), (TEN + 255,)), ((TEN + 512,), (TEN + 514,))), comment="blocks"),
    VerdictMap("maps", V4, {(1,): nft.goto("fresh"), (2,): nft.RETURN}),
    VerdictMap("newmap", V4, {(9,): nft.goto("fresh")}),
    Chain(
        "fresh",
        (Rule((nft.Lookup(SADDR, "new"), nft.RETURN), "one"), Rule((nft.DROP,))),
        comment="shop/a",
    ),
    Chain(
        "changed",
        (
            Rule((nft.Lookup(SADDR, "moved"), nft.RETURN)),
            Rule((nft.Vmap(SADDR, "newmap"),)),
        ),
    ),
    Chain("still", (Rule((nft.Lookup(SADDR, "moved"), nft.DROP)),)),
)


def test_every_kind_of_change_byte_for_byte() -> None:
    transaction = diff(BEFORE, AFTER)
    assert render_transaction(transaction) == EVERYTHING
    assert apply(BEFORE, transaction) == AFTER


def test_a_table_is_replaced_byte_for_byte() -> None:
    assert render_transaction(load(of(MemberSet("s", Members(4))))) == (
        'add table inet podfence { comment "managed by podfence"; }\n'
        "delete table inet podfence\n"
        'add table inet podfence { comment "managed by podfence"; }\n'
        "add set inet podfence s { type ipv4_addr; }\n"
    )


def test_a_base_chain_byte_for_byte() -> None:
    chain = Chain("c", (), nft.BaseChain(nft.Hook.FORWARD, -10), "why")
    assert render_transaction(diff(of(), of(chain))) == (
        'add chain inet podfence c { comment "why"; '
        "type filter hook forward priority -10; policy accept; }\n"
    )


def test_nothing_to_do_is_no_text() -> None:
    assert render_transaction(diff(BEFORE, BEFORE)) == ""


def test_a_set_is_declared_without_elements() -> None:
    with pytest.raises(ValueError, match="s: declared with elements"):
        AddSet(MemberSet("s", Members.of(4, [1])))


def test_no_ruleset_is_left_of_a_deleted_table() -> None:
    with pytest.raises(OperationRefused) as caught:
        apply(BEFORE, Transaction(TABLE, (DeleteTable(),)))
    assert caught.value.refusal == OperationRefusal(RefusalCode.MISSING, "table", "podfence")


def test_an_element_with_another_verdict_is_deleted_first() -> None:
    part = VerdictMap("maps", V4, {(2,): nft.DROP})
    alone = Transaction(TABLE, (AddElements(part),))
    assert FakeNft(BEFORE).check(alone) == OperationRefusal(RefusalCode.EXISTS, "element", "maps")
    both = Transaction(TABLE, (DeleteElements(part), AddElements(part)))
    assert FakeNft(BEFORE).check(both) is None


def test_people_are_told_the_first_operations_and_how_many_there_are() -> None:
    part = MemberSet("p4_shop", Members.of(4, [1, 2]))
    steps = (AddElements(part), FlushChain("in_shop"), AddSet(MemberSet("p4_x", Members(4))))
    said = "AddElements p4_shop 2, FlushChain in_shop"
    assert outline(Transaction(TABLE, steps), 2) == f"{said}, ... of 3"
    assert outline(Transaction(TABLE, steps)) == f"{said}, AddSet p4_x"
    assert outline(Transaction(TABLE, (AddTable(),))) == "AddTable"
