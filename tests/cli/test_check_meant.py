"""``check``: remarks, ``podfence.toml``, baseline."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.session import podfence

POD = (
    "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop, labels: {app: web}}, "
    "spec: {containers: [{name: main}]}}\n---\n"
)
POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: closed
  namespace: shop
spec:
  podSelector:%s
    matchLabels: {app: wbe}
  policyTypes: [Ingress, Egress]
"""


def said(directory: Path, text: str, *options: str) -> list[str]:
    (directory / "a.yaml").write_text(text, encoding="utf-8")
    done = podfence(["check", "-f", "a.yaml", "--ignore", "PF35", *options], directory=directory)
    assert done.status in (0, 1), done.err
    return re.findall(r"\[(PF\d{3})\]", done.out)


def with_remark(remark: str) -> str:
    return POD + POLICY % f" # {remark}"


@pytest.mark.parametrize(
    ("remark", "codes"),
    [
        ("nothing of ours", ["PF320"]),
        ("podfence: ignore[PF320] its pods come with the next release", []),
        ("podfence:ignore[PF32]   a family", []),
        ("podfence: ignore[near-miss-label] the code in words", []),
        ("podfence: ignore[near-mis-label] no such words", ["PF603", "PF320"]),
        ("podfence: ignore[PF304, PF320] until=2999-12-31 several", []),
        ("podfence: ignore[PF320]", ["PF601", "PF320"]),
        ("podfence: ignore[PF320] until=2020-01-01 it is over", ["PF604", "PF320"]),
        ("podfence: ignore[PF320] until=soon it is no day", ["PF604", "PF320"]),
        ("podfence: ignore[PF203] what the server says stays", ["PF603", "PF320"]),
        ("podfence: ignore[] no code", ["PF603", "PF320"]),
        ("podfence: ignore[PF304] another code", ["PF602", "PF320"]),
        ("podfence: ignore[PF35] not looked for in this run", ["PF320"]),
    ],
)
def test_a_remark_on_the_line(remark: str, codes: list[str], tmp_path: Path) -> None:
    assert said(tmp_path, with_remark(remark)) == codes


def test_a_remark_alone_is_about_the_next_line(tmp_path: Path) -> None:
    before = "spec:\n  # podfence: ignore[PF320] its pods come later\n"
    assert said(tmp_path, (POD + POLICY % "").replace("spec:\n", before)) == []
    elsewhere = "# podfence: ignore[PF320] too far away\n" + POD + POLICY % ""
    assert said(tmp_path, elsewhere) == ["PF602", "PF320"]


def test_a_remark_for_a_file_stands_in_its_head(tmp_path: Path) -> None:
    remark = "# podfence: ignore-file[PF3] taken over as it is\n"
    assert said(tmp_path, remark + POD + POLICY % "") == []
    assert said(tmp_path, "\n" * 10 + remark + POD + POLICY % "") == ["PF603", "PF320"]


@pytest.mark.parametrize(
    ("kind", "codes"),
    [("NetworkPolicy", []), ("Namespace", []), ("Pod", ["PF602", "PF320"])],
)
def test_an_annotation_is_about_its_object(kind: str, codes: list[str], tmp_path: Path) -> None:
    annotation = "annotations: {podfence.io/ignore: PF320 comes later}"
    namespace = (
        f"{{apiVersion: v1, kind: Namespace, metadata: {{name: shop, {annotation}}}}}\n---\n"
    )
    text = {
        "NetworkPolicy": POD
        + (POLICY % "").replace("  name: closed", f"  name: closed\n  {annotation}"),
        "Namespace": namespace + POD + POLICY % "",
        "Pod": POD.replace("name: web,", f"name: web, {annotation},") + POLICY % "",
    }[kind]
    assert said(tmp_path, text) == codes


def test_ignored_findings_are_told_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(with_remark("podfence: ignore[PF320] comes later"))
    run = ["check", "-f", "a.yaml", "-o"]
    data = json.loads(podfence([*run, "json"], directory=tmp_path).out)
    assert [(each["code"], each["because"]) for each in data["ignored"]] == [
        ("PF320", "comes later")
    ]
    sarif = json.loads(podfence([*run, "sarif"], directory=tmp_path).out)
    results = sarif["runs"][0]["results"]
    [suppressed] = [each for each in results if "suppressions" in each]
    assert suppressed["ruleId"] == "PF320"
    assert suppressed["suppressions"][0]["justification"] == "comes later"


