"""What netlink writes and what ``nft`` writes read back the same, by ``nft`` and by netlink."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_network
from itertools import product
from pathlib import Path
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
    ACCEPT,
    DROP,
    RETURN,
    BaseChain,
    Chain,
    DataType,
    Field,
    Hook,
    Key,
    KeyRange,
    Lookup,
    MemberSet,
    NamedObject,
    RangeSet,
    Rule,
    Set,
    Table,
    Verdict,
    VerdictMap,
    Vmap,
    goto,
    jump,
)
from podfence.nft.render import render
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import (
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
from podfence.policy.compile import compile_cluster
from podfence.sets.members import Members
from tests.kernel.nft_namespace import NftNamespace, nft_namespace
from tests.kernel.random_rulesets import random_ranges, random_ruleset
from tests.nft.cases import CASES, Case
from tests.support.random_clusters import Size, random_cluster

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="enters a namespace made by root"),
]
TABLE = Table("podfence", "managed by podfence")
V4, V6, PORT = DataType.IPV4_ADDR, DataType.IPV6_ADDR, DataType.INET_SERVICE
LAST4, LAST6, LAST_PORT = 2**32 - 1, 2**128 - 1, 65535
TEN = int(ip_network("10.0.0.0/8")[0])


@pytest.fixture
def space() -> Iterator[NftNamespace]:
    with nft_namespace() as found:
        yield found


def ruleset(*objects: NamedObject) -> Ruleset:
    return Ruleset.of(TABLE, objects)


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
    verdicts: dict[Key, Verdict] = {}
    verdicts |= {(n,): goto("c") if n % 2 else RETURN for n in range(10_000)}
    held = Set("p_set", (V4, V4), keys), VerdictMap("v_map", (V6,), verdicts), Chain("c")
    spans = tuple(((n * 10,), (n * 10 + 8,)) for n in range(5_000))
    wanted = ruleset(*held, RangeSet("i_set", (V4,), spans))
    space.table.replace(wanted)
    assert space.table.list() == wanted
    space.table.run(diff(wanted, ruleset(Chain("c"))))
    assert space.table.list() == ruleset(Chain("c"))


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
NEARLY = AddElements(replace(HELD, elements=Members.of(4, [TEN + 7])))
"""A change that would be visible."""


MISSING = Members.of(4, [TEN + 100])


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        pytest.param(
            AddElements(MemberSet("p4_ab12", MISSING)),
            "set p4_ab12: no such object (ENOENT)",
            id="set",
        ),
        pytest.param(
            DeleteSet("p_gone", VerdictMap), "map p_gone: no such object (ENOENT)", id="map"
        ),
        pytest.param(DeleteChain("gone"), "chain gone: no such object (ENOENT)", id="chain"),
        pytest.param(
            FlushChain("gone"), "rules of chain gone: no such object (ENOENT)", id="flush"
        ),
        pytest.param(
            DeleteElements(replace(HELD, elements=HELD.elements | MISSING)),
            "set p_set, element 10.0.0.100: no such object (ENOENT)",
            id="element",
        ),
        pytest.param(
            AddElements(replace(VERDICTS, elements={(TEN + 1,): ACCEPT})),
            "map v_map, element 10.0.0.1: exists already, and differs (EEXIST)",
            id="another-verdict",
        ),
        pytest.param(
            AddElements(replace(SPANS, elements=(((0,), (0,)), ((TEN + 5,), (TEN + 20,))))),
            "set i_set, element 10.0.0.5-10.0.0.20: ",
            id="overlap",
        ),
        pytest.param(
            AddElements(replace(VERDICTS, elements={(5,): jump("gone")})),
            "map v_map, element 0.0.0.5: no such object (ENOENT)",
            id="verdict-to-a-missing-chain",
        ),
        pytest.param(
            AddRules("deny", (Rule((Lookup((Field.IP_SADDR,), "p_gone"), ACCEPT)),)),
            "chain deny, rule 'ip saddr @p_gone accept': no such object (ENOENT)",
            id="set-of-a-rule",
        ),
        pytest.param(DeleteChain("deny"), "chain deny: still in use (EBUSY)", id="busy-chain"),
        pytest.param(
            DeleteSet("p_set", MemberSet), "set p_set: still in use (EBUSY)", id="busy-set"
        ),
        pytest.param(
            AddSet(MemberSet("p_set", Members(6))),
            "set p_set: exists already, and differs (EEXIST)",
            id="another-set",
        ),
        pytest.param(
            AddRules("deny", (Rule((jump("deny"),)),)),
            "chain deny, rule 'jump deny': chains lead back to themselves",
            id="loop",
        ),
    ],
)
def test_a_refusal_names_the_object_and_applies_nothing(
    space: NftNamespace, operation: Operation, message: str
) -> None:
    space.table.replace(LOADED)
    before = space.listing()
    with pytest.raises(NftError) as refused:
        space.table.run(Transaction(TABLE, (NEARLY, operation, NEARLY)))
    assert str(refused.value).startswith(message)
    assert space.listing() == before
    space.table.run(Transaction(TABLE, (NEARLY,)))
    assert space.listing() != before


def test_thousands_of_refusals_are_one_error(space: NftNamespace) -> None:
    operations = tuple(FlushChain(f"gone{number}") for number in range(5_000))
    space.table.replace(LOADED)
    with pytest.raises(NftError, match="rules of chain gone0: no such object"):
        space.table.run(Transaction(TABLE, operations))
    assert space.table.list() == LOADED


# --- sockets ---------------------------------------------------------------------------------


def test_a_bad_namespace_is_an_error_not_another_namespace(tmp_path: Path) -> None:
    with (
        (tmp_path / "file").open("w") as file,
        pytest.raises(NftError, match="no netlink socket for nftables"),
    ):
        NftSocket(file.fileno())


def test_a_closed_socket_is_an_error(space: NftNamespace) -> None:
    with NftSocket(space.fd) as socket:
        table = NetlinkNft(socket)
    with pytest.raises(NftError, match="nothing was sent to the kernel"):
        table.replace(LOADED)


def in_user_namespace(kind: list[str], code: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["unshare", *kind, sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "unshare:" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    return done


ROOTLESS = """
from random import Random
from podfence.kernel.nftables.table import NetlinkNft
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.nftsocket import SEND_BUFFER, NftSocket
from podfence.nft.difference import diff, load
from podfence.nft.objects import MemberSet, Table
from podfence.nft.ruleset import Ruleset
from podfence.sets.members import Members

