"""A node under traffic, and the moments in which the kernel has taken what an agent wrote.

Rule: a permission that ends, ends with the kernel's commit: from the moment in which the kernel
told of it, not one packet passes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from podfence.kernel.nftables.notices import Notices
from podfence.nft.lowering.lower import TABLE
from podfence.nft.ruleset import Ruleset
from podfence.reconcile.bumps import PATIENCE as OWED
from tests.agent.cluster import Cluster
from tests.agent.network import PATIENCE, Node
from tests.agent.traffic import Flow
from tests.support.rulesets import same_rules

DB, WEB, FAR = {"app": "db"}, {"app": "web"}, {"app": "far"}


class Watched:
    """A node under traffic. Of the pods, ``web`` may reach ``db``, and ``far`` may not."""

    def __init__(self, node: Node, cluster: Cluster) -> None:
        self.node = node
        self.cluster = cluster
        pods = node.pods
        self.kept = Flow(1, pods["web"], pods["db"])
        self.denied = Flow(2, pods["far"], pods["db"])
        self.flows = [self.kept, self.denied]
        self._commits = 0
        self._seen = threading.Condition()
        self._notices = Notices(TABLE, node.namespace)
        self._ended = False
        self._counting = threading.Thread(target=self._count, daemon=True)
        self._counting.start()

    def flow(self, source: str, target: str) -> Flow:
        """One more, before the traffic starts."""
        found = Flow(len(self.flows) + 1, self.node.pods[source], self.node.pods[target])
        self.flows.append(found)
        return found

    def settle(self) -> None:
        """From now on what the policy says is expected."""
        self.kept.expect(True)
        self.denied.expect(False)

    def after_commit(self, change: Callable[[], object]) -> None:
        """Make a change, and wait until the kernel has told of a commit of the agent's.

        The table of a commit that is under way can be read before all of it holds.
        """
        with self._seen:
            before = self._commits
        change()
        with self._seen:
            assert self._seen.wait_for(lambda: self._commits > before, PATIENCE)

    def rest(self) -> None:
        """Wait until no commit has come for longer than an epoch may be owed: one that is paid
        would be taken for the commit of the next change."""
        with self._seen:
            while self._seen.wait(2 * OWED):
                continue

    def becomes(self, flow: Flow, value: bool, change: Callable[[], object]) -> None:
        """A change after which a flow passes, or does not."""
        flow.expect(None)
        self.after_commit(change)
        flow.expect(value)

    def until_same(self, expected: Ruleset) -> None:
        """Wait until the table is as it was."""
        until = time.monotonic() + PATIENCE
        while not same(self.node, expected):
            assert time.monotonic() < until, "the table did not become what it was"
            time.sleep(0.02)

    def _count(self) -> None:
        while not self._ended:
            found = self._notices.wait(0.5)
            if found is not None and found.process != "nft":
                with self._seen:
                    self._commits += 1
                    self._seen.notify_all()

    def end(self) -> None:
        self._ended = True
        self._counting.join(PATIENCE)
        self._notices.close()


def same(node: Node, expected: Ruleset) -> bool:
    """Whether the table is what it was, but for its epoch."""
    return same_rules(node.rules(), expected)
