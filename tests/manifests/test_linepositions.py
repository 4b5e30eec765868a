"""The line finder finds what the composed nodes say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from podfence.manifests.fieldpaths import FieldSteps
from podfence.manifests.linepositions import find_in_lines
from podfence.manifests.yamllines import Lines
from podfence.manifests.yamlpositions import find
from podfence.manifests.yamlreader import compose
from podfence.manifests.yamlscalars import Scalars

LINES = Lines(Scalars())
KEYS = st.sampled_from(["a", "b", "app.kubernetes.io/name", "items"])
SCALARS: st.SearchStrategy[Any] = st.sampled_from(["x", "a b", 80, True, None, "", "true", {}, []])
VALUES = st.recursive(
    SCALARS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(KEYS, below, max_size=3),
    max_leaves=12,
)


class Indented(yaml.SafeDumper):
    """Writes lists below their key further in, as many tools do; PyYAML writes them right below."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def paths(value: Any, steps: FieldSteps = ()) -> Iterator[FieldSteps]:
    """Every path of a value, and one below each end that does not exist."""
    yield steps
    if isinstance(value, dict):
        for key, below in value.items():
            yield from paths(below, (*steps, key))
    if isinstance(value, list):
        for index, below in enumerate(value):
            yield from paths(below, (*steps, index))
    yield (*steps, "nowhere")
    yield (*steps, 7)


@given(VALUES.filter(lambda value: isinstance(value, dict | list) and value), st.booleans())
def test_both_finders_agree(value: Any, indented: bool) -> None:
    dumper = Indented if indented else yaml.SafeDumper
    text = yaml.dump(value, Dumper=dumper, default_flow_style=False, sort_keys=False)
    root = compose(text)
    assert root is not None
    if find_in_lines(text, (), LINES) is None:  # null and some texts are written in other styles
        return
    for steps in paths(value):
        assert find_in_lines(text, steps, LINES) == find(root, steps)


TEXT = """\
metadata:
  name: web
  labels:
    app: web
spec:
  ingress:
  - from:
    - podSelector: {}
    - namespaceSelector:
        matchLabels:
          team: a
    ports:
    - port: 80
  - - deep
    - - deeper
  egress:
    - ports: []
"""


@pytest.mark.parametrize(
    ("steps", "position"),
    [
        ((), (0, 0)),
        (("spec", "ingress", 0, "from", 1, "namespaceSelector", "matchLabels", "team"), (10, 10)),
        (("spec", "ingress", 0, "ports", 0, "port"), (12, 6)),
        (("spec", "ingress", 0, "ports", 1), (11, 4)),
        (("spec", "ingress", 0, "from", 0, "podSelector", "matchLabels"), (7, 6)),
        (("spec", "ingress", 2), (5, 2)),
        (("spec", "ingress", 1, 1, 0), (14, 8)),
        (("metadata", "labels", "app", "below"), (3, 4)),
        (("metadata", "spec"), (0, 0)),
    ],
)
def test_positions(steps: FieldSteps, position: tuple[int, int]) -> None:
    assert find_in_lines(TEXT, steps, LINES) == position


@pytest.mark.parametrize(
    "text", ["-   a: 1\n", "a: |\n  b\n", "a: {b: 1}\n", "a: &x 1\nb: *x\n", "a\n"]
)
def test_what_the_line_reader_declines_is_composed(text: str) -> None:
    assert find_in_lines(text, ("spec",), LINES) is None
