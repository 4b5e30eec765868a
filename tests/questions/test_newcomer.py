"""examples/newcomer: every planted mistake is found, and the repaired tree has none."""

from __future__ import annotations

from pathlib import Path

from podfence.errors import Severity
from podfence.manifests.load import load
from podfence.policy.compile import compile_cluster
from podfence.questions.lint.lint import lint
from podfence.questions.lint.surroundings import Surroundings

NEWCOMER = Path(__file__).parents[2] / "examples" / "newcomer"
PLANTED = {
    "web-in": "PF320",
    "api-metrics": "PF321",
    "storage-metrics": "PF322",
    "mailer-out": "PF325",
    "api-in": "PF329",
    "grafana-in": "PF308",
    "statsd-in": "PF327",
    "cart-out": "PF304",
    "queue-in": "PF315",
    "api-out": "PF330",
    "orders-out": "PF333",
    "prometheus-out": "PF340",
    "web-analytics": "PF341",
    "grafana-cloud": "PF353",
    "db-in": "PF356",
    "node-exporter-in": "PF360",
}
"""The policy with the mistake, and the code that says it. Two more follow: namespace orders has no
policy for pods to come (PF351), and nobody comes in through the Ingress of grafana (PF337)."""
AS_WELL = {("orders", "PF351"), ("grafana", "PF337")}


def found(policies: str) -> list[tuple[str, str, Severity]]:
    loaded = load([str(NEWCOMER / "apps"), str(NEWCOMER / policies)])
    assert not loaded.problems
    index = compile_cluster(loaded.cluster)
    around = Surroundings(entries=loaded.beside.routes)
    return [(f.object.name, f.code, f.weight) for f in lint(index, loaded.raw, around)]


def test_all_planted_mistakes_are_found() -> None:
    serious = {(name, code) for name, code, weight in found("mistakes") if weight != Severity.NOTE}
    assert {*PLANTED.items(), *AS_WELL} <= serious
    assert serious - set(PLANTED.items()) == {*AS_WELL, ("grafana-cloud", "PF341")}


def test_the_repaired_tree_has_no_finding() -> None:
    assert found("fixed") == []
