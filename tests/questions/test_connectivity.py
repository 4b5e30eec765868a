"""Rows of a map: their sources one by one, and their names written class by class."""

from __future__ import annotations

import json
from random import Random

import pytest

from podfence.policy.compile import compile_cluster
from podfence.questions.connectivity import Connectivity, connectivity
from podfence.render.map_data import map_json
from podfence.testing.builders import pod
from tests.support.random_clusters import TIERS, Size, cluster_of, random_cluster


def written(answer: Connectivity) -> list[tuple[str, list[str]]]:
    """Destination and sources of every row, as JSON has them."""
    found = json.loads(b"".join(map_json(answer)))["connections"]
    return [(row["to"], row["from"]) for row in found]


def counted(answer: Connectivity) -> list[tuple[str, list[str]]]:
    rows = list(answer.rows())
    assert all(row.sources and len(row.sources) == len(list(row.sources)) for row in rows)
    return [(row.destination.name, [source.name for source in row.sources]) for row in rows]


@pytest.mark.parametrize("seed", range(40))
def test_what_is_written_by_class_are_the_sources_of_the_row(seed: int) -> None:
    cluster = random_cluster(Random(seed), TIERS if seed % 2 else Size())
    answer = connectivity(compile_cluster(cluster))
    assert written(answer) == counted(answer)


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        pytest.param(["a"], [], id="alone"),
        pytest.param(["a", "b"], [("n/a", ["n/b"]), ("n/b", ["n/a"])], id="two of one class"),
        pytest.param(
            ["a", "b", "c"],
            [("n/a", ["n/b", "n/c"]), ("n/b", ["n/a", "n/c"]), ("n/c", ["n/a", "n/b"])],
            id="three of one class",
        ),
    ],
)
def test_np_54_a_single_pod_is_no_source_of_itself(
    pods: list[str], expected: list[tuple[str, list[str]]]
) -> None:
    made = [pod(f"n/{name}", addresses=[f"10.0.0.{n}"]) for n, name in enumerate(pods, start=1)]
    answer = connectivity(compile_cluster(cluster_of(made)))
    rows = [(to, [s for s in who if s.startswith("n/")]) for to, who in written(answer)]
    assert [row for row in rows if row[1] and row[0].startswith("n/")] == expected
    assert written(answer) == counted(answer)
