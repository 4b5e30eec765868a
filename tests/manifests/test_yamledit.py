"""Edits of text: the value is what was asked for, and nothing else of the text differs."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from podfence.manifests.yamledit import MAX_EDITED, CannotEdit, edited, new_document
from podfence.questions.repair.changes import Append, FieldEdit, Remove, Rename, SetField, applied

BLOCK = """\
# who may reach the database
spec:
  podSelector:
    matchLabels: {app: db}   # the database
  ingress:
  - from:
    - podSelector:
        matchLabels:
          app: backend   # talks SQL
    ports:
    - port: sql

# the end
"""
FLOW = '{"spec": {"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}], "egress": []}}'
PEER = {"podSelector": {"matchLabels": {"app": "web"}}}


def edit(text: str, *changes: FieldEdit) -> str:
    """Of an object that is all of a document."""
    return edited(text, [((), each) for each in changes])


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (
            Append("spec.ingress[0].from", PEER),
            "          app: backend   # talks SQL\n    - podSelector: {matchLabels: {app: web}}\n",
        ),
        (Append("spec.ingress[0].ports", {"port": 53, "protocol": "UDP"}),
         "    - port: sql\n    - port: 53\n      protocol: UDP\n"),
        (Append("spec.ingress", {"from": [PEER]}),
         "    - port: sql\n  - from: [{podSelector: {matchLabels: {app: web}}}]\n\n# the end"),
        (Append("spec.egress", {}), "    - port: sql\n  egress:\n  - {}\n\n# the end"),
        (SetField("spec.policyTypes", ["Ingress", "Egress"]),
         "    - port: sql\n  policyTypes:\n  - Ingress\n  - Egress\n\n# the end"),
        (SetField("spec.ingress[0].ports[0].port", 5432), "    - port: 5432\n\n# the end"),
        (Rename("spec.podSelector.matchLabels.app", "app.kubernetes.io/name"),
         "matchLabels: {app.kubernetes.io/name: db}   # the database"),
        (SetField("spec.podSelector.matchLabels.app", "no"), 'matchLabels: {app: "no"}   # the'),
    ],
)  # fmt: skip
def test_a_change_is_written_in_the_style_that_is_there(change: FieldEdit, wanted: str) -> None:
    made = edit(BLOCK, change)

    assert wanted in made
    kept = [line for line in BLOCK.splitlines() if "#" in line]
    assert [line.partition("#")[2] for line in kept] == [
        line.partition("#")[2] for line in made.splitlines() if "#" in line
    ]


@pytest.mark.parametrize(
    "change",
    [
        Append("spec.ingress[0].from", PEER),
        Append("spec.ingress[0].ports", {"port": 80}),
        Append("spec.egress", {}),
        SetField("spec.policyTypes", ["Ingress"]),
        SetField("spec.podSelector.matchLabels", {"app": "db"}),
        Rename("spec.egress", "ingress2"),
    ],
)
def test_json_stays_json(change: FieldEdit) -> None:
    for text in (FLOW, json.dumps(json.loads(FLOW), indent=2) + "\n"):
        assert json.loads(edit(text, change)) == applied(json.loads(text), [change])


@pytest.mark.parametrize(
    "text",
    ["spec:\n  ingress:\n", "spec:\n  ingress: []\n", "spec:\n  ingress: # none\n  x: 1\n",
     "spec: {ingress: []}\n", "spec: {}\n", "spec:\n  x: |\n    a\n    b\n", "spec:\n  x: 1"],
)  # fmt: skip
def test_a_list_that_is_empty_or_missing_is_made(text: str) -> None:
    made = edit(text, Append("spec.ingress", {"from": [PEER]}))

    assert yaml.safe_load(made)["spec"]["ingress"] == [{"from": [PEER]}]


def test_an_object_in_a_list() -> None:
    text = "kind: List\nitems:\n- spec: {ports: [1]}\n- spec:\n    ports:\n    - 1\n"

    made = edited(text, [(("items", 1), Append("spec.ports", 2))])

    assert made == f"{text}    - 2\n"


@pytest.mark.parametrize(
    "text",
    [
        "a: &x\n  ports:\n  - 1\nspec: *x\n",
        "base: &x {ports: [1]}\nspec:\n  <<: *x\n",
        "spec: [\n",
        "spec:\r\n  ports:\r\n  - 1\r\n",
        "- 1\n",
        "spec:\n  ports:\n  - 1\nspec:\n",
        "spec:\n  ports:\n  - 1\nspec:\n- 1\n",
        "spec:\n  ports:\n  - 1\nspec:\n  ports: text\n",
        "spec:\n  ports:\n  - 1\nday: 2026-99-99\n",
    ],
)
def test_a_text_in_which_something_else_would_change_is_not_edited(text: str) -> None:
    with pytest.raises(CannotEdit):
        edit(text, Append("spec.ports", 2))


def test_several_changes_one_after_the_other() -> None:
    changes: list[FieldEdit] = [
        Append("spec.ingress", {"from": [PEER]}),
        Append("spec.ingress[1].from", PEER),
        SetField("spec.policyTypes", ["Ingress"]),
    ]
    value: Any = yaml.safe_load(BLOCK)

    assert yaml.safe_load(edit(BLOCK, *changes)) == applied(value, changes)


def test_words_that_kubectl_reads_as_true_are_quoted_in_a_new_document() -> None:
    text = new_document({"metadata": {"namespace": "y", "name": "web"}, "no": "off"})

    assert text == '---\nmetadata:\n  namespace: "y"\n  name: web\n"no": "off"\n'


LISTS = """\
spec:
  ingress:
  # the front end
  - from: [{podSelector: {matchLabels: {app: web}}}, {podSelector: {}}]   # two
    ports:
    - port: 80
    - {port: 443}  # also TLS
  # jobs
  # of the night
  - from:
    - podSelector: {matchLabels: {app: job}}

  # everybody
  - ports: [{port: 1}, {port: 2},
            {port: 3}]
