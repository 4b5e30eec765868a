"""The text that nft reads, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path
from typing import get_args

import pytest

from podfence.nft import objects as nft
from podfence.nft.objects import Field, Rule
from podfence.nft.render import render, render_object, render_rule
from podfence.sets.members import Members
from tests.nft.cases import CASES, Case

GOLDEN = Path(__file__).parent.parent / "golden" / "nft"
REWRITE = "PODFENCE_REWRITE_GOLDEN"
"""Set this variable to write the golden files anew; then review the difference."""


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_golden_ruleset(case: Case) -> None:
    path = GOLDEN / f"{case.name}.nft"
    text = render(case.ruleset)
    if os.environ.get(REWRITE):
        path.write_text(text, encoding="utf-8", newline="")
    assert path.read_bytes().decode() == text


def test_every_golden_file_has_a_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {case.name for case in CASES}


V4, V6 = nft.DataType.IPV4_ADDR, nft.DataType.IPV6_ADDR
PROTO, PORT = nft.DataType.INET_PROTO, nft.DataType.INET_SERVICE
PARTS = {
    nft.Compare(Field.IP_SADDR, 0x0A010001): "ip saddr 10.1.0.1",
    nft.Compare(Field.IP6_DADDR, 1): "ip6 daddr ::1",
    nft.Compare(Field.L4PROTO, 47): "meta l4proto 47",
    nft.Compare(Field.L4PROTO, 58, negated=True): "meta l4proto != ipv6-icmp",
    nft.Between(Field.TH_SPORT, 8000, 8100): "th sport 8000-8100",
    nft.Lookup((Field.L4PROTO, Field.TH_DPORT), "q_1"): "meta l4proto . th dport @q_1",
    nft.Vmap((Field.IP6_SADDR,), "eg6"): "ip6 saddr vmap @eg6",
    nft.CtState(nft.CtStateBit.INVALID | nft.CtStateBit.UNTRACKED): "ct state invalid,untracked",
    nft.MetaIifKind("veth"): 'meta iifkind "veth"',
    nft.CtDirection(nft.CtDirectionValue.REPLY): "ct direction reply",
    nft.CtMark(0xFFFF0000, 0x70000): "ct mark & 0xffff0000 == 0x00070000",
    nft.SetCtMark(0xFFFF, 0x70000): "ct mark set ct mark & 0x0000ffff | 0x00070000",
    nft.SetCtMark(0, 7): "ct mark set 0x00000007",
    nft.Counter(): "counter",
    nft.Limit(20, 40): "limit rate 20/second burst 40 packets",
    nft.Log(77, "podfence:x"): 'log prefix "podfence:x" group 77',
    nft.ACCEPT: "accept",
    nft.goto("in_1"): "goto in_1",
}


@pytest.mark.parametrize(("part", "text"), PARTS.items(), ids=PARTS.values())
def test_part(part: nft.Expression | nft.Statement, text: str) -> None:
    assert render_rule(Rule((part,))) == text


def test_every_kind_of_part_is_shown_above() -> None:
    kinds = {*get_args(nft.Expression), *get_args(nft.Statement)}
    assert {type(part) for part in PARTS} == kinds


def test_a_rule_is_its_parts_and_a_comment() -> None:
    assert render_rule(Rule((nft.Counter(), nft.DROP), "shop/db")) == (
        'counter drop comment "shop/db"'
    )


@pytest.mark.parametrize(
    ("element", "text"),
    [
        pytest.param(((0,), (2**32 - 1,)), "0.0.0.0/0", id="all"),
        pytest.param(((0x0A000000,), (0x0A0000FF,)), "10.0.0.0/24", id="a prefix"),
        pytest.param(((0x0A000000,), (0x0A000000,)), "10.0.0.0", id="one address"),
        pytest.param(((0x0A000001,), (0x0A000002,)), "10.0.0.1-10.0.0.2", id="not aligned"),
        pytest.param(((0x0A000000,), (0x0A000002,)), "10.0.0.0-10.0.0.2", id="no power of two"),
    ],
)
def test_interval_element(element: nft.KeyRange, text: str) -> None:
    found = render_object(nft.RangeSet("b4_1", (V4,), (element,)))
    assert found == (
        "\tset b4_1 {\n\t\ttype ipv4_addr\n\t\tflags interval\n"
        f"\t\telements = {{\n\t\t\t{text}\n\t\t}}\n\t}}\n"
    )


@pytest.mark.parametrize(
    ("item", "text"),
    [
        pytest.param(
            nft.MemberSet("p6_1", Members(6), comment="nobody now"),
            '\tset p6_1 {\n\t\ttype ipv6_addr\n\t\tcomment "nobody now"\n\t}\n',
            id="an empty set",
        ),
        pytest.param(
            nft.Set("q_1", (PROTO, PORT), frozenset({(17, 53), (6, 80)})),
            "\tset q_1 {\n\t\ttype inet_proto . inet_service\n\t\telements = {\n"
            "\t\t\ttcp . 80,\n\t\t\tudp . 53\n\t\t}\n\t}\n",
            id="a concatenation, sorted",
        ),
        pytest.param(
            nft.VerdictMap("in4", (V4,), {(2,): nft.RETURN, (1,): nft.goto("in_1")}),
            "\tmap in4 {\n\t\ttype ipv4_addr : verdict\n\t\telements = {\n"
            "\t\t\t0.0.0.1 : goto in_1,\n\t\t\t0.0.0.2 : return\n\t\t}\n\t}\n",
            id="a verdict map, sorted",
        ),
        pytest.param(
            nft.Chain("x", (Rule((nft.DROP,)),), nft.BaseChain(nft.Hook.INPUT, -10)),
            "\tchain x {\n\t\ttype filter hook input priority -10; policy accept;\n\t\tdrop\n\t}\n",
            id="a base chain",
        ),
        pytest.param(nft.Chain("x"), "\tchain x {\n\t}\n", id="an empty chain"),
    ],
)
def test_object(item: nft.NamedObject, text: str) -> None:
    assert render_object(item) == text
