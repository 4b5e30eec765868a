"""Names are hostile input: no output breaks on one, and no terminal, table or language obeys it.

The decoder takes names of pods, namespaces, ports, Services and nodes as they are; what the API
server would refuse of a policy is refused here as well, so of policies only errors are printed.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from podfence.text import printable
from tests.cli.session import Done, podfence

NAMES = {
    "escape-sequence": "a\x1b[31mred\x1b]0;title\x07",
    "c1-control": "a\x9b31m",
    "newline": "a\nb\r\nyes: all is well",
    "nul-and-delete": "a\x00b\x7f",
    "double-quote": 'a"b',
    "single-quote": "a'b`c",
    "braces": "a{b}[c](d)<e>",
    "semicolon": "a; drop; flush ruleset",
    "nft": 'x" } }\nflush ruleset\nadd table inet evil; #',
    "backslash": "a\\nb\\",
    "bidi": "a\u202eb\u2066c",
    "line-separator": "a\u2028b\u2029c",
    "invisible": "a\u200bb\ufeff",
    "formula": '=cmd|"/c calc"!A1',
    "html": "<script>alert(1)</script>&amp;",
    "dollar": "$(reboot) %s {0} {name!r}",
    "comma": "a,b\tc",
    "longest": "l" * 253,
    "wide": "\u65e5\u672c\u8a9e e\u0301 \U0001f600",
}
_HARMLESS = frozenset("LMNPS")


def manifests(name: str) -> bytes:
    """Everything that has a name, with this one; two policies with proper names."""
    meta = {"name": name, "namespace": name, "labels": {"app": name, name: "x"}}
    port = {"name": name, "containerPort": 8080}
    open_to_all: dict[str, Any] = {
        "podSelector": {},
        "ingress": [{"from": [{"namespaceSelector": {}}]}],
    }
    items: list[dict[str, Any]] = [
        {"kind": "Namespace", "metadata": {"name": name, "labels": {name: name}}},
        {"kind": "Node", "metadata": {"name": name}},
        {"kind": "Pod", "metadata": meta, "spec": {"containers": [{"ports": [port]}]}},
        {"kind": "Pod", "metadata": {**meta, "name": f"{name}2"}, "status": {"phase": "Failed"}},
        {"kind": "Pod", "metadata": {"name": name, "namespace": "shop"}},
        {"kind": "Pod", "metadata": {"name": "db", "namespace": "shop"}},
        {"kind": "Service", "metadata": meta, "spec": {"clusterIP": "10.96.0.9"}},
        {"kind": name, "metadata": meta},
    ]
    for called, spec in (("closed", {"podSelector": {}}), ("open", open_to_all)):
        group = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
        items.append({**group, "metadata": {"name": called, "namespace": "shop"}, "spec": spec})
    listed = [{"apiVersion": "v1", **item} for item in items]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": listed}).encode()


def broken(name: str) -> bytes:
    """A policy that holds the name wherever a policy can."""
    labels = {"matchLabels": {name: name}}
    expressions = {"matchExpressions": [{"key": name, "operator": name, "values": [name]}]}
    block = {"ipBlock": {"cidr": name, "except": [name]}}
    peers = [{"podSelector": labels}, {"namespaceSelector": expressions}, block]
    ports = [{"port": name, "protocol": name}, {name: name}]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": name, "labels": {name: name}},
        "spec": {
            "podSelector": labels,
            "policyTypes": [name],
            "ingress": [{"from": peers, "ports": ports}],
            name: name,
        },
    }
    return json.dumps(policy).encode()


def tiers(name: str) -> bytes:
    """Policies of tiers that hold the name wherever the server stores it: in names of rules, in
    selectors, in fields of a later version, in names of ports."""
    pods = {"podSelector": {"matchLabels": {f"/{name}/": name}}, "namespaceSelector": {}}
    keyed = {"matchExpressions": [{"key": name, "operator": name, "values": [name]}]}
    by_name = {"destinationNamedPort": name}
    rules = [
        {"action": "Pass", "from": [{"namespaces": {}}], "protocols": [by_name]},
        {"action": "Accept", "from": [{"pods": pods}]},
        {"action": "Accept", "from": [{name: {}}]},
        {"action": "Accept", "from": [{"namespaces": {}}], "protocols": [{name: {}}]},
        {"action": "Accept", "from": [{"namespaces": keyed}]},
        {"action": "Deny", "from": [{"namespaces": {}}]},
        {"action": "Accept", "from": [{"namespaces": {}}]},
    ]
    named = [{**rule, "name": name[:100]} for rule in rules]
    out = [{"action": "Accept", "to": [{"domainNames": ["a.example"]}], "name": name[:100]}]
    sealed = [{"action": "Deny", "to": [{"networks": ["0.0.0.0/0"]}], "name": name[:100]}]
    group = {"apiVersion": "policy.networking.k8s.io/v1beta1", "kind": "ClusterNetworkPolicy"}
    spec = {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}}
    items = json.loads(manifests(name))["items"] + [
        {**group, "metadata": {"name": "ins"}, "spec": {**spec, "ingress": named}},
        {**group, "metadata": {"name": "outs"}, "spec": {**spec, "egress": [*out, *sealed]}},
        {**group, "metadata": {"name": "odd"}, "spec": {**spec, "subject": {"namespaces": keyed}}},
    ]
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()


def broken_tier(name: str, kind: str) -> bytes:
    """A policy of a tier that holds the name where the server refuses it."""
    version = "v1alpha2" if kind == "ClusterNetworkPolicy" else "v1alpha1"
    peers = [{"networks": [name]}, {"domainNames": [name]}]
    policy = {
        "apiVersion": f"policy.networking.k8s.io/{version}",
        "kind": kind,
        "metadata": {"name": name, "labels": {name: name}},
        "spec": {
            "tier": name,
            "priority": name,
            "subject": {name: name},
            "egress": [{"action": name, "to": peers, "name": name * 101}],
            name: name,
        },
    }
    return json.dumps(policy).encode()


def run(name: str, *arguments: str) -> Done:
    done = podfence([*arguments, "-f", "-"], stdin=manifests(name))
    assert harmful(done.out + done.err) == set()
    return done


def harmful(text: str) -> set[str]:
    """Characters that act on a terminal; newlines are those of the output itself."""
    return {c for c in text if c not in " \n" and unicodedata.category(c)[0] not in _HARMLESS}


@pytest.fixture(params=list(NAMES.values()), ids=list(NAMES))
def name(request: pytest.FixtureRequest) -> str:
    assert isinstance(request.param, str)
    return request.param


@pytest.mark.parametrize("output", ["table", "wide", "matrix"])
def test_map_has_the_lines_that_a_plain_name_gives(name: str, output: str) -> None:
    done = run(name, "map", "-o", output)
    assert done.status == 0
    assert len(done.out.splitlines()) == len(run("plain", "map", "-o", output).out.splitlines())


def test_map_json_gives_the_name_back(name: str) -> None:
    data = json.loads(run(name, "map", "-o", "json").out)
    assert {name, "db"} == {e["workload"] for e in data["endpoints"] if "workload" in e}


def test_map_csv_has_four_inert_cells_a_line(name: str) -> None:
    text = run(name, "map", "-o", "csv").out
    rows = list(csv.reader(io.StringIO(text)))
    assert len(rows) == len(text.splitlines())
    assert {len(row) for row in rows} == {4}
    assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+-@")]


_DOT_TEXT = r'"(?:[^"\\]|\\\\|\\")*"'
_PROBLEM = re.compile(r"(-:1:\d+: )?(error|warning)\[PF\d{3}\]: ")
_DOT = re.compile(
    rf"digraph podfence \{{|  rankdir=LR;|  node \[shape=box\];|\}}|"
    rf"  subgraph cluster_\d+ \{{|    label={_DOT_TEXT};|  \}}|    n\d+ \[label={_DOT_TEXT}\];|"
    rf"  n\d+ \[label={_DOT_TEXT}, style=dashed\];|  n\d+ -> n\d+ \[label={_DOT_TEXT}\];"
)


def test_map_dot_is_a_digraph_of_plain_statements(name: str) -> None:
    text = run(name, "map", "-o", "dot").out
    assert [line for line in text.splitlines() if not _DOT.fullmatch(line)] == []


_MERMAID_TEXT = r'"(?:[A-Za-z0-9 ./_:,-]|#\d+;)*"'
_MERMAID = re.compile(
    rf"flowchart LR|  subgraph s\d+\[{_MERMAID_TEXT}\]|  end|    n\d+\[{_MERMAID_TEXT}\]|"
    rf"  n\d+\(\[{_MERMAID_TEXT}\]\)|"
    rf"  n\d+ -->\|{_MERMAID_TEXT}\| n\d+"
)


def test_map_mermaid_is_a_flowchart_of_plain_statements(name: str) -> None:
    text = run(name, "map", "-o", "mermaid").out
    assert [line for line in text.splitlines() if not _MERMAID.fullmatch(line)] == []


def test_map_svg_holds_nothing_but_shapes_and_text(name: str) -> None:
    root = ElementTree.fromstring(run(name, "map", "-o", "svg").out)
    elements = [(each.tag.partition("}")[2], set(each.attrib)) for each in root.iter()]
    assert {tag for tag, _ in elements} == {"svg", "title", "style", "rect", "text", "path", "g"}
    kinds = {"x", "y", "width", "height", "viewBox", "role", "class", "rx", "d", "id"}
    assert set().union(*(given for _, given in elements)) <= kinds
    titles = [each.text or "" for each in root.iter("{http://www.w3.org/2000/svg}title")]
    assert [each for each in titles if printable(name) in each]


@pytest.mark.parametrize("command", ["can", "why"])
def test_an_answer_has_the_lines_that_a_plain_name_gives(name: str, command: str) -> None:
    done = run(name, command, f"shop/{name}", "shop/db:80")
    assert done.status == 0
    plain = run("plain", command, "shop/plain", "shop/db:80")
    assert len(done.out.splitlines()) == len(plain.out.splitlines())


def test_why_json_gives_the_name_back(name: str) -> None:
    done = run(name, "why", f"shop/{name}", "shop/db:80", "-o", "json")
    assert json.loads(done.out)["source"] == f"shop/{name}"


def test_queries_are_answered(name: str, tmp_path: Path) -> None:
    queries = tmp_path / "queries.json"
    asked = [{"src": f"{name}/{name}", "dst": "shop/db", "port": 80}]
    queries.write_text(json.dumps(asked), encoding="utf-8")
    done = run(name, "can", "--queries", str(queries), "-o", "json")
    assert [answer["allowed"] for answer in json.loads(done.out)] == [True]


def test_queries_about_nobody_are_errors_of_one_line(name: str, tmp_path: Path) -> None:
    queries = tmp_path / "queries.json"
    asked = [{"src": f"x/{name}", "dst": name, "port": name, "protocol": name}]
    queries.write_text(json.dumps(asked), encoding="utf-8")
    done = run(name, "can", "--queries", str(queries), "-o", "json")
    assert done.status == 2
    assert len(done.err.splitlines()) == 2  # what was ignored, and the error
    assert json.loads(done.out)[0]["allowed"] is None


def test_describe_speaks_of_the_pods(name: str) -> None:
    done = run(name, "describe")
    assert done.status == 0
    assert "NetworkPolicy shop/open" in done.out


def test_what_can_go_is_named(name: str, tmp_path: Path) -> None:
    items = json.loads(manifests(name))["items"]
    for item in items:
        for rules in (item.get("spec") or {}).get("ingress") or ():
            if rules.get("from"):
                rules["from"] *= 2
    (tmp_path / "a.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )
    done = podfence(["simplify", "-f", str(tmp_path)])
    assert done.status in (0, 2)
    assert harmful(done.out + done.err) == set()


@pytest.mark.parametrize("name", NAMES)
def test_check_counts_the_objects(name: str) -> None:
    done = run(name, "check")
    *notes, _ = done.out.splitlines()
    assert all(re.search(r"(note|warning)\[PF3\d\d\]: ", line) for line in notes)


@pytest.mark.parametrize("output", ["text", "json"])
def test_check_says_what_is_wrong_in_a_policy_one_problem_a_line(name: str, output: str) -> None:
    done = podfence(["check", "-f", "-", "-o", output], stdin=broken(name))
    assert done.status == 1
    assert harmful(done.out + done.err) == set()
    if output == "json":
        assert json.loads(done.out)["ok"] is False
    else:
        *problems, _ = done.out.splitlines()
        assert [line for line in problems if not _PROBLEM.match(line)] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["map"],
        ["can", "shop/{}", "shop/db:80"],
        ["can", "shop/db", "192.0.2.1:80"],
        ["why", "shop/{}", "shop/db:80"],
        ["why", "shop/{}", "shop/db:80", "-o", "json"],
        ["check"],
    ],
    ids=" ".join,
)
def test_tiers_are_told_in_the_lines_that_a_plain_name_gives(
    name: str, arguments: list[str]
) -> None:
    done, plain = (
        podfence([*(a.replace("{}", n) for a in arguments), "-f", "-"], stdin=tiers(n))
        for n in (name, "plain")
    )
    assert harmful(done.out + done.err) == set()
    assert done.status == plain.status
    assert len(done.out.splitlines()) == len(plain.out.splitlines())
    assert len(done.err.splitlines()) == len(plain.err.splitlines())


def test_describe_speaks_of_tiers(name: str) -> None:
    done = podfence(["describe", "-f", "-"], stdin=tiers(name))
    assert done.status == 0
    assert harmful(done.out + done.err) == set()
    assert "ClusterNetworkPolicy ins" in done.out


@pytest.mark.parametrize(
    "kind", ["ClusterNetworkPolicy", "AdminNetworkPolicy", "BaselineAdminNetworkPolicy"]
)
def test_check_says_what_is_wrong_in_a_policy_of_a_tier(name: str, kind: str) -> None:
    done = podfence(["check", "-f", "-"], stdin=broken_tier(name, kind))
    assert done.status == 1
    assert harmful(done.out + done.err) == set()
    *problems, _ = done.out.splitlines()
    assert [line for line in problems if not _PROBLEM.match(line)] == []


@pytest.mark.parametrize("form", ["{} 192.0.2.1\n", "a.example {}\n", "json"])
def test_a_table_of_names_is_a_table_or_an_error(name: str, form: str, tmp_path: Path) -> None:
    text = json.dumps({name: [name]}) if form == "json" else form.replace("{}", name)
    table = tmp_path / "names"
    table.write_text(text, encoding="utf-8")
    done = podfence(["map", "-f", "-", "--resolve", str(table)], stdin=tiers("plain"))
    assert done.status in (0, 2)
    assert harmful(done.out + done.err) == set()
    assert "internal error" not in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["map", "--resolve", "no-{}"],
        ["describe", "clusternetworkpolicy/{}"],
        ["can", "{}", "shop/db:80"],
        ["can", "shop/db", "shop/{}:80"],
        ["can", "shop/db", "shop/db:{}"],
        ["can", "shop/db", "shop/db:1/{}"],
        ["why", "x/{}", "shop/db:80"],
        ["describe", "{}"],
        ["describe", "-n", "{}"],
        ["map", "-n", "no{}"],
        ["map", "-o", "{}"],
        ["{}"],
        ["map", "--{}"],
        ["map", "-f", "no-{}"],
        ["can", "--queries", "no-{}", "-o", "json"],
    ],
    ids=" ".join,
)
def test_an_error_repeats_the_name_harmlessly(name: str, arguments: list[str]) -> None:
    if "\0" in name:
        pytest.skip("no argument holds a NUL")
    done = podfence(
        [*(each.replace("{}", name) for each in arguments), "-f", "-"], stdin=manifests("plain")
    )
    assert done.status == 2
    assert harmful(done.out + done.err) == set()
    assert "internal error" not in done.err


def test_a_file_name_is_a_name_too(tmp_path: Path) -> None:
    """A file name can hold everything but a slash and NUL, UTF-8 or not."""
    path = Path(f"{tmp_path}/a\x1b[31m\n\udcff.yaml")
    path.write_text("kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nspec: {x: 1}\n")
    text = podfence(["check", "-f", str(tmp_path)])
    data = podfence(["check", "-f", str(tmp_path), "-o", "json"])
    assert "a\\x1b[31m\\x0a\\udcff.yaml:3:8: error" in text.out
    assert harmful(text.out + data.out) == set()
    shown = str(path).replace("\udcff", "\N{REPLACEMENT CHARACTER}")
    assert {p["file"] for p in json.loads(data.out)["problems"]} == {shown}


@pytest.mark.kernel
def test_the_lab_enforces_and_reports_on_hostile_names() -> None:
    listed = [json.loads(manifests(name))["items"] for name in NAMES.values()]
    mixed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [item for each in listed for item in each],
    }
    done = podfence(["lab", "run", "-f", "-"], stdin=json.dumps(mixed).encode())
    assert harmful(done.out + done.err) == set()
    assert (done.status, done.err.count("error")) == (0, 0)
