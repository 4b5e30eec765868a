"""How long the kernel's rules take to change: by ``nft -f -``, and by netlink.

Usage: ``python -m bench.nftupdate [--repeat N]``. Prints a table of medians. Moves into a network
namespace of its own first (as root, or in a user namespace), and touches no other.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from statistics import median

from msgspec.structs import replace

from podfence.kernel import netns
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.kernel.nftcli import run_nft
from podfence.nft.difference import load
from podfence.nft.objects import (
    DROP,
    RETURN,
    TCP,
    BaseChain,
    Chain,
    ChainVerdict,
    Compare,
    DataType,
    Field,
    Hook,
    Key,
    Lookup,
    MemberSet,
    NamedObject,
    Rule,
    Table,
    VerdictMap,
    Vmap,
    goto,
)
from podfence.nft.render import render_transaction
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import (
    AddElements,
    AddRules,
    AddSet,
    DeleteElements,
    DeleteSet,
    DeleteTable,
    FlushChain,
    Operation,
    Transaction,
)
from podfence.sets.members import Members

TABLE = Table("podfence", "managed by podfence")
V4 = (DataType.IPV4_ADDR,)
ELEMENTS = 100_000
GROUPS, RULES = 110, 5
"""Isolation groups, one for each pod of a node, and the rules of each."""
POLICY_PODS = 100
LOADS = 3
"""Full loads that are measured; each takes most of a second."""
SLOW = 9
"""Small changes by ``nft`` that are measured; each starts a process."""


def pods(random: Random, count: int) -> Members:
    """Addresses out of 11.0.0.0/8; the pod that comes and goes is none of them."""
    return Members.of(4, ((11 << 24) + n for n in random.sample(range(1 << 24), count)))


COMING = Members.of(4, [(10 << 24) + 1])


def peers(number: int) -> str:
    """The name of a set of peers."""
    return f"p4_{number:04}"


def policy_rules(first: str, others: int) -> tuple[Rule, ...]:
    """One rule a set: peers, and a port of theirs."""
    names = [first, *(peers(others + n) for n in range(1, RULES))]
    port = (Compare(Field.L4PROTO, TCP), Compare(Field.TH_DPORT, 8080))
    return tuple(Rule((Lookup((Field.IP_SADDR,), name), *port, RETURN)) for name in names)


def node(sets: int) -> Ruleset:
    """A node's rules with 100,000 peers in ``sets`` sets."""
    random = Random(sets)
    objects: list[NamedObject] = [
        MemberSet(peers(n), pods(random, ELEMENTS // sets)) for n in range(sets)
    ]
    objects += [
        Chain(f"in_{n}", (*policy_rules(peers(n), n), Rule((DROP,)))) for n in range(GROUPS)
    ]
    groups: dict[Key, ChainVerdict] = {
        ((10 << 24) + 256 + n,): goto(f"in_{n}") for n in range(GROUPS)
    }
    objects.append(VerdictMap("in4", V4, groups))
    forward = (Rule((Vmap((Field.IP_DADDR,), "in4"),)),)
    objects.append(Chain("forward", forward, BaseChain(Hook.FORWARD, 0)))
    return Ruleset.of(TABLE, objects)


@dataclass(frozen=True)
class Row:
    """A change, and what takes it back, with the name of that; both are measured."""

    name: str
    change: Transaction
    back_name: str
    back: Transaction


def one_pod(ruleset: Ruleset, sets: int) -> Row:
    """A pod that is in the peers of so many selectors comes and goes."""
    parts = [replace(ruleset.sets[peers(n)], elements=COMING) for n in range(sets)]
    return Row(
        f"one pod added to {sets} set{'s' if sets > 1 else ''}",
        Transaction(TABLE, tuple(AddElements(part) for part in parts)),
        "  and removed",
        Transaction(TABLE, tuple(DeleteElements(part) for part in parts)),
    )


def replaced_policy() -> Row:
    """A policy with another selector, a new set of 100 pods, takes the place of one."""
    names = ("p4_old", "p4_new")
    there, back = (_policy(*order) for order in (names, names[::-1]))
    return Row("a policy replaced (set of 100, chain of 5 rules)", there, "  and again", back)


def _policy(old: str, new: str) -> Transaction:
    members = pods(Random(new), POLICY_PODS)
    operations: tuple[Operation, ...] = (
        AddSet(MemberSet(new, Members(4))),
        FlushChain("in_7"),
        AddElements(MemberSet(new, members)),
        AddRules("in_7", policy_rules(new, 7)),
        DeleteSet(old, MemberSet),
    )
    return Transaction(TABLE, operations)


def with_policy(ruleset: Ruleset) -> Ruleset:
    """The ruleset with the set that the first replacement of the policy takes away."""
    return Ruleset.of(
        TABLE, [*ruleset.objects(), MemberSet("p4_old", pods(Random(0), POLICY_PODS))]
    )


Run = Callable[[Transaction], None]


def by_nft(transaction: Transaction) -> None:
    """As the agent would do without netlink: text, a process, its answer."""
    run_nft(render_transaction(transaction))


def timed(run: Run, transaction: Transaction) -> float:
    """Milliseconds, making of text or messages included."""
    start = time.perf_counter()
    run(transaction)
    return (time.perf_counter() - start) * 1e3


def measure(run: Run, row: Row, repeat: int) -> tuple[float, float]:
    """Medians of the change and of what takes it back."""
    pairs = [(timed(run, row.change), timed(run, row.back)) for _ in range(repeat)]
    there, back = zip(*pairs, strict=True)
    return median(there), median(back)


def show(name: str, nft: float, netlink: float) -> None:
    """One line of the table."""
    print(f"{name:<52}{nft:>12.3f}{netlink:>12.3f}{nft / netlink:>9.0f} x")


def full_load(run: Run, ruleset: Ruleset, table: NetlinkNft) -> float:
    """Median of loads into an empty namespace."""
    whole = load(ruleset)
    times = []
    for _ in range(LOADS):
        times.append(timed(run, whole))
        table.run(Transaction(TABLE, (DeleteTable(),)))
    return median(times)


def rows(ruleset: Ruleset) -> Iterator[Row]:
    """Every small change."""
    yield from (one_pod(ruleset, sets) for sets in (1, 10, 100))
    yield replaced_policy()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=200, help="small changes by netlink (200)")
    repeat = parser.parse_args().repeat
    host = netns.identity()
    netns.enter_private_network()
    assert netns.identity() != host
    print(f"{'milliseconds, medians':<52}{'nft -f -':>12}{'netlink':>12}")
    with NftSocket() as socket:
        table = NetlinkNft(socket)
        large = node(1_000)
        times = (full_load(run, large, table) for run in (by_nft, table.run))
        show("full load, 1,000 sets, 100,000 elements", *times)
        ruleset = with_policy(node(300))
        table.replace(ruleset)
        for row in rows(ruleset):
            slow, fast = measure(by_nft, row, SLOW), measure(table.run, row, repeat)
            show(row.name, slow[0], fast[0])
            show(row.back_name, slow[1], fast[1])
        start = time.perf_counter()
        table.list()
        print(f"{'read back, as values':<64}{(time.perf_counter() - start) * 1e3:>12.3f}")


if __name__ == "__main__":
    main()
