"""Parts of a kind as one kind: what the server tells of is nobody else's to say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest

from podfence.kube import parts
from podfence.kube.follow import Follow, Item, ObjectChange
from podfence.kube.parts import KindParts
from podfence.kube.resource import pods_for

KEY = ("shop", "db-0")


class Kind:
    """The pods of a node and those of others, of which a substitute tells; what came of one pod."""

    def __init__(self) -> None:
        self.own, self.others = (Follow[str](each) for each in pods_for("n1"))
        for part in (self.own, self.others):
            part.listed((), first=True, last=True, version="1")
        self.parts = KindParts[str]([self.own], [self.others])
        self.now: str | None = None

    def read_own(
        self, version: int, data: str | None
    ) -> tuple[Follow[str], list[ObjectChange[str]]]:
        kind = "DELETED" if data is None else "MODIFIED"
        item = Item(*KEY, str(version), data or "")
        return self.own, self.own.event(kind, item)

    def read_other(
        self, version: int, data: str | None
    ) -> tuple[Follow[str], list[ObjectChange[str]]]:
        items = [] if data is None else [Item(*KEY, str(version), data)]
        return self.others, self.others.became(items, [] if items else [KEY], str(version))

    def take(self, read: tuple[Follow[str], list[ObjectChange[str]]]) -> None:
        for change in self.parts.counting(*read):
            self.now = change.data

    def own_says(self, version: int, data: str | None) -> None:
        self.take(self.read_own(version, data))

    def other_says(self, version: int, data: str | None) -> None:
        self.take(self.read_other(version, data))


@pytest.mark.parametrize("version", [2, 20, 10**18])
def test_a_substitute_says_nothing_of_what_the_server_tells_of(version: int) -> None:
    kind = Kind()
    kind.own_says(10, "own")
    kind.other_says(version, "a lie")
    assert kind.now == "own"
    kind.own_says(30, "own, later")
    assert kind.now == "own, later"
    kind.other_says(version + 1, None)
    assert kind.now == "own, later"


@pytest.mark.parametrize("version", [2, 10**18])
def test_nor_does_it_when_it_was_first(version: int) -> None:
    kind = Kind()
    kind.other_says(version, "a lie")
    kind.own_says(10, "own")
    assert kind.now == "own"
    kind.other_says(version + 1, "another")
    assert kind.now == "own"
    kind.own_says(40, None)
    assert kind.now == "another"  # of a pod of another node it is believed


def test_what_a_substitute_said_meanwhile_counts_when_the_server_tells_of_it_no_more() -> None:
    kind = Kind()
    kind.own_says(10, "here")
    kind.other_says(20, "there")
    assert kind.now == "here"
    kind.own_says(15, None)
    assert kind.now == "there"
    kind.other_says(30, None)
    assert kind.now is None


def test_what_a_substitute_took_back_meanwhile_does_not_count() -> None:
    kind = Kind()
    kind.own_says(10, "here")
    kind.other_says(20, "there")
    kind.other_says(25, None)
    kind.own_says(15, None)
    assert kind.now is None


def test_what_a_substitute_told_first_counts_once_the_server_tells_of_it_no_more() -> None:
    """The server tells late of what was here: its end must not be the end of what is there."""
    kind = Kind()
    kind.other_says(20, "there")
    kind.own_says(10, "here")
    assert kind.now == "here"
    kind.own_says(15, None)
    assert kind.now == "there"
    kind.other_says(30, None)
    assert kind.now is None


def test_a_forgotten_object_is_unknown_until_the_next_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts, "LATEST", 1)
    kind = Kind()
    kind.other_says(20, "there")
    kind.take((kind.others, kind.others.became([Item("shop", "web-0", "21", "x")], [], "21")))
    kind.own_says(10, "here")
    kind.own_says(15, None)
    assert kind.now is None
    kind.other_says(30, "there")
    assert kind.now == "there"


def orders(first: int, second: int) -> Iterator[list[bool]]:
    """All ways to mix two rows; True is one of the first."""
    for indices in combinations(range(first + second), first):
        yield [at in indices for at in range(first + second)]


@pytest.mark.parametrize("ahead", [False, True])
def test_a_name_that_moves_between_nodes_ends_where_it_is(ahead: bool) -> None:
    """``ahead``: both parts have read everything before anything is taken."""
    own = [(10, "here"), (15, None), (40, "here again")]
    other = [(20, "there"), (30, None)]
    for order in orders(len(own), len(other)):
        kind = Kind()
        rows = [kind.read_own(*each) for each in own] if ahead else []
        others = [kind.read_other(*each) for each in other] if ahead else []
        mine, theirs = iter(rows), iter(others)
        left, right = iter(own), iter(other)
        for is_own in order:
            if ahead:
                kind.take(next(mine) if is_own else next(theirs))
            elif is_own:
                kind.own_says(*next(left))
            else:
                kind.other_says(*next(right))
        assert kind.now == "here again", order
        assert not kind.parts._kept


@pytest.mark.parametrize("ahead", [False, True])
def test_a_name_that_goes_away_from_a_node_ends_elsewhere(ahead: bool) -> None:
    own, other = [(10, "here"), (15, None)], [(20, "there")]
    ends = []
    for order in orders(len(own), len(other)):
        kind = Kind()
        rows = iter([kind.read_own(*each) for each in own] if ahead else ())
        others = iter([kind.read_other(*each) for each in other] if ahead else ())
        left, right = iter(own), iter(other)
        for is_own in order:
            if ahead:
                kind.take(next(rows) if is_own else next(others))
            elif is_own:
                kind.own_says(*next(left))
            else:
                kind.other_says(*next(right))
        ends.append(kind.now)
    assert set(ends) == {"there"}
