"""The packet benchmark measures what it says: the clusters, the variants, the judgement."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from itertools import product
from pathlib import Path

import pytest
from msgspec.structs import replace

from bench.packets.__main__ import arguments
from bench.packets.chains import policy_chains
from bench.packets.report import Results, lines, row, spread, verdicts
from bench.packets.rounds import FULL, QUICK, TRACKED, TRACKED_BY, TWIN, Effort, Series
from bench.packets.scenario import (
    CLIENT,
    CLOSED_PORT,
    ENDS,
    NODE,
    OPEN_PORT,
    PEERS,
    SERVER,
    Scenario,
    cluster,
    policies,
)
from bench.packets.variants import conntrack_only, linear, ours
from bench.run import BEGIN, END
from podfence.model.cluster import Cluster
from podfence.nft.ruleset import Ruleset
from podfence.nft.trace import trace
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction, Flow

SMALL = Scenario(5, 12, 4)
SCENARIOS = [
    Scenario(2, 1, 1),
    SMALL,
    Scenario(10, 10, 10),
    Scenario(10, 200, 1),
    Scenario(10, 200, 100),
]
SIX = Scenario(10, 200, 10, family=6)


def opening(protocol: str = "TCP", port: int = OPEN_PORT) -> Flow:
    return Flow(CLIENT, SERVER, protocol, port)


# --- clusters --------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", [*SCENARIOS, SIX], ids=str)
@pytest.mark.parametrize("end", [0, 1], ids=["client", "server"])
@pytest.mark.parametrize("direction", Direction, ids=str)
def test_exactly_k_policies_select_a_measured_pod(
    scenario: Scenario, end: int, direction: Direction
) -> None:
    index = compile_cluster(cluster(scenario))
    endpoint = index.by_address[ENDS[scenario.family][end]]
    policy = index.policies[endpoint.endpoint_class].of(direction)
    isolating = {str(origin.policy) for tier in policy.tiers for origin in tier.isolated_by}
    assert len(isolating) == scenario.selecting


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_the_node_has_the_pods_and_the_cluster_the_policies_of_the_scenario(
    scenario: Scenario,
) -> None:
    made = cluster(scenario)
    assert sum(pod.node == NODE for pod in made.pods) == scenario.local_pods
    assert len(made.policies) == scenario.policies


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_every_policy_is_about_a_pod_of_the_node(scenario: Scenario) -> None:
    made = cluster(scenario)
    index = compile_cluster(made)
    here = [e for e in index.by_address.values() if e.pod.node == NODE]
    known = {
        str(origin.policy)
        for endpoint in here
        for tier in index.policies[endpoint.endpoint_class].ingress.tiers
        for origin in tier.isolated_by
    }
    assert len(known) == scenario.policies


def test_only_the_last_policy_lets_the_measured_pods_talk() -> None:
    made = cluster(SMALL)
    *others, last = made.policies
    without = replace(made, policies=tuple(others))
    assert trace(ours(made), opening()).accepted
    assert not trace(ours(without), opening()).accepted
    assert not trace(ours(replace(made, policies=(others[-1],))), opening()).accepted
    assert trace(ours(replace(made, policies=(last,))), opening()).accepted


def test_the_policies_of_the_measured_pods_come_last() -> None:
    names = [policy.ref.name for policy in cluster(SMALL).policies]
    measured = sorted(p.ref.name for p in list(policies(SMALL))[: SMALL.selecting])
    assert names[-SMALL.selecting :] == measured


@pytest.mark.parametrize(
    ("scenario", "possible"),
    [
        (Scenario(10, 10, 10), True),
        (Scenario(10, 10, 100), False),
        (Scenario(10, 10, 0), False),
        (Scenario(2, 10, 10), True),
        (Scenario(2, 11, 10), False),
    ],
    ids=str,
)
def test_combinations_that_cannot_be_are_known(scenario: Scenario, possible: bool) -> None:
    assert scenario.possible is possible


@pytest.mark.parametrize(("effort", "points"), [(FULL, 33), (QUICK, 10)], ids=["full", "quick"])
def test_the_grid_holds_every_possible_combination_once(effort: Effort, points: int) -> None:
    grid = effort.grid()
    assert len(set(grid)) == len(grid) == points


@pytest.mark.parametrize("effort", [FULL, QUICK], ids=["full", "quick"])
def test_variants_are_measured_on_possible_clusters(effort: Effort) -> None:
    assert all(scenario.possible for scenario in (*effort.linear, *effort.chains))


# --- variants --------------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
@pytest.mark.parametrize("make", [ours, linear], ids=["ours", "linear"])
def test_rules_allow_the_measured_port_and_no_other(
    scenario: Scenario, protocol: str, make: Callable[[Cluster], Ruleset]
) -> None:
    ruleset = make(cluster(scenario))
    assert trace(ruleset, opening(protocol)).accepted
    assert not trace(ruleset, opening(protocol, CLOSED_PORT)).accepted


def flows(made: Cluster) -> Iterator[Flow]:
    """Between pods of the node, peers of all kinds, and addresses in and out of ipBlocks."""
    here = [address for pod in made.pods if pod.node == NODE for address in pod.addresses]
    there = [address for pod in made.pods[-PEERS::11] for address in pod.addresses]
    outside = [ip_address(text) for text in ("172.21.0.1", "172.21.9.1", "192.0.2.1")]
    for source, destination in product([*here, *there, *outside], repeat=2):
        if source != destination and (source in here or destination in here):
            for protocol, port in (("TCP", OPEN_PORT), ("TCP", 443), ("UDP", 53)):
                yield Flow(source, destination, protocol, port)


def test_linear_rules_answer_as_ours_do() -> None:
    made = cluster(SMALL)
    judges = ours(made), linear(made)
    allowed = 0
    for flow in flows(made):
        expected, found = (trace(ruleset, flow).accepted for ruleset in judges)
        assert expected is found, flow
        allowed += expected
    assert allowed > 100


@pytest.mark.parametrize("port", [OPEN_PORT, CLOSED_PORT])
def test_conntrack_alone_denies_nothing(port: int) -> None:
    assert trace(conntrack_only(), opening(port=port)).accepted


def test_each_policy_has_a_chain_that_its_pods_call() -> None:
    text = policy_chains(cluster(SMALL))
    assert text.count("chain nwplcy_") == SMALL.policies
    server = text.partition(f"chain pod_{int(SERVER):x} {{")[2].partition("}")[0]
    assert server.count("jump nwplcy_") == SMALL.selecting


# --- tables ----------------------------------------------------------------------------------


def series(established: float, connect: float = 8000.0) -> Series:
    return Series(
        established=[established, established + 2, established + 1],
        one_way=[established] * 3,
        connect=[connect] * 3,
        cycle=[2 * connect] * 3,
    )


def results(*points: tuple[Scenario, Series]) -> Results:
    found = {TRACKED: series(1000), TWIN: series(1004)}
    return Results(
        found | {str(s): measured for s, measured in points}, {str(s): s for s, _ in points}
    )


@pytest.mark.parametrize(
    ("measured", "selecting", "missed"),
    [
        (series(1040), 1, []),
        (series(1041), 1, ["established packet, at most"]),
        (series(1000, 8800), 10, []),
        (series(1000, 8801), 10, ["connect p50, k up to 10,"]),
        (series(1000, 9999), 100, []),
        (series(1000, 10001), 100, ["connect p50, k up to 100,"]),
    ],
)
def test_a_target_is_met_when_the_worst_point_meets_it(
    measured: Series, selecting: int, missed: list[str]
) -> None:
    good = (Scenario(10, 10, 1), series(1000))
    found = list(verdicts(results(good, (Scenario(9, 1000, selecting), measured))))
    wrong = [line for line in found if "MISSED" in line]
    assert len(wrong) == len(missed)
    assert all(start in line for start, line in zip(missed, wrong, strict=True))


@pytest.mark.parametrize(("other", "flat"), [(1400, True), (1600, False)])
def test_flat_is_measured_from_the_median_of_the_grid(other: float, flat: bool) -> None:
    points = ((Scenario(10, 10, 1), series(1000)), (Scenario(10, 100, 1), series(other)))
    line = next(line for line in verdicts(results(*points)) if "flat" in line)
    assert line.endswith("| met |" if flat else "| MISSED |")


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_the_same_holds_for_ipv6(protocol: str) -> None:
    ruleset = ours(cluster(SIX))
    assert trace(ruleset, Flow(*ENDS[6], protocol, OPEN_PORT)).accepted
    assert not trace(ruleset, Flow(*ENDS[6], protocol, CLOSED_PORT)).accepted


def test_ipv6_is_compared_with_ipv6() -> None:
    six = Scenario(5, 12, 4, family=6)
    name = f"ours, {six}"
    measured = {
        **results((SMALL, series(1024))).series,
        TRACKED_BY[6]: series(1200),
        name: series(1230),
    }
    found = Results(measured, {str(SMALL): SMALL}, frozenset({TRACKED_BY[6], name}))
    assert "| +30 (1.02) |" in row(found, name)
    (line,) = (line for line in verdicts(found) if "IPv6, at most" in line)
    assert line.endswith(f"| +30 ns ({name}); median of 1 points +30 ns | met |")


def test_a_row_compares_with_conntrack_alone_in_the_same_round() -> None:
    found = results((SMALL, series(1024, 8400)))
    assert row(found, str(SMALL)) == (
        "| 5 pods, 12 policies, k=4 | 1,025 (1,024-1,026) | +24 (1.02) | 1,024 | +24 (1.02) "
        "| 8.40 | 1.05 | 59,524 |"
    )


@pytest.mark.parametrize(
    ("values", "text"), [([1205.4], "1,205"), ([10.0, 20.0, 30.0], "20 (15-25)")]
)
def test_a_spread_has_quartiles_when_there_are_several_rounds(
    values: list[float], text: str
) -> None:
    assert spread(values) == text


def test_the_tables_say_how_far_equal_rulesets_lie_apart() -> None:
    text = "\n".join(lines(results((SMALL, series(1000)))))
    assert "lie +4 ns (established) and +0.0% (connect) apart" in text


# --- the command -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [["--rounds", "0"], ["--cpu", "4096"], ["--cpu", "x"], ["--write", "no/such/file.md"]],
    ids=" ".join,
)
def test_options_that_cannot_be_are_refused_at_once(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        arguments().parse_args(given)
    assert stopped.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_a_page_without_marks_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing", encoding="utf-8")
    with pytest.raises(SystemExit):
        arguments().parse_args(["--write", str(page)])
    page.write_text(f"{BEGIN}\n{END}", encoding="utf-8")
    assert isinstance(arguments().parse_args(["--write", str(page)]), argparse.Namespace)


# --- with a kernel ---------------------------------------------------------------------------

TINY = """
import json
from bench.packets.__main__ import run
from bench.packets.rounds import Effort
from bench.packets.scenario import Scenario
from podfence.kernel import netns

