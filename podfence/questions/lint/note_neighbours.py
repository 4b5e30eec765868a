"""Notes about rules and peers of one policy that make each other pointless.

Rule: rules add up, and so do the peers of one rule. Rules are compared as they are written, so a
note holds in every cluster. Equal rules are not reported, nor those beside a rule of PF310, which
covers all rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from podfence.model.networkpolicy import IPBlock, NetworkPolicyPeer, NetworkPolicyRule
from podfence.model.selectors import LabelSelector
from podfence.policy.addressblocks import ip_block
from podfence.policy.flow import AS_WRITTEN, Direction
from podfence.policy.networkpolicies import rule_ports
from podfence.questions.describe import peer_path
from podfence.questions.lint.note import LintedPolicy, Note, rule_path
from podfence.questions.phrases import words
from podfence.sets import AddressSet
from podfence.sets.addresses import IPNetwork

_EVERY = LabelSelector()
_COMPARED = 10_000
"""Most pairs of peers that are compared for one pair of rules."""
_SHOWN = 3
_DNS = 53


def undone_rule(case: LintedPolicy) -> Iterator[Note]:
    """PF319: another rule allows to or from more peers what this one restricts (NP-7)."""
    for direction in AS_WRITTEN:
        rules = [(number, rule) for d, number, rule in case.rules if d is direction]
        for number, rule in rules:
            for at, beside in rules:
                if at == number or not _opens(beside, rule):
                    continue
                if shared := _shared_ports(rule, beside):
                    yield _undone(case, direction, (number, at), beside, shared)
                    break


def _opens(wide: NetworkPolicyRule, rule: NetworkPolicyRule) -> bool:
    """Whether a rule allows more peers than another that restricts them. A rule for all ports
    beside a rule for everyone on some ports, such as DNS, is no mistake."""
    if not rule.peers or (wide.ports and not rule.ports):
        return False
    if not wide.peers:
        return bool(wide.ports)
    if len(wide.peers) * len(rule.peers) > _COMPARED:
        return False
    covered = all(any(p == w or wider(w, p) for w in wide.peers) for p in rule.peers)
    return covered and any(p not in wide.peers for p in rule.peers)


def _shared_ports(one: NetworkPolicyRule, other: NetworkPolicyRule) -> str:
    """The ports that both are about, as text; "" if none. Names are compared as names."""
    (numbers, names), (more, others) = rule_ports(one.ports), rule_ports(other.ports)
    both = numbers & more
    named = [f"{n.protocol}/{n.name}" for n in names if not other.ports or n in others]
    named += [f"{n.protocol}/{n.name}" for n in others if not one.ports]
    return " ".join([*([str(both)] if both else ()), *named])


def _undone(
    case: LintedPolicy,
    direction: Direction,
    at: tuple[int, int],
    wide: NetworkPolicyRule,
    ports: str,
) -> Note:
    side = "from" if direction is Direction.INGRESS else "to"
    peers = [words.peer(peer, case.namespace) for peer in wide.peers] or [words.EVERYONE]
    which = "on every port" if ports == "all" else f"on {ports}"
    text = (
        f"{rule_path(direction, at[1])} allows connections {which} {side} "
        f"{words.some(peers, _SHOWN, ', or ')}. Rules add up, so what this rule leaves out is "
        "allowed anyway."
    )
    return Note("PF319", text, rule_path(direction, at[0]))


def undone_peers(case: LintedPolicy) -> Iterator[Note]:
    """PF319: a peer that holds other peers of its rule, which then restrict nothing (NP-14)."""
    for direction, number, rule in case.rules:
        held: dict[int, list[int]] = defaultdict(list)
        for narrow, wide in (*_in_blocks(rule.peers), *_in_selectors(rule.peers)):
            held[wide].append(narrow)
        field = direction.peer_field
        for wide, inner in held.items():
            listed = words.some([f"{field}[{at}]" for at in sorted(inner)], _SHOWN)
            text = (
                f"{words.peer(rule.peers[wide], case.namespace)}: this includes all of {listed}. "
                "The peers of a rule add up, so the wider peer decides and the narrower ones "
                "restrict nothing."
            )
            yield Note("PF319", text, peer_path(direction, number, wide))


def _in_blocks(peers: Sequence[NetworkPolicyPeer]) -> Iterator[tuple[int, int]]:
    """(peer, wider peer) of ipBlocks. CIDRs nest, so the wider ones of a block are those still open
    in a pass over the sorted list."""
    listed_at: dict[IPBlock, list[int]] = defaultdict(list)
    for at, peer in enumerate(peers):
        if peer.ip_block is not None:
            listed_at[peer.ip_block].append(at)
    around: list[tuple[IPBlock, AddressSet]] = []
    compared = 0
    for block in sorted(listed_at, key=lambda block: _order(block.cidr)):
        while around and not _holds(around[-1][0].cidr, block.cidr):
            around.pop()
        addresses = ip_block(block).addresses
        for other, whole in around if addresses else ():
            compared += 1
            if compared > _COMPARED:  # one CIDR with ever other exceptions
                return
            if addresses <= whole and addresses != whole:
                for at in listed_at[block]:
                    yield at, listed_at[other][0]
                break
        around.append((block, addresses))


def _order(cidr: IPNetwork) -> tuple[int, int, int]:
    return cidr.version, int(cidr.network_address), cidr.prefixlen


def _holds(cidr: IPNetwork, inner: IPNetwork) -> bool:
    return cidr.version == inner.version and inner.network_address in cidr


def _in_selectors(peers: Sequence[NetworkPolicyPeer]) -> Iterator[tuple[int, int]]:
    """(peer, wider peer) of selectors."""
    selectors = [(peer, at) for at, peer in enumerate(peers) if peer.ip_block is None]
    if len(selectors) ** 2 > _COMPARED:
        return
    for peer, at in selectors:
        for other, wide in selectors:
            if wider(other, peer) and not wider(peer, other):
                yield at, wide
                break


def wider(wide: NetworkPolicyPeer, peer: NetworkPolicyPeer) -> bool:
    """Whether ``wide`` holds all that ``peer`` means, by what is written."""
    if wide.ip_block is not None and peer.ip_block is not None:
        return ip_block(peer.ip_block).addresses <= ip_block(wide.ip_block).addresses
    if wide.ip_block is not None or peer.ip_block is not None:
        return False
    if not implies(peer.pod_selector or _EVERY, wide.pod_selector or _EVERY):
        return False
    if wide.namespace_selector is None:
        return peer.namespace_selector is None
    return implies(peer.namespace_selector or _EVERY, wide.namespace_selector) or (
        peer.namespace_selector is None and wide.namespace_selector.selects_everything
    )


def implies(narrow: LabelSelector, wide: LabelSelector) -> bool:
    """Whether ``wide`` selects everything that ``narrow`` selects: its conditions are a part of the
    other's."""
    return set(wide.match_labels) <= set(narrow.match_labels) and set(
        wide.match_expressions
    ) <= set(narrow.match_expressions)


