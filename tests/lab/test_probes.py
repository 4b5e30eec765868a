"""Numbers of probes, their kinds and their outcomes."""

from __future__ import annotations

import pytest

from podfence.lab.probing.prober import shares
from podfence.lab.testbed.probes import Probe, ProbeKind, Probes, around, kinds_of

WEB, DB = ("TCP", 80), ("TCP", 5432)
PROBES = Probes.of_pairs(
    [((0, 1, 4), (WEB, DB)), ((0, 1, 6), (WEB,)), ((1, 0, 4), (WEB, DB)), ((2, 0, 4), (DB,))]
)
ALL = [
    Probe(0, 1, 4, *WEB),
    Probe(0, 1, 4, *DB),
    Probe(0, 1, 6, *WEB),
    Probe(1, 0, 4, *WEB),
    Probe(1, 0, 4, *DB),
    Probe(2, 0, 4, *DB),
]


def test_numbers_go_through_the_pairs() -> None:
    assert list(PROBES) == [PROBES[number] for number in range(len(PROBES))] == ALL


@pytest.mark.parametrize("part", [slice(None), slice(1, 4), slice(None, None, 2), slice(-2, None)])
def test_a_part_is_that_of_a_list(part: slice) -> None:
    assert list(PROBES[part]) == ALL[part]


def test_the_last_is_minus_one() -> None:
    assert PROBES[-1] == ALL[-1]


@pytest.mark.parametrize("number", [len(ALL), -len(ALL) - 1])
def test_there_are_no_more(number: int) -> None:
    with pytest.raises(IndexError):
        PROBES[number]


def test_single_probes_keep_their_order() -> None:
    mixed = [ALL[3], ALL[0], ALL[3]]
    assert list(Probes.of(mixed)) == mixed


def test_no_probes() -> None:
    assert list(Probes.of([])) == []
    assert len(Probes.of([])) == 0


def test_only_some_are_wanted() -> None:
    assert kinds_of(3, [1], ProbeKind.SYN) == bytes([ProbeKind.SKIP, ProbeKind.SYN, ProbeKind.SKIP])


@pytest.mark.parametrize("number", [1, 2, 5])
def test_shares_have_every_wanted_pair_once_and_no_source_twice(number: int) -> None:
    wanted = kinds_of(len(PROBES), [0, 2, 3, 5])
    parts = list(shares(PROBES, wanted, number))
    assert len(parts) <= number
    assert sorted(pair for part in parts for pair in part) == sorted(PROBES.pairs)
    sources = [{pair.source for pair in part} for part in parts]
    assert sum(map(len, sources)) == len(set().union(*sources))


def test_a_pair_of_which_nothing_is_wanted_is_in_no_share() -> None:
    (part,) = shares(PROBES, kinds_of(len(PROBES), [5]), 3)
    assert part == [PROBES.pairs[-1]]


def test_what_a_program_holds_gets_no_connection_and_no_datagram() -> None:
    probes = [
        Probe(0, 1, 4, "TCP", 80),
        Probe(0, 1, 4, "UDP", 80),
        Probe(0, 2, 4, "TCP", 80),
        Probe(0, 1, 6, "UDP", 80),
    ]
    kinds = bytes([ProbeKind.CONNECT]) * 4
    held = {(1, 4, "TCP", 80), (1, 4, "UDP", 80)}
    assert around(probes, kinds, held) == bytes(
        [ProbeKind.SYN, ProbeKind.SKIP, ProbeKind.CONNECT, ProbeKind.CONNECT]
    )
    assert around(probes, bytes(4), held) == bytes(4)
    assert around(probes, kinds, frozenset()) == kinds
