"""The numbers of a table stand for sets, whatever the table knew of them before."""

from __future__ import annotations

from collections.abc import Callable
from operator import and_, or_, sub

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.engine.porttable import EVERYTHING_ID, NOTHING_ID, PortTable
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING, MAX_PORT, NOTHING, OTHER, PROTOCOLS

EDGES = st.sampled_from([0, 1, 79, 80, 81, 443, 8080, MAX_PORT - 1, MAX_PORT])
RANGES = st.builds(
    lambda protocol, ends: PortSet.port(protocol, min(ends), max(ends)),
    st.sampled_from(PROTOCOLS),
    st.tuples(EDGES, EDGES),
)
SETS = st.builds(
    PortSet.union,
    st.lists(RANGES | st.sampled_from([PortSet.protocol(OTHER), EVERYTHING]), max_size=4),
)
OPERATIONS = {"intersection": and_, "union": or_, "difference": sub}


@given(st.lists(SETS, min_size=1, max_size=6), st.integers(0, 6), st.data())
def test_what_a_number_of_two_numbers_stands_for(
    asked: list[PortSet], known: int, data: st.DataObject
) -> None:
    table = PortTable(asked[:known])
    numbers = [table.number(ports) for ports in (NOTHING, EVERYTHING, *asked)]
    for _ in range(8):
        a, b = (data.draw(st.sampled_from(numbers)) for _ in "ab")
        name = data.draw(st.sampled_from(sorted(OPERATIONS)))
        found = getattr(table, name)(a, b)
        wanted = OPERATIONS[name](table.sets[a], table.sets[b])
        assert table.sets[found] == wanted
        assert table.number(wanted) == found
        numbers.append(found)
    assert len(set(numbers)) == len({table.sets[number] for number in numbers})


@pytest.mark.parametrize(("name", "operation"), sorted(OPERATIONS.items()))
def test_a_set_with_an_edge_that_no_known_set_has(
    name: str, operation: Callable[[PortSet, PortSet], PortSet]
) -> None:
    table = PortTable([PortSet.port("TCP", 80), PortSet.port("TCP", 1, 1024)])
    known = table.number(PortSet.port("TCP", 80))
    strange = PortSet.port("TCP", 80, 90)
    found = getattr(table, name)(known, table.number(strange))
    assert table.sets[found] == operation(table.sets[known], strange)


def test_nothing_and_everything_have_their_numbers() -> None:
    table = PortTable([EVERYTHING, PortSet.port("UDP", 53)])
    assert (table.number(NOTHING), table.number(EVERYTHING)) == (NOTHING_ID, EVERYTHING_ID)
    closed = table.number(PortSet.port("UDP", 53))
    assert table.intersection(table.difference(EVERYTHING_ID, closed), closed) == NOTHING_ID
    assert table.union(table.difference(EVERYTHING_ID, closed), closed) == EVERYTHING_ID
