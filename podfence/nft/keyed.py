"""Many rules of one verdict -> a few questions, however many there are.

Rule: order among neighbouring rules of one verdict means nothing, so they may be asked in any;
between rules of different verdicts it stays. Up to MAX_LINEAR rules are asked one after the other.
More are found by protocol and port through a verdict map, each port leading to the peers that may
use it; ranges wider than ``ports.MAX_KEYED``, and rules without ports, are asked after that. Where
still more than MAX_LINEAR peers share one question, their sets are united: one lookup for all pods
and one for all ipBlocks of a family.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pyroaring import FrozenBitMap

from podfence.nft.names import Namer, joint_comment
from podfence.nft.objects import Chain, Field, Key, Rule, Verdict, VerdictMap, Vmap, goto
from podfence.nft.peers import PeerSets
from podfence.nft.ports import PORT_KEY, PortQuestions, split_ports
from podfence.nft.views import FAMILIES, View
from podfence.policy.index import Peers
from podfence.sets import AddressSet, PortSet
from podfence.sets.ports import EVERYTHING

MAX_LINEAR = 16
"""Rules that are cheaper to ask in turn than to look up."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One match of one rule. ``comment``: where it comes from."""

    peers: Peers
    ports: PortSet
    comment: str


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring entries of one verdict."""

    entries: tuple[Entry, ...]
    verdict: Verdict


class RunWriter:
    """Writes runs as chains; the verdict maps that these need are collected in ``maps``."""

    def __init__(self, peers: PeerSets, ports: PortQuestions, namer: Namer) -> None:
        self._peers = peers
        self._ports = ports
        self._namer = namer
        self.maps: list[VerdictMap] = []

    def chains(
        self, start: Chain, runs: Sequence[Run], default: Verdict, view: View
    ) -> list[Chain]:
        """``start``, still without rules, made to ask ``runs`` in their order and then to say
        ``default``; and the chains that it needs."""
        found: list[Chain] = []
        current = start
        for at, run in enumerate(runs):
            entries: Iterable[Entry] = run.entries
            if len(run.entries) > MAX_LINEAR:
                keys, rest = _by_port(run.entries)
                entries = _united(rest)
                if keys:
                    onward = replace(start, name=f"{start.name}_n{at}")
                    found += self._dispatch(current, onward, keys, run.verdict, view)
                    current = onward
            rules = self._rules(entries, run.verdict, view)
            current = replace(current, rules=(*current.rules, *rules))
        return [*found, replace(current, rules=(*current.rules, Rule((default,))))]

    def _dispatch(
        self,
        chain: Chain,
        onward: Chain,
        keys: Mapping[Key, list[Entry]],
        verdict: Verdict,
        view: View,
    ) -> Iterator[Chain]:
        """``chain`` ended by a map from ports to chains; what finds nothing goes on to
        ``onward``."""
        name = f"{onward.name}_m"
        leads: dict[Key, Verdict] = {}
        chains: dict[str, Chain] = {}
        for key, entries in keys.items():
            origin = repr([(entry.peers.key, entry.comment) for entry in entries])
            target = self._namer.name(f"{onward.name}_k", origin)
            leads[key] = goto(target)
            if target not in chains:
                rules = self._rules(_united(entries), verdict, view)
                chains[target] = Chain(
                    target, (*rules, Rule((goto(onward.name),))), comment=chain.comment
                )
        self.maps.append(VerdictMap(name, PORT_KEY, leads))
        ends = (Rule((Vmap((Field.L4PROTO, view.port), name),)), Rule((goto(onward.name),)))
        yield from chains.values()
        yield replace(chain, rules=(*chain.rules, *ends))

    def _rules(self, entries: Iterable[Entry], verdict: Verdict, view: View) -> Iterator[Rule]:
        for entry in entries:
            for ports in self._ports.alternatives(entry.ports, view.port):
                for peers in self._peers.alternatives(entry.peers, view.peer):
                    yield Rule((*peers, *ports, verdict), entry.comment)


def _by_port(entries: Iterable[Entry]) -> tuple[dict[Key, list[Entry]], list[Entry]]:
    """Entries by each port that can be looked up, and what is left to ask of all packets."""
    keyed: defaultdict[Key, list[Entry]] = defaultdict(list)
    rest: list[Entry] = []
    for entry in entries:
        keys, ports = split_ports(entry.ports)
        for key in keys:
            keyed[key].append(replace(entry, ports=EVERYTHING))
        if ports:
            rest.append(replace(entry, ports=ports))
    return dict(keyed), rest


def _united(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Entries that ask the same ports as few entries; order is not kept."""
    by_ports: defaultdict[PortSet, dict[str, Entry]] = defaultdict(dict)
    for entry in entries:
        by_ports[entry.ports].setdefault(entry.peers.key, entry)
    for alike in by_ports.values():
        everyone = next((entry for entry in alike.values() if entry.peers.everyone), None)
        if everyone is not None:
            yield everyone
        elif len(alike) <= MAX_LINEAR:
            yield from alike.values()
        else:
            for family in FAMILIES:
                yield from _unions(list(alike.values()), family)


def _unions(entries: Sequence[Entry], family: int) -> Iterator[Entry]:
    """One entry for all pods of a family, and one for all its ipBlocks."""
    ours = [entry for entry in entries if entry.peers.family in (None, family)]
    pods = [entry for entry in ours if entry.peers.addresses is None]
    blocks = [entry for entry in ours if entry.peers.addresses is not None]
    if pods:
        classes = FrozenBitMap.union(*(entry.peers.classes for entry in pods))
        yield _union(pods, Peers(_joint_key(pods), classes=classes, family=family))
    if blocks:
        addresses = AddressSet()
        for entry in blocks:
            addresses |= entry.peers.addresses or AddressSet()
        yield _union(blocks, Peers(_joint_key(blocks), addresses=addresses, family=family))


def _joint_key(entries: Sequence[Entry]) -> str:
    return f"any of {sorted(entry.peers.key for entry in entries)}"


def _union(entries: Sequence[Entry], peers: Peers) -> Entry:
    return Entry(peers, entries[0].ports, joint_comment([entry.comment for entry in entries]))
