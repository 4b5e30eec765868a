"""What a soak judges by: single steps, what is certain meanwhile, packets, and memory."""

from __future__ import annotations

import socket
import time
from ipaddress import ip_address
from random import Random

import pytest
from msgspec.structs import replace

from bench.soak.field import sums
from bench.soak.packets import PATIENCE, Expectation, Packet, Traffic, judged
from bench.soak.report import LEAST_MINUTES, MIB, Minute, Soak, is_flat, line, summary
from bench.soak.walk import between, uncertain, verdicts, walk
from podfence.kernel import netns
from podfence.kernel.rtnetlink import Rtnetlink, link_up
from podfence.model.cluster import Cluster, ClusterObject
from podfence.nft.lowering.epoch import with_epoch
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.lowering.skeleton import FORWARD
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from podfence.testing.builders import namespace, pod, policy
from tests.support.random_clusters import Size, random_cluster
from tests.support.random_policies import NAMESPACES
from tests.support.rulesets import same_rules

A, B = ip_address("10.0.0.1"), ip_address("10.0.0.2")
LOCAL = ip_address("127.0.0.1")


# -- from one state to the next


def names(model: Cluster) -> dict[object, object]:
    """Every object by what it is called."""
    found: dict[object, object] = {}
    found |= dict(model.namespaces.items())
    found |= dict(model.nodes.items())
    found |= {pod.ref: pod for pod in model.pods}
    found |= {each.ref: each for each in model.policies}
    return found | {each.ref: each for each in model.admin_policies}


def state(number: int) -> Cluster:
    """A random one, in which all namespaces are there from the start."""
    drawn = random_cluster(Random(number), Size(policies=5, admin_policies=3))
    there = {name: namespace(name, {}) for name in NAMESPACES} | {**drawn.namespaces}
    objects: list[ClusterObject] = [*there.values(), *drawn.nodes.values(), *drawn.pods]
    return Cluster.of([*objects, *drawn.policies, *drawn.admin_policies])


@pytest.mark.parametrize("number", range(10))
def test_every_step_changes_one_object_and_the_last_one_arrives(number: int) -> None:
    before, after = (state(number + plus) for plus in (0, 100))
    last = before
    for step in walk(before, after, Random(number)):
        old, new = names(last), names(step)
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        assert len(changed) == 1
        last = step
    assert names(last).items() >= names(after).items()
    assert last.policies == after.policies
    assert last.admin_policies == after.admin_policies


def test_a_policy_that_becomes_another_goes_first() -> None:
    """Two writes, and each is a step, since nodes may hear of one without the other."""
    closed, other = policy("x/a", {}), policy("x/a", {"app": "web"})
    before, after = (Cluster.of([namespace("x", {}), each]) for each in (closed, other))
    steps = [step.policies for step in walk(before, after, Random(0))]
    assert steps == [(), after.policies]


# -- what is certain while two nodes hear of a change


@pytest.mark.parametrize(
    ("before", "after", "certain"),
    [
        ((True, True), (True, True), True),
        ((True, False), (True, False), False),
        ((True, False), (False, False), False),
        ((True, True), (True, False), None),
        ((False, True), (True, True), None),
        # Denied before and after, and open while only one of them has heard.
        ((False, True), (True, False), None),
    ],
)
def test_certain_is_what_holds_whoever_has_heard(
    before: tuple[bool, bool], after: tuple[bool, bool], certain: bool | None
) -> None:
    assert between(before, after) is certain


def test_flows_that_a_change_does_not_touch_stay_certain() -> None:
    objects: list[ClusterObject] = [
        namespace("x", {}),
        pod("x/a", {"app": "a"}, addresses=[str(A)]),
        pod("x/b", {"app": "b"}, addresses=[str(B)]),
    ]
    before = Cluster.of(objects)
    after = Cluster.of([*objects, policy("x/closed", {"app": "b"})])
    there, back = Flow(A, B, "TCP", 80), Flow(B, A, "TCP", 80)
    ends = [verdicts(each, [there, back]) for each in (before, after)]
    assert ends[1] == {there: (True, False), back: (True, True)}
    assert uncertain(*ends) == {there}


