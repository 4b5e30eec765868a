"""The arithmetic and the texts of the conformance page; never whether a peer can be had."""

from __future__ import annotations

import sys
from dataclasses import replace
from ipaddress import ip_address
from itertools import takewhile
from pathlib import Path

import pytest

from bench.conformance.asking import Miss, Outcome, Tally, ask_podfence, judged, put, supports
from bench.conformance.aspects import Aspect
from bench.conformance.cases import (
    GROUPS,
    NP,
    Case,
    Connection,
    all_cases,
    cluster_of,
    random_case,
)
from bench.conformance.classes import KINDS, classes
from bench.conformance.freedom import clauses, hangs_on_a_choice, is_left_open
from bench.conformance.page import Answers, page, readable, score, scores
from bench.conformance.peers import PEERS, Asked
from bench.conformance.shrinking import smallest
from podfence.policy.flow import Flow

PEER = next(peer for peer in PEERS if peer.name == "cyclonus")
WEB, DB, OTHER_POD = (ip_address(f"10.0.0.{n}") for n in (1, 2, 3))


def pod(name: str, address: object, labels: dict[str, str]) -> dict[str, object]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "x", "labels": labels},
        "spec": {"containers": [{"name": "main"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": str(address)}]},
    }


def policy(**spec: object) -> dict[str, object]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "db", "namespace": "x"},
        "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"], **spec},
    }


PODS = [pod("web", WEB, {}), pod("db", DB, {"app": "db"}), pod("other", OTHER_POD, {"app": "c"})]
NOT_IN = {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}
FLOW = Flow(WEB, DB, "TCP", 80)


def case_of(*rules: dict[str, object], allowed: bool = True) -> Case:
    cluster = cluster_of([*PODS, policy(ingress=list(rules))])
    assert cluster is not None
    return Case(NP, "one", "NP-4", cluster, (Connection(FLOW, allowed),))


@pytest.mark.parametrize(
    ("said", "is_open", "outcome"),
    [
        ("allow", False, Outcome.RIGHT),
        ("deny", False, Outcome.WRONG),
        ("allow", True, Outcome.SAME),
        ("deny", True, Outcome.OTHER),
        ("error: panic", False, Outcome.REFUSED),
        ("error: panic", True, Outcome.REFUSED),
        (None, False, Outcome.UNSUPPORTED),
    ],
)
def test_an_answer_is_worth(said: str | None, is_open: bool, outcome: Outcome) -> None:
    assert judged(Connection(FLOW, True, is_open), said) is outcome


def test_everything_is_counted_once_and_podfence_answers_all() -> None:
    cases = list(takewhile(lambda case: case.group == NP, all_cases(seed=1, clusters=0)))
    cases += [random_case(1, number, tiers=bool(number % 2)) for number in range(6)]
    tally = Tally()
    for case in cases:
        put(tally, case, ask_podfence, None)
    assert sum(tally.counts.values()) == sum(len(case.connections) for case in cases) > 500
    assert {outcome for _, outcome in tally.counts} == {Outcome.RIGHT, Outcome.SAME}


def test_a_seed_makes_the_same_cases() -> None:
    assert random_case(7, 3, tiers=True) == random_case(7, 3, tiers=True)
    assert random_case(7, 3, tiers=True).cluster != random_case(8, 3, tiers=True).cluster


def test_a_peer_is_not_asked_about_what_it_does_not_claim() -> None:
    case = case_of({"from": [{"podSelector": NOT_IN}]})
    assert supports(PEER, case.cluster, FLOW)
    assert not supports(replace(PEER, kinds=frozenset()), case.cluster, FLOW)
    assert not supports(PEER, case.cluster, replace_source(DB))
    outside = replace_source(ip_address("192.0.2.1"))
    assert supports(PEER, case.cluster, outside)
    beyond = PEER.beyond | {Aspect.OUTSIDE}
    assert not supports(replace(PEER, beyond=beyond), case.cluster, outside)


def replace_source(address: object) -> Flow:
    return Flow(address, DB, "TCP", 80)  # type: ignore[arg-type]


