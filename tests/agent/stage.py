"""An enforcer before a kernel of its own, for one thread."""

from __future__ import annotations

import io
from ipaddress import ip_network
from typing import Any

from podfence.agent.conditions import ConditionKind
from podfence.agent.enforcer import Enforcer
from podfence.agent.inbox import Inbox
from podfence.agent.log import EventLog
from podfence.errors import NftError, NftUnanswered
from podfence.kube.follow import KindState, SyncState
from podfence.model.cluster import Cluster
from podfence.model.facts import Event, Put
from podfence.model.objects import Node
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import AddChain, Transaction
from podfence.policy.compile import compile_cluster
from podfence.testing.builders import peer, pod, policy, rule
from podfence.testing.facts import facts_of
from podfence.testing.fakenft import FakeNft

PARTS = (("Pod", ""),)
WEB = pod("shop/web", {"app": "web"}, addresses=["10.1.0.1"], node="n1")
DB = pod("shop/db", {"app": "db"}, addresses=["10.1.0.2"], node="n1")
HERE = Node("n1", pod_cidrs=(ip_network("10.1.0.0/24"),))
ONLY_WEB = policy("shop/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}))])


class FailingTable(FakeNft):
    """``refused``: chains that are not taken. ``lost``: answers that get lost, each before (False)
    or after (True) the write was done."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: set[str] = set()
        self.refuses_all = False
        self.unreadable = False
        self.lost: list[bool] = []
        self.swept: list[tuple[int, int]] = []

    def run(self, transaction: Transaction) -> None:
        made = {step.name for step in transaction if isinstance(step, AddChain)}
        if self.refuses_all or made & self.refused:
            raise NftError("poison")
        if self.lost:
            if self.lost.pop(0):
                super().run(transaction)
            raise NftUnanswered("nobody knows")
        super().run(transaction)

    def list(self) -> Ruleset | None:
        if self.unreadable:
            raise NftError("a rule of somebody else")
        return super().list()

    def exists(self) -> bool:
        return super().list() is not None

    def sweep(self, first: int, last: int) -> int:
        self.swept.append((first, last))
        return 0

    def sweep_all(self) -> int:
        return self.sweep(1, 0xFFFF)


class Stage:
    """An enforcer with its table, its inbox and a clock."""

    def __init__(self, table: FailingTable | None = None) -> None:
        self.now, self.tick = 1000.0, 0.0
        self.table = table or FailingTable()
        self.inbox = Inbox("n1", PARTS)
        self.log = io.StringIO()
        local = LocalNode("n1")
        self.enforcer = Enforcer(local, self.table, self.inbox, EventLog(self.log), self.clock)
        self.enforcer.start()

    def clock(self) -> float:
        """``tick``: how long it takes to look at it."""
        self.now += self.tick
        return self.now

    def tell(self, *events: Event) -> None:
        self.inbox.tell(((event, "") for event in events), self.now)
        self.turn()

    def put(self, *things: Any) -> None:
        self.tell(*(Put(facts_of(thing)) for thing in things))

    def whole(self) -> None:
        self.inbox.stand(KindState("Pod", SyncState.LIVE))
        self.turn()

    def turn(self) -> None:
        assert self.enforcer.turn()

    def pass_time(self, seconds: float) -> None:
        """With a turn every tenth of a second."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.1)
            self.inbox.stand(KindState("Pod", SyncState.LIVE))  # nobody waits
            self.turn()

    @property
    def rules(self) -> Ruleset:
        found = self.table.list()
        assert found is not None
        return found

    def holds(self) -> list[ConditionKind]:
        self.pass_time(0.5)
        return [condition.kind for condition in self.enforcer.status.conditions]


def wanted(*things: Any) -> Ruleset:
    index = compile_cluster(Cluster.of(things))
    return lower(index, LocalNode("n1", pod_cidrs=HERE.pod_cidrs))
