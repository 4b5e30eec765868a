"""What agents tell together: where a policy is in force, and what people are shown."""

from __future__ import annotations

import json

import msgspec
import pytest

from podfence.agent.conditions import Condition, ConditionKind
from podfence.agent.fleet import EnforcementState, NodeReply, is_well, standing
from podfence.agent.nodereport import (
    NodeReport,
    PacketTally,
    PolicyReport,
    node_report,
    policy_report,
)
from podfence.agent.revisions import Revisions, SelectedPods
from podfence.agent.status import HUNG, NodeStatus, WaitingPod, WatchedKind
from podfence.model.facts import Gone, PolicyFacts, Put
from podfence.model.meta import ObjectRef, Revision
from podfence.render.fleet_data import nodes_data, policy_data
from podfence.render.fleet_text import nodes_text, policy_text, seconds_text, waited_text
from tests.cli.schema import violations
from tests.cli.session import ROOT

NOW = 1000.0
WEB = ObjectRef("NetworkPolicy", "shop", "web")
WANTED = Revision("u1", 3)
REFUSED = Condition(ConditionKind.REFUSED, "NetworkPolicy shop/web", "spec: no", NOW - 30)
CLOSED = Condition(ConditionKind.KERNEL_REFUSED, "i_1", "no", NOW - 130, ("shop/b", "shop/a"))
STATUS = NodeStatus(
    "n1",
    started=NOW - 200,
    turned=NOW,
    in_sync=True,
    epoch=7,
    pods=3,
    pending=(WaitingPod("shop/new", NOW - 5),),
    sources=(
        WatchedKind("Pod", "own", "live", heard=NOW - 2),
        WatchedKind("Pod", "other", "live", heard=NOW - 40),
        WatchedKind("AdminNetworkPolicy", "", "absent"),
    ),
)


def put(uid: str, generation: int, name: str = "web", **more: object) -> Put:
    document = {"metadata": {"name": name, "uid": uid, "generation": generation, **more}}
    return Put(PolicyFacts("NetworkPolicy", "shop", name, json.dumps(document).encode()))


# --- revisions


def test_a_revision_is_known_until_another_or_none_takes_its_position() -> None:
    found = Revisions()
    assert found.of(WEB) is None
    found.arrived([put("u1", 1), put("u1", 2)])
    assert found.of(WEB) == Revision("u1", 2)
    found.arrived([Gone("Pod", "shop", "web"), Gone("NetworkPolicy", "shop", "other")])
    assert found.of(WEB) == Revision("u1", 2)
    found.arrived([Gone("NetworkPolicy", "shop", "web"), put("u2", 1)])
    assert found.of(WEB) == Revision("u2", 1)
    found.arrived([Gone("NetworkPolicy", "shop", "web")])
    assert found.of(WEB) is None


@pytest.mark.parametrize(
    ("annotations", "audited"),
    [
        (None, False),
        ({}, False),
        ({"podfence.io/mode": "audit", "a": "b"}, True),
        ({"podfence.io/mode": "Audit"}, False),
        ({"podfence.io/mode": "enforce"}, False),
        ({"podfence.io/mode": None}, False),
    ],
)
def test_a_revision_tells_whether_it_is_audited(annotations: object, audited: bool) -> None:
    found = Revisions()
    found.arrived([put("u1", 1, annotations=annotations)])
    assert found.of(WEB) == Revision("u1", 1, audited)


@pytest.mark.parametrize("document", [b"", b"[]", b'{"metadata": {"uid": 7}}', b"\xff"])
def test_what_cannot_be_read_is_no_revision_that_anybody_waits_for(document: bytes) -> None:
    found = Revisions()
    found.arrived([Put(PolicyFacts("NetworkPolicy", "shop", "web", document))])
    assert found.of(WEB) == Revision("")
    assert not Revision("").covers(Revision("u1"))


@pytest.mark.parametrize(
    ("held", "covers"),
    [
        (Revision("u1", 3), True),
        (Revision("u1", 4), True),
        (Revision("u1", 2), False),
        (Revision("u2", 3), False),
        (Revision("u2", 9), False),
        (Revision("u1", 4, audited=True), False),  # no generation tells of an annotation
    ],
)
def test_a_later_revision_of_the_same_object_will_do(held: Revision, covers: bool) -> None:
    assert held.covers(WANTED) is covers


# --- where a policy is in force


def told(
    *conditions: Condition, revision: Revision | None = WANTED, closed: int = 0
) -> NodeReply[PolicyReport]:
    status = msgspec.structs.replace(STATUS, conditions=conditions)
    return NodeReply("n1", policy_report(status, NOW, WEB, revision, SelectedPods(2, closed)))


