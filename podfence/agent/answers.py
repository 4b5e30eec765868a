"""The paths of an agent's endpoint, and what each answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol

import msgspec

from podfence.admission.kinds import CLUSTER_SCOPED, POLICY_KINDS
from podfence.agent.endpoint import BadRequest, Route
from podfence.agent.inbox import Inquiry
from podfence.agent.nodereport import PacketTally, node_report, policy_report
from podfence.agent.revisions import Revisions
from podfence.agent.status import NodeStatus
from podfence.drops.record import Drops, of_namespace
from podfence.kernel.nftables.counters import ChainCount
from podfence.kube.agents import DROPS_PATH, POLICY_PATH, RULES_PATH, STATUS_PATH
from podfence.model.meta import ObjectRef
from podfence.nft.lowering.deny import Denier
from podfence.usage.record import NodeUsage

PATIENCE: Final = 3.0
"""Seconds that the thread that enforces has to tell whom a policy selects."""
_DIGITS = 20


class InquiryReceiver(Protocol):
    """What ``Inbox.ask`` does."""

    def ask(self, inquiry: Inquiry) -> None:
        """Hand a question to the thread that enforces."""


def routes(
    status: Callable[[], NodeStatus],
    revisions: Revisions,
    inbox: InquiryReceiver,
    drops: Callable[[int], Drops],
    rules: Callable[[str], NodeUsage],
    denied: Callable[[], Mapping[Denier, ChainCount]],
) -> dict[str, Route]:
    """By path. ``drops``: those that have changed after a serial. ``rules``: uses of rules, of one
    namespace or, with "", of all. ``denied``: what the kernel has counted."""

    def of_node(_: Mapping[str, str]) -> Iterator[bytes]:
        report = node_report(status(), time.monotonic(), _tallies(denied()))
        yield msgspec.json.encode(report)

    def of_policy(query: Mapping[str, str]) -> Iterator[bytes]:
        policy = _policy(query)
        # What is told of a revision was so when it was in force already, or later.
        revision = revisions.of(policy)
        inquiry = Inquiry(policy)
        inbox.ask(inquiry)
        selected = inquiry.wait(PATIENCE)
        found = status(), time.monotonic(), policy, revision, selected
        yield msgspec.json.encode(policy_report(*found))

    def of_drops(query: Mapping[str, str]) -> Iterator[bytes]:
        since = query.get("since", "0")
        if not (since.isascii() and since.isdigit() and len(since) < _DIGITS):
            raise BadRequest("since is the serial of an earlier answer")
        found = drops(int(since))
        if namespace := query.get("namespace", ""):
            found = of_namespace(found, namespace)
        yield msgspec.json.encode(found)

    def of_rules(query: Mapping[str, str]) -> Iterator[bytes]:
        yield msgspec.json.encode(rules(query.get("namespace", "")))

    return {
        STATUS_PATH: Route("status", of_node),
        POLICY_PATH: Route("status", of_policy, of_namespace=True),
        DROPS_PATH: Route("drops", of_drops, of_namespace=True),
        RULES_PATH: Route("rules", of_rules, of_namespace=True),
    }


def _tallies(denied: Mapping[Denier, ChainCount]) -> tuple[PacketTally, ...]:
    found = (
        PacketTally(
            by.direction.value if by.direction else "any", by.reason, some.packets, some.bytes
        )
        for by, some in denied.items()
    )
    return tuple(sorted(found, key=lambda each: (each.direction, each.reason)))


def _policy(query: Mapping[str, str]) -> ObjectRef:
    """Raises BadRequest."""
    kind, name = query.get("kind", ""), query.get("name", "")
    namespace = query.get("namespace", "")
    if kind not in POLICY_KINDS:
        raise BadRequest(f"kind: one of {', '.join(sorted(POLICY_KINDS))}")
    if not name or bool(namespace) == (kind in CLUSTER_SCOPED):
        raise BadRequest("name: the policy's, with namespace where its kind has one")
    return ObjectRef(kind, namespace, name)