def stray_dash(case: LintedPolicy) -> Iterator[Note]:
    """PF363: a rule with only peers beside a rule with only ports (NP-12, NP-13)."""
    for direction in AS_WRITTEN:
        rules = [(number, rule) for d, number, rule in case.rules if d is direction]
        noted = -1
        for (first, one), (second, other) in pairwise(rules):
            kinds = [(bool(r.peers), bool(r.ports)) for r in (one, other)]
            if sorted(kinds) != [(False, True), (True, False)] or noted == first:
                continue
            if _names_beside_blocks(one if one.peers else other, one if one.ports else other):
                continue
            noted = second
            yield _split(case, direction, (first, second), (one, other))


def _names_beside_blocks(peers: NetworkPolicyRule, ports: NetworkPolicyRule) -> bool:
    """Address blocks beside DNS to everywhere: clients usually find outside servers by name, and
    the name server is another machine."""
    blocks = all(peer.ip_block is not None for peer in peers.peers)
    return blocks and all(port.port == _DNS and port.end_port is None for port in ports.ports)


def _split(
    case: LintedPolicy,
    direction: Direction,
    at: tuple[int, int],
    rules: tuple[NetworkPolicyRule, NetworkPolicyRule],
) -> Note:
    field, side = direction.peer_field, "from" if direction is Direction.INGRESS else "to"
    fields = [field, "ports"] if rules[0].peers else ["ports", field]
    peers, ports = rules if rules[0].peers else rules[::-1]
    who = words.some([words.peer(p, case.namespace) for p in peers.peers], _SHOWN, ", or ")
    which = words.some([words.port(p) for p in ports.ports], _SHOWN, " or ")
    text = (
        f"This rule has only a {fields[0]} list, and {rule_path(direction, at[1])} has only a "
        f"{fields[1]} list. As two rules they allow every port {side} {who}, and {which} {side} "
        "everyone. If one rule is meant, remove the dash before the second field: together they "
        f"allow less, only {which} {side} {who}."
    )
    return Note("PF363", text, rule_path(direction, at[0]))
