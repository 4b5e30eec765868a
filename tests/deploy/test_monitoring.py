"""deploy/monitoring: each expression is PromQL about metrics and labels that an agent has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from msgspec.structs import replace

from podfence.agent.conditions import Kind
from podfence.agent.metrics import exposition
from tests.agent.exposition import Labels, parse
from tests.agent.test_metrics import BUSY, MACHINE
from tests.deploy.chart import DEPLOY, ROOT

Json = dict[str, Any]
FOLDER = DEPLOY / "monitoring"
STATUS = replace(BUSY, starts={"in_time": 1, "late": 1, "no_address": 1})
SAMPLES = parse(exposition(STATUS, MACHINE, 120.0))
OF_TARGETS = {"job", "instance"}
"""Labels that Prometheus gives to all that it reads of a target."""
DOCUMENTATION = (ROOT / "docs/agent.md").read_text("utf-8")


def resource(name: str) -> Json:
    found: Json = yaml.safe_load((FOLDER / name).read_text("utf-8"))
    return found


RULES: list[Json] = resource("rules.yaml")["spec"]["groups"][0]["rules"]
DASHBOARD: Json = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
PANELS: list[Json] = DASHBOARD["panels"]
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES} | {
    f"{panel['title']}, {target['refId']}": target["expr"]
    for panel in PANELS
    for target in panel["targets"]
}


def selectors(text: str) -> Iterator[promql.VectorSelector]:
    """The series that an expression asks for."""

    def visit(node: Any) -> Iterator[promql.VectorSelector]:
        match node:
            case promql.VectorSelector():
                yield node
            case promql.MatrixSelector():
                yield from visit(node.vector_selector)
            case promql.BinaryExpr():
                yield from visit(node.lhs)
                yield from visit(node.rhs)
            case promql.Call():
                for each in node.args:
                    yield from visit(each)
            case promql.AggregateExpr() | promql.ParenExpr() | promql.UnaryExpr():
                yield from visit(node.expr)
            case promql.NumberLiteral() | promql.StringLiteral():
                pass
            case _:
                raise AssertionError(f"what is {type(node).__name__}?")

    yield from visit(promql.parse(text.replace("$__rate_interval", "5m")))


def labels_of(name: str) -> list[Labels]:
    return [labels for found, labels in SAMPLES if found == name]


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_every_series_is_one_that_an_agent_has(expression: str) -> None:
    found = [*selectors(expression)]
    assert found
    for selector in found:
        if selector.name == "up":  # of Prometheus itself
            continue
        known = labels_of(selector.name or "")
        assert known, f"{selector.name} is no metric"
        for matcher in selector.matchers.matchers:
            names = {name for labels in known for name, _ in labels}
            assert matcher.name in names | OF_TARGETS, f"{selector.name} has no {matcher.name}"


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_what_is_grouped_by_is_a_label(expression: str) -> None:
    known = {n for s in selectors(expression) for ls in labels_of(s.name or "") for n, _ in ls}
    words = re.findall(r"\bby \(([^)]*)\)", expression)
    grouped = {name for each in words for name in each.split(", ")}
    assert grouped <= known | OF_TARGETS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_conditions_that_are_named_exist(rule: Json) -> None:
    named = re.findall(r'condition=~"([^"]*)"', rule["expr"])
    assert {n for words in named for n in words.split("|")} <= {kind.value for kind in Kind}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_means_and_where_more_is_written(rule: Json) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook"}
    file, _, anchor = annotations["runbook"].partition("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / file).read_text("utf-8"), re.MULTILINE)
    slugs = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    assert anchor in slugs


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_texts_name_labels_that_the_alert_has(rule: Json) -> None:
    text = " ".join(rule["annotations"].values())
    used = {*re.findall(r"\$labels\.(\w+)", text)}
    known = {n for s in selectors(rule["expr"]) for ls in labels_of(s.name or "") for n, _ in ls}
    assert used <= known | OF_TARGETS


def test_what_a_node_can_suffer_from_has_an_alert() -> None:
    assert {rule["alert"] for rule in RULES} >= {
        "PodfenceAgentDown",
        "PodfenceNotInSync",
        "PodfenceApiLag",
        "PodfencePodsPending",
        "PodfenceRefused",
        "PodfenceDropsSurge",
    }


def test_every_metric_is_documented() -> None:
    table = DOCUMENTATION.partition("| metric | |")[2].partition("\n\n")[0]
    families = {
        line.split(" ")[2]
        for line in exposition(STATUS, MACHINE, 120.0).splitlines()
        if line.startswith("# TYPE ")
    }
    shown = {*re.findall(r"`(podfence_\w+)", table)}
    shown |= {f"podfence{tail}" for tail in re.findall(r"`(_\w+)`", table)}
    ours = {name for name in families if name.startswith("podfence_")}
    assert ours - shown == set()
    assert shown - ours == set()


def test_panels_do_not_lie_on_one_another() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not mine & cells, panel["title"]
        cells |= mine
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_panels_read_the_data_source_and_the_nodes_that_are_chosen() -> None:
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert 'instance=~"$instance"' in target["expr"]
    assert [each["name"] for each in DASHBOARD["templating"]["list"]] == ["datasource", "instance"]


def test_prometheus_finds_what_install_yaml_makes() -> None:
    from tests.deploy import chart

    monitor = resource("podmonitor.yaml")["spec"]
    template = chart.only(chart.installed(), "DaemonSet")["spec"]["template"]
    assert monitor["selector"]["matchLabels"] == template["metadata"]["labels"]
    (container,) = template["spec"]["containers"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
    for name in ("rules.yaml", "podmonitor.yaml"):
        found = resource(name)["metadata"]
        assert found["namespace"] == chart.NAMESPACE


# --- what fires, by Prometheus' own tool

AGE = 'podfence_source_age_seconds{instance="n1", kind="Pod", part="own"}'
SERIES = {
    "PodfenceAgentDown": ('up{job="kube-system/podfence", instance="n1"}', "0x60"),
    "PodfenceNotInSync": ('podfence_in_sync{instance="n1"}', "0x60"),
    "PodfenceApiLag": (AGE, "10+60x60"),
    "PodfencePodsPending": ('podfence_pods_pending{instance="n1"}', "1x60"),
    "PodfencePodsClosed": ('podfence_pods_closed{instance="n1"}', "2x60"),
    "PodfenceRefused": ('podfence_objects_refused{instance="n1"}', "1x60"),
    "PodfenceKernelRefuses": (
        'podfence_conditions{instance="n1", condition="TableRefused"}',
        "1x60",
    ),
    "PodfenceBypassed": ('podfence_conditions{instance="n1", condition="Bypassed"}', "1x60"),
    "PodfenceDrift": ('podfence_drifts_total{instance="n1"}', "0+1x60"),
    "PodfenceDropsSurge": (
        'podfence_denied_packets_total{instance="n1", direction="ingress", reason="policy"}',
        "0+60x40 2400+60000x20",
    ),
}
WELL = (
    ('up{job="kube-system/podfence", instance="n1"}', "1x60"),
    ('podfence_build_info{instance="n1"}', "1x60"),
    ('podfence_in_sync{instance="n1"}', "1x60"),
    (AGE, "50x60"),
    ('podfence_pods_pending{instance="n1"}', "0x9 1x5 0x46"),
    ('podfence_pods_closed{instance="n1"}', "0x60"),
    ('podfence_objects_refused{instance="n1"}', "0x60"),
    ('podfence_conditions{instance="n1", condition="Bypassed"}', "0x60"),
    ('podfence_drifts_total{instance="n1"}', "1x60"),
    ('podfence_denied_packets_total{instance="n1", direction="any", reason="policy"}', "0+6000x60"),
)
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="no promtool was found (Debian: the package prometheus)"
)


def fired(folder: Path, series: tuple[tuple[str, str], ...]) -> set[str]:
    """The alerts that fire after an hour with a sample a minute."""
    spec = resource("rules.yaml")["spec"]
    (folder / "rules.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    found: set[str] = set()
    for rule in RULES:
        nothing = {"alertname": rule["alert"], "eval_time": "60m", "exp_alerts": []}
        test = {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in series],
            "alert_rule_test": [nothing],
        }
        whole = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
        (folder / "test.yaml").write_text(yaml.safe_dump(whole), "utf-8")
        done = subprocess.run(
            ["promtool", "test", "rules", "test.yaml"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            assert "got:" in done.stdout + done.stderr, done
            found.add(rule["alert"])
    return found


@needs_promtool
def test_nothing_fires_where_all_is_well(tmp_path: Path) -> None:
    assert fired(tmp_path, WELL) == set()


@needs_promtool
@pytest.mark.parametrize("alert", SERIES)
def test_an_alert_fires_for_what_it_is_about(alert: str, tmp_path: Path) -> None:
    others = tuple(each for each in WELL if each[0] != SERIES[alert][0])
    assert fired(tmp_path, (*others, SERIES[alert])) == {alert}


@needs_promtool
def test_where_nobody_is_scraped_that_is_said(tmp_path: Path) -> None:
    assert fired(tmp_path, WELL[:1]) == {"PodfenceAbsent"}
