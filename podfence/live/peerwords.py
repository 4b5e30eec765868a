"""Peers of rules, in words; and port names, by the pods that the words mean now.

Rule: what a peer is follows from its policy alone. Two things do not: the numbers that a port name
has among the peers, and the addresses that may be a pod's (NP-60a). A reader of these asks again
when pods that matter for them change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from msgspec.structs import replace
from pyroaring import BitMap, FrozenBitMap

from podfence.live.pods import At, Holders, Pods
from podfence.live.profiles import FAMILIES, Profile, Profiles
from podfence.live.selections import Selections
from podfence.model.meta import Labels
from podfence.model.networkpolicy import IPBlock
from podfence.model.selectors import LabelSelector
from podfence.policy.addressblocks import Block, ip_block
from podfence.policy.index import AddressPeers, Everyone, Match, Peers, PodPeers, doubtful_key
from podfence.policy.namedports import NamedPorts, PortName, in_order, named_number
from podfence.policy.select import PeerSelector, canonical
from podfence.policy.words import Pick, Selection
from podfence.sets import AddressSet, IntervalSet, PortSet

_NOBODY = FrozenBitMap()
_ANYBODY = (Pick(),)
PeersQuestion = tuple[str, PortName, bool]
"""``Peers.key``, a port name, and whether the rule denies."""
_Answer = Mapping[PortSet, AddressSet]
"""Numbers of a port name, each with the addresses that only may be a peer's."""


class WordSelector(PeerSelector):
    """Peers of rules as words; subjects of policies as numbers of profiles."""

    def __init__(self, profiles: Profiles, selections: Selections, pods: Pods) -> None:
        self._profiles = profiles
        self._selections = selections
        self._pods = pods

    def subjects(self, namespace: str, selector: LabelSelector) -> FrozenBitMap:
        """Profiles of one namespace (NP-3)."""
        return self._selections.picks.picked(Pick(selector, namespace))

    def subjects_in(self, pods: LabelSelector, namespaces: LabelSelector) -> FrozenBitMap:
        """Profiles that match one selector in namespaces that match the other."""
        return self._selections.picks.picked(Pick(pods, namespaces=namespaces))

    def _of_namespace(self, key: str, pods: LabelSelector, namespace: str) -> PodPeers:
        return PodPeers(key, _NOBODY, None, Selection((Pick(canonical(pods), namespace),)))

    def _of_namespaces(self, key: str, pods: LabelSelector, namespaces: LabelSelector) -> PodPeers:
        pick = Pick(canonical(pods), namespaces=canonical(namespaces))
        return PodPeers(key, _NOBODY, None, Selection((pick,)))

    def or_doubtful(self, peers: PodPeers) -> PodPeers:
        """For a rule that denies: the same with the addresses that one of them may have."""
        assert peers.selection is not None
        picked = BitMap.union(BitMap(), *map(self._selections.picks.picked, peers.selection.any_of))
        found = [
            at
            for at, holders in self._pods.contested.items()
            if any(holder.variant.profile.number in picked for holder in holders)
        ]
        if not found:
            return peers
        words = replace(peers.selection, addresses=_addresses(found))
        return replace(peers, key=doubtful_key(peers.key), selection=words)

    def ip_block(self, block: IPBlock) -> AddressPeers:
        """Every address of an ipBlock."""
        return self.block(ip_block(block))

    def block(self, block: Block) -> AddressPeers:
        """Every address of a block."""
        addresses = block.addresses.family(block.family)
        return AddressPeers(
            block.key, block.family, addresses, _NOBODY, block.volatile, block.names
        )


