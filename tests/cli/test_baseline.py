"""``check --baseline``: what makes a finding the same one in another run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from podfence.cli.fingerprints import fingerprinted
from podfence.errors import Source
from podfence.model.meta import ObjectRef
from podfence.questions.lint.findings import LintFinding
from tests.cli.session import podfence

PODS = """apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: main, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: lab, namespace: ops, labels: {app: lab}}
spec: {containers: [{name: main}]}
---
"""
POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
  - to: [{ipBlock: {cidr: 0.0.0.0/0}}]
"""
RULE = "  - to: [{ipBlock: {cidr: 0.0.0.0/0}}]\n"
FIRST_RULE = "  - to: [{ipBlock: {cidr: '2001:db8::/32'}}]\n    ports: [{port: 80}]\n"
WORKLOAD = """---
apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME, namespace: ops}
spec:
  replicas: 2
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: main}]}
"""
BOTH = PODS + POLICY
"""PF341: the internet holds the pod of ops; PF350: nothing isolates it, nor ingress of web."""


def new_codes(directory: Path, before: str, after: str) -> list[str]:
    """The codes of what is new to the baseline of ``before``."""
    file = directory / "a.yaml"
    run = ["check", "-f", "a.yaml"]
    file.write_text(before)
    podfence([*run, "--write-baseline", "known.json"], directory=directory)
    file.write_text(after)
    done = podfence([*run, "--baseline", "known.json"], directory=directory)
    assert done.err == ""
    return re.findall(r"\[(PF\d{3})\]", done.out)


@pytest.mark.parametrize(
    "after",
    [
        "\n\n# moved\n" + BOTH,
        POLICY + "---\n" + PODS.removesuffix("---\n"),
        BOTH.replace("{cidr: 0.0.0.0/0}", "{cidr: '0.0.0.0/0'}"),
        BOTH.replace(RULE, FIRST_RULE + RULE),
        BOTH.replace("name: lab,", "name: lab, annotations: {a: b},"),
    ],
    ids=["lines", "order", "quotes", "a rule before it", "an annotation"],
)
def test_text_that_moves_makes_nothing_new(after: str, tmp_path: Path) -> None:
    assert new_codes(tmp_path, BOTH, after) == []


def test_pods_that_come_make_nothing_new(tmp_path: Path) -> None:
    """Of two namespaces more, PF341 counts more pods: its words are others, the finding is not."""
    workload = WORKLOAD.replace("NAME", "api")
    scaled = BOTH + workload.replace("replicas: 2", "replicas: 5")
    assert new_codes(tmp_path, BOTH + workload, scaled) == []


@pytest.mark.parametrize("namespace", ["ops", "shop"])
def test_a_namespace_is_the_same_one_where_its_object_is_read(
    namespace: str, tmp_path: Path
) -> None:
    whole = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n{BOTH}"
    assert new_codes(tmp_path, BOTH, whole) == []
    assert new_codes(tmp_path, whole, BOTH) == []


def test_a_workload_that_nothing_isolates_is_news_and_one_that_is_gone_is_not(
    tmp_path: Path,
) -> None:
    more = BOTH + WORKLOAD.replace("NAME", "api")
    assert new_codes(tmp_path, BOTH, more) == ["PF350"]
    assert new_codes(tmp_path, more, BOTH) == []
    other = BOTH + WORKLOAD.replace("NAME", "other")
    assert new_codes(tmp_path, more, other) == ["PF350"]


def test_a_workload_of_another_kind_is_another_though_it_has_the_name(tmp_path: Path) -> None:
    one = BOTH + WORKLOAD.replace("NAME", "api")
    both = one + WORKLOAD.replace("NAME", "api").replace("Deployment", "StatefulSet")
    assert new_codes(tmp_path, one, both) == ["PF350"]
    assert new_codes(tmp_path, both, both) == []
    assert new_codes(tmp_path, both, one) == []


