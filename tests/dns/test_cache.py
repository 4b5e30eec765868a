"""What is known of names, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.dns.cache import (
    KEPT,
    LEAST,
    MOST,
    MOST_ADDRESSES,
    MOST_OF_NAME,
    Cache,
    CachedAddress,
    NameState,
)
from podfence.dns.message import AddressRecord
from podfence.policy.domains import At

NAME = "api.example.com"
X, Y = (4, 1), (6, 2)


def cache(*patterns: str) -> Cache:
    made = Cache()
    made.want(frozenset(patterns or (NAME,)))
    return made


def told(seconds: int, *addresses: At) -> list[AddressRecord]:
    return [AddressRecord(address, seconds) for address in addresses]


def state(live: tuple[At, ...] = (), kept: tuple[At, ...] = ()) -> NameState:
    return NameState(frozenset(live), frozenset(kept))


def test_an_address_is_live_then_kept_then_gone() -> None:
    made = cache()
    made.learn(NAME, told(60, X), 100.0)
    assert made.take(100.0) == {NAME: state((X,))}
    assert made.take(159.9) == {}
    assert made.next_end() == 160.0
    assert made.take(160.0) == {NAME: state((), (X,))}
    assert made.take(160.0 + KEPT - 1) == {}
    assert made.take(160.0 + KEPT) == {NAME: state()}
    assert len(made) == 0
    assert made.next_end() is None


def test_being_told_again_prolongs_and_is_no_news() -> None:
    made = cache()
    made.learn(NAME, told(60, X), 100.0)
    made.take(100.0)
    made.learn(NAME, told(60, X), 150.0)
    assert made.take(150.0) == {}
    assert made.take(200.0) == {}
    assert made.take(210.0) == {NAME: state((), (X,))}


def test_what_is_kept_becomes_live_again() -> None:
    made = cache()
    made.learn(NAME, told(60, X), 100.0)
    made.take(200.0)
    made.learn(NAME, told(60, X, Y), 200.0)
    assert made.take(200.0) == {NAME: state((X, Y))}


def test_a_shorter_time_takes_nothing_back() -> None:
    made = cache()
    made.learn(NAME, told(600, X), 100.0)
    made.learn(NAME, told(20, X), 100.0)
    assert made.take(699.0) == {NAME: state((X,))}


@pytest.mark.parametrize(("seconds", "held"), [(0, LEAST), (2**31 - 1, MOST), (77, 77)])
def test_seconds_are_held_within_bounds(seconds: int, held: int) -> None:
    made = cache()
    made.learn(NAME, told(seconds, X), 0.0)
    assert made.next_end() == held


def test_a_name_that_no_rule_means_is_not_kept() -> None:
    made = cache("*.example.com")
    for name in (NAME, "example.com", "other.test"):
        made.learn(name, told(60, X), 0.0)
    assert [each.name for each in made.known()] == [NAME]


def test_a_name_that_no_rule_means_any_more_is_forgotten() -> None:
    made = cache()
    made.learn(NAME, told(60, X), 0.0)
    made.take(0.0)
    made.want(frozenset())
    assert made.take(0.0) == {NAME: state()}
    assert len(made) == 0


def test_of_one_name_so_many_and_no_more() -> None:
    made = cache()
    made.learn(NAME, [AddressRecord((4, n), 60 + n) for n in range(MOST_OF_NAME + 10)], 0.0)
    live = made.take(0.0)[NAME].live
    assert len(live) == MOST_OF_NAME == len(made)
    assert (4, 0) not in live, "the first to end gives way"
    assert made.evicted == 10


def test_of_all_names_so_many_and_no_more() -> None:
    made = cache("*.example.com")
    for n in range(MOST_ADDRESSES // 256 + 1):
        made.learn(f"n{n}.example.com", [AddressRecord((4, a), 60 + n) for a in range(256)], 0.0)
    assert len(made) <= MOST_ADDRESSES
    assert made.take(0.0)["n0.example.com"] == state(), "the first to end give way, and are told"


def test_what_is_told_again_and_again_takes_no_memory() -> None:
    made = cache()
    for n in range(10_000):
        made.learn(NAME, told(60, X), float(n))
    assert len(made._ends) < 2000


def test_a_restart_knows_what_was_known() -> None:
    before = cache("*.example.com")
    before.learn(NAME, told(60, X), 100.0)
    before.learn("old.example.com", told(60, Y), 10.0)
    after = cache("*.example.com")
    after.restore(before.known(), 110.0)
    assert after.take(110.0) == {NAME: state((X,)), "old.example.com": state((), (Y,))}
    assert after.take(160.0) == {NAME: state((), (X,))}


@pytest.mark.parametrize(
    "known",
    [
        CachedAddress("other.test", X, 150.0),
        CachedAddress(NAME, X, 100.0 + MOST + 1),
        CachedAddress(NAME, X, 100.0 - KEPT),
        CachedAddress(NAME, X, float("nan")),
        CachedAddress(NAME, X, float("inf")),
    ],
)
def test_what_cannot_be_true_is_not_restored(known: CachedAddress) -> None:
    made = cache()
    made.restore([known], 100.0)
    assert len(made) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a.test", "b.test"]),
            st.integers(0, 3),
            st.integers(0, 200),
            st.floats(0, 100),
        ),
        max_size=30,
    )
)
def test_the_states_told_are_those_that_a_plain_reader_finds(
    steps: list[tuple[str, int, int, float]],
) -> None:
    made, now = cache("*.test"), 0.0
    until: dict[tuple[str, int], float] = {}
    shown: dict[str, NameState] = {}
    for name, address, seconds, pause in steps:
        now += pause
        made.learn(name, told(seconds, (4, address)), now)
        end = now + min(max(seconds, LEAST), MOST)
        until[name, address] = max(end, until.get((name, address), 0.0))
        shown.update(made.take(now))
        for each in ("a.test", "b.test"):
            had = {a: end for (n, a), end in until.items() if n == each}
            live = tuple((4, a) for a, end in had.items() if end > now)
            kept = tuple((4, a) for a, end in had.items() if end <= now)
            assert shown.get(each, state()) == state(live, kept)
