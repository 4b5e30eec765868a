"""What the kernel refuses: named, and nothing of it applied; large changes and small sockets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from podfence.errors import NftError
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.nft.difference import diff
from podfence.nft.objects import (
    ACCEPT,
    Field,
    Lookup,
    MemberSet,
    Rule,
    Table,
    VerdictMap,
    jump,
)
from podfence.nft.transaction import (
    AddElements,
    AddRules,
    AddSet,
    AddTable,
    DeleteChain,
    DeleteElements,
    DeleteSet,
    FlushChain,
    Operation,
    Transaction,
)
from podfence.sets.members import Members
from tests.kernel.netlinkparts import HELD, LOADED, SPANS, TABLE, TEN, VERDICTS, large, ruleset
from tests.kernel.nft_namespace import NftNamespace

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="enters a namespace made by root"),
]
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
