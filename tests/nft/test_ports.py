"""Port sets become few, cheap questions that hold for exactly their members."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.nft.lowering.identifiers import Namer
from podfence.nft.lowering.ports import PortMatches
from podfence.nft.objects import Field, RangeSet, Rule, Set
from podfence.nft.render import render_rule
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING, NOTHING, OTHER


def port(protocol: str, low: int, high: int | None = None) -> PortSet:
    return PortSet.port(protocol, low, high)


ANY_TCP, ANY_UDP = PortSet.protocol("TCP"), PortSet.protocol("UDP")


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        pytest.param(EVERYTHING, [""], id="NP-39 everything asks nothing"),
        pytest.param(NOTHING, [], id="NP-35 nothing has no rule"),
        pytest.param(port("TCP", 80), ["meta l4proto tcp th dport 80"], id="one port"),
        pytest.param(port("SCTP", 9), ["meta l4proto sctp th dport 9"], id="NP-40 SCTP"),
        pytest.param(port("UDP", 1, 9), ["meta l4proto udp th dport 1-9"], id="NP-37 one range"),
        pytest.param(ANY_TCP, ["meta l4proto tcp"], id="NP-31 a whole protocol"),
        pytest.param(
            ANY_UDP | port("TCP", 80),
            ["meta l4proto udp", "meta l4proto tcp th dport 80"],
            id="a whole protocol and a port",
        ),
        pytest.param(
            PortSet.protocol(OTHER),
            ["meta l4proto != tcp meta l4proto != udp meta l4proto != sctp"],
            id="all other protocols",
        ),
        pytest.param(
            port("TCP", 80) | port("UDP", 53),
            ["meta l4proto . th dport @q_0"],
            id="several share a set",
        ),
    ],
)
def test_alternatives(ports: PortSet, expected: list[str]) -> None:
    questions = PortMatches(Namer(lambda _key, attempt: str(attempt)))
    found = questions.alternatives(ports, Field.TH_DPORT)
    assert [render_rule(Rule(parts)) for parts in found] == expected


@pytest.mark.parametrize(
    ("ports", "kind", "size"),
    [
        (port("TCP", 80) | port("TCP", 90), Set, 2),
        (port("TCP", 80) | port("TCP", 8000, 8062), Set, 64),
        (port("TCP", 80) | port("TCP", 8000, 8063), RangeSet, 2),
        (port("TCP", 1, 65535) | port("UDP", 53), RangeSet, 2),
    ],
)
def test_narrow_ranges_are_hashed_and_wide_ones_stay_ranges(
    ports: PortSet, kind: type, size: int
) -> None:
    questions = PortMatches(Namer())
    questions.alternatives(ports, Field.TH_DPORT)
    (found,) = questions.sets
    assert isinstance(found, kind)
    assert len(found.elements) == size


def test_equal_port_sets_share_one_set_in_both_views() -> None:
    questions = PortMatches(Namer())
    ports = port("TCP", 80) | port("UDP", 53)
    for field in (Field.TH_DPORT, Field.TH_SPORT):
        questions.alternatives(ports, field)
    assert len(questions.sets) == 1


@given(st.lists(st.tuples(st.sampled_from(("TCP", "UDP", "SCTP")), st.integers(0, 65535))))
def test_number_of_questions_is_bounded(items: list[tuple[str, int]]) -> None:
    ports = NOTHING
    for protocol, number in items:
        ports |= port(protocol, number)
    assert len(PortMatches(Namer()).alternatives(ports, Field.TH_DPORT)) <= 1