HOLDS_UNTOLD = NodeReply("n1", PolicyReport("n1", in_sync=True, uid="u1", generation=3, pods=1))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (told(), EnforcementState.IN_FORCE),
        (told(revision=None), EnforcementState.OTHER),
        (told(revision=Revision("u1", 2)), EnforcementState.OTHER),
        (told(REFUSED), EnforcementState.REFUSED),
        (told(CLOSED), EnforcementState.IN_FORCE),  # of pods that it does not select
        (told(CLOSED, closed=1), EnforcementState.REFUSED),
        (NodeReply[PolicyReport]("n1", None, "no agent runs there"), EnforcementState.NOT_KNOWN),
        (
            NodeReply("n1", PolicyReport("n1", in_sync=False, uid="u1", generation=3)),
            EnforcementState.NOT_IN_SYNC,
        ),
        (
            NodeReply("n1", PolicyReport("n1", in_sync=True, alive=False, uid="u1", generation=3)),
            EnforcementState.NOT_IN_SYNC,
        ),
        (  # the thread that enforces has not said which of its pods are closed
            NodeReply("n1", PolicyReport("n1", in_sync=True, uid="u1", generation=3, pods=None)),
            EnforcementState.NOT_IN_SYNC,
        ),
    ],
)
def test_a_policy_is_in_force_where_its_rules_are_in_the_kernel(
    found: NodeReply[PolicyReport], expected: EnforcementState
) -> None:
    assert standing(found, WANTED) is expected


AUDITED = Revision("u1", 3, audited=True)


@pytest.mark.parametrize(
    ("held", "wanted", "expected"),
    [
        (told(revision=AUDITED), AUDITED, EnforcementState.AUDITED),
        (told(revision=AUDITED), WANTED, EnforcementState.OTHER),  # its annotation went just now
        (told(), AUDITED, EnforcementState.OTHER),
        (told(REFUSED, revision=AUDITED), AUDITED, EnforcementState.REFUSED),
        # of agents that do not tell
        (HOLDS_UNTOLD, AUDITED, EnforcementState.AUDITED),
        (HOLDS_UNTOLD, WANTED, EnforcementState.IN_FORCE),
    ],
)
def test_an_audited_policy_is_in_force_nowhere(
    held: NodeReply[PolicyReport], wanted: Revision, expected: EnforcementState
) -> None:
    assert standing(held, wanted) is expected
    assert policy_data(WEB, wanted, [held])["inForce"] is (expected is EnforcementState.IN_FORCE)


# --- what a node says of itself


def test_times_become_ages() -> None:
    found = node_report(msgspec.structs.replace(STATUS, conditions=(CLOSED,)), NOW)
    assert (found.uptime, found.lag) == (200.0, 40.0)
    assert [(each.pod, each.seconds) for each in found.pending] == [("shop/new", 5.0)]
    assert [held.seconds for held in found.conditions] == [130.0]
    assert found.closed == ("shop/a", "shop/b")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"in_sync": False}, False),
        ({"conditions": (REFUSED,)}, False),
        ({"turned": NOW - HUNG - 1}, False),
    ],
)
def test_a_node_is_well_in_sync_and_without_conditions(
    change: dict[str, object], expected: bool
) -> None:
    status = msgspec.structs.replace(STATUS, **change)
    assert is_well(NodeReply("n1", node_report(status, NOW))) is expected
    assert not is_well(NodeReply[NodeReport]("n1", None, "away"))


def test_a_report_survives_the_wire_and_fields_of_later_versions() -> None:
    found = node_report(msgspec.structs.replace(STATUS, conditions=(CLOSED,)), NOW)
    data = {**msgspec.json.decode(msgspec.json.encode(found)), "of tomorrow": 1}
    assert msgspec.json.decode(msgspec.json.encode(data), type=NodeReport) == found


# --- what people see

NODES = [
    NodeReply(
        "n1", node_report(msgspec.structs.replace(STATUS, conditions=(REFUSED, CLOSED)), NOW)
    ),
    NodeReply(
        "n2",
        NodeReport(
            "n2",
            "0.1.0",
            in_sync=True,
            epoch=2,
            pods=1,
            lag=3.2,
            denied=(PacketTally("ingress", "policy", 7, 420),),
        ),
    ),
    NodeReply[NodeReport]("n3", None, "no agent runs there"),
    NodeReply("n4", NodeReport("n4", "0.1.0", alive=False, in_sync=True)),
]


