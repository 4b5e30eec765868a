"""What was denied, as people and programs read it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from podfence.agent.fleet import NodeReply
from podfence.drops.record import Cause, Drop, Drops, FlowEnd, NamedRule
from podfence.render.drops import drop_data, drop_text, drops_data, lost_text
from podfence.render.jsontext import json_bytes, json_text
from tests.cli.schema import violations

ROOT = Path(__file__).resolve().parents[2]
RULE_NAMED = NamedRule("NetworkPolicy", "shop/db", "spec.podSelector")
NEAR = NamedRule("NetworkPolicy", "shop/db", "spec.ingress[0]", "near miss: the port fits")
DROP = Drop(
    "n1",
    3,
    "2026-01-01T10:00:00.123Z",
    "2026-01-01T10:00:09.999Z",
    4,
    "ingress",
    FlowEnd("10.0.0.1", ("shop/web",)),
    FlowEnd("10.0.0.2", ("shop/db",)),
    "TCP",
    Cause("isolated", "NetworkPolicy", (RULE_NAMED,), (NEAR,)),
    5432,
)
BY_RULE = Cause("rule", "Admin", (NamedRule("ClusterNetworkPolicy", "guard", "spec.ingress[0]"),))
AUDITED = (
    "would drop: denied by ClusterNetworkPolicy guard spec.ingress[0] (tier Admin) (audited: a/b)"
)
HEAD = "2026-01-01T10:00:09Z 4x shop/web -> shop/db TCP/5432 ingress: "


def test_isolation_with_its_near_misses() -> None:
    assert drop_text(DROP) == (
        f"{HEAD}isolated by shop/db, no rule matches\n"
        "    shop/db spec.ingress[0]: near miss: the port fits\n"
    )


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"cause": BY_RULE},
            f"{HEAD}denied by ClusterNetworkPolicy guard spec.ingress[0] (tier Admin)",
        ),
        ({"cause": Cause("past")}, f"{HEAD}the current policies would allow it"),
        (
            {
                "cause": Cause(
                    "rule",
                    "Admin",
                    BY_RULE.policies,
                    audited=(NamedRule("NetworkPolicy", "a/b", ""),),
                ),
                "audit": True,
            },
            HEAD + AUDITED,
        ),
        (
            {"cause": BY_RULE, "reply": True},
            HEAD.replace("TCP/5432", "TCP/5432 (answers)")
            + "denied by ClusterNetworkPolicy guard spec.ingress[0] (tier Admin)",
        ),
        (
            {"cause": Cause("unknown"), "direction": "", "source": FlowEnd("10.0.0.9")},
            HEAD.replace("shop/web", "10.0.0.9").replace("ingress: ", "")
            + "no pod that the API server knows has this address yet",
        ),
        (
            {"cause": Cause("past"), "protocol": "ICMP", "port": None},
            HEAD.replace("TCP/5432", "ICMP") + "the current policies would allow it",
        ),
        (
            {"cause": Cause("past"), "source": FlowEnd("172.18.0.2", (), "n2")},
            HEAD.replace("shop/web", "172.18.0.2 (node n2)")
            + "the current policies would allow it",
        ),
        (
            {"cause": Cause("past"), "source": FlowEnd("10.0.0.1", ("a/x", "b/y"))},
            HEAD.replace("shop/web", "a/x or b/y") + "the current policies would allow it",
        ),
    ],
)
def test_other_causes_and_ends(changes: dict[str, object], text: str) -> None:
    assert drop_text(replace(DROP, **changes)) == f"{text}\n"


def test_the_node_is_told_where_there_are_several() -> None:
    assert drop_text(DROP, with_node=True).startswith("2026-01-01T10:00:09Z n1 4x shop/web")


def test_names_act_on_no_terminal() -> None:
    evil = "\x1b[2J\u202e\nx"
    rule = NamedRule(evil, evil, evil, evil)
    ends = FlowEnd(evil, (evil,)), FlowEnd(evil, (), evil)
    cause = Cause("isolated", evil, (rule,), (rule,))
    drop = Drop(evil, 1, evil, evil, 1, evil, *ends, evil, cause)
    for each in (cause, Cause("rule", evil, (rule,)), Cause(evil)):
        text = drop_text(replace(drop, cause=each), with_node=True)
        assert not {"\x1b", "\u202e"} & set(text)
        assert all(line.isprintable() for line in text.splitlines())
    assert "\x1b" not in json_text(drops_data([NodeReply(evil, Drops(evil, drops=(drop,)))]))
    assert "\x1b" not in lost_text(Drops(evil, lost=1))


def test_what_is_missing_is_told() -> None:
    assert lost_text(Drops("n1")) == ""
    assert lost_text(Drops("n1", lost=3, forgotten=2)) == (
        "node n1: 3 logged packets could not be examined; 2 older drops were discarded"
    )


def test_data_is_valid_for_the_schema() -> None:
    schema = json.loads((ROOT / "docs/schemas/drops.schema.json").read_text("utf-8"))
    found = [DROP, replace(DROP, cause=BY_RULE, reply=True, port=None, direction="")]
    found.append(replace(DROP, source=FlowEnd("::1", (), "n2"), cause=Cause("past")))
    told = [
        NodeReply("n1", Drops("n1", 1, 2, 3, 4, tuple(found))),
        NodeReply("n2", Drops("n2")),
        NodeReply("n3", None, "no agent runs there"),
    ]
    whole = json.loads(json_text(drops_data(told)))
    lines = [json.loads(json_bytes(drop_data(drop))) for drop in found]
    for value in (whole, *lines):
        assert violations(value, schema, schema) == []