def wanted(count):
    return Ruleset.of(Table("podfence"), [MemberSet("p_set", Members.of(6, range(count)))])

with NftSocket() as socket:
    assert socket.limit < SEND_BUFFER
    socket.limit = min(socket.limit, 100_000)
    table = NetlinkNft(socket)
    table.replace(wanted(10_000))
    assert table.list() == wanted(10_000)
    table.run(diff(wanted(10_000), wanted(9_900)))
    assert table.list() == wanted(9_900)
"""


def test_without_the_right_to_change_rules_the_error_says_so() -> None:
    code = (
        "from podfence.kernel.nftables.table import NetlinkNft\n"
        "from podfence.kernel.nftables.nftsocket import NftSocket\n"
        "from podfence.nft.objects import Table\n"
        "from podfence.nft.ruleset import Ruleset\n"
        "NetlinkNft(NftSocket()).replace(Ruleset.of(Table('podfence'), []))\n"
    )
    done = in_user_namespace(["--user", "--net"], code)  # and root in there is nobody
    assert "NftError: the ruleset: not permitted without CAP_NET_ADMIN (EPERM)" in done.stderr


def test_rootless_sockets_are_smaller_and_load_as_much() -> None:
    done = in_user_namespace(["--user", "--map-root-user", "--net"], ROOTLESS)
    assert done.returncode == 0, done.stderr


# --- large changes in stages -----------------------------------------------------------------


SMALL = 70_000
"""A limit that one message of elements just fits into."""


def large(count: int, comment: str = "") -> Ruleset:
    """Chains, sets and a map that together need several transactions."""
    sets = [MemberSet(f"s{n}", Members.of(4, range(n, count)), comment) for n in range(4)]
    chains = [
        Chain(f"c{n}", (Rule((Lookup((Field.IP_SADDR,), f"s{n % 4}"), RETURN)),)) for n in range(90)
    ]
    verdicts = VerdictMap("v_map", (V4,), {(n,): goto(f"c{n}") for n in range(90)})
    forward = Chain("forward", (Rule((Vmap((Field.IP_DADDR,), "v_map"),)),), FORWARD.base)
    return ruleset(*sets, verdicts, *chains, forward)


def test_a_large_ruleset_loads_through_a_small_socket(space: NftNamespace) -> None:
    space.socket.limit = SMALL
    for wanted in (large(3_000), large(3_500), LOADED, large(4_000)):
        space.table.replace(wanted)
        assert space.table.list() == wanted


def test_a_large_change_that_fails_leaves_nothing_behind(space: NftNamespace) -> None:
    space.socket.limit = SMALL
    for start in (None, LOADED):
        if start is not None:
            space.table.replace(start)
        before = space.listing()
        change = diff(start or ruleset(), large(3_000))
        table = (AddTable(), *change, DeleteChain("gone"))
        with pytest.raises(NftError, match="chain gone: no such object"):
            space.table.run(Transaction(TABLE, table))
        assert space.listing() == before


def test_what_takes_effect_at_once_must_fit_at_once(space: NftNamespace) -> None:
    space.table.replace(LOADED)
    space.socket.limit = SMALL
    keys = Members.of(4, range(6_000))
    with pytest.raises(NftError, match=r"of \d+ bytes is more than this user may send at once"):
        space.table.run(Transaction(TABLE, (AddElements(replace(HELD, elements=keys)),)))
    with pytest.raises(NftError, match="may send at once"):
        space.table.replace(replace(large(3_000), table=Table("podfence", "another comment")))
    assert space.table.list() == LOADED


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
