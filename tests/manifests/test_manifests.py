"""What reading manifests yields: objects, problems with their positions, and never an exception."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from podfence.errors import Severity
from podfence.manifests.documents import PROBLEM_CODES, Manifests, read_manifests

KINDS = frozenset({"Namespace", "Pod", "Service", "NetworkPolicy"})
POD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n"


def read(text: str | bytes) -> Manifests:
    data = text if isinstance(text, bytes) else text.encode()
    return read_manifests(["-"], kinds=KINDS, stdin=io.BytesIO(data))


def names(manifests: Manifests) -> list[str]:
    return [document.data["metadata"]["name"] for document in manifests.documents]


def pod(name: str) -> str:
    return POD.replace("web", name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(pod("a"), ["a"], id="one"),
        pytest.param(f"{pod('a')}---\n{pod('b')}", ["a", "b"], id="two"),
        pytest.param(f"---\n{pod('a')}---\n---\n# only a comment\n---\n", ["a"], id="empty-ones"),
        pytest.param(f"%YAML 1.1\n---\n{pod('a')}...\n", ["a"], id="directive"),
        pytest.param(f"---\n# Source: chart/a.yaml\n{pod('a')}", ["a"], id="helm-comment"),
        pytest.param(pod("a").replace("\n", "\r\n"), ["a"], id="crlf"),
        pytest.param("\ufeff" + pod("a"), ["a"], id="byte-order-mark"),
        pytest.param("--- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n", ["a"], id="flow"),
        pytest.param('{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}', ["a"], id="json"),
        pytest.param(
            '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}\n'
            '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"b"}}',
            ["a", "b"],
            id="json-lines",
        ),
        pytest.param(
            "kind: List\napiVersion: v1\nitems:\n"
            "- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n"
            "- {apiVersion: v1, kind: List, items: "
            "[{apiVersion: v1, kind: Pod, metadata: {name: b}}]}\n"
            "- {apiVersion: v1, kind: Pod, metadata: {name: c}}\n",
            ["a", "b", "c"],
            id="nested-list",
        ),
        pytest.param(
            "kind: PodList\napiVersion: v1\nitems:\n- metadata: {name: a}\n", ["a"], id="pod-list"
        ),
        pytest.param("kind: List\napiVersion: v1\nitems: null\n", [], id="empty-list"),
        pytest.param(
            "x: &x {name: a}\napiVersion: v1\nkind: Pod\nmetadata:\n  <<: *x\n",
            ["a"],
            id="merge-key",
        ),
    ],
)
def test_objects_are_found(text: str, expected: list[str]) -> None:
    manifests = read(text)
    assert names(manifests) == expected
    assert not manifests.problems


@pytest.mark.parametrize(
    ("text", "code", "line", "column", "words"),
    [
        pytest.param("a: [1\n", "PF101", 2, 1, "flow sequence", id="unclosed-list"),
        pytest.param('a: "x\n', "PF101", 2, 1, "close the quote", id="unclosed-quote"),
        pytest.param("a:\n\t- b\n", "PF101", 2, 1, "spaces, not tabs", id="tab"),
        pytest.param("a: b: c\n", "PF101", 1, 5, "quote a value", id="colon-in-value"),
        pytest.param("a: \x00\n", "PF101", 1, 4, "U+0000", id="nul"),
        pytest.param("a: *b\n", "PF101", 1, 4, "define it before", id="unknown-alias"),
        pytest.param('{"a": 1,}', "PF107", 1, 1, "no kind", id="json-trailing-comma-is-yaml"),
        pytest.param('{"a": "b" "c"}', "PF101", 1, 11, "delimiter", id="broken-json"),
        pytest.param('{"a": "\\ud800"}', "PF108", 1, 1, "half of a pair", id="lone-surrogate"),
        pytest.param(
            POD + "spec: {}\nspec: {}\n", "PF102", 6, 1, 'duplicate field "spec"', id="duplicate"
        ),
        pytest.param(
            POD + "spec:\n  a:\n  - {b: 1, b: 2}\n",
            "PF102",
            7,
            12,
            'duplicate field "spec.a[0].b": it is already set at line 7, column 6',
            id="duplicate-deep",
        ),
        pytest.param(
            '{"apiVersion":"v1","kind":"Pod",\n "a":{"b":1,"b":2}}',
            "PF102",
            2,
            13,
            'duplicate field "a.b": it is already set at line 2, column 7',
            id="duplicate-json",
        ),
        pytest.param(POD + "80: x\n", "PF103", 5, 1, 'write "80"', id="number-as-key"),
        pytest.param(POD + "on: x\n", "PF103", 5, 1, 'reads it as "true"', id="boolean-as-key"),
        pytest.param(POD + "~: x\n", "PF103", 5, 1, "null", id="null-as-key"),
        pytest.param(POD + "[a]: x\n", "PF103", 5, 1, "a list", id="list-as-key"),
        pytest.param("a: {{ .Values.x }}\n", "PF104", 1, 4, "helm template", id="template-value"),
        pytest.param("{{- if .x }}\n" + POD, "PF104", 1, 1, "helm template", id="template-line"),
        pytest.param("a: &a [*a]\n", "PF105", 1, 4, "contains it", id="recursive-alias"),
        pytest.param("[" * 100_000, "PF105", 1, 1, "100 levels", id="deep-flow"),
        pytest.param("a: " + "[" * 100_000, "PF105", 1, 103, "100 levels", id="deep-in-value"),
        pytest.param("- " * 100_000 + "a", "PF105", 1, 201, "100 levels", id="deep-block"),
        pytest.param('{"a":' * 100_000, "PF105", 1, 1, "100 levels", id="deep-json"),
        pytest.param("text\n", "PF107", 1, 1, "a piece of text", id="not-a-mapping"),
        pytest.param("\n- a\n", "PF107", 2, 1, "a list", id="a-list"),
        pytest.param("# c\na: b\n", "PF107", 2, 1, "no kind", id="no-kind"),
        pytest.param("kind: 5\n", "PF107", 1, 1, "not a string", id="kind-is-a-number"),
        pytest.param("kind: Pod\n", "PF107", 1, 1, "no apiVersion", id="no-api-version"),
        pytest.param("kind: pod\n", "PF107", 1, 1, "write Pod", id="kind-in-lower-case"),
        pytest.param("kind: List\nitems: 3\n", "PF107", 2, 1, "under items", id="list-of-nothing"),
        pytest.param("a: !!int x\n", "PF108", 1, 4, "!!int", id="tag-does-not-fit"),
        pytest.param(POD + "a: !custom x\n", "PF108", 5, 4, "!custom", id="custom-tag"),
        pytest.param(POD + "a: .inf\n", "PF108", 5, 4, "quote it", id="infinity"),
        pytest.param('{"a": NaN}', "PF108", 1, 7, "NaN", id="nan-in-json"),
        pytest.param('{"a": 1e400}', "PF108", 1, 7, "out of range", id="large-float-in-json"),
        pytest.param('{"a": %s}' % ("1" * 5000), "PF108", 1, 7, "out of range", id="large-integer"),
    ],
)
def test_a_problem_says_what_and_where(
    text: str, code: str, line: int, column: int, words: str
) -> None:
    problem = read(text).problems[0]
    assert (
        problem.code,
        problem.position and (problem.position.line, problem.position.column),
    ) == (
        code,
        (line, column),
    )
    assert words in problem.message
    assert code in PROBLEM_CODES


def test_a_broken_document_leaves_the_others() -> None:
    manifests = read(
        f"{pod('a')}---\nkind: NetworkPolicy\nmetadata:\n  namespace: x\n  a: [\n---\n{pod('b')}"
    )
    assert names(manifests) == ["a", "b"]
    assert [(each.kind, each.namespace) for each in manifests.unreadable] == [
        ("NetworkPolicy", "x")
    ]


def test_a_broken_json_line_leaves_the_others() -> None:
    line = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"%s"}}\n'
    manifests = read(line % "a" + '{"kind":"Pod"\n' + line % "b")
    assert names(manifests) == ["a", "b"]
    assert [problem.code for problem in manifests.problems] == ["PF101"]


@pytest.mark.parametrize("line", ["{\n", '{"a":\n', "{]\n"])
def test_thousands_of_broken_json_lines_end_soon(line: str) -> None:
    manifests = read('{"kind":"Secret"}\n' + line * 50_000)
    assert len(manifests.problems) <= 101
    assert "the rest of the file is not read" in manifests.problems[-1].message


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        pytest.param("kind: ConfigMap\nbroken: [\n", {"ConfigMap": 1}, id="unparsed"),
        pytest.param("kind: 'ConfigMap'\n", {"ConfigMap": 1}, id="quoted"),
        pytest.param('{"kind":"ConfigMap"}', {"ConfigMap": 1}, id="json"),
        pytest.param(
            "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\n",
            {"NetworkPolicy.projectcalico.org": 1},
            id="same-name-in-a-foreign-group",
        ),
        pytest.param(
            "kind: List\nitems:\n- {kind: Secret}\n- {kind: Secret}\n", {"Secret": 2}, id="in-list"
        ),
    ],
)
def test_other_kinds_are_counted(text: str, counted: dict[str, int]) -> None:
    manifests = read(text)
    assert manifests.passed_over == counted
    assert not manifests.documents
    assert not manifests.problems


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('a: "\nkind: ConfigMap\n"\n"kind": Pod\napiVersion: v1\n', id="in-a-string"),
        pytest.param("kind: Pod # a Pod\napiVersion: v1\n", id="comment"),
        pytest.param("? kind\n: Pod\n? apiVersion\n: v1\n", id="explicit-key"),
        pytest.param("  kind: Pod\n  apiVersion: v1\n", id="indented"),
    ],
)
def test_a_wanted_kind_is_never_passed_over(text: str) -> None:
    assert len(read(text).documents) == 1


@pytest.mark.parametrize("fan", [2, 10, 50])
def test_an_alias_bomb_is_refused(fan: int) -> None:
    levels = [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * fan)}]" for i in range(1, 40)]
    problems = read("\n".join(["a0: &a0 [x]", *levels])).problems
    assert [problem.code for problem in problems] == ["PF105"]


def test_a_merge_bomb_is_refused() -> None:
    keys = ", ".join(f"k{i}: 1" for i in range(2_000))
    problems = read(f"a: &a {{{keys}}}\nb:\n  <<: [{', '.join(['*a'] * 2_000)}]\n").problems
    assert [problem.code for problem in problems] == ["PF105"]


def test_aliases_in_ordinary_number_are_read() -> None:
    items = "".join(f"- <<: *pod\n  metadata: {{name: p{i}}}\n" for i in range(500))
    base = "{apiVersion: v1, kind: Pod, spec: {containers: [{name: a, ports: [1, 2]}]}}"
    manifests = read(f"apiVersion: v1\nkind: List\nbase: &pod {base}\nitems:\n{items}")
    assert len(manifests.documents) == 500
    assert not manifests.problems


def test_many_problems_of_a_document_are_cut_short() -> None:
    problems = read(POD + "a: 1\n" * 5_000).problems
    assert len(problems) == 101
    assert problems[-1].message == "4899 more problems of this document are not listed"


def test_a_problem_in_a_list_belongs_to_its_item() -> None:
    manifests = read(
        "apiVersion: v1\nkind: List\nitems:\n- {kind: Secret, a: 1, a: 2}\n"
        "- {apiVersion: v1, kind: Pod, metadata: {name: x, namespace: ns, name: z}}\n"
    )
    [problem] = manifests.problems
    assert (problem.source and problem.source.item, problem.path, problem.object) == (
        1,
        "metadata.name",
        "Pod ns/z",
    )


def test_a_number_as_key_is_a_warning_and_becomes_text() -> None:
    manifests = read(POD + "0x10: a\n")
    assert manifests.problems[0].severity is Severity.WARNING
    assert manifests.documents[0].data["16"] == "a"


# --- files and directories


def test_a_directory_is_read_in_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml", "sub/c.json", ".hidden.yaml", ".git/d.yaml", "note.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(pod(path.name))
    manifests = read_manifests([str(tmp_path)], kinds=KINDS)
    assert names(manifests) == ["a.yml", "b.yaml", "c.json"]
    assert manifests.files == 3
    assert manifests.documents[2].source.file == str(tmp_path / "sub/c.json")


def test_a_named_file_may_have_any_name_and_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "manifest"
    path.write_text(POD)
    (tmp_path / "loop").symlink_to(tmp_path)
    manifests = read_manifests([str(path), str(tmp_path / "loop/manifest")], kinds=KINDS)
    assert (manifests.files, len(manifests.documents)) == (1, 1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"\x7fELF\0\xff", "binary", id="binary"),
        pytest.param(b"a: 1\nb: \xff\n", "byte 0xff on line 2", id="latin-1"),
    ],
)
def test_undecodable_files_are_problems(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    manifests = read_manifests([str(path)], kinds=KINDS)
    assert [problem.code for problem in manifests.problems] == ["PF106"]
    assert words in manifests.problems[0].message
    assert manifests.files == 0


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(POD, encoding=encoding)
    assert names(read_manifests([str(path)], kinds=KINDS)) == ["web"]


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    paths = [str(tmp_path), "/dev/zero", str(tmp_path / "none.yaml"), "a\0b"]
    problems = read_manifests(paths, kinds=KINDS).problems
    assert [problem.code for problem in problems] == ["PF106"] * 4


def test_a_directory_without_manifests_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(POD)
    [problem] = read_manifests([str(tmp_path)], kinds=KINDS).problems
    assert "holds no manifests" in problem.message


def test_a_chart_is_told_to_be_rendered(tmp_path: Path) -> None:
    path = tmp_path / "Chart.yaml"
    path.write_text("apiVersion: v2\nname: chart\n")
    [problem] = read_manifests([str(path)], kinds=KINDS).problems
    assert "helm template" in problem.message


def test_without_standard_input_a_dash_is_a_problem() -> None:
    assert read_manifests(["-"], kinds=KINDS).problems[0].code == "PF106"


# --- whatever comes in

_FRAGMENTS = st.sampled_from(
    ["kind: Pod\n", "apiVersion: v1\n", "a", ":", " ", "\n", "- ", "---\n", "...\n", "{", "}", "[",
     "]", '"', "'", "&a ", "*a", "<<: ", "? ", "!!int ", "!x ", "|\n", ">-\n", "#", "%", "\t",
     "{{ x }}", "\\ud800", "1e999", ".inf", ".nan", "0x", "on", "~", ",", "items:\n",
     "kind: List\n", "\r", "\x85", "\ufeff", "\u2028", "@", "`"]
)  # fmt: skip


@settings(max_examples=300, deadline=20_000)
@given(st.one_of(st.binary(max_size=200), st.lists(_FRAGMENTS, max_size=30).map("".join)))
@example("a: &a\n  <<: *a\n")
@example("? [*a]\n: &a b")
@example("kind: List\nitems:\n- &a [*a]")
@example("--- !!binary x")
@example("{[")
@example("[")
@example("\x85---\x85a")
def test_no_input_raises(text: str | bytes) -> None:
    manifests = read(text)
    for problem in manifests.problems:
        assert problem.code in PROBLEM_CODES
        assert problem.position is not None
        assert problem.message.isprintable()
        assert manifests.positions.locate(problem.source, problem.path) if problem.source else True
    for document in manifests.documents:
        json.dumps(document.data, allow_nan=False).encode()


# YAML has no escaped pairs of surrogates, so characters beyond them are left out.
_CHARACTERS = st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(_CHARACTERS, max_size=8),
    lambda below: (
        st.lists(below, max_size=4) | st.dictionaries(st.text(_CHARACTERS, max_size=6), below)
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=20_000)
@given(_JSON)
def test_json_means_the_same_as_json_and_as_yaml(value: object) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "Pod", "spec": value})
    as_json, as_yaml = read(text), read("--- # in flow style\n!!map " + text)
    assert as_json.documents[0].data["spec"] == value
    assert not as_json.problems
    assert [each.data for each in as_yaml.documents] == [each.data for each in as_json.documents]
