"""What netlink writes and what ``nft`` writes read back the same, by ``nft`` and by netlink."""

from __future__ import annotations

import os
from ipaddress import ip_network
from itertools import product
from random import Random

import pytest
from msgspec.structs import replace

from podfence.errors import NftError
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.nft.difference import diff, load
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.objects import (
    DROP,
    RETURN,
    Chain,
    ChainVerdict,
    DataType,
    Key,
    KeyRange,
    MemberSet,
    RangeSet,
    Rule,
    Set,
    Table,
    VerdictMap,
    goto,
)
from podfence.nft.render import render
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import (
    AddTable,
    DeleteTable,
    Transaction,
)
from podfence.policy.compile import compile_cluster
from podfence.sets.members import Members
from tests.kernel.netlinkparts import LOADED, PORT, TABLE, TEN, V4, V6, ruleset
from tests.kernel.nft_namespace import NftNamespace
from tests.kernel.random_rulesets import random_ranges, random_ruleset
from tests.nft.cases import CASES, Case
from tests.support.random_clusters import Size, random_cluster

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="enters a namespace made by root"),
]
LAST4, LAST6, LAST_PORT = 2**32 - 1, 2**128 - 1, 65535


def assert_both_write_the_same(space: NftNamespace, wanted: Ruleset) -> None:
    space.nft("-f", "-", text=render(wanted))
    by_nft, read_by_nft = space.table.list(), space.listing()
    space.clear()
    space.table.replace(wanted)
    assert space.listing() == read_by_nft
    assert space.table.list() == wanted
    assert by_nft == wanted
    space.clear()


# --- the two writers -------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_lowered_rulesets(space: NftNamespace, case: Case) -> None:
    assert_both_write_the_same(space, case.ruleset)


def test_lowered_random_clusters(space: NftNamespace) -> None:
    cidrs = (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))
    for seed in range(15):
        index = compile_cluster(random_cluster(Random(seed), Size(pods=12, policies=12)))
        node = LocalNode("n1", pod_cidrs=cidrs, epoch=seed + 1)
        assert_both_write_the_same(space, lower(index, node))


def test_random_rulesets(space: NftNamespace) -> None:
    for seed in range(40):
        assert_both_write_the_same(space, random_ruleset(Random(seed)))


@pytest.mark.parametrize(
    ("types", "elements"),
    [
        pytest.param((V4,), (((0,), (0,)),), id="first-address"),
        pytest.param((V4,), (((LAST4,), (LAST4,)),), id="last-address"),
        pytest.param((V4,), (((0,), (LAST4,)),), id="all-of-ipv4"),
        pytest.param((V6,), (((0,), (LAST6,)),), id="all-of-ipv6"),
        pytest.param((V6,), (((LAST6,), (LAST6,)),), id="last-of-ipv6"),
        pytest.param((V4,), (((TEN,), (TEN + 5,)), ((TEN + 6,), (TEN + 9,))), id="adjacent"),
        pytest.param((V4,), (((TEN,), (TEN,)), ((TEN + 1,), (TEN + 1,))), id="adjacent-single"),
        pytest.param((V4,), (((0,), (TEN,)), ((TEN + 1,), (LAST4,))), id="adjacent-to-the-ends"),
        pytest.param((V4,), (((TEN,), (TEN + 2**24 - 1,)),), id="a-prefix"),
        pytest.param((V4,), (), id="empty"),
        pytest.param((PORT,), (((0,), (10,)), ((80,), (80,)), ((90,), (LAST_PORT,))), id="ports"),
        pytest.param(
            (V4, PORT),
            (((0, 80), (LAST4, 90)), ((TEN, 91), (TEN + 255, LAST_PORT)), ((TEN, 0), (TEN, 0))),
            id="concatenation-of-ranges",
        ),
        pytest.param((V6, PORT), (((0, 0), (LAST6, LAST_PORT)),), id="everything"),
    ],
)
def test_ranges(
    space: NftNamespace, types: tuple[DataType, ...], elements: tuple[KeyRange, ...]
) -> None:
    held = RangeSet("i_set", types, tuple(sorted(elements)))
    assert_both_write_the_same(space, ruleset(held))


def test_ranges_come_and_go_one_by_one(space: NftNamespace) -> None:
    ranges = (((0,), (9,)), ((10,), (10,)), ((11,), (20,)), ((LAST4,), (LAST4,)))
    empty = ruleset(RangeSet("i_set", (V4,)))
    space.table.replace(empty)
    for kept in (ranges, ranges[1:3], ranges[:1], ranges[3:], (), ranges):
        now = space.table.list()
        assert now is not None
        wanted = ruleset(RangeSet("i_set", (V4,), kept))
        space.table.run(diff(now, wanted))
        assert space.table.list() == wanted


@pytest.mark.parametrize("types", [(V4,), (V6,), (PORT,), (V4, PORT)])
def test_ranges_change_whoever_wrote_them(space: NftNamespace, types: tuple[DataType, ...]) -> None:
    for seed in range(4):
        random = Random(seed)
        old, new = (
            ruleset(RangeSet("i_set", types, random_ranges(random, types))) for _ in range(2)
        )
        for write, change in product((space.table.run, space.run_nft), repeat=2):
            space.clear()
            write(load(old))
            change(diff(old, new))
            assert space.table.list() == new


# --- transactions ----------------------------------------------------------------------------


