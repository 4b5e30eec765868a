"""A List in JSON: its objects are kept as texts, and mean what they mean on their own."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Raw

from podfence.manifests.documents import Manifests, read_manifests
from podfence.manifests.load import Loaded, load

KINDS = frozenset({"Namespace", "Pod", "Service", "NetworkPolicy"})


def read(text: str) -> Manifests:
    return read_manifests(["-"], kinds=KINDS, stdin=io.BytesIO(text.encode()))


def loaded(text: str, **options: str) -> Loaded:
    return load(["-"], stdin=io.BytesIO(text.encode()), **options)  # type: ignore[arg-type]


def pod(name: str, **fields: object) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, **fields}


def list_of(*items: object, kind: str = "List") -> str:
    return json.dumps({"apiVersion": "v1", "kind": kind, "items": items})


def texts(manifests: Manifests | Loaded) -> list[bool]:
    return [isinstance(each.content, Raw) for each in manifests.documents]


# YAML has no escaped pairs of surrogates, so characters beyond them are left out.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=5)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | _TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(_TEXTS, below),
    max_leaves=8,
)
_ITEMS = st.lists(
    st.builds(lambda name, value: pod(name, spec=value), _TEXTS, _VALUES)
    | st.sampled_from([{}, None, {"kind": "ConfigMap"}, {"kind": "List", "items": [pod("in")]}])
    | _VALUES,
    max_size=5,
)


@settings(max_examples=150, deadline=2000)
@given(_ITEMS)
@example([pod("a", spec={"b": ":"}), {"kind": "List", "items": None}, pod("b")])
def test_objects_kept_as_texts_are_the_objects(items: list[object]) -> None:
    text = list_of(*items)
    as_texts, as_values = read(text), read("--- # in flow style\n!!map " + text)
    assert [(each.source.item, each.data) for each in as_texts.documents] == [
        (each.source.item, each.data) for each in as_values.documents
    ]
    assert as_texts.passed_over == as_values.passed_over
    assert [(p.code, p.path, p.object, p.source and p.source.item) for p in as_texts.problems] == [
        (p.code, p.path, p.object, p.source and p.source.item) for p in as_values.problems
    ]


def test_what_is_kept_of_a_good_list_is_text() -> None:
    assert texts(read(list_of(pod("a"), pod("b", spec={"a:b": [{"c": 1}]})))) == [True, True]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param(
            list_of(pod("a"), pod("b")).replace('"name": "b"', '"name": "x", "name": "b"'),
            "PF102",
            id="a key twice in an item",
        ),
        pytest.param(
            list_of(pod("a"), pod("b")).replace('"kind": "List"', '"kind": "Pod", "kind": "List"'),
            "PF102",
            id="a key of the List twice",
        ),
        pytest.param(
            list_of(pod("a"), pod("b", spec={"c": 1})).replace('"c": 1', '"c": {}, "\\u0063": 1'),
            "PF102",
            id="a key twice, once with an escape",
        ),
        pytest.param(
            list_of(pod("a"), pod("b", spec={"c": 1, "d": 2})).replace('"d": 2', '"c": "\\u003a"'),
            "PF102",
            id="a colon that is escaped in place of one that was counted",
        ),
    ],
)
def test_a_list_with_a_flaw_is_read_whole_and_the_flaw_is_said(text: str, code: str) -> None:
    manifests = read(text)
    assert [document.data["metadata"]["name"] for document in manifests.documents] == ["a", "b"]
    assert [problem.code for problem in manifests.problems] == [code]


@pytest.mark.parametrize(
    ("flaw", "code"),
    [
        pytest.param("NaN", "PF108", id="a number that is none"),
        pytest.param("1e999", "PF108", id="a number out of range"),
        pytest.param('"\\ud800"', "PF108", id="half a pair of surrogates"),
        pytest.param("[" * 101 + "]" * 101, "PF105", id="too deep"),
        pytest.param('"\\x"', "PF101", id="an escape that does not exist"),
    ],
)
def test_a_list_with_an_item_that_is_no_json_is_refused(flaw: str, code: str) -> None:
    manifests = read(list_of(pod("a"), pod("b", spec="FLAW")).replace('"FLAW"', flaw))
    assert [problem.code for problem in manifests.problems] == [code]
    assert not manifests.documents
    assert [each.kind for each in manifests.unreadable] == ["List"]


def test_an_item_that_gets_its_kind_or_namespace_here_is_kept_with_them() -> None:
    bare = {"metadata": {"name": "a"}}
    manifests = read(list_of(bare, kind="PodList"))
    assert [document.data["kind"] for document in manifests.documents] == ["Pod"]
    there = {**pod("b"), "metadata": {"name": "b", "namespace": "there"}}
    found = loaded(list_of(pod("a"), there), namespace="shop")
    assert [d.data["metadata"]["namespace"] for d in found.documents] == ["shop", "there"]
    assert texts(found) == [False, True]
    assert found.without_namespace == 1


def test_the_object_as_it_was_written_is_there_when_it_is_asked_for() -> None:
    there = {**pod("b"), "metadata": {"name": "b", "namespace": "there"}}
    text = list_of(there).replace('"namespace"', '\n "namespace"')
    found = loaded(text)
    [document] = found.documents
    assert found.raw(document.source) == there
    assert str(found.locate(document.source, "metadata.namespace")) == "-:2:2"
