"""The rules of a tier -> a few questions, however many rules there are.

Rule: neighbouring rules of one verdict may be asked in any order; rules of different verdicts keep
theirs. Up to MAX_LINEAR rules are asked one after the other. More are found by protocol and port
through a verdict map. If they are of one verdict, each port leads to the peers that may use it;
ranges wider than ``ports.MAX_KEYED``, and rules without ports, are asked after that. If they are of
several verdicts, each port leads to all rules that it may meet, in their order (see ``ordered``).
Where more than MAX_LINEAR peers still share one question, their sets are united: one lookup for all
pods and one for all ipBlocks of a family.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from msgspec.structs import replace
from pyroaring import FrozenBitMap

from podfence.nft.lowering.identifiers import Namer, joint_comment
from podfence.nft.lowering.ordered import PortLists, by_port
from podfence.nft.lowering.peers import PeerSets
from podfence.nft.lowering.ports import PORT_KEY, PortMatches, RuleMatch, Run, split_ports, until
from podfence.nft.lowering.views import FAMILIES, DirectionView
from podfence.nft.objects import Chain, ChainVerdict, Field, Key, Rule, VerdictMap, Vmap, goto
from podfence.policy.index import AddressPeers, Everyone, Peers, PodPeers
from podfence.policy.words import Selection
from podfence.sets import AddressSet, IntervalSet, PortSet
from podfence.sets.ports import EVERYTHING

MAX_LINEAR = 4
"""Rules that are cheaper to ask in turn than to look up (docs/decisions/0004)."""


class RunWriter:
    """Writes runs as chains. ``maps`` collects the verdict maps that the chains need."""

    def __init__(self, peers: PeerSets, ports: PortMatches, namer: Namer) -> None:
        self._peers = peers
        self._ports = ports
        self._namer = namer
        self.maps: list[VerdictMap] = []

    def chains(
        self, start: Chain, runs: Sequence[Run], default: ChainVerdict, view: DirectionView
    ) -> list[Chain]:
        """``start``, extended so that it asks ``runs`` in their order and then says ``default``;
        and the chains that it needs. The rules that ``start`` has already come first."""
        runs = until(runs, default)
        if len(runs) == 1:
            return self._one_verdict(start, runs[0], default, view)
        if sum(len(run.entries) for run in runs) > MAX_LINEAR:
            lists = by_port(runs, default)
            if lists is not None:
                return list(self._by_port(start, lists, default, view))
        return [self._in_turn(start, runs, default, view)]

    def _in_turn(
        self, start: Chain, runs: Iterable[Run], default: ChainVerdict, view: DirectionView
    ) -> Chain:
        """``start`` with all rules in one list."""
        rules = [
            rule for run in runs for rule in self._rules(_united(run.entries), run.verdict, view)
        ]
        return replace(start, rules=(*start.rules, *rules, Rule((default,))))

    def _by_port(
        self, start: Chain, lists: PortLists, default: ChainVerdict, view: DirectionView
    ) -> Iterator[Chain]:
        """A chain for each list, and ``start``: the map that leads to them, then the others.

        A port with an empty list is in the map, too: the others are not about it.
        """
        leads: dict[Key, ChainVerdict] = {}
        chains: dict[str, Chain] = {}
        for found in lists.lists:
            if not found.runs:
                leads.update(dict.fromkeys(found.keys, default))
                continue
            target = self._namer.name(f"{start.name}_k", _origin(found.runs))
            leads.update(dict.fromkeys(found.keys, goto(target)))
            if target not in chains:
                empty = Chain(target, comment=start.comment)
                chains[target] = self._in_turn(empty, found.runs, default, view)
        yield from chains.values()
        self.maps.append(VerdictMap(f"{start.name}_m", PORT_KEY, leads))
        first = Rule((Vmap((Field.L4PROTO, view.port), f"{start.name}_m"),))
        start = replace(start, rules=(*start.rules, first))
        yield self._in_turn(start, lists.others, default, view)

    def _one_verdict(
        self, start: Chain, run: Run, default: ChainVerdict, view: DirectionView
    ) -> list[Chain]:
        found: list[Chain] = []
        entries: Iterable[RuleMatch] = run.entries
        if len(run.entries) > MAX_LINEAR:
            keys, rest = _by_port(run.entries)
            entries = _united(rest)
            if keys:
                onward = replace(start, name=f"{start.name}_n0", rules=())
                found += self._dispatch(start, onward, keys, run.verdict, view)
                start = onward
        rules = self._rules(entries, run.verdict, view)
        return [*found, replace(start, rules=(*start.rules, *rules, Rule((default,))))]

    def _dispatch(
        self,
        chain: Chain,
        onward: Chain,
        keys: Mapping[Key, list[RuleMatch]],
        verdict: ChainVerdict,
        view: DirectionView,
    ) -> Iterator[Chain]:
        """``chain`` ended by a map from ports to chains; what finds nothing goes on to
        ``onward``."""
        name = f"{onward.name}_m"
        leads: dict[Key, ChainVerdict] = {}
        chains: dict[str, Chain] = {}
        for key, entries in keys.items():
            target = self._namer.name(f"{onward.name}_k", repr(_peer_names(entries)))
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

    def _rules(
        self, entries: Iterable[RuleMatch], verdict: ChainVerdict, view: DirectionView
    ) -> Iterator[Rule]:
        for entry in entries:
            for ports in self._ports.alternatives(entry.ports, view.port):
                for peers in self._peers.alternatives(entry.peers, view.peer):
                    yield Rule((*peers, *ports, verdict), entry.comment)


def _peer_names(entries: Iterable[RuleMatch]) -> list[tuple[str, str]]:
    return [(entry.peers.key, entry.comment) for entry in entries]


def _origin(runs: Iterable[Run]) -> str:
    """What tells lists of one chain apart."""
    return repr(
        [
            (run.verdict.kind.value, run.verdict.chain, str(entry.ports), names)
            for run in runs
            for entry, names in zip(run.entries, _peer_names(run.entries), strict=True)
        ]
    )


def _by_port(entries: Iterable[RuleMatch]) -> tuple[dict[Key, list[RuleMatch]], list[RuleMatch]]:
    """A chain for each list; and ``start``, which has the map that leads to them and then the
    others.

    A port with an empty list is in the map, too, since the others are not about it.
    """
    keyed: defaultdict[Key, list[RuleMatch]] = defaultdict(list)
    rest: list[RuleMatch] = []
    for entry in entries:
        keys, ports = split_ports(entry.ports)
        for key in keys:
            keyed[key].append(replace(entry, ports=EVERYTHING))
        if ports:
            rest.append(replace(entry, ports=ports))
    return dict(keyed), rest


def _united(entries: Iterable[RuleMatch]) -> Iterator[RuleMatch]:
    """Entries that ask the same ports as few entries; order is not kept."""
    by_ports: defaultdict[PortSet, dict[str, RuleMatch]] = defaultdict(dict)
    for entry in entries:
        by_ports[entry.ports].setdefault(entry.peers.key, entry)
    for alike in by_ports.values():
        everyone = next((e for e in alike.values() if isinstance(e.peers, Everyone)), None)
        if everyone is not None:
            yield everyone
        elif len(alike) <= MAX_LINEAR:
            yield from alike.values()
        else:
            for family in FAMILIES:
                yield from _unions(list(alike.values()), family)


def _unions(entries: Sequence[RuleMatch], family: int) -> Iterator[RuleMatch]:
    """One entry for all pods of a family, one for all its ipBlocks, one for all nodes, and one for
    all domain names."""
    pods: list[tuple[RuleMatch, PodPeers]] = []
    fixed: list[tuple[RuleMatch, AddressPeers]] = []
    volatile: list[tuple[RuleMatch, AddressPeers]] = []
    named: list[tuple[RuleMatch, AddressPeers]] = []
    for entry in entries:
        peers = entry.peers
        if isinstance(peers, Everyone) or peers.family not in (None, family):
            continue
        if isinstance(peers, PodPeers):
            pods.append((entry, peers))
        else:
            kinds = named if peers.names else volatile if peers.volatile else fixed
            kinds.append((entry, peers))
    if pods:
        classes = FrozenBitMap.union(*(peers.classes for _, peers in pods))
        found = [entry for entry, _ in pods]
        words = _joint_words([peers for _, peers in pods])
        yield _union(found, PodPeers(_joint_key(found), classes, family, words))
    for alike in (fixed, volatile, named):
        if alike:
            found = [entry for entry, _ in alike]
            yield _union(found, _joint_addresses(_joint_key(found), [p for _, p in alike]))


def _joint_words(peers: Sequence[PodPeers]) -> Selection | None:
    """The words of several peers as one; None where they have none."""
    ordered = sorted(peers, key=lambda each: each.key)
    words = [each.selection for each in ordered if each.selection is not None]
    if not words:
        return None
    every = dict.fromkeys(pick for each in words for pick in each.any_of)
    return Selection(tuple(every), AddressSet.union(each.addresses for each in words))


def _joint_addresses(key: str, peers: Sequence[AddressPeers]) -> AddressPeers:
    """Peers of one family, all of one kind, as one."""
    spans = chain.from_iterable(each.addresses for each in peers)
    classes = FrozenBitMap.union(*(each.classes for each in peers))
    first = peers[0]
    names = tuple(sorted({name for each in peers for name in each.names}))
    addresses = IntervalSet.of(*spans)
    return AddressPeers(key, first.family, addresses, classes, first.volatile, names)


def _joint_key(entries: Sequence[RuleMatch]) -> str:
    return f"any of {sorted(entry.peers.key for entry in entries)}"


def _union(entries: Sequence[RuleMatch], peers: Peers) -> RuleMatch:
    return RuleMatch(peers, entries[0].ports, joint_comment([entry.comment for entry in entries]))
