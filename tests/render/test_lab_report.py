"""The words of a lab report mean exactly the parties that they stand for."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from podfence.lab.testbed.probeplan import PartyKind, ProbeParty
from podfence.lab.testbed.report import LabReport, PairResult, PortSeen, Timings
from podfence.model.meta import ObjectRef
from podfence.model.objects import Pod
from podfence.questions.phrases.matched import names_by_pod
from podfence.render.lab_report import report_text

OPEN, CLOSED = True, False


def party(name: str, *addresses: str, side: PartyKind = PartyKind.POD) -> ProbeParty:
    return ProbeParty(name, side, tuple(map(ip_address, addresses)))


A, B = party("d/a-0", "10.0.0.1"), party("d/a-1", "10.0.0.2")
C, SIX = party("d/c", "10.0.0.3"), party("d/six", "fd00::1")
OUT = party("192.0.2.1", "192.0.2.1", side=PartyKind.OUTSIDE)
WORKLOADS = {"d/a-0": "d/a", "d/a-1": "d/a"}


def sources(target: ProbeParty, parties: tuple[ProbeParty, ...], *reach: ProbeParty) -> set[str]:
    """What stands under FROM in the open lines of a target."""
    pairs = tuple(
        PairResult(source, target, (PortSeen(4, "TCP", 80, source in reach, True),))
        for source in parties
        if source.families & target.families
    )
    report = LabReport(
        parties=parties,
        workloads=WORKLOADS,
        probes=1,
        agreements=1,
        disagreements=(),
        without_control=(),
        live_control=False,
        pairs=pairs,
        repeated=0,
        notes=(),
        rootless=False,
        timings=Timings(0, 0, 0, 0, 0),
    )
    header, *lines = report_text(report, lambda *_: None).split("\n")
    at = header.index("FROM")
    return {line[at:] for line in lines if "every probed port" in line}


@pytest.mark.parametrize(
    ("target", "parties", "reach", "expected"),
    [
        pytest.param(C, (A, B, C), (A, B), {"all pods"}, id="all but the target"),
        pytest.param(A, (A, B, C, OUT), (C,), {"d/c"}, id="not its own workload"),
        pytest.param(A, (A, B, C), (B, C), {"all pods"}, id="its own workload too"),
        pytest.param(C, (A, B, C), (A,), {"d/a-0"}, id="a part of a workload"),
        pytest.param(C, (A, B, C, OUT), (A, B), {"all pods"}, id="no outside address"),
        pytest.param(C, (A, B, C, SIX), (A, B), {"d/a"}, id="a pod of another IP version"),
    ],
)
def test_collective_words(
    target: ProbeParty,
    parties: tuple[ProbeParty, ...],
    reach: tuple[ProbeParty, ...],
    expected: set[str],
) -> None:
    assert sources(target, parties, *reach) == expected


def test_workloads_of_one_name_are_told_apart_by_kind() -> None:
    owners = (ObjectRef("Deployment", "d", "web"), ObjectRef("StatefulSet", "d", "web"), None)
    pods = [
        Pod("d", name, owner=owner) for name, owner in zip(("x", "y", "web"), owners, strict=True)
    ]

    assert names_by_pod([*pods, Pod("d", "z")]) == {
        "d/x": "d/Deployment/web",
        "d/y": "d/StatefulSet/web",
        "d/web": "d/Pod/web",
        "d/z": "d/z",
    }
