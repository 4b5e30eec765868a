"""Selectors against labels, one row a rule."""

from __future__ import annotations

from random import Random

import pytest
from pyroaring import BitMap

from podfence.model.meta import Labels
from podfence.model.selectors import LabelSelector
from podfence.policy.select import LabelIndex
from podfence.testing.builders import requirement, selector

LABELS = {
    0: (("app", "web"), ("tier", "front")),
    1: (("app", "db"),),
    2: (("app", "web"), ("tier", "back")),
    3: (),
    4: (("app", ""),),
}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(selector(), {0, 1, 2, 3, 4}, id="NP-4 an empty selector takes in all"),
        pytest.param(selector({"app": "web"}), {0, 2}, id="a label"),
        pytest.param(selector({"app": ""}), {4}, id="a label with an empty value"),
        pytest.param(selector({"app": "web", "tier": "back"}), {2}, id="every label must fit"),
        pytest.param(selector({"none": "web"}), set(), id="a key that nobody has"),
        pytest.param(selector(None, requirement("app", "In", "web", "db")), {0, 1, 2}, id="In"),
        pytest.param(
            selector(None, requirement("tier", "NotIn", "front")), {1, 2, 3, 4}, id="NotIn, no key"
        ),
        pytest.param(selector(None, requirement("tier", "Exists")), {0, 2}, id="Exists"),
        pytest.param(selector(None, requirement("app", "Exists")), {0, 1, 2, 4}, id="empty value"),
        pytest.param(
            selector(None, requirement("tier", "DoesNotExist")), {1, 3, 4}, id="DoesNotExist"
        ),
        pytest.param(
            selector({"app": "web"}, requirement("tier", "NotIn", "front")), {2}, id="both parts"
        ),
    ],
)
def test_np_4_who_is_selected(asked: LabelSelector, expected: set[int]) -> None:
    assert set(LabelIndex(LABELS.items()).select(asked)) == expected


@pytest.mark.parametrize("seed", range(20))
def test_an_index_that_grew_and_shrank_is_as_a_new_one(seed: int) -> None:
    rng = Random(seed)
    there: dict[int, Labels] = {}
    index = LabelIndex()
    asked = [selector({"app": "web"}), selector(None, requirement("tier", "DoesNotExist"))]
    for _ in range(30):
        number = rng.randrange(5)
        if number in there:
            index.remove(number, there.pop(number))
        else:
            there[number] = LABELS[rng.randrange(5)]
            index.add(number, there[number])
        fresh = LabelIndex(there.items())
        assert [index.select(a) for a in asked] == [fresh.select(a) for a in asked]
        assert index.everything == fresh.everything


@pytest.mark.parametrize("seed", range(20))
def test_sets_that_are_told_other_labels_are_as_in_a_new_index(seed: int) -> None:
    rng = Random(seed)
    there = {number: LABELS[number % 3] for number in range(9)}
    index = LabelIndex(there.items())
    asked = [
        selector({"app": "web"}),
        selector({"app": ""}),
        selector(None, requirement("tier", "Exists")),
        selector(None, requirement("app", "NotIn", "web")),
    ]
    for _ in range(30):
        before, after = LABELS[rng.randrange(5)], LABELS[rng.randrange(5)]
        alike = [n for n, labels in there.items() if labels == before and rng.random() < 0.7]
        index.relabel(BitMap(alike), before, after)
        there.update(dict.fromkeys(alike, after))
        fresh = LabelIndex(there.items())
        assert [index.select(a) for a in asked] == [fresh.select(a) for a in asked]


@pytest.mark.parametrize("among", [(), (1,), (0, 3), range(5)])
def test_who_of_some_is_selected(among: tuple[int, ...]) -> None:
    index = LabelIndex(LABELS.items())
    for asked in (selector({"app": "web"}), selector(None, requirement("tier", "DoesNotExist"))):
        assert index.select_among(asked, BitMap(among)) == index.select(asked) & BitMap(among)
