"""Denied attempts of random clusters, as the kernel of a node would log them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from random import Random

from podfence.drops.attempt import Attempt
from podfence.drops.attribution import Attribution
from podfence.drops.record import ISOLATED, RULE, Cause, NamedRule
from podfence.engine.evaluate import Evaluator
from podfence.live.node import LiveIndex
from podfence.nft.lowering.assembly import Assembly
from podfence.nft.lowering.deny import LogPrefix, is_audit
from podfence.nft.lowering.deny import logged as read_prefix
from podfence.nft.lowering.lower import LocalNode, deniers, lower
from podfence.nft.objects import Log
from podfence.nft.ruleset import Ruleset
from podfence.nft.trace import trace
from podfence.policy.compile import audit_of, compile_cluster
from podfence.policy.flow import Decision, Direction, Flow, Reason
from podfence.policy.index import DirectionPolicy, PolicyIndex
from podfence.sets.addresses import IPAddress
from podfence.sets.ports import OTHER
from tests.support.live_worlds import World
from tests.support.random_clusters import TIERS, Size

SIZES = (Size(pods=8, policies=6), TIERS)
_NUMBERS = {"TCP": 6, "UDP": 17, "SCTP": 132}
_PORTS = (53, 80, 443, 5432, 8080, 9000)


def flows(rng: Random, index: PolicyIndex, count: int) -> Iterator[Flow]:
    known: list[IPAddress] = [*index.by_address, *index.contested, *index.by_node_address]
    known += [ip_address("192.0.2.7"), ip_address("10.0.0.250"), ip_address("2001:db8::7")]
    for _ in range(count):
        source = rng.choice(known)
        peers = [a for a in known if a.version == source.version and a != source]
        if peers:
            protocol = rng.choice(("TCP", "TCP", "UDP", "SCTP", OTHER))
            port = 0 if protocol == OTHER else rng.choice(_PORTS)
            yield Flow(source, rng.choice(peers), protocol, port)


def logged(ruleset: Ruleset, flow: Flow, *, reply: bool = False) -> LogPrefix | None:
    """The log message of what the rules drop, or would; None: there is none."""
    outcome = trace(ruleset, flow, reply=reply)
    rules = ruleset.chains[outcome.steps[-1].chain].rules if outcome.steps else ()
    logs = [part for rule in rules for part in rule.parts if isinstance(part, Log)]
    said = read_prefix(logs[0].prefix) if logs else None
    assert outcome.accepted is (said is None or is_audit(said.denier))
    return said


def attempt(flow: Flow, said: LogPrefix) -> Attempt:
    family = flow.source.version
    number = _NUMBERS.get(flow.protocol, 1)
    port = None if flow.protocol == OTHER else flow.port
    source, destination = (family, int(flow.source)), (family, int(flow.destination))
    protocol = flow.protocol
    return Attempt(
        said.denier, source, destination, number, protocol, protocol, port, said.is_reply
    )


def told(decision: Decision) -> tuple[str, list[NamedRule]]:
    """What the engine says, in the words of a cause."""
    reason = RULE if decision.reason is Reason.RULE else ISOLATED
    return reason, [NamedRule(o.policy.kind, str(o.policy), o.path) for o in decision.origins]


def decisions(
    judge: Evaluator, flow: Flow, direction: Direction, here: LocalNode
) -> list[Decision]:
    """Of each pod that may be the one that is asked (NP-60a); one that is being deleted is asked on
    its own node, whoever has its address elsewhere."""
    verdict = judge.verdict(flow)
    if direction is Direction.EGRESS:
        near, far, whole = judge.side(flow.source), judge.side(flow.destination), verdict.egress
    else:
        near, far, whole = judge.side(flow.destination), judge.side(flow.source), verdict.ingress
    if whole.reason is Reason.OWN_NODE:
        return [whole]
    ask = (flow.source.version, flow.protocol, flow.port)
    asked = flow.source if direction is Direction.EGRESS else flow.destination
    leaving = (
        end
        for end in judge.index.endpoints.values()
        if end.pod.deleting and asked in end.doubtful and here.runs(end)
    )
    subjects = dict.fromkeys((*near.subjects, *leaving))
    return [judge.end(s, direction, far.endpoint_class, *ask) for s in subjects]


def isolating(policy: DirectionPolicy) -> list[NamedRule]:
    origins = [origin for tier in policy.tiers for origin in tier.isolated_by]
    return [NamedRule(o.policy.kind, str(o.policy), o.path) for o in origins]


def compare(seed: int, count: int, audited: float = 0.0) -> int:
    """Follow a random cluster; how many denied attempts were compared. Each has the cause that the
    engine has, from the log of the rules that ``lower`` writes. ``audited``: the share of policies
    that are; then what would be denied is compared, too."""
    rng = Random(seed)
    world = World(rng, SIZES[seed % len(SIZES)], audited=audited)
    live = LiveIndex(world.node)
    assembly = Assembly(LocalNode(world.node), live.selections)
    assembly.apply(live.apply(world.start()))
    for _ in range(rng.randrange(12)):
        assembly.apply(live.apply(world.step()))
    index = compile_cluster(world.cluster())
    ruleset = lower(index, world.local_node())
    named = deniers(index, world.local_node())
    judges = {False: Evaluator(index), True: Evaluator(audit_of(index) or index)}
    refs = {(policy.ref.kind, str(policy.ref)) for policy in index.cluster.audited}
    asker = Attribution(live, assembly.group)
    compared = 0
    for flow in flows(rng, index, count):
        reply = rng.random() < 0.3
        message = logged(ruleset, flow, reply=reply)
        if message is None:
            continue
        assert message.is_reply is (reply and message.denier in named)
        found, denier = attempt(flow, message), message.denier
        cause = asker.cause(found)
        if found.direction is None:
            assert cause == Cause(denier), flow
            continue
        said = decisions(judges[found.audit], flow, found.direction, world.local_node())
        assert bool(cause.audited) is found.audit
        assert {(rule.kind, rule.policy) for rule in cause.audited} <= refs
        if any(decision.reason is Reason.OWN_NODE for decision in said):
            continue  # never forwarded, so never logged
        expected = [told(decision) for decision in said if not decision.allowed]
        group = named[denier]
        if isinstance(group, DirectionPolicy):  # an isolation, by name
            expected = [each for each in expected if each[1] == isolating(group)]
        assert (cause.reason, [*cause.policies]) in expected, (seed, flow, denier)
        compared += 1
    return compared
