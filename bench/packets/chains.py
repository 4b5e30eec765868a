"""The iptables and ipset way, as nft rules: a chain a policy, a list of jumps a pod.

Rule: the layout of kube-router's network policy controller: the forward chain asks for every pod of
the node in turn; a pod's chain calls the chain of each policy that selects it; a policy's chain
asks two sets and one port a rule, and marks what it allows; what comes back unmarked is dropped.
iptables is not on every machine, so the rules are nft's. They are *cheaper* than the real ones:
``ct state established`` is asked first and once, marking and returning is one rule instead of two,
nothing carries a comment or a counter, and nft runs an address comparison faster than iptables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from bench.packets.variants import Allowance, Questions, allowances, local_classes
from podfence.model.cluster import Cluster
from podfence.nft.lowering.lower import TABLE
from podfence.nft.lowering.views import DirectionView
from podfence.nft.objects import Rule
from podfence.nft.render import render_object, render_rule
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction
from podfence.policy.index import Match
from podfence.sets import PortSet
from podfence.sets.addresses import IPAddress

ALLOWED = 0x10000
"""The packet mark that says that some policy allowed the packet."""


def policy_chains(measured: Cluster) -> str:
    """One transaction for ``nft -f -``: the whole table."""
    index = compile_cluster(measured)
    questions = Questions(index)
    by_policy: defaultdict[str, list[Allowance]] = defaultdict(list)
    for one in allowances(index, local_classes(measured, index)):
        by_policy[one.policy].append(one)
    names = {policy: f"nwplcy_{number}" for number, policy in enumerate(by_policy)}
    chains = [_policy(names[policy], ones, questions) for policy, ones in by_policy.items()]
    pods: defaultdict[IPAddress, list[str]] = defaultdict(list)
    for policy, ones in by_policy.items():
        for address in sorted({a for one in ones for a in one.subjects}, key=int):
            pods[address].append(names[policy])
    chains += [_pod(address, called) for address, called in pods.items()]
    chains.append(_forward(pods))
    sets = [render_object(item) for item in questions.sets]
    return "\n".join((f"table inet {TABLE} {{", *sets, *chains, "}\n"))


def _policy(name: str, ones: list[Allowance], questions: Questions) -> str:
    return _chain(name, (line for one in ones for line in _allowing(one, questions)))


def _allowing(one: Allowance, questions: Questions) -> Iterator[str]:
    """A rule a port, as iptables has no sets of protocols and ports in use here."""
    view = DirectionView(one.direction, reply=False)
    for ports in single(one.match.ports):
        match = Match(one.match.peers, ports, one.match.path)
        for peers in questions.peers(match, view):
            for port in questions.ports(match, view):
                subjects = questions.subjects(one.subjects, view)
                pair = (
                    (*peers, subjects) if one.direction is Direction.INGRESS else (subjects, *peers)
                )
                parts = (*pair, *port)  # the source is asked first, whoever it is
                yield f"{render_rule(Rule(parts))} meta mark set meta mark | {ALLOWED:#x} return"


def single(ports: PortSet) -> Iterator[PortSet]:
    """A port set in parts of one range each."""
    for protocol, low, high in ports.ranges():
        yield PortSet.port(protocol, low, high)


def _pod(address: IPAddress, policies: list[str]) -> str:
    """Called for both directions, as the policies' chains know which one they are about."""
    calls = (f"jump {name}" for name in policies)
    unmarked = f"meta mark & {ALLOWED:#x} == 0 drop"
    cleared = f"meta mark set meta mark & {~ALLOWED & 0xFFFFFFFF:#x}"
    return _chain(_firewall(address), (*calls, unmarked, cleared))


def _firewall(address: IPAddress) -> str:
    return f"pod_{int(address):x}"


def _forward(pods: dict[IPAddress, list[str]]) -> str:
    lines = ["type filter hook forward priority 0; policy accept;", "ct state established accept"]
    for side in ("ip saddr", "ip daddr"):
        lines += (f"{side} {address} jump {_firewall(address)}" for address in pods)
    return _chain("forward", lines)


def _chain(name: str, lines: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    body = "".join(f"\t\t{line}\n" for line in lines)
    return f"\tchain {name} {{\n{body}\t}}\n"
