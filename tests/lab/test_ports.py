"""Which ports are probed, and which of them a party listens on."""

from __future__ import annotations

import pytest

from podfence.lab.testbed.ports import RelevantPorts, choose_ports
from podfence.model.cluster import ClusterObject
from podfence.testing.builders import peer, pod, policy, rule
from tests.lab.clusters import scheduled

UNDECLARED = 7777
WEB = pod("shop/web", {"app": "web"}, ports=["http:80", ":9090/UDP"])


def allow(*ports: int | str) -> ClusterObject:
    return policy("shop/p", {}, ingress=[rule(peer(pods={}), ports=ports)])


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        pytest.param([], (80, UNDECLARED, 9090), id="declared-and-a-undeclared"),
        pytest.param([allow(443)], (80, 443, UNDECLARED, 9090), id="NP-30-number"),
        pytest.param([allow("http")], (80, UNDECLARED, 9090), id="NP-32-name"),
        pytest.param([allow("/UDP")], (80, UNDECLARED, 9090), id="NP-31-whole-protocol"),
        pytest.param(
            [allow("8000-8010")], (80, UNDECLARED, 7999, 8000, 8010, 8011, 9090), id="NP-37-range"
        ),
        pytest.param([allow("1-2")], (1, 2, 3, 80, UNDECLARED, 9090), id="no-port-0"),
        pytest.param(
            [allow("65534-65535")], (80, UNDECLARED, 9090, 65533, 65534, 65535), id="no-port-65536"
        ),
        pytest.param(
            [allow(UNDECLARED)], (80, UNDECLARED, 7778, 9090), id="undeclared-is-not-named"
        ),
        pytest.param([allow("7000-7800")], (80, 6999, 7000, 7800, 7801, 9090), id="nor-in-a-range"),
        pytest.param([allow("1-65535")], (1, 80, UNDECLARED, 9090, 65535), id="all-in-a-range"),
    ],
)
def test_chosen_ports(policies: list[ClusterObject], expected: tuple[int, ...]) -> None:
    assert choose_ports(scheduled(WEB, *policies), 32).ports == expected


def test_sctp_ports_are_counted_apart() -> None:
    choice = choose_ports(scheduled(WEB, allow("3868/SCTP")), 32)
    assert (3868 in choice.ports, choice.sctp) == (False, (3868,))


def test_limit_keeps_the_undeclared_one_and_says_so() -> None:
    choice = choose_ports(scheduled(WEB, allow(*range(1000, 1200, 2))), 5)
    assert len(choice.ports) == 5
    assert UNDECLARED in choice.ports
    assert choice.notes == ("5 of 103 port numbers are probed",)


def test_ports_that_are_asked_for_come_before_those_of_rules() -> None:
    index = scheduled(WEB, allow(*range(1000, 1200, 2)))
    choice = choose_ports(index, 3, [("TCP", 4711), ("SCTP", 99), ("UDP", 4712)])
    assert {4711, 4712} < set(choice.ports)
    assert choice.sctp == (99,)
    assert RelevantPorts(index, choice).between(None, None) == choice.ports


def test_the_port_that_nobody_names_is_none_that_is_asked_for() -> None:
    plain = choose_ports(scheduled(WEB), 32).undeclared
    assert choose_ports(scheduled(WEB), 32, [("TCP", plain)]).undeclared != plain
