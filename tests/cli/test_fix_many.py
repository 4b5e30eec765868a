"""``check --fix`` where a file has many findings, or is large."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.session import podfence

MISSPELT = (
    "{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p{}, namespace: "
    "shop}}, spec: {{podSelector: {{}}, ingress: [{{from: [{{podSelector: {{matchLabels: {{app: "
    "gatewya}}}}}}]}}]}}}}"
)
GATEWAY = (
    "{apiVersion: v1, kind: Pod, metadata: {name: g, namespace: shop, labels: {app: gateway}}}"
)


def test_tabs_that_are_no_indentation_stay(tmp_path: Path) -> None:
    text = f"{GATEWAY}\n---\n{MISSPELT.format(1)}\t# a tab\n"
    (tmp_path / "a.yaml").write_text(text)
    podfence(["check", "-f", "a.yaml", "--select", "PF320", "--fix"], directory=tmp_path)
    made = (tmp_path / "a.yaml").read_text().replace('"gateway"', "gateway")
    assert made == text.replace("gatewya", "gateway")


@pytest.mark.parametrize(("number", "is_list"), [(30, True), (30, False)])
def test_many_fixes_of_one_file_are_made_together(
    tmp_path: Path, number: int, is_list: bool
) -> None:
    objects = [GATEWAY, *(MISSPELT.format(n) for n in range(number))]
    text = "\n---\n".join(objects) + "\n"
    if is_list:
        items = "\n".join(f"- {each}" for each in objects)
        text = f"apiVersion: v1\nkind: List\nitems:\n{items}\n"
    (tmp_path / "a.yaml").write_text(text)
    done = podfence(["check", "-f", "a.yaml", "--select", "PF320", "--fix"], directory=tmp_path)
    assert done.status == 0
    made = (tmp_path / "a.yaml").read_text().replace('"gateway"', "gateway")
    assert made == text.replace("gatewya", "gateway")


def test_of_documents_that_are_large_there_are_fixes_as_long_as_they_are_quick(
    tmp_path: Path,
) -> None:
    """Every run makes some of them, so that running it again ends; a document that is far too large
    is left alone, and takes nothing from others."""
    filler = f"# {'x' * 998}\n"
    for name, lines in (("large", 990), ("huge", 1100)):
        items = "\n".join(f"- {MISSPELT.format(n)}" for n in range(14))
        text = f"apiVersion: v1\nkind: List\nitems:\n{items}\n{filler * lines}"
        (tmp_path / f"{name}.yaml").write_text(text.replace("name: p", f"name: {name}"))
    (tmp_path / "pod.yaml").write_text(GATEWAY)
    fix = ["check", "-f", ".", "--select", "PF320", "--fix"]
    done = podfence(fix, directory=tmp_path)
    assert done.err.count("its document is too large to edit") == 14
    assert 0 < done.err.count("this run has edited as much as it may") < 14
    done = podfence(fix, directory=tmp_path)
    assert "gatewya" not in (tmp_path / "large.yaml").read_text()
    assert "gatewya" in (tmp_path / "huge.yaml").read_text()


@pytest.mark.parametrize(
    "words",
    ["-o json=gone/a.json", "-o json=.", "-o text -o sarif=gone/a", "--write-baseline gone/a"],
)
def test_nothing_is_edited_where_the_answer_cannot_be_written(tmp_path: Path, words: str) -> None:
    text = f"{GATEWAY}\n---\n{MISSPELT.format(1)}\n"
    (tmp_path / "a.yaml").write_text(text)
    fix = ["check", "-f", "a.yaml", "--select", "PF320", "--fix", *words.split()]
    done = podfence(fix, directory=tmp_path)
    assert done.status == 2
    assert "cannot write" in done.err
    assert (tmp_path / "a.yaml").read_text() == text
