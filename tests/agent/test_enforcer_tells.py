"""What an enforcer tells other threads: who waits, who is selected, what was refused."""

from __future__ import annotations

import io

from msgspec.structs import replace

from podfence.agent.account import COUNTING, SIZED
from podfence.agent.conditions import ConditionKind
from podfence.agent.enforcer import Enforcer
from podfence.agent.inbox import Inbox, Inquiry
from podfence.agent.log import EventLog
from podfence.agent.revisions import SelectedPods
from podfence.kube.follow import KindState, SyncState
from podfence.model.facts import Event, Put
from podfence.model.meta import ObjectRef
from podfence.nft.lowering.lower import LocalNode
from podfence.nft.lowering.sizes import Sizes, sizes
from podfence.testing.builders import peer, policy, rule
from podfence.testing.facts import facts_of
from tests.agent.stage import DB, HERE, ONLY_WEB, PARTS, WEB, FailingTable, Stage, wanted


def test_what_others_wait_for_is_told_when_the_kernel_holds_it_and_not_before() -> None:
    """Policies, and pods here: a pod may start while the agent does."""
    told: list[Event] = []
    inbox, table = Inbox("n1", PARTS), FailingTable()
    local = LocalNode("n1", pod_cidrs=HERE.pod_cidrs)
    enforcer = Enforcer(
        local, table, inbox, EventLog(io.StringIO()), lambda: 1000.0, arrived=told.extend
    )
    enforcer.start()  # closes the range, and that is in the kernel
    far = replace(WEB, name="far", addresses=(), node="n2")
    inbox.tell([(Put(facts_of(each)), "") for each in (HERE, far, WEB, DB, ONLY_WEB)], 1000.0)
    before = [Put(facts_of(each)) for each in (WEB, DB, ONLY_WEB)]
    assert enforcer.turn()
    assert told == []
    inbox.stand(KindState("Pod", SyncState.LIVE))
    assert enforcer.turn()
    assert told == before
    table.refuses_all = True
    after = Put(facts_of(policy("shop/db", {"app": "db"})))
    inbox.tell([(after, "")], 1000.0)
    assert enforcer.turn()
    assert told == before


def test_whom_a_policy_selects_is_told_to_other_threads() -> None:
    stage = Stage()
    stage.put(HERE, WEB, DB, ONLY_WEB)
    stage.whole()
    found = {}
    for name in ("shop/db", "shop/none"):
        namespace, _, last = name.partition("/")
        inquiry = Inquiry(ObjectRef("NetworkPolicy", namespace, last))
        stage.inbox.ask(inquiry)
        stage.turn()
        found[name] = inquiry.wait(0)
    assert found == {"shop/db": SelectedPods(1), "shop/none": SelectedPods(0)}


def test_what_the_table_holds_is_counted_a_bit_a_turn() -> None:
    """Events would wait for it; what is gone before its turn is not counted, and nothing breaks."""
    stage = Stage()
    rules = [peer(pods={"n": str(n)}) for n in range(4)]
    more = policy("shop/db", {"app": "db"}, ingress=[rule(each) for each in rules])
    stage.put(HERE, WEB, DB, more)
    stage.tick = 2 * COUNTING
    stage.whole()
    stage.turn()
    assert stage.enforcer.status.sizes == Sizes()
    stage.put(ONLY_WEB)
    for _ in range(20):
        stage.now += SIZED
        stage.inbox.stand(KindState("Pod", SyncState.LIVE))  # nobody waits
        stage.turn()
    assert stage.enforcer.status.sizes == sizes(wanted(WEB, DB, ONLY_WEB).objects())


def test_pods_whose_rules_are_refused_are_counted_with_their_policy_alone() -> None:
    stage = Stage()
    stage.put(HERE, WEB, DB)
    stage.whole()
    chains = wanted(WEB, DB, ONLY_WEB).chains
    stage.table.refused = {
        next(n for n, c in chains.items() if c.comment.startswith("ingress") and n[-2:] != "_r")
    }
    stage.put(ONLY_WEB, policy("shop/web", {"app": "web"}))
    assert stage.holds() == [ConditionKind.KERNEL_REFUSED]
    found = []
    for name in ("db", "web"):
        inquiry = Inquiry(ObjectRef("NetworkPolicy", "shop", name))
        stage.inbox.ask(inquiry)
        stage.turn()
        found.append(inquiry.wait(0))
    assert found == [SelectedPods(1, closed=1), SelectedPods(1)]