class WordPorts(NamedPorts):
    """Narrows peers in words to those that declare a port name, number by number."""

    def __init__(self, profiles: Profiles, selections: Selections, pods: Pods) -> None:
        super().__init__()
        self._profiles = profiles
        self._selections = selections
        self._pods = pods
        self._peers: dict[PeersQuestion, Peers] = {}
        self._of_name: dict[str, set[PeersQuestion]] = defaultdict(set)
        self._answers: dict[PeersQuestion, _Answer] = {}

    def narrow(self, peers: Peers, name: PortName, *, denies: bool = False) -> tuple[Match, ...]:
        """As for classes."""
        self._peers[peers.key, name, denies] = peers
        self._of_name[name.name].add((peers.key, name, denies))
        return super().narrow(peers, name, denies=denies)

    def forget(self, asked: PeersQuestion) -> None:
        """Nobody needs an answer any more."""
        self._memo.pop(asked, None)
        self._peers.pop(asked, None)
        self._answers.pop(asked, None)
        self._of_name[asked[1].name].discard(asked)

    def refresh(self, asked: Iterable[PeersQuestion]) -> list[PeersQuestion]:
        """Those of these answers that are not as before."""
        return [each for each in asked if self._differs(each)]

    def about(self, profile: Profile) -> Iterator[PeersQuestion]:
        """The answers to which a profile matters while it has pods with an address."""
        for name in {port.name for port in profile.ports}:
            for asked in self._of_name.get(name, ()):
                picks = _picks(self._peers[asked])
                if any(self._selections.picks.takes(pick, profile) for pick in picks):
                    yield asked

    def about_namespace(
        self, profiles: Iterable[Profile], before: Labels, after: Labels
    ) -> set[PeersQuestion]:
        """The answers to which the profiles of a namespace matter that has other labels now."""
        old, new = dict(before), dict(after)
        names = {port.name for profile in profiles for port in profile.ports}
        return {
            asked
            for name in names
            for asked in self._of_name.get(name, ())
            if any(
                pick.namespace is None
                and pick.namespaces.matches(old) != pick.namespaces.matches(new)
                for pick in _picks(self._peers[asked])
            )
        }

    def about_addresses(self, profile: Profile) -> Iterator[PeersQuestion]:
        """The answers to which the addresses of a profile matter."""
        for name in {port.name for port in profile.ports}:
            for asked in self._of_name.get(name, ()):
                if isinstance(self._peers[asked], AddressPeers):
                    yield asked

    def _differs(self, asked: PeersQuestion) -> bool:
        _, name, denies = asked
        return self._answer(self._peers[asked], name, denies) != self._answers[asked]

    def _by_number(self, peers: Peers, name: PortName, denies: bool) -> Iterator[Match]:
        answer = self._answers[peers.key, name, denies] = self._answer(peers, name, denies)
        key = doubtful_key(peers.key) if any(answer.values()) else peers.key
        port = (name.name, name.protocol)
        for ports in sorted(answer, key=in_order):
            picks = tuple(replace(pick, port=port, numbers=ports) for pick in _picks(peers))
            words = Selection(picks, answer[ports])
            who = f"{key} where {name} is {ports}"
            yield Match(PodPeers(who, _NOBODY, peers.family, words), ports, "")

    def _answer(self, peers: Peers, name: PortName, denies: bool) -> _Answer:
        picks = _picks(peers)
        numbers = {ports for pick in picks for ports in self._numbers(pick, name)}
        doubtful = self._doubtful(peers, picks, name) if denies and self._pods.contested else {}
        return {ports: _addresses(doubtful.get(ports, ())) for ports in numbers.union(doubtful)}

    def _numbers(self, pick: Pick, name: PortName) -> Iterator[PortSet]:
        """Those that pods with an address give to a name."""
        picked: FrozenBitMap | None = None
        for ports, profiles in self._profiles.declaring(name):
            if picked is None:
                picked = self._selections.picks.picked(pick) & self._profiles.populated
            if self._any_lies_in(picked & profiles, pick.within):
                yield ports

    def _any_lies_in(self, profiles: FrozenBitMap, within: AddressSet | None) -> bool:
        if within is None:
            return bool(profiles)
        return any(self._lies_in(self._profiles.by_number[number], within) for number in profiles)

    def _lies_in(self, profile: Profile, within: AddressSet) -> bool:
        """Whether a pod of a profile has an address in there, for certain or perhaps."""
        for family in FAMILIES:
            intervals = within.family(family)
            if intervals and any(address in intervals for address in profile.members(family)):
                return True
        return any(
            address in within.family(family)
            and any(holder.variant.profile is profile for holder in holders)
            for (family, address), holders in self._pods.claims.items()
        )

    def _doubtful(
        self, peers: Peers, picks: tuple[Pick, ...], name: PortName
    ) -> Mapping[PortSet, list[At]]:
        """Addresses that may be a peer's, by the numbers that those who may have them give to a
        name (NP-60a)."""
        found: dict[PortSet, list[At]] = defaultdict(list)
        for at, holders in self._pods.contested.items():
            if _may_be(peers, at):
                ports = PortSet.union(
                    named_number(holder.variant.profile.ports, name)
                    for holder in self._among(peers, picks, holders)
                )
                if ports:
                    found[ports].append(at)
        return found

    def _among(self, peers: Peers, picks: tuple[Pick, ...], holders: Holders) -> Holders:
        if not isinstance(peers, PodPeers):
            return holders
        picked = BitMap.union(BitMap(), *map(self._selections.picks.picked, picks))
        return tuple(h for h in holders if h.variant.profile.number in picked)


def _picks(peers: Peers) -> tuple[Pick, ...]:
    if isinstance(peers, Everyone):
        return _ANYBODY
    if isinstance(peers, AddressPeers):
        return (Pick(within=_within(peers.family, peers.addresses)),)
    assert peers.selection is not None
    return peers.selection.any_of


def _within(family: int, addresses: IntervalSet) -> AddressSet:
    return AddressSet(v4=addresses) if family == 4 else AddressSet(v6=addresses)


def _may_be(peers: Peers, at: At) -> bool:
    """Whether rules that deny take an address for one of the peers."""
    family, address = at
    if isinstance(peers, Everyone):
        return True
    if isinstance(peers, AddressPeers):
        return peers.family == family and address in peers.addresses
    assert peers.selection is not None
    return address in peers.selection.addresses.family(family)


def _addresses(found: Iterable[At]) -> AddressSet:
    spans: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
    for family, address in found:
        spans[family].append((address, address))
    return AddressSet(IntervalSet.of(*spans[4]), IntervalSet.of(*spans[6]))
