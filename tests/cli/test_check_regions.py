"""``check -o json`` and ``sarif``: where a finding begins and ends, and the edits that mend it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from podfence.questions.repair.textedits import TextEdit
from tests.cli.session import ROOT, podfence
from tests.support.editing import made

POD = (
    "{apiVersion: v1, kind: Pod, metadata: {name: gateway, namespace: shop, labels: "
    "{app: gateway}}}\n---\n"
)
HEAD = (
    "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: in, namespace: shop}\n"
)
PEER = "spec.ingress[0].from[0].podSelector"


def found(tmp_path: Path, text: str, code: str, *options: str) -> dict[str, Any]:
    (tmp_path / "a.yaml").write_text(text, newline="")
    words = ["check", "-f", "a.yaml", "-o", "json", "--select", code, *options]
    problems = json.loads(podfence(words, directory=tmp_path).out)["problems"]
    return next(each for each in problems if each["code"] == code)


def shown(text: str, finding: dict[str, Any]) -> str:
    """What an editor underlines."""
    starts = [0, *(at + 1 for at, letter in enumerate(text) if letter == "\n")]
    start = starts[finding["line"] - 1] + finding["column"] - 1
    return text[start : starts[finding["endLine"] - 1] + finding["endColumn"] - 1]


@pytest.mark.parametrize(
    ("spec", "underlined"),
    [
        (
            (
                "spec:\n  podSelector: {}\n  ingress:\n  - from:\n    - podSelector:\n"
                "        matchLabels:\n          app: gatewya  # typo\n\n    ports: []\n"
            ),
            "podSelector:\n        matchLabels:\n          app: gatewya",
        ),
        (
            (
                "spec: {podSelector: {}, ingress: [{from: [{podSelector: "
                "{matchLabels: {app: gatewya}}}]}]}\n"
            ),
            "podSelector: {matchLabels: {app: gatewya}}",
        ),
        (
            (
                "spec:\n  podSelector: {}\n  ingress:\n  - from:\n    - podSelector:\n"
                '        matchLabels: {"app": "gatewya"}'
            ),
            'podSelector:\n        matchLabels: {"app": "gatewya"}',
        ),
        (
            (
                "spec:\n  podSelector: &a {matchLabels: {app: gatewya}}\n"
                "  ingress:\n  - from:\n    - podSelector: *a\n"
            ),
            "podSelector",
        ),
    ],
    ids=["block", "flow", "end of file", "an alias"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_what_is_underlined_is_key_and_value(
    tmp_path: Path, spec: str, underlined: str, end: str
) -> None:
    text = (POD + HEAD + spec).replace("\n", end)
    (tmp_path / "a.yaml").write_text(text, newline="")
    words = ["check", "-f", "a.yaml", "-o", "json", "--select", "PF320"]
    problems = json.loads(podfence(words, directory=tmp_path).out)["problems"]
    finding = next(each for each in problems if each["path"] == PEER)
    assert shown(text, finding) == underlined.replace("\n", end)


def test_of_json_it_is_the_same(tmp_path: Path) -> None:
    peer = {"podSelector": {"matchLabels": {"app": "gatewya"}}}
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "in", "namespace": "shop"},
        "spec": {"podSelector": {}, "ingress": [{"from": [peer]}]},
    }
    pod = {"apiVersion": "v1", "kind": "Pod"}
    pod["metadata"] = {"name": "g", "namespace": "shop", "labels": {"app": "gateway"}}  # type: ignore[assignment]
    listed = {"apiVersion": "v1", "kind": "List", "items": [pod, policy]}
    for indent in (None, 2):
        text = json.dumps(listed, indent=indent)
        underlined = shown(text, found(tmp_path, text, "PF320"))
        assert json.loads(f"{{{underlined}}}") == peer


def test_a_field_that_is_absent_is_its_parents_name(tmp_path: Path) -> None:
    text = POD + HEAD + "spec: {podSelector: {}, egress: [{to: [{podSelector: {}}]}]}\n"
    finding = found(tmp_path, text, "PF303")
    assert shown(text, finding).startswith(("spec", "egress"))


def test_what_the_server_refuses_has_a_region_too(tmp_path: Path) -> None:
    text = HEAD + "spec: {podSelector: {}, policyTypes: [ingress]}\n"
    (tmp_path / "a.yaml").write_text(text)
    done = podfence(["check", "-f", "a.yaml", "-o", "json"], directory=tmp_path)
    [problem] = json.loads(done.out)["problems"]
    assert shown(text, problem) == "ingress"


# -- the edits


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("apps", "mistakes"):
        shutil.copytree(ROOT / "examples/newcomer" / name, tmp_path / name)
    return tmp_path


READ = ["check", "-f", "apps", "-f", "mistakes"]


def edits_of(data: dict[str, Any]) -> list[TextEdit]:
    return [
        TextEdit(e["file"], e["line"], e["column"], e["endLine"], e["endColumn"], e["text"])
        for e in data["edits"]
    ]


def test_what_an_editor_makes_is_what_fix_makes(tree: Path) -> None:
    """Every safe one, made alone, ends what it is beside."""
    done = podfence([*READ, "-o", "json", "--with-fixes"], directory=tree)
    findings = [each for each in json.loads(done.out)["problems"] if "fix" in each]
    assert {each["code"] for each in findings if each["fix"]["safe"]} >= {"PF320", "PF321", "PF327"}
    assert {each["code"] for each in findings if not each["fix"]["safe"]} >= {"PF315", "PF351"}
    for finding in findings:
        edits = edits_of(finding["fix"])
        [file] = {edit.file for edit in edits}
        before = (tree / file).read_text()
        (tree / file).write_text(made(before, edits))
        said = podfence([*READ, "-o", "json"], directory=tree).out
        assert finding["fingerprint"] not in {
            e.get("fingerprint") for e in json.loads(said)["problems"]
        }
        (tree / file).write_text(before)


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["no mark", "mark"])
@pytest.mark.parametrize("code", ["PF321", "PF351", "PF353"])
def test_the_lines_of_an_edit_end_as_those_of_its_file(tree: Path, code: str, mark: bytes) -> None:
    """What the edits make is what --fix writes, byte by byte."""
    for file in (tree / "mistakes").iterdir():
        file.write_bytes(mark + file.read_bytes().replace(b"\n", b"\r\n"))
    words = [*READ, "--select", code]
    done = podfence([*words, "-o", "json", "--with-fixes"], directory=tree)
    by_file: dict[str, list[TextEdit]] = {}
    for finding in json.loads(done.out)["problems"]:
        for edit in edits_of(finding["fix"]):
            by_file.setdefault(edit.file, []).append(edit)
    expected = {
        file: made((tree / file).read_bytes().removeprefix(mark).decode(), edits)
        for file, edits in by_file.items()
    }
    podfence([*words, "--fix", "--unsafe"], directory=tree)
    written = {file: (tree / file).read_bytes().removeprefix(mark).decode() for file in expected}
    assert written == expected
    assert expected


def test_sarif_has_them_as_replacements(tree: Path) -> None:
    words = [*READ, "--select", "PF321,PF315", "--with-fixes", "-o"]
    [run] = json.loads(podfence([*words, "sarif"], directory=tree).out)["runs"]
    listed = json.loads(podfence([*words, "json"], directory=tree).out)["problems"]
    for result, finding in zip(run["results"], listed, strict=True):
        region = result["locations"][0]["physicalLocation"]["region"]
        assert region == {
            "startLine": finding["line"],
            "startColumn": finding["column"],
            "endLine": finding["endLine"],
            "endColumn": finding["endColumn"],
        }
        [fix] = result["fixes"]
        assert fix["description"]["text"].endswith("(unsafe)") is not finding["fix"]["safe"]
        [change] = fix["artifactChanges"]
        assert change["artifactLocation"]["uri"] == finding["file"]
        texts = [each.get("insertedContent", {}).get("text", "") for each in change["replacements"]]
        assert texts == [edit["text"] for edit in finding["fix"]["edits"]]


def test_a_fix_that_opens_more_than_the_policy_says_is_not_offered(tmp_path: Path) -> None:
    """PF303 opens ingress that was closed by accident: no rule names it."""
    text = POD + HEAD + "spec: {podSelector: {}, egress: [{to: [{podSelector: {}}]}]}\n"
    assert "fix" not in found(tmp_path, text, "PF303", "--with-fixes")


@pytest.mark.parametrize(
    "options", [["-o", "text"], ["-o", "github"], [], ["-o", "json", "--server-only"]]
)
def test_they_are_for_programs(tree: Path, options: list[str]) -> None:
    done = podfence([*READ, "--with-fixes", *options], directory=tree)
    assert (done.status, done.out) == (2, "")
    assert "--with-fixes adds to the findings of -o json and -o sarif" in done.err


@pytest.mark.parametrize(
    ("frameworks", "tags"),
    [
        ([], {}),
        (["cis"], {"PF350": ["CIS-Kubernetes-5.3.2"], "PF351": ["CIS-Kubernetes-5.3.2"]}),
        (["kubescape", "kubescape"], {"PF351": ["kubescape/C-0030"]}),
    ],
)
def test_controls_of_others_are_tags_of_rules(
    tree: Path, frameworks: list[str], tags: dict[str, list[str]]
) -> None:
    words = [word for each in frameworks for word in ("--map-to", each)]
    done = podfence([*READ, "-o", "sarif", *words], directory=tree)
    rules = json.loads(done.out)["runs"][0]["tool"]["driver"]["rules"]
    found = {each["id"]: each["properties"]["tags"] for each in rules if "properties" in each}
    assert found.items() >= tags.items()
    assert bool(found) is bool(frameworks)


@pytest.mark.parametrize("options", [[], ["-o", "json"], ["-o", "sarif", "--server-only"]])
def test_controls_are_about_findings_in_sarif(tree: Path, options: list[str]) -> None:
    done = podfence([*READ, "--map-to", "cis", *options], directory=tree)
    assert (done.status, done.out) == (2, "")
    assert "--map-to adds to the findings of -o sarif" in done.err
