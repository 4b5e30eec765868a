"""The steps in which tiers decide over ports: for each port those of ``evaluate``."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from podfence.engine.connections import allowed_ports, port_steps
from podfence.engine.evaluate import asked, fits
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Action
from podfence.policy.index import CompiledRule, DirectionPolicy
from podfence.sets.ports import OTHER
from tests.support.random_clusters import TIERS, random_cluster
from tests.support.random_tiers import NAMES

Said = list[tuple[int | None, Action, list[int]]]
"""The tier, what it says of a port, and the rules that say so."""


def one_by_one(policy: DirectionPolicy, remote: int, family: int, at: tuple[str, int]) -> Said:
    """Of one port, what each tier says by a rule; at the end what is accepted by no tier."""

    def fitting(rule: CompiledRule) -> bool:
        return fits(rule, remote, family, *at)

    tiers = list(asked(policy, fitting))
    said: Said = [
        (t.number, action, [r.number for r in rules]) for t, action, rules in tiers if rules
    ]
    if not tiers or tiers[-1][1] is Action.PASS:
        said.append((None, Action.ACCEPT, []))
    return said


def at_once(policy: DirectionPolicy, remote: int, family: int, at: tuple[str, int]) -> Said:
    """The same from the steps over all ports."""
    said: Said = []
    for step in port_steps(policy, remote, family):
        if at in step.ports:
            rules = [rule.number for rule in step.rules() if fits(rule, remote, family, *at)]
            first = step.tier is not None and step.tier.ordered
            number = None if step.tier is None else step.tier.number
            said.append((number, step.action, rules[:1] if first else rules))
    return said


def boundaries(policy: DirectionPolicy) -> Iterator[tuple[str, int]]:
    """Ports at which some rule begins or ends, and those beside them."""
    yield OTHER, 0
    for tier in policy.tiers:
        for rule in tier.rules:
            for match in rule.matches:
                for protocol, low, high in match.ports.ranges():
                    if protocol != OTHER:
                        around = {low - 1, low, high, high + 1}
                        yield from ((protocol, port) for port in around if 0 <= port <= 65535)


def test_the_steps_over_ports_are_those_of_each_port() -> None:
    rng, passed = Random(7), 0
    for _ in range(24):
        index = compile_cluster(random_cluster(rng, TIERS), NAMES)
        for policy in index.direction_policies.values():
            for at in set(boundaries(policy)):
                for remote in range(len(index.classes)):
                    said = one_by_one(policy, remote, 4, at)
                    assert at_once(policy, remote, 4, at) == said
                    allowed = bool(said) and said[-1][1] is Action.ACCEPT
                    assert (at in allowed_ports(policy, remote, 4)) is allowed
                    passed += len(said) > 1
    assert passed > 100, "hardly any tier passed anything on"
