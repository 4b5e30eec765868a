"""Whether a change takes a permission away, on rulesets that are changed by hand."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_network

import pytest
from msgspec.structs import replace

from podfence.nft.lowering.epoch import with_epoch
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.objects import DROP, RETURN, BaseChain, Chain, ChainVerdict, Counter, Hook, Rule
from podfence.nft.ruleset import Ruleset
from tests.nft.cases import DB_ALLOW, NODE, WEB, index_of
from tests.support.losses import removes_permission

INDEX = index_of(DB_ALLOW)
RULES = lower(INDEX, NODE)
BASE = sorted(name for name, chain in RULES.chains.items() if chain.base)


def with_chain(chain: Chain) -> Ruleset:
    return replace(RULES, chains={**RULES.chains, chain.name: chain})


def reached_from_base() -> list[str]:
    """Chains that packets of every pod go through."""
    found: set[str] = set()
    waiting = list(BASE)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            parts = (part for rule in RULES.chains[name].rules for part in rule.parts)
            waiting += [
                part.chain for part in parts if isinstance(part, ChainVerdict) and part.chain
            ]
    return sorted(found)


def test_equal_rules_take_nothing_away() -> None:
    assert not removes_permission(RULES, lower(INDEX, NODE))


def test_the_epoch_is_not_compared() -> None:
    assert not removes_permission(RULES, with_epoch(RULES, 8))


@pytest.mark.parametrize("name", reached_from_base())
def test_a_rule_that_every_packet_meets(name: str) -> None:
    chain = RULES.chains[name]
    dropped = replace(chain, rules=(Rule((DROP,)), *chain.rules))
    assert removes_permission(RULES, with_chain(dropped))


@pytest.mark.parametrize("name", reached_from_base())
def test_a_rule_of_every_packet_that_goes(name: str) -> None:
    """It may be the one that let something pass, so it is not proven harmless."""
    chain = RULES.chains[name]
    assert removes_permission(RULES, with_chain(replace(chain, rules=chain.rules[1:])))


@pytest.mark.parametrize("name", BASE)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda base: replace(base, policy=DROP), id="policy"),
        pytest.param(lambda base: replace(base, priority=base.priority + 1), id="priority"),
        pytest.param(
            lambda base: replace(
                base, hook=Hook.INPUT if base.hook is Hook.FORWARD else Hook.FORWARD
            ),
            id="hook",
        ),
    ],
)
def test_a_base_chain_that_is_called_otherwise(
    name: str, change: Callable[[BaseChain], BaseChain]
) -> None:
    chain = RULES.chains[name]
    assert chain.base is not None
    assert removes_permission(RULES, with_chain(replace(chain, base=change(chain.base))))


@pytest.mark.parametrize("name", BASE)
def test_a_base_chain_that_comes_or_goes(name: str) -> None:
    others = {n: chain for n, chain in RULES.chains.items() if n != name}
    fewer = replace(RULES, chains=others)
    assert removes_permission(RULES, fewer)
    assert removes_permission(fewer, RULES)


def test_a_pod_that_is_no_longer_known() -> None:
    """Its address is one of the node's ranges: unknown addresses of these are cut off."""
    without = lower(index_of(), replace(NODE, pods=frozenset({"shop/db"})))
    assert removes_permission(lower(index_of(), NODE), without)
    assert not removes_permission(without, lower(index_of(), NODE))


def test_a_range_that_grows() -> None:
    larger = LocalNode("n1", pod_cidrs=(*NODE.pod_cidrs, ip_network("10.9.0.0/24")))
    assert removes_permission(RULES, lower(INDEX, larger))


def test_a_verdict_that_is_harmless_before_and_after() -> None:
    """A pod that may do everything keeps that, whatever its group was before."""
    element = (int(WEB.addresses[0]),)
    verdicts = RULES.maps["eg4"]
    freed = replace(verdicts, elements={**verdicts.elements, element: RETURN})
    assert not removes_permission(RULES, replace(RULES, maps={**RULES.maps, "eg4": freed}))


def test_a_counter_in_a_group_takes_nothing_away() -> None:
    name = next(v.chain for v in RULES.maps["in4"].elements.values() if v.chain)
    chain = RULES.chains[name]
    counted = replace(chain, rules=(Rule((Counter(), *chain.rules[0].parts)), *chain.rules[1:]))
    assert not removes_permission(RULES, with_chain(counted))
