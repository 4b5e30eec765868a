"""deploy/monitoring: each expression is PromQL about metrics and labels that an agent, or a mirror,
has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import promql_parser as promql
import pytest
import yaml
from msgspec.structs import replace

from podfence.agent.conditions import ConditionKind
from podfence.agent.metrics import exposition
from podfence.mirror.history import History
from podfence.mirror.server import MirrorCounts, MirrorServer
from podfence.mirror.web import metrics
from tests.agent.exposition import Labels, parse
from tests.agent.test_metrics import BUSY, MACHINE
from tests.deploy.chart import DEPLOY, ROOT

Json = dict[str, Any]
FOLDER = DEPLOY / "monitoring"
STATUS = replace(BUSY, starts={"in_time": 1, "late": 1, "no_address": 1})
MIRROR = cast(
    MirrorServer,
    SimpleNamespace(history=History(), counts=MirrorCounts(), streams=(), age=1.0, is_ready=True),
)
SAMPLES = parse(exposition(STATUS, MACHINE, 120.0)) | parse(metrics(MIRROR))
OF_TARGETS = {"job", "instance"}
"""Labels that Prometheus gives to all that it reads of a target."""
DOCUMENTATION = (ROOT / "docs/agent.md").read_text("utf-8")


def resource(name: str) -> Json:
    found: Json = yaml.safe_load((FOLDER / name).read_text("utf-8"))
    return found


RULE_FILES = ("rules.yaml", "mirror/rules.yaml")
RULES: list[Json] = [
    rule for name in RULE_FILES for rule in resource(name)["spec"]["groups"][0]["rules"]
]
DASHBOARDS: dict[str, Json] = {
    name: json.loads((FOLDER / name).read_text("utf-8"))
    for name in ("dashboard.json", "mirror/dashboard.json")
}
EXPRESSIONS = {rule["alert"]: rule["expr"] for rule in RULES} | {
    f"{dashboard['title']}, {panel['title']}, {target['refId']}": target["expr"]
    for dashboard in DASHBOARDS.values()
    for panel in dashboard["panels"]
    for target in panel["targets"]
}
each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS)


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
def test_every_series_is_one_that_is_exposed(expression: str) -> None:
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


def conditions_of(expression: str) -> Iterator[str]:
    """The conditions that an expression names, however it matches them."""
    for selector in selectors(expression):
        for matcher in selector.matchers.matchers:
            if selector.name == "podfence_conditions" and matcher.name == "condition":
                yield from matcher.value.split("|")


@pytest.mark.parametrize("expression", EXPRESSIONS.values(), ids=EXPRESSIONS)
def test_conditions_that_are_named_exist(expression: str) -> None:
    assert {*conditions_of(expression)} <= {kind.value for kind in ConditionKind}


def test_every_selector_of_conditions_is_looked_at() -> None:
    """A name that this test does not see may be any."""
    asked = [
        selector
        for expression in EXPRESSIONS.values()
        for selector in selectors(expression)
        if selector.name == "podfence_conditions"
    ]
    written = sum(text.count("podfence_conditions") for text in EXPRESSIONS.values())
    assert len(asked) == written > 0
    for words in ('{condition="Awya"}', '{condition=~"Refused|Awya"}', '{condition!="Awya"}'):
        assert "Awya" in {*conditions_of(f"sum(podfence_conditions{words}) > 0")}


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


@each_dashboard
def test_panels_do_not_lie_on_one_another(dashboard: Json) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        mine = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert not mine & cells, panel["title"]
        cells |= mine
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)


@each_dashboard
def test_panels_read_the_data_source_and_the_instances_that_are_chosen(dashboard: Json) -> None:
    for panel in dashboard["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]
            assert 'instance=~"$instance"' in target["expr"]
    assert [each["name"] for each in dashboard["templating"]["list"]] == ["datasource", "instance"]


def test_every_metric_of_a_mirror_is_asked_for() -> None:
    asked = {s.name for text in EXPRESSIONS.values() for s in selectors(text)}
    families = {name for name, _ in parse(metrics(MIRROR))}
    assert families <= asked


def test_alerts_about_agents_are_not_about_mirrors() -> None:
    (down,) = (rule["expr"] for rule in RULES if rule["alert"] == "PodfenceAgentDown")
    assert 'job!~".*podfence-mirror.*"' in down


def test_prometheus_finds_what_install_yaml_makes() -> None:
    from tests.deploy import chart

    monitor = resource("podmonitor.yaml")["spec"]
    template = chart.only(chart.installed(), "DaemonSet")["spec"]["template"]
    assert monitor["selector"]["matchLabels"] == template["metadata"]["labels"]
    (container,) = template["spec"]["containers"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
    for name in ("rules.yaml", "podmonitor.yaml", "mirror/rules.yaml", "mirror/podmonitor.yaml"):
        found = resource(name)["metadata"]
        assert found["namespace"] == chart.NAMESPACE


def test_prometheus_finds_mirrors() -> None:
    """By what the chart makes of one, which a text shows: it is made where it is asked for."""
    monitor = resource("mirror/podmonitor.yaml")["spec"]
    text = (DEPLOY / "chart/templates/mirror.yaml").read_text("utf-8")
    assert monitor["selector"]["matchLabels"] == {"app.kubernetes.io/name": "podfence-mirror"}
    assert "labels: {app.kubernetes.io/name: podfence-mirror}" in text
    (endpoint,) = monitor["podMetricsEndpoints"]
    assert f"name: {endpoint['port']}, containerPort: {{{{ .Values.mirror.httpPort }}}}" in text


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
    "PodfenceMirrorDown": ('up{job="kube-system/podfence-mirror", instance="m1"}', "0x60"),
    "PodfenceMirrorNotReady": ('podfence_mirror_ready{instance="m1"}', "0x60"),
    "PodfenceMirrorLag": ('podfence_mirror_age_seconds{instance="m1"}', "10+60x60"),
    "PodfenceMirrorAway": ('podfence_conditions{instance="n1", condition="MirrorAway"}', "1x60"),
    "PodfenceMirrorSnapshots": ('podfence_mirror_snapshots_total{instance="m1"}', "0+20x60"),
    "PodfenceMirrorRefuses": ('podfence_mirror_refused_total{instance="m1"}', "0+300x60"),
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
    ('up{job="kube-system/podfence-mirror", instance="m1"}', "1x60"),
    ('podfence_mirror_build_info{instance="m1"}', "1x60"),
    ('podfence_mirror_ready{instance="m1"}', "1x60"),
    ('podfence_mirror_age_seconds{instance="m1"}', "50x60"),
    ('podfence_mirror_agents{instance="m1"}', "200x60"),
    ('podfence_conditions{instance="n1", condition="MirrorAway"}', "0x60"),
    ('podfence_mirror_snapshots_total{instance="m1"}', "0x40 200x20"),
    ('podfence_mirror_refused_total{instance="m1"}', "0+5x60"),
)
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool"), reason="no promtool was found (Debian: the package prometheus)"
)


def fired(folder: Path, series: tuple[tuple[str, str], ...]) -> set[str]:
    """The alerts that fire after an hour with a sample a minute."""
    groups = [group for name in RULE_FILES for group in resource(name)["spec"]["groups"]]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": groups}), "utf-8")
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
    assert fired(tmp_path, WELL[:1]) == {"PodfenceAbsent", "PodfenceMirrorAbsent"}