host = netns.identity()
netns.enter_private_network()
assert netns.identity() != host
s = Scenario(5, 12, 4)
tiered = Scenario(5, 12, 4, 2)
six = Scenario(5, 12, 4, family=6)
effort = Effort(
    (5,), (12,), (1, 4), (s,), (s,), (tiered,), (six,),
    rounds=2, slots=10, connects=10, deadline=5.0,
)
found = run(effort)
print(json.dumps({name: vars(series) for name, series in found.series.items()}))
"""

WRONG = """
from functools import partial
from bench.packets.rounds import Subject, program, pair
from bench.packets.scenario import Scenario, cluster
from bench.packets.traffic import Sender, TrafficError
from bench.packets.variants import conntrack_only, ours
from podfence.kernel import netns

netns.enter_private_network()
made = cluster(Scenario(5, 12, 4))
nothing_allowed = ours(type(made)(made.namespaces, made.nodes, made.pods, (), made.policies[:-1]))
for ruleset in (nothing_allowed, conntrack_only()):
    try:
        pair(Subject("wrong", partial(program, ruleset)), Sender())
    except TrafficError as error:
        print(error)
"""


def child(program: str) -> str:
    """Another process leaves the host's network, so that this one need not."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.kernel
def test_every_kind_of_ruleset_is_measured_on_real_packets() -> None:
    measured = json.loads(child(TINY))
    assert len(measured) == 3 + 2 + 1 + 2 + 1 + 1
    for name, values in measured.items():
        for kind in ("established", "one_way", "connect", "cycle"):
            assert len(values[kind]) == 2, name
            assert all(100 < value < 1e8 for value in values[kind]), (name, kind)


@pytest.mark.kernel
def test_rules_that_do_something_else_are_not_measured() -> None:
    assert child(WRONG).splitlines() == [
        "what should be allowed is not",
        "what no policy allows passes",
    ]