def test_differences_lead_from_one_random_cluster_to_the_next(space: NftNamespace) -> None:
    current: Ruleset | None = None
    for seed in range(10):
        index = compile_cluster(random_cluster(Random(seed), Size(pods=10, policies=8)))
        wanted = lower(index, LocalNode("n1", epoch=seed + 1))
        if current is None:
            space.table.replace(wanted)
        else:
            space.table.run(diff(current, wanted))
        current = space.table.list()
        assert current == wanted


def test_differences_of_random_rulesets_are_the_same_by_both_ways(space: NftNamespace) -> None:
    for seed in range(12):
        old, new = (random_ruleset(Random(seed + other)) for other in (0, 500))
        old = replace(old, table=new.table)
        listings = []
        for run in (space.table.run, space.run_nft):
            space.table.replace(old)
            run(diff(old, new))
            listings.append(space.listing())
            assert space.table.list() == new
        assert listings[0] == listings[1]


def test_there_is_no_table_before_the_first_and_after_the_last(space: NftNamespace) -> None:
    assert space.table.list() is None
    space.table.run(Transaction(TABLE, (AddTable(),)))
    assert space.table.list() == ruleset()
    space.table.run(Transaction(TABLE))
    space.table.run(Transaction(TABLE, (DeleteTable(),)))
    assert space.table.list() is None


def test_tables_of_others_are_neither_read_nor_touched(space: NftNamespace) -> None:
    other = "table inet other {\n\tchain deny {\n\t\tmeta mark 0x00000001 drop\n\t}\n}\n"
    space.nft("-f", "-", text=other)
    space.table.replace(ruleset(Chain("deny", (Rule((DROP,)),))))
    assert space.table.list() == ruleset(Chain("deny", (Rule((DROP,)),)))
    space.table.run(Transaction(TABLE, (DeleteTable(),)))
    assert space.listing() == other


def test_many_elements_go_in_many_messages_of_one_transaction(space: NftNamespace) -> None:
    keys = frozenset((TEN + n, TEN - n) for n in range(20_000))
    verdicts: dict[Key, ChainVerdict] = {}
    verdicts |= {(n,): goto("c") if n % 2 else RETURN for n in range(10_000)}
    held = Set("p_set", (V4, V4), keys), VerdictMap("v_map", (V6,), verdicts), Chain("c")
    spans = tuple(((n * 10,), (n * 10 + 8,)) for n in range(5_000))
    wanted = ruleset(*held, RangeSet("i_set", (V4,), spans))
    space.table.replace(wanted)
    assert space.table.list() == wanted
    space.table.run(diff(wanted, ruleset(Chain("c"))))
    assert space.table.list() == ruleset(Chain("c"))


# --- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("chain c { meta mark 1 accept; }", "chain c holds a rule .* meta 3"),
        ("chain c { ip ttl 4 accept; }", "chain c .* 1 bytes at 8 of header 1"),
        ('chain c { ct helper "ftp" accept; }', "chain c .*"),
        ("chain c { ct mark 5 accept; }", "chain c .*"),
        ("chain c { meta mark set 5; }", "chain c .* meta"),
        ("chain c { limit rate 5/minute; }", "chain c .* limit"),
        ("chain c { limit rate over 5/second; }", "chain c .* limit"),
        ("chain c { log; }", "chain c .* log"),
        ("chain c { reject; }", "chain c .* reject"),
        ("chain c { continue; }", "verdict that podfence never writes"),
        ("chain c { th dport { 80, 90 }; }", "set __set0 is of a kind"),
        ("chain c { type filter hook prerouting priority 0; }", "chain c is on a hook"),
        ("set s { type ipv4_addr; flags timeout; }", "set s is of a kind"),
        ("set s { type mark; }", "set s has keys of a type"),
        ("map m { type ipv4_addr : mark; }", "set m is of a kind"),
    ],
)
def test_what_podfence_never_writes_is_named(
    space: NftNamespace, content: str, message: str
) -> None:
    space.nft("-f", "-", text=f"table inet podfence {{\n{content}\n}}\n")
    with pytest.raises(NftError, match=message):
        space.table.list()


class Disturbed(NftSocket):
    """While it reads, somebody else changes rules of theirs: the first ``times`` times."""

    times = 0
    other: NetlinkNft

    def dump(self, kind: int, body: bytes, family: int | None = None) -> list[bytes]:
        if self.times:
            self.times -= 1
            self.other.replace(replace(LOADED, table=Table("other")))
        return super().dump(kind, body, family)


class Growing(NftSocket):
    """A set moves to a larger table while it is read: the first ``times`` readings miss some."""

    times = 0

    def dump(self, kind: int, body: bytes, family: int | None = None) -> list[bytes]:
        found = super().dump(kind, body, family)
        if kind == nf.NFT_MSG_GETSETELEM and self.times:
            self.times -= 1
            return found[: -self.times - 1]
        return found


@pytest.mark.parametrize("times", [1, 2, 3])
def test_elements_that_move_are_read_again(space: NftNamespace, times: int) -> None:
    large = Ruleset.of(Table("podfence"), [MemberSet("p_set", Members.of(6, range(20_000)))])
    space.table.replace(large)
    with Growing(space.fd) as socket:
        socket.times = times
        assert NetlinkNft(socket).list() == large
        assert socket.times == 0


@pytest.mark.parametrize(("times", "calm"), [(3, True), (10_000, False)])
def test_reading_starts_again_when_rules_changed(
    space: NftNamespace, times: int, calm: bool
) -> None:
    space.table.replace(LOADED)
    with Disturbed(space.fd) as socket:
        socket.times, socket.other = times, space.table
        if calm:
            assert NetlinkNft(socket).list() == LOADED
        else:
            with pytest.raises(NftError, match="change faster than they can be read"):
                NetlinkNft(socket).list()