# -- packets


@pytest.mark.parametrize(
    ("certain", "arrived", "answered", "lasting", "said"),
    [
        (True, True, True, True, ""),
        (True, False, False, True, "lost"),
        (True, False, False, None, "lost"),
        (True, True, False, True, "answer lost"),
        (True, True, False, None, ""),
        (False, False, False, False, ""),
        (False, True, True, False, "leaked"),
        (False, True, False, None, "leaked"),
        (None, True, False, None, None),
        (None, False, False, True, None),
    ],
)
def test_a_packet_is_judged_by_what_was_certain_when_it_was_sent(
    certain: bool | None, arrived: bool, answered: bool, lasting: bool | None, said: str | None
) -> None:
    with socket.socket() as sender:
        packet = Packet(Flow(A, B, "UDP", 53), True, 0.0, certain, sender)
        packet.arrived, packet.answered = arrived, answered
        assert judged(packet, lasting) == said


def test_an_expectation_lasts_from_its_last_change_on() -> None:
    expectation = Expectation()
    expectation.expect(True, 5.0)
    expectation.expect(True, 7.0)
    assert expectation.since(6.0) is True
    assert expectation.since(4.0) is None
    expectation.expect(None, 8.0)
    expectation.expect(True, 9.0)
    assert expectation.since(8.5) is None


@pytest.fixture
def loopback() -> int:
    """A namespace with nothing but that."""
    namespace_fd = netns.create()
    with netns.inside(namespace_fd), Rtnetlink() as links:
        links.apply([link_up(1)], of="lo")
    return namespace_fd


@pytest.mark.kernel
def test_packets_that_pass_are_right_where_that_is_expected_and_wrong_elsewhere(
    loopback: int,
) -> None:
    flows = [Flow(LOCAL, LOCAL, "UDP", port) for port in (53, 80, 81)]
    traffic = Traffic(flows, {LOCAL: loopback}, 300)
    traffic.expect(dict(zip(flows, (True, False, None), strict=True)))
    traffic.start()
    until = time.monotonic() + 60
    while len(traffic.counts) < 3 and time.monotonic() < until:
        time.sleep(PATIENCE / 10)
    traffic.end()
    assert traffic.failure is None
    assert traffic.counts.keys() == {"right", "leaked", "not judged"}
    assert {each.flow.port for each in traffic.wrong} == {80}
    assert {each.is_new for each in traffic.wrong} >= {True}
    assert str(traffic.wrong[0]).startswith("leaked: 127.0.0.1 -> 127.0.0.1 port 80, ")


@pytest.mark.parametrize("edit", ["flush", "delete"])
def test_a_table_that_somebody_edited_is_another(edit: str) -> None:
    """Even where nothing is left that could be compared."""
    wanted = lower(compile_cluster(Cluster.of([])), LocalNode("n"))
    chains = dict(wanted.chains)
    if edit == "flush":
        chains = {name: replace(chain, rules=()) for name, chain in chains.items()}
    else:
        del chains[FORWARD]
    assert same_rules(wanted, wanted)
    assert same_rules(with_epoch(wanted, 7), wanted)
    assert not same_rules(replace(wanted, chains=chains), wanted)
    assert not same_rules(None, wanted)


# -- what is said


