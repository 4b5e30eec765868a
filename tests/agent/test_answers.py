"""The paths of an agent's endpoint: drops, as far as who asks may see them."""

from __future__ import annotations

import msgspec
import pytest

from podfence.agent.answers import DROPS, routes
from podfence.agent.endpoint import BadRequest
from podfence.agent.reviews import Wish
from podfence.agent.status import Status
from podfence.drops.record import Cause, Drop, Drops, End

ENDS = End("10.0.0.1", ("shop/web",)), End("10.0.0.2", ("shop/db",))
DROP = Drop("n1", 7, "a", "b", 1, "ingress", *ENDS, "TCP", Cause("past"), 80)
ROUTE = routes(lambda: Status("n1", 0.0, 0.0), lambda since: Drops("n1", since, drops=(DROP,)))[
    DROPS
]


def ask(**words: str) -> Drops:
    return msgspec.json.decode(b"".join(ROUTE.answer(words)), type=Drops)


def test_all_of_a_node_since_an_earlier_answer() -> None:
    assert ask() == Drops("n1", 0, drops=(DROP,))
    assert ask(since="12").serial == 12


def test_a_namespace_is_asked_for_with_the_right_to_it_alone() -> None:
    assert ROUTE.wish({}) == Wish("drops", "")
    assert ROUTE.wish({"namespace": "shop"}) == Wish("drops", "shop")
    assert ask(namespace="shop").drops == (DROP,)
    assert ask(namespace="other").drops == ()


@pytest.mark.parametrize("since", ["x", "-1", "", "9" * 30, "²"])
def test_what_is_no_serial(since: str) -> None:
    with pytest.raises(BadRequest, match="serial"):
        ask(since=since)