"""


@pytest.mark.parametrize(
    ("path", "gone"),
    [
        ("spec.ingress[0]", LISTS[LISTS.index("  # the front") : LISTS.index("  # jobs")]),
        ("spec.ingress[1]", LISTS[LISTS.index("  # jobs") : LISTS.index("\n  # everybody")]),
        ("spec.ingress[2]", LISTS[LISTS.index("  # everybody") :]),
        ("spec.ingress[0].from[0]", "{podSelector: {matchLabels: {app: web}}}, "),
        ("spec.ingress[0].from[1]", ", {podSelector: {}}"),
        ("spec.ingress[0].ports[0]", "    - port: 80\n"),
        ("spec.ingress[0].ports[1]", "    - {port: 443}  # also TLS\n"),
        ("spec.ingress[2].ports[1]", "{port: 2},\n            "),
        ("spec.ingress[2].ports[2]", ",\n            {port: 3}"),
    ],
)
def test_an_item_goes_with_the_remarks_above_it_and_nothing_else(path: str, gone: str) -> None:
    assert LISTS.count(gone) == 1
    assert edit(LISTS, Remove(path)) == LISTS.replace(gone, "")
    if "#" in gone:
        with pytest.raises(CannotEdit, match="comment of its own"):
            edit(LISTS, Remove(path, remarks=False))
    else:
        assert edit(LISTS, Remove(path, remarks=False)) == LISTS.replace(gone, "")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a:\n- 1\n", "a[0]"),  # what a list without items means is another question
        ("a: [1]\n", "a[0]"),
        ("a:\n- - 1\n  - 2\n", "a[0][0]"),
        ("a: {b: 1, c: 2}\n", "a.b"),
        ("a:\n- 1\n- 2\n", "a[7]"),
    ],
)
def test_an_item_that_cannot_go_alone_stays(text: str, path: str) -> None:
    with pytest.raises(CannotEdit):
        edit(text, Remove(path))


def test_items_of_json_go_too() -> None:
    made = edit('{"a": [1, {"b": [2, 3]}, 4]}', Remove("a[1].b[1]"), Remove("a[0]"))
    assert made == '{"a": [{"b": [2]}, 4]}'


def test_objects_of_one_list_are_edited_together() -> None:
    """In the order that they have, or in another: each change is about its own object."""
    text = "items:\n" + "".join(f"- name: p{n}\n  ports: [{n}]\n" for n in range(40))
    changes: list[tuple[tuple[str | int, ...], FieldEdit]] = [
        (("items", n), Append("ports", 99)) for n in range(40)
    ]
    wanted = text.replace("]", ", 99]")
    assert edited(text, changes) == edited(text, changes[::-1]) == wanted


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ([Append("a", 2), Append("a", 3)], [1, 2, 3]),
        ([Append("b", 2), Append("b", 3)], [2, 3]),
        ([Append("a", {"c": []}), Append("a[1].c", 3)], [1, {"c": [3]}]),
        ([SetField("a[0]", {"d": 1}), Rename("a[0].d", "e")], [{"e": 1}]),
    ],
    ids=["one list", "a new list", "in what was added", "in what was set"],
)
@pytest.mark.parametrize("text", ["a: [1]\n", "a:\n- 1\n", '{"a": [1]}'])
def test_a_change_may_be_about_what_another_has_made(
    text: str, changes: list[FieldEdit], wanted: list[Any]
) -> None:
    assert wanted in yaml.safe_load(edit(text, *changes)).values()


def test_a_document_that_is_too_large_is_edited_by_nobody() -> None:
    text = f"a: 1\nb: {'x' * MAX_EDITED}\n"
    with pytest.raises(CannotEdit, match="its document is too large to edit"):
        edit(text, SetField("a", 2))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{a: {b: one}, c: [1]}\n", "{a: {b: two}, c: [1, x]}\n"),
        ('{"a": {"b": "one"}, "c": [1]}', '{"a": {"b": "two"}, "c": [1, "x"]}'),
        ("--- {a: {b: 'one'}, c: [1]}\n", "--- {a: {b: two}, c: [1, x]}\n"),
    ],
)
def test_words_are_quoted_where_all_words_are(text: str, wanted: str) -> None:
    assert edit(text, SetField("a.b", "two"), Append("c", "x")) == wanted