@pytest.mark.parametrize(
    ("settings", "codes", "status"),
    [
        ("", ["PF320"], 1),
        ('ignore = ["PF32"]', [], 0),
        ('severity = { PF320 = "note" }', ["PF320"], 0),
        ('severity = { near-miss-label = "note" }', ["PF320"], 0),
        ('ignore = ["near-miss-label"]', [], 0),
        ('severity = { PF320 = "note" }\nfail-on = "note"', ["PF320"], 1),
        ('fail-on = "never"', ["PF320"], 0),
        ('[check.paths."a.*"]\nignore = ["PF3"]', [], 0),
        ('[check.paths."b.*"]\nignore = ["PF3"]', ["PF320"], 1),
    ],
)
def test_settings(settings: str, codes: list[str], status: int, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(POD + POLICY % "")
    (tmp_path / "podfence.toml").write_text(f"[check]\n{settings}\n")
    (tmp_path / "below").mkdir()
    run = ["check", "--ignore", "PF35", "-f"]
    for directory, path in ((tmp_path, "a.yaml"), (tmp_path / "below", "../a.yaml")):
        if "paths" in settings and directory != tmp_path:
            continue
        done = podfence([*run, path], directory=directory)
        assert (re.findall(r"\[(PF\d{3})\]", done.out), done.status) == (codes, status)
    plain = podfence([*run, "a.yaml", "--no-config"], directory=tmp_path)
    assert plain.status == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[check]\nignor = []", "check.ignor: no such key; did you mean check.ignore?"),
        ("[chek]", "chek: no such key; did you mean check?"),
        ("[check]\nignore = 'PF3'", "check.ignore: use a list of codes"),
        ("[check]\nignore = ['PF203']", "'PF203' is not the beginning of a code"),
        ("[check]\nignore = ['near-miss']", "'near-miss' is not the beginning of a code"),
        ("[check]\nfail-on = 'sometimes'", "use error, warning, note or never"),
        ("[check]\nseverity = { PF320 = 'bad' }", "check.severity.PF320"),
        ("[check]\nseverity = 3", "check.severity: use a table"),
        ("[cluster]\npod-cidrs = ['10.244.0.0/8']", "'10.244.0.0/8' is not a CIDR"),
        ("[cluster]\npod-cidrs = '10.244.0.0/16'", "cluster.pod-cidrs: use CIDRs"),
        ("nothing", "podfence.toml: "),
    ],
)
def test_settings_that_cannot_be_used(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "podfence.toml").write_text(text)
    (tmp_path / "a.yaml").write_text(POD)
    done = podfence(["check", "-f", "a.yaml"], directory=tmp_path)
    assert done.status == 2
    assert complaint in done.err


def test_a_baseline_holds_back_what_is_known(tmp_path: Path) -> None:
    run = ["check", "-f", "a.yaml"]
    (tmp_path / "a.yaml").write_text(POD + POLICY % "")
    first = podfence([*run, "--write-baseline", "known.json"], directory=tmp_path)
    assert first.status == 1
    (tmp_path / "a.yaml").write_text("\n\n" + POD + POLICY % "")
    again = podfence([*run, "--baseline", "known.json"], directory=tmp_path)
    assert again.status == 0
    assert again.out.count("\n") == 1
    assert "held back by the baseline" in again.out

    (tmp_path / "a.yaml").write_text(POD + (POLICY % "").replace("wbe", "ewb"))
    other = podfence([*run, "--baseline", "known.json"], directory=tmp_path)
    assert other.status == 1
    assert "1 more is gone: --write-baseline removes them" in other.out


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema": "x", "findings": []}', "\x00"])
def test_a_baseline_that_cannot_be_used(text: str, tmp_path: Path) -> None:
    (tmp_path / "known.json").write_text(text)
    (tmp_path / "a.yaml").write_text(POD)
    for name in ("known.json", "missing.json"):
        done = podfence(["check", "-f", "a.yaml", "--baseline", name], directory=tmp_path)
        assert done.status == 2
        assert f"--baseline {name}: " in done.err


def test_forms_for_programs(tmp_path: Path) -> None:
    """Hostile names stay text in each of them."""
    hostile = "x%0A::error::\n]]></testcase>"
    text = POD + (POLICY % "").replace("{app: wbe}", "{app: wbe}").replace(
        "name: closed", f"name: closed\n  annotations: {{note: {json.dumps(hostile)}}}"
    )
    (tmp_path / "a.yaml").write_text(text)
    run = ["check", "-f", "a.yaml", "-o"]
    for line in podfence([*run, "github"], directory=tmp_path).out.splitlines():
        assert re.match(r"::(error|warning|notice) title=podfence ", line)
        assert line.count("file=a.yaml") == 1
    junit = podfence([*run, "junit"], directory=tmp_path).out
    assert '<failure type="error PF320"' in junit
    sarif = json.loads(podfence([*run, "sarif"], directory=tmp_path).out)
    [error] = [r for r in sarif["runs"][0]["results"] if r["level"] == "error"]
    assert error["locations"][0]["physicalLocation"]["region"]["startLine"] == 10
    assert error["partialFingerprints"]


BLOCK = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: out, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
  - to: [{ipBlock: {cidr: CIDR}}]
"""


@pytest.mark.parametrize(
    ("cidr", "codes"),
    [
        ("10.96.0.10/32", ["PF340"]),
        ("10.100.0.0/16", ["PF340"]),
        ("10.96.0.0/12", ["PF340"]),
        ("'fd00:1::7/128'", ["PF340"]),
        ("10.0.0.0/8", []),  # more than Services
        ("10.112.0.0/16", []),
        ("'fd00:2::/64'", []),
    ],
)
def test_blocks_in_the_range_of_services(cidr: str, codes: list[str], tmp_path: Path) -> None:
    """No Service was read, and none needs to be."""
    facts = "service-cidrs = ['10.96.0.0/12', 'fd00:1::/112']"
    (tmp_path / "podfence.toml").write_text(f"[cluster]\n{facts}\n")
    text = BLOCK.replace("CIDR", cidr)
    assert said(tmp_path, text, "--select", "PF340") == codes
    assert said(tmp_path, text, "--select", "PF340", "--no-config") == []


def test_of_one_block_one_thing_is_said(tmp_path: Path) -> None:
    """Not also that it holds the address of a Service that was read (PF311, PF340)."""
    (tmp_path / "podfence.toml").write_text("[cluster]\nservice-cidrs = ['10.96.0.0/12']\n")
    service = (
        "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, "
        "spec: {clusterIP: 10.96.0.10, selector: {app: web}, ports: [{port: 80}]}}\n---\n"
    )
    for cidr in ("10.96.0.10/32", "10.96.0.0/24"):
        text = POD + service + BLOCK.replace("CIDR", cidr)
        assert said(tmp_path, text, "--select", "PF311,PF340") == ["PF340"]
