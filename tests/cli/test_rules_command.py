"""``podfence rules``: what is shown of what nodes tell, and what cannot be said."""

from __future__ import annotations

import json
import time

import pytest
from msgspec.structs import replace

from podfence.agent.fleet import NodeReply
from podfence.cli.rules_command import _show
from podfence.drops.record import rfc3339
from podfence.usage.record import NodeUsage, PolicyUse, RuleUse
from tests.cli.schema import violations
from tests.cli.session import ROOT, podfence

Captured = pytest.CaptureFixture[str]
DAY = 86400
OLD, NOW = rfc3339(time.time() - 40 * DAY), rfc3339(time.time() - 60)


def node(
    name: str, since: str, *rules: RuleUse, policy: str = "shop/db", cut: int = 0
) -> NodeReply[NodeUsage]:
    use = PolicyUse("NetworkPolicy", policy, "u", 1, since, rules)
    return NodeReply(name, NodeUsage(name, since, looks=9, cut=cut, policies=(use,)))


USED, UNUSED = RuleUse("spec.ingress[0]", 3, NOW), RuleUse("spec.ingress[1]")


def test_every_rule_is_a_line(capsys: Captured) -> None:
    assert _show([node("n1", OLD, USED, UNUSED)], None, None, "table") == 0
    head, used, unused = capsys.readouterr().out.splitlines()
    assert head.split() == "POLICY RULE USES LAST USED COUNTED SINCE".split()
    assert used.split()[:3] == ["shop/db", "spec.ingress[0]", "3"]
    assert unused.split()[:4] == ["shop/db", "spec.ingress[1]", "0", "never"]


def test_only_what_nothing_has_used_for_so_long(capsys: Captured) -> None:
    told = [node("n1", OLD, USED, UNUSED), node("n2", NOW, RuleUse("spec.egress[0]"), policy="a/b")]
    assert _show(told, 30 * DAY, None, "table") == 1
    found = capsys.readouterr()
    assert [line.split()[:2] for line in found.out.splitlines()[1:]] == [["shop/db", UNUSED.path]]
    assert "no use of 1 more rule was seen, but not for so long" in found.err
    line = f"node n2 counts only since {NOW[:19]}Z: what passed there before is unknown"
    assert line in found.err.splitlines()


def test_one_namespace_alone(capsys: Captured) -> None:
    told = [node("n1", OLD, USED), node("n2", OLD, UNUSED, policy="other/b")]
    _show(told, None, "shop", "table")
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_nothing_unused_is_a_success(capsys: Captured) -> None:
    assert _show([node("n1", OLD, USED)], 30 * DAY, None, "table") == 0
    assert capsys.readouterr().err == ""


def test_a_node_that_does_not_answer_and_what_was_not_seen(capsys: Captured) -> None:
    told = [
        node("n1", OLD, USED, cut=2),
        NodeReply[NodeUsage]("n2\x1b", None, "no agent runs there"),
    ]
    assert _show(told, None, None, "table") == 1
    found = capsys.readouterr().err
    assert "node n2\\x1b: no agent runs there" in found
    assert "2 of 9 looks saw only a part of the connections" in found


@pytest.mark.parametrize("fault", ["no agent runs there", "403: no right to get rules"])
def test_while_a_node_does_not_answer_no_rule_is_unused(capsys: Captured, fault: str) -> None:
    """It may have seen a use, yesterday, of any of them."""
    told = [node("n1", OLD, USED, UNUSED), NodeReply[NodeUsage]("n2", None, fault)]
    assert _show(told, 30 * DAY, None, "table") == 1
    found = capsys.readouterr()
    assert UNUSED.path not in found.out
    assert f"node n2: {fault}" in found.err
    assert "no use of 1 rule was seen, but 1 node did not answer and may have seen" in found.err
    assert "more" not in found.err
    _show(told, 30 * DAY, None, "json")
    data = json.loads(capsys.readouterr().out)
    assert data["rules"] == []
    assert data["nodes"][1] == {"node": "n2", "answers": False, "fault": fault}


@pytest.mark.parametrize("unused", [None, 30 * DAY])
def test_a_node_that_does_not_look_is_named_and_its_rules_are_not_unused(
    capsys: Captured, unused: int | None
) -> None:
    found = node("n1", OLD, UNUSED).answer
    assert found is not None
    told = [NodeReply("n1", replace(found, fault="no\x1b table", looked=NOW, away=7))]
    assert _show(told, unused, None, "table") == 1
    shown = capsys.readouterr()
    assert f"node n1 has not looked at connections since {NOW[:19]}Z: no\\x1b table" in shown.err
    assert "connections were not watched for 7s of that time" in shown.err
    assert (UNUSED.path in shown.out) is (unused is None)
    assert ("of 1 more rule" in shown.err) is (unused is not None)
    assert "not for so long" not in shown.err


def test_names_of_agents_move_no_cursor(capsys: Captured) -> None:
    evil = RuleUse("spec\x1b[2J", 1, "\x9b2J")
    _show([node("n1", "\x1b[2J", evil, policy="a/\x1b]0;x\x07")], None, None, "table")
    found = capsys.readouterr()
    assert not set("\x1b\x07\x9b") & set(found.out + found.err)


def test_json_is_valid_for_its_schema(capsys: Captured) -> None:
    schema = json.loads((ROOT / "docs/schemas/rules.schema.json").read_text("utf-8"))
    told = [node("n1", OLD, USED, UNUSED), NodeReply[NodeUsage]("n2", None, "no agent runs there")]
    blind = node("n3", OLD, UNUSED).answer
    assert blind is not None
    told.append(NodeReply("n3", replace(blind, fault="no", looked=OLD)))
    for unused in (None, 30 * DAY):
        _show(told, unused, None, "json")
        data = json.loads(capsys.readouterr().out)
        assert violations(data, schema, schema) == []
        assert ("unusedSince" in data) is (unused is not None)


@pytest.mark.parametrize("text", ["30", "d", "0d", "1.5h", "30 d", "-1d", "\u0663d"])
def test_what_is_no_time(text: str) -> None:
    done = podfence(["rules", "--unused", text])
    assert done.status == 2
    assert "such as 30d" in done.err


@pytest.mark.parametrize("text", ["3651d", "999999w"])
def test_a_time_that_is_too_long(text: str) -> None:
    done = podfence(["rules", "--unused", text])
    assert done.status == 2
    assert "the most is ten years (3650d)" in done.err