@pytest.mark.parametrize(
    ("series", "flat"),
    [
        ([40] * LEAST_MINUTES, True),
        ([20, 30, 35, 38, 39] + [40] * 30, True),
        ([40 + minute // 2 for minute in range(60)], False),
        ([40] * 40 + [60] * 5, False),
        ([40] * (LEAST_MINUTES - 1), None),
    ],
)
def test_memory_is_flat_where_its_end_holds_what_its_beginning_held(
    series: list[int], flat: bool | None
) -> None:
    assert is_flat([each * MIB for each in series]) is flat


MINUTE = Minute(
    number=1,
    packets=6137,
    wrong=0,
    changes=20,
    faults=1,
    tried=880,
    tried_wrong=0,
    slowest=1.23,
    rss={"node1": 40 * MIB, "node2": 41 * MIB},
    elements={"node1": 1050, "node2": 50},
    connections={"node1": 7, "node2": 8},
    same={"node1": True, "node2": True},
)
WELL = Soak(
    [replace(MINUTE, number=n) for n in range(1, 21)],
    {"right": 9, "not judged": 2},
    {"table deleted": 3},
    [],
    frozenset({"node2"}),
)


def test_a_minute_is_a_line() -> None:
    assert line(MINUTE) == (
        "minute 1: 6,137 packets, 0 wrong; 880 pairs tried, 0 wrong; 20 changes, the slowest 1.2 s;"
        " 1 faults; memory 40.0 / 41.0 MiB; elements 1,050 / 50; connections 7 / 8; table as from "
        "nothing: yes"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"packets": {"right": 9, "leaked": 1}},
        {"packets": {"lost": 1}},
        {"packets": {"answer lost": 1}},
        {"late": ["node1"]},
        {"failure": "it was interrupted"},
        {"minutes": [replace(MINUTE, tried_wrong=1)]},
        {"minutes": [replace(MINUTE, same={"node1": True, "node2": False})]},
        {
            "minutes": [replace(MINUTE, rss={"node2": n * MIB}) for n in range(1, 60)],
            "lasting": frozenset({"node2"}),
        },
    ],
    ids=lambda wrong: "+".join(wrong),
)
def test_a_soak_is_well_only_where_nothing_was_wrong(wrong: dict[str, object]) -> None:
    assert [*summary(WELL, 0)][-1] == WELL.said == "well"
    found = replace(WELL, **wrong)
    assert [*summary(found, 0)][-1] == found.said == "NOT well"


@pytest.mark.parametrize(
    ("little", "gap"),
    [
        ({"packets": {"not judged": 40}}, "no packet"),
        ({"minutes": WELL.minutes[: LEAST_MINUTES - 1]}, "the memory of node2"),
        (
            {"minutes": [replace(m, rss={"node1": MIB}) for m in WELL.minutes]},
            "the memory of node2",
        ),
        ({"lasting": frozenset()}, "the memory of no agent"),
        ({"minutes": [replace(m, tried=0) for m in WELL.minutes]}, "no pair"),
        ({"minutes": [replace(m, same={}) for m in WELL.minutes]}, "no table"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_nobody_looked_at_is_not_judged(little: dict[str, object], gap: str) -> None:
    found = replace(WELL, **little)
    assert (found.said, [*summary(found, 0)][-1]) == ("not judged", f"not judged: {gap}")
    late = replace(found, late=["node1"])
    assert [*summary(late, 0)][-1] == late.said == "NOT well"


def test_a_summary_says_what_was_done_and_what_came_of_it() -> None:
    found = replace(
        WELL,
        packets={"right": 9, "leaked": 2, "not judged": 2},
        wrong=["leaked: a -> b"],
        lasting=frozenset({"node2"}),
    )
    said = "{0}.0 MiB after the first minutes, {0}.0 at the end, {0}.0 at most"
    assert [*summary(found, 7)] == [
        "20 minutes, seed 7",
        "     3 table deleted",
        "   400 changes",
        "11 packets judged, 2 wrong; 2 sent while something changed",
        "  2 leaked",
        "  leaked: a -> b",
        "17,600 pairs tried over TCP, 0 wrong",
        "table as from nothing: 40 of 40 times",
        "slowest change: 1.2 s; 0 late",
        f"memory of node1: {said.format(40)}: started again now and then",
        f"memory of node2: {said.format(41)}: flat",
        "NOT well",
    ]


def test_a_soak_without_a_minute_has_a_summary() -> None:
    found = replace(WELL, minutes=[], failure="NotReady: node1")
    assert "ended early: NotReady: node1" in [*summary(found, 0)]


def test_packets_that_are_not_judged_are_neither_right_nor_wrong() -> None:
    assert sums({"right": 5, "not judged": 7, "leaked": 1, "lost": 2}) == (8, 3)
