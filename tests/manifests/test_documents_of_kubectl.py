"""Which documents of a file kubectl reads: where one ends, and what stands in front of one.

Rule: every file was given to kubectl 1.32 (``create --dry-run=client -o name``), or to the decoder
of 1.37 that it reads with (``NewYAMLOrJSONDecoder`` of apimachinery).
"""

from __future__ import annotations

import io

import pytest

from podfence.manifests.load import load


def policy(name: str) -> str:
    return (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        f"metadata: {{name: {name}, namespace: x}}\nspec: {{}}\n"
    )


P, Q = policy("p"), policy("q")
JSON = (
    '{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "q"}}\n'
)


def read(text: str) -> tuple[list[str], list[str]]:
    """The policies that are read, and the positions of errors."""
    loaded = load(["-"], stdin=io.BytesIO(text.encode()))
    errors = [p for p in loaded.problems if p.severity.name == "ERROR"]
    assert all(loaded.cluster.doubts for _ in errors)  # a verdict may hang on them
    positions = [f"{p.code}:{p.position.line}" for p in errors if p.position]
    return [policy.ref.name for policy in loaded.cluster.policies], positions


@pytest.mark.parametrize(
    "text",
    [
        P + "---\n\ufeff" + Q,
        "\ufeff" + P + "--- \n\ufeff" + Q,
        (P + "---\n\ufeff" + Q).replace("\n", "\r\n"),
        P + "---\n\ufeff---\n" + Q,
        P + "...\n---\n" + Q,
        P + "... # the end\n---\n" + Q + "...\n",
    ],
)
def test_files_that_were_put_together_are_read(text: str) -> None:
    assert read(text) == (["p", "q"], [])


@pytest.mark.parametrize("between", ["...\n", "...\n# more\n", "---\n...\n", "... # end\n\n"])
@pytest.mark.parametrize("second", [Q, JSON])
def test_behind_the_end_of_a_document_nothing_is_read(between: str, second: str) -> None:
    """kubectl leaves it out without a word: a verdict with it would be about another cluster."""
    line = (P + between).count("\n") + 1
    assert read(P + between + second) == (["p"], [f"PF101:{line}"])


@pytest.mark.parametrize("before", ["# both\n", "---\n", "\n# both\n", P + "---\n", JSON + "---\n"])
def test_of_json_values_behind_something_else_kubectl_reads_the_first(before: str) -> None:
    """It reads them as YAML, and leaves the others out without a word."""
    line = (before + JSON).count("\n") + 1
    names, errors = read(before + JSON + JSON.replace('"q"', '"left-out"'))
    assert ({*names} - {"p"}, errors) == ({"q"}, [f"PF101:{line}"])


@pytest.mark.parametrize("before", ["", "\n\n", "  ", "\n \t"])
def test_json_values_in_a_row_are_read_where_a_file_begins(before: str) -> None:
    assert read(before + JSON + JSON.replace('"q"', '"r"')) == (["q", "r"], [])


def test_a_mark_inside_a_document_stays() -> None:
    loaded = load(["-"], stdin=io.BytesIO(P.replace("spec: {}", "spec: {} # \ufeff").encode()))
    assert not loaded.problems