def test_nodes_are_lines_and_what_is_wrong_stands_below() -> None:
    assert nodes_text(NODES) == (
        "NODE   IN SYNC   EPOCH   PODS   PENDING   CLOSED   REFUSED   API LAG   VERSION\n"
        "n1     yes       7       3      1         2        1         40s       0.1.0\n"
        "n2     yes       2       1      0         0        0         3s        0.1.0\n"
        "n3     unknown   -       -      -         -        -         -         -\n"
        "n4     hangs     0       0      0         0        0         -         0.1.0\n"
        "n1: without address, so closed: shop/new for 5s\n"
        "n1: Refused NetworkPolicy shop/web for 30s: spec: no\n"
        "n1: KernelRefused i_1 for 2m: no\n"
        "n3: no agent runs there\n"
    )


def test_a_policy_is_a_line_a_node_and_waiting_shows_those_that_miss() -> None:
    found = [
        told(),
        NodeReply("n2", PolicyReport("n2", in_sync=True, uid="u1", generation=2, pods=0)),
        NodeReply[PolicyReport]("n3", None, "away"),
    ]
    head = "NetworkPolicy shop/web, generation 3: in force on 1 of 3 nodes\n"
    rows = (
        "n2     not yet    2            0      0\n"
        "n3     unknown    -            -      -\n"
        "n3: away\n"
    )
    columns = "NODE   IN FORCE   GENERATION   PODS   CLOSED\n"
    first = "n1     yes        3            2      0\n"
    assert policy_text(WEB, WANTED, found) == head + columns + first + rows
    assert waited_text(WEB, WANTED, found) == head + columns + rows
    all_ = "NetworkPolicy shop/web, generation 3: in force on 1 of 1 node\n"
    assert waited_text(WEB, WANTED, [told()]) == all_


def test_of_an_audited_policy_it_is_said_that_it_enforces_nothing() -> None:
    held, away = told(revision=AUDITED), NodeReply[PolicyReport]("n3", None, "away")
    head = "NetworkPolicy shop/web, generation 3: audited on"
    columns = "NODE   IN FORCE   GENERATION   PODS   CLOSED\n"
    first = "n1     audited    3            2      0\n"
    last = "n3     unknown    -            -      -\nn3: away\n"
    all_ = f"{head} 1 of 1 node, so it enforces nothing\n"
    some = f"{head} 1 of 2 nodes, so it enforces nothing\n"
    assert policy_text(WEB, AUDITED, [held]) == all_ + columns + first
    assert waited_text(WEB, AUDITED, [held]) == all_
    assert policy_text(WEB, AUDITED, [held, away]) == some + columns + first + last
    assert waited_text(WEB, AUDITED, [held, away]) == some + columns + last


HOSTILE = "a\x1b[31m\nb\u202e"


def test_what_an_agent_says_never_acts_on_a_terminal() -> None:
    status = NodeStatus(
        HOSTILE,
        NOW,
        NOW,
        pending=(WaitingPod(HOSTILE, NOW),),
        conditions=(
            Condition(ConditionKind.REFUSED, f"NetworkPolicy {HOSTILE}", HOSTILE, NOW, (HOSTILE,)),
        ),
        sources=(WatchedKind(HOSTILE, HOSTILE, HOSTILE, HOSTILE),),
    )
    node = msgspec.structs.replace(node_report(status, NOW), version=HOSTILE)
    policy = ObjectRef("NetworkPolicy", HOSTILE, HOSTILE)
    report = policy_report(status, NOW, policy, WANTED, None)
    nodes = [NodeReply(HOSTILE, node), NodeReply[NodeReport](HOSTILE, None, HOSTILE)]
    policies = [NodeReply(HOSTILE, report), NodeReply[PolicyReport](HOSTILE, None, HOSTILE)]
    for text in (nodes_text(nodes), policy_text(policy, WANTED, policies)):
        assert text.replace("\n", "").isprintable()
        assert len(text.splitlines()) == len(text.split("\n")) - 1


def test_data_is_valid_for_the_published_schemas() -> None:
    policies = [
        told(CLOSED, closed=1),
        told(revision=None),
        told(revision=AUDITED),
        NodeReply[PolicyReport]("n3", None, "away"),
    ]
    for name, data in (
        ("status", nodes_data(NODES)),
        ("policy-status", policy_data(WEB, WANTED, policies)),
        ("policy-status", policy_data(WEB, AUDITED, policies)),
    ):
        schema = json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text("utf-8"))
        assert violations(json.loads(msgspec.json.encode(data)), schema, schema) == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.4, "0s"), (119, "119s"), (120, "2m"), (7300, "2h"), (200000, "2d")],
)
def test_ages_are_short(seconds: float | None, text: str) -> None:
    assert seconds_text(seconds) == text


def test_no_nodes_are_not_well_and_enforce_nothing() -> None:
    assert nodes_data(())["well"] is False
    assert policy_data(WEB, WANTED, ())["inForce"] is False