def test_a_baseline_that_tells_no_kinds_is_read(tmp_path: Path) -> None:
    """A workload is known there by its name alone; another name is news."""
    (tmp_path / "a.yaml").write_text(BOTH + WORKLOAD.replace("NAME", "api"))
    run = ["check", "-f", "a.yaml"]
    podfence([*run, "--write-baseline", "new.json"], directory=tmp_path)
    text = (tmp_path / "new.json").read_text()
    assert "ingress of Deployment ops/api" in text
    old = text.replace("baseline/v3", "baseline/v2").replace("Deployment ", "").replace("Pod ", "")
    (tmp_path / "old.json").write_text(old)
    done = podfence([*run, "--baseline", "old.json"], directory=tmp_path)
    assert re.findall(r"\[(PF\d{3})\]", done.out) == []
    (tmp_path / "a.yaml").write_text(BOTH + WORKLOAD.replace("NAME", "other"))
    done = podfence([*run, "--baseline", "old.json"], directory=tmp_path)
    assert re.findall(r"\[(PF\d{3})\]", done.out) == ["PF350"]


def test_the_same_rule_once_more_is_news(tmp_path: Path) -> None:
    twice = new_codes(tmp_path, BOTH, BOTH + RULE)
    assert "PF341" in twice
    assert new_codes(tmp_path, BOTH + RULE, BOTH + RULE) == []


def test_what_is_written_there_tells_findings_of_one_field_apart(tmp_path: Path) -> None:
    slip = BOTH.replace(
        "podSelector: {matchLabels: {app: web}}", "podSelector: {matchLabels: {app: wbe}}"
    )
    other = slip.replace("wbe", "ewb")
    assert "PF320" in new_codes(tmp_path, slip, other)
    assert "PF320" not in new_codes(tmp_path, slip, slip)


def test_words_and_weight_are_no_part_of_a_fingerprint() -> None:
    source = Source("a.yaml", 1)
    finding = LintFinding(
        "PF341", ObjectRef("NetworkPolicy", "shop", "web"), source, "spec.egress[0]", "a"
    )
    written: dict[str, object] = {"spec": {"egress": [{"to": []}, {"to": []}]}}

    def name(path: str, text: str) -> str:
        other = LintFinding(finding.code, finding.object, source, path, text)
        return fingerprinted([other], lambda _: written)[0].fingerprint

    assert name("spec.egress[0]", "other words") == name("spec.egress[1]", "a")
    assert name("spec.egress[9]", "a") != name("spec.egress[0]", "a")
    two = fingerprinted([finding, finding], lambda _: written)
    assert two[0].fingerprint != two[1].fingerprint


def test_a_baseline_of_the_first_form_is_read(tmp_path: Path) -> None:
    """Known by code, object and field; its fingerprints hold the words of another version."""
    (tmp_path / "a.yaml").write_text(BOTH)
    run = ["check", "-f", "a.yaml"]
    podfence([*run, "--write-baseline", "new.json"], directory=tmp_path)
    data = json.loads((tmp_path / "new.json").read_text())
    assert data["schema"] == "podfence.baseline/v3"
    for each in data["findings"]:
        each["fingerprint"] = "0" * 32
        each.pop("names", None)
    (tmp_path / "old.json").write_text(json.dumps({**data, "schema": "podfence.baseline/v1"}))
    done = podfence([*run, "--baseline", "old.json"], directory=tmp_path)
    assert re.findall(r"\[(PF\d{3})\]", done.out) == []
    assert "the baseline is of an older form: --write-baseline renews it" in done.out
    both = [*run, "--baseline", "old.json", "--write-baseline", "old.json"]
    podfence(both, directory=tmp_path)
    assert json.loads((tmp_path / "old.json").read_text())["schema"] == "podfence.baseline/v3"
    assert "older form" not in podfence([*run, "--baseline", "old.json"], directory=tmp_path).out
