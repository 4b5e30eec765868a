"""The paths of an agent's endpoint: drops, as far as who asks may see them, and policies."""

from __future__ import annotations

import msgspec
import pytest

from podfence.agent.answers import routes
from podfence.agent.endpoint import BadRequest
from podfence.agent.inbox import Inquiry
from podfence.agent.nodereport import NodeReport, PacketTally, PolicyReport
from podfence.agent.reviews import ResourceAttributes
from podfence.agent.revisions import Revisions, SelectedPods
from podfence.agent.status import NodeStatus
from podfence.drops.record import Cause, Drop, Drops, FlowEnd
from podfence.kernel.nftables.counters import ChainCount
from podfence.kube.agents import DROPS_PATH, POLICY_PATH, RULES_PATH, STATUS_PATH
from podfence.model.facts import PolicyFacts, Put
from podfence.nft.lowering.deny import AUDIT, Denier
from podfence.policy.flow import Direction
from podfence.usage.record import NodeUsage

ENDS = FlowEnd("10.0.0.1", ("shop/web",)), FlowEnd("10.0.0.2", ("shop/db",))
DROP = Drop("n1", 7, "a", "b", 1, "ingress", *ENDS, "TCP", Cause("past"), 80)


class Box:
    """In place of the thread that enforces: one pod here is selected, or nobody answers."""

    is_stuck = False

    def ask(self, inquiry: Inquiry) -> None:
        if not self.is_stuck:
            inquiry.answer(SelectedPods(1))


BOX, REVISIONS = Box(), Revisions()
REVISIONS.arrived([Put(PolicyFacts("NetworkPolicy", "shop", "db", b'{"metadata": {"uid": "u"}}'))])
ROUTES = routes(
    lambda: NodeStatus("n1", 0.0, 0.0),
    REVISIONS,
    BOX,
    lambda since: Drops("n1", since, drops=(DROP,)),
    lambda namespace: NodeUsage("n1", f"of {namespace}"),
    lambda: {
        Denier(Direction.INGRESS, "policy"): ChainCount(7, 420),
        Denier(None, "closed"): ChainCount(1, 60),
        Denier(Direction.EGRESS, AUDIT): ChainCount(2, 120),
    },
)
ROUTE = ROUTES[DROPS_PATH]


def ask(**words: str) -> Drops:
    return msgspec.json.decode(b"".join(ROUTE.answer(words)), type=Drops)


def test_all_of_a_node_since_an_earlier_answer() -> None:
    assert ask() == Drops("n1", 0, drops=(DROP,))
    assert ask(since="12").serial == 12


def test_a_namespace_is_asked_for_with_the_right_to_it_alone() -> None:
    assert ROUTE.wish({}) == ResourceAttributes("drops", "")
    assert ROUTE.wish({"namespace": "shop"}) == ResourceAttributes("drops", "shop")
    assert ask(namespace="shop").drops == (DROP,)
    assert ask(namespace="other").drops == ()


def test_uses_of_rules_of_a_namespace_are_told_with_the_right_to_it_alone() -> None:
    route = ROUTES[RULES_PATH]
    assert route.wish({"namespace": "shop"}) == ResourceAttributes("rules", "shop")
    assert route.wish({}) == ResourceAttributes("rules", "")
    answer = b"".join(route.answer({"namespace": "shop"}))
    assert msgspec.json.decode(answer, type=NodeUsage).since == "of shop"


@pytest.mark.parametrize("since", ["x", "-1", "", "9" * 30, "²"])
def test_what_is_no_serial(since: str) -> None:
    with pytest.raises(BadRequest, match="serial"):
        ask(since=since)


def test_a_node_tells_what_the_kernel_has_counted() -> None:
    assert ROUTES[STATUS_PATH].wish({}) == ResourceAttributes("status", "")
    found = msgspec.json.decode(b"".join(ROUTES[STATUS_PATH].answer({})), type=NodeReport)
    assert found.denied == (
        PacketTally("any", "closed", 1, 60),
        PacketTally("egress", "audit", 2, 120),
        PacketTally("ingress", "policy", 7, 420),
    )


def policy(**words: str) -> PolicyReport:
    return msgspec.json.decode(b"".join(ROUTES[POLICY_PATH].answer(words)), type=PolicyReport)


def test_a_policy_is_told_with_the_right_to_its_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {"kind": "NetworkPolicy", "namespace": "shop", "name": "db"}
    assert ROUTES[POLICY_PATH].wish(words) == ResourceAttributes("status", "shop")
    found = policy(**words)
    assert (found.uid, found.pods) == ("u", 1)
    assert (policy(**{**words, "name": "other"}).uid) == ""
    monkeypatch.setattr(BOX, "is_stuck", True)
    monkeypatch.setattr("podfence.agent.answers.PATIENCE", 0.0)
    found = policy(**words)
    assert (found.uid, found.pods) == ("u", None)


@pytest.mark.parametrize(
    "words",
    [
        {},
        {"kind": "NetworkPolicy", "namespace": "shop"},
        {"kind": "NetworkPolicy", "name": "db"},
        {"kind": "Pod", "namespace": "shop", "name": "db"},
        {"kind": "ClusterNetworkPolicy", "namespace": "shop", "name": "db"},
    ],
)
def test_what_names_no_policy(words: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        policy(**words)


def test_what_is_told_of_a_revision_is_no_older_than_it() -> None:
    """A revision that arrives while somebody asks: what was wrong before it is not said of it."""
    revisions = Revisions()

    class Late(Box):
        """The revision comes while the thread that enforces answers."""

        def ask(self, inquiry: Inquiry) -> None:
            inquiry.answer(SelectedPods(1))
            put = Put(PolicyFacts("NetworkPolicy", "shop", "db", b'{"metadata": {"uid": "u"}}'))
            revisions.arrived([put])

    asked = routes(
        lambda: NodeStatus("n1", 0.0, 0.0),
        revisions,
        Late(),
        lambda since: Drops("n1", 0),
        lambda namespace: NodeUsage("n1", ""),
        dict,
    )
    words = {"kind": "NetworkPolicy", "namespace": "shop", "name": "db"}
    told = [
        msgspec.json.decode(b"".join(asked[POLICY_PATH].answer(words)), type=PolicyReport).uid
        for _ in range(2)
    ]
    assert told == ["", "u"]
