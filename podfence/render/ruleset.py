"""The rules of one node as plain data, each rule and element as nft writes it."""

from __future__ import annotations

from typing import Any

from podfence.nft.lowering.lower import LocalNode
from podfence.nft.objects import Chain, RangeSet, VerdictMap
from podfence.nft.render import element_texts, render_rule, render_verdict
from podfence.nft.ruleset import AnySet, Ruleset


def ruleset_data(node: LocalNode, ruleset: Ruleset) -> dict[str, Any]:
    """What ``docs/schemas/agent-render.schema.json`` describes."""
    table = ruleset.table
    return {
        "schema": "podfence.agent-render/v1",
        "node": node.name,
        "pods": sorted(node.pods or ()),
        "podCIDRs": [str(each) for each in node.pod_cidrs],
        "table": {"family": table.family, "name": table.name},
        "sets": [_set(each) for each in ruleset.sets.values()],
        "maps": [_map(each) for each in ruleset.maps.values()],
        "chains": [_chain(each) for each in ruleset.chains.values()],
    }


def _set(item: AnySet) -> dict[str, Any]:
    return {
        "name": item.name,
        "type": [part.value for part in item.type],
        "ranges": isinstance(item, RangeSet),
        "comment": item.comment,
        "elements": list(element_texts(item)),
    }


def _map(item: VerdictMap) -> dict[str, Any]:
    texts = (text.partition(" : ") for text in element_texts(item))
    return {
        "name": item.name,
        "type": [part.value for part in item.type],
        "comment": item.comment,
        "elements": [{"key": key, "verdict": verdict} for key, _, verdict in texts],
    }


def _chain(chain: Chain) -> dict[str, Any]:
    found: dict[str, Any] = {"name": chain.name, "comment": chain.comment}
    if chain.base is not None:
        found["hook"] = chain.base.hook.value
        found["priority"] = chain.base.priority
        found["policy"] = render_verdict(chain.base.policy)
    found["rules"] = [render_rule(rule) for rule in chain.rules]
    return found