def test_a_choice_is_open_by_its_clause_or_by_what_the_answer_hangs_on() -> None:
    assert is_left_open("NP-27")
    assert not is_left_open("NP-4")
    block = case_of({"from": [{"ipBlock": {"cidr": "10.0.0.0/24"}}]})
    assert hangs_on_a_choice(block.cluster, FLOW)
    assert not hangs_on_a_choice(block.cluster, replace_source(ip_address("10.0.0.9")))


def deny_all(objects: object, flows: list[Flow], names: object) -> list[str]:
    return ["deny"] * len(flows)


def test_a_wrong_answer_becomes_small_and_finds_its_class() -> None:
    case = case_of({"from": [{"podSelector": NOT_IN}]}, {"ports": [{"port": 81}]})
    miss = Miss(case, case.connections[0], "deny")

    def ask(objects: list[dict[str, object]], flows: list[Flow], names: object) -> list[str]:
        return ["deny" if "NotIn" in str(objects) else "allow"] * len(flows)

    objects, said = smallest(miss, ask, PEER)  # type: ignore[arg-type]
    assert said == "deny"
    assert "NotIn" in str(objects)
    assert "81" not in str(objects)
    assert "other" not in str(objects)
    found = list(classes([miss], ask, PEER))  # type: ignore[arg-type]
    assert [(each.clause, each.count) for each in found] == [("NP-4", 1)]


def test_what_no_class_fits_is_shown_as_such() -> None:
    case = case_of({})
    miss = Miss(case, case.connections[0], "deny")
    (found,) = classes([miss], deny_all, PEER)  # type: ignore[arg-type]
    assert found.title == "Not explained: NP-4"


def test_every_class_points_at_a_clause() -> None:
    assert {kind.clause for kind in KINDS} <= set(clauses())


def test_the_page_adds_up_and_hides_what_a_tool_writes() -> None:
    case = case_of({})
    ours, theirs = Tally(), Tally()
    put(ours, case, ask_podfence, None)
    theirs.enter(case, case.connections[0], "error: `tmpab12.json` | <b>\nno")
    text = page([Answers(None, ours), Answers(PEER, theirs)], {"away": "no network"}, 1, 2)
    assert f"| {NP} | 1 / 0 / 0 / 0 | 0 / 0 / 1 / 0 |" in text
    assert "| **all** | 1 / 0 / 0 / 0 | 0 / 0 / 1 / 0 |" in text
    assert "- 1: `'FILE' / <b> no`" in text
    assert "- away: could not be had in this run: no network" in text
    assert all(f"| {group} |" in text for group in GROUPS)


def test_manifests_for_people_say_no_more_than_they_mean() -> None:
    text = readable(case_of({"from": [{"podSelector": NOT_IN}]}).objects)
    assert "nodeName" not in text
    assert "kind: Namespace" not in text
    assert "NotIn" in text


def test_a_score_is_read_from_its_file() -> None:
    text = (
        "suite:     S v1\nenforcer:  none\ntime: 3 s\nresult:    51 passed, 2 failed, 1 left out\n"
    )
    assert score(text) == ("S v1", "none", "51", "2", "1")
    with pytest.raises(ValueError, match="suite, enforcer and result"):
        score("suite: S\n")


ECHO = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked.get("end"):
        sys.exit(1)
    print(json.dumps(asked["answer"]), flush=True)
"""


def test_a_program_is_asked_line_by_line_and_started_anew(tmp_path: Path) -> None:
    script = tmp_path / "peer.py"
    script.write_text(ECHO)
    peer = Asked((sys.executable, str(script)))
    try:
        assert peer.ask(b'{"answer": {"answers": ["allow", "deny"]}}') == ["allow", "deny"]
        assert peer.ask(b'{"answer": {"error": "no such kind"}}') == ["error: no such kind"]
        assert peer.ask(b'{"end": true}') == ["error: it ended"]
        assert peer.ask(b'{"answer": {"answers": ["allow"]}}') == ["allow"]
    finally:
        peer.close()


def test_the_page_ends_with_the_scores_that_are_kept() -> None:
    written = (Path(__file__).parents[2] / "docs" / "conformance.md").read_text()
    assert written.endswith(scores())
