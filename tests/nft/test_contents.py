"""Overlaps of ranges, found without comparing each with every other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.nft.contents import Contents, OperationRefused
from podfence.nft.objects import DataType, KeyRange, RangeSet, Table
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import AddElements

TABLE = Table("t")
PORT = (DataType.INET_PROTO, DataType.INET_SERVICE)
NET = (DataType.IPV4_ADDR,)


def is_refused(types: tuple[DataType, ...], *ranges: KeyRange) -> bool:
    contents = Contents(Ruleset.of(TABLE, [RangeSet("s", types)]))
    try:
        contents.do(TABLE, AddElements(RangeSet("s", types, ranges)))
    except OperationRefused:
        return True
    return False


@pytest.mark.parametrize(
    ("types", "ranges", "refused"),
    [
        pytest.param(NET, [((1,), (5,)), ((6,), (9,))], False, id="neighbours"),
        pytest.param(NET, [((1,), (5,)), ((5,), (9,))], True, id="a common end"),
        pytest.param(NET, [((1,), (9,)), ((3,), (4,))], True, id="one in another"),
        pytest.param(PORT, [((6, 1), (6, 5)), ((6, 6), (6, 9))], False, id="ports apart"),
        pytest.param(PORT, [((6, 1), (6, 5)), ((17, 1), (17, 5))], False, id="other protocols"),
        pytest.param(PORT, [((6, 1), (6, 5)), ((6, 5), (6, 9))], True, id="a common port"),
        pytest.param(PORT, [((1, 1), (9, 5)), ((6, 6), (6, 9))], False, id="protocols in a range"),
        pytest.param(PORT, [((1, 1), (9, 6)), ((6, 6), (6, 9))], True, id="a range, a common port"),
    ],
)
def test_overlap(types: tuple[DataType, ...], ranges: list[KeyRange], refused: bool) -> None:
    assert is_refused(types, *ranges) is refused
    assert is_refused(types, *reversed(ranges)) is refused


SPANS = st.tuples(st.integers(0, 3), st.integers(0, 3)).map(sorted)


@given(st.lists(st.tuples(SPANS, SPANS), min_size=1, max_size=5))
def test_overlap_means_a_common_key(spans: list[tuple[list[int], list[int]]]) -> None:
    ranges: set[KeyRange] = {((a[0], b[0]), (a[1], b[1])) for a, b in spans}
    keys = [
        (first, second)
        for low, high in ranges
        for first in range(low[0], high[0] + 1)
        for second in range(low[1], high[1] + 1)
    ]
    assert is_refused(PORT, *ranges) is (len(set(keys)) < len(keys))
