"""Remarks of ``check``: those of workloads, and those that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.session import podfence

OPEN = """---
apiVersion: apps/v1
kind: KIND
metadata: {name: NAME, namespace: shop, annotations: {podfence.io/ignore: "REMARK"}}
spec:
  selector: {matchLabels: {app: NAME}}
  template: {metadata: {labels: {app: NAME}}, spec: {containers: [{name: c}]}}
"""
CLOSED = """---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: none}}}
"""


def workload(name: str, remark: str, kind: str = "Deployment") -> str:
    return OPEN.replace("KIND", kind).replace("NAME", name).replace("REMARK", remark)


def said(text: str, code: str) -> tuple[list[str], str]:
    """The findings of one code, and the last line."""
    done = podfence(["check", "-f", "-", "--no-config"], stdin=text.encode())
    lines = done.out.splitlines()
    return [line for line in lines if f"[{code}]" in line], lines[-1]


def test_a_remark_of_a_workload_is_about_its_pods_alone() -> None:
    text = CLOSED + workload("api", "PF350 behind a firewall") + workload("web", "")
    [line], last = said(text, "PF350")
    assert "for ingress: shop/web; for egress: shop/web." in line
    assert "1 finding ignored by remarks" in last
    assert said(text, "PF602")[0] == []


def test_a_workload_of_another_kind_has_no_remark() -> None:
    text = CLOSED + workload("web", "PF350 why") + workload("web", "", "StatefulSet")
    [line], _ = said(text, "PF350")
    assert "these pods of namespace shop, for ingress: shop/StatefulSet/web; " in line


@pytest.mark.parametrize(
    ("remark", "code"), [("PF350", "PF601"), ("PF350 old, until=2020-01-01", "PF604")]
)
def test_a_remark_that_does_not_count_leaves_the_finding(remark: str, code: str) -> None:
    text = CLOSED + workload("api", remark)
    [line], _ = said(text, "PF350")
    assert "Deployment shop/api: metadata.name: No policy isolates its pods, for ingress" in line
    assert len(said(text, code)[0]) == 1


def test_a_remark_for_a_workload_that_is_isolated_is_told() -> None:
    closed = CLOSED.replace("app: none", "app: api")
    text = closed.replace("}}\n", "}, policyTypes: [Ingress, Egress]}\n")
    assert len(said(text + workload("api", "PF350 why"), "PF602")[0]) == 1


@pytest.mark.parametrize(
    ("comment", "count"),
    [
        ("# podfence: ignore PF320 no brackets", 1),
        ("# podfence ignore[PF320] no colon", 1),
        ("#podfence: ignore [PF320] a space", 1),
        ("# podfence: ignore-file PF320", 1),
        ("# podfence ignores labels that nobody has", 0),
        ("# see podfence.io/ignore", 0),
        ("# podfence is what checks this", 0),
    ],
)
def test_a_comment_that_is_nearly_a_remark_is_told(comment: str, count: int) -> None:
    assert len(said(f"{CLOSED}{comment}\n", "PF603")[0]) == count


def test_a_remark_about_the_file_that_stands_too_far_down_is_told(tmp_path: Path) -> None:
    remark = "# podfence: ignore-file[PF306] comes later\n"
    assert said(remark + CLOSED, "PF603")[0] == []
    [line], _ = said("\n" * 10 + remark + CLOSED, "PF603")
    assert "ignore-file counts in the first 10 lines of a file" in line
