"""Copies of DNS packets -> what the cache learns, and counts of packets that told nothing.

Rule: an address counts when a trusted resolver told it to a pod that had asked for a name that some
rule means. Every other packet tells nothing, whatever it says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv6Address, IPv6Network, ip_address

from msgspec import Struct

from podfence.dns.cache import Cache
from podfence.dns.message import DnsMessage, read_addresses, read_head, text_of
from podfence.dns.packets import TCP, DnsPacket, read_packet
from podfence.dns.questions import Interfaces, Questions
from podfence.dns.streams import Streams
from podfence.policy.domains import At

PORT = 53
_CLOTHES = (
    (IPv6Network("64:ff9b::/96"), 0),
    (IPv6Network("64:ff9b:1::/48"), 0),
    (IPv6Network("2002::/16"), 80),
)
"""Networks of IPv6 that stand for addresses of IPv4 (RFC 6052, 8215, 3056), and how many bits come
after these."""
_SECRETS = frozenset(
    map(
        ip_address,
        (
            "fd00:ec2::254",  # AWS
            "fd00:ec2::23",
            "fd20:ce::254",  # Google
            "168.63.129.16",  # Azure
            "100.100.100.200",  # Alibaba
            "192.0.0.192",  # Oracle
        ),
    )
)
"""Where clouds tell a node its secrets, beside 169.254.0.0/16."""


class CopiedPacket(Struct, frozen=True):
    """A packet to a resolver, or from one. ``data``: from the IP header on."""

    family: int
    data: bytes
    way: Interfaces


class DnsReader:
    """``is_resolver``: whether an address is that of a resolver that is trusted. Times are
    monotonic seconds, and never go back."""

    def __init__(self, cache: Cache, is_resolver: Callable[[At], bool]) -> None:
        self._cache = cache
        self._is_resolver = is_resolver
        self._questions = Questions()
        self._streams = Streams()
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        """How many packets and messages there were, by what came of them."""
        return dict(self._counts)

    def take(self, copied: CopiedPacket, now: float) -> None:
        """A packet passes."""
        packet = read_packet(copied.family, copied.data)
        if packet is None:
            self._counts["unreadable"] += 1
            return
        if packet.destination_port == PORT and self._trusts(packet.family, packet.destination):
            for head, _ in self._messages(packet, copied.way, now):
                if not head.is_answer:
                    self._counts["question"] += 1
                    self._questions.ask(packet, head.number, head.question, copied.way, now)
        elif packet.source_port == PORT and self._trusts(packet.family, packet.source):
            for head, data in self._messages(packet, copied.way, now):
                self._counts[self._answer(packet, head, data, copied.way, now)] += 1
        else:
            self._counts["stranger"] += 1

    def _answer(
        self, packet: DnsPacket, head: DnsMessage, data: bytes, way: Interfaces, now: float
    ) -> str:
        """Learn from a message of a resolver; what came of it."""
        if not head.is_answer or not self._questions.answer(
            packet, head.number, head.question, way, now
        ):
            return "unasked"
        name = text_of(head.question.name)
        if name is None or not self._cache.is_wanted(name):
            return "not_wanted"
        told = [each for each in read_addresses(data, head) if is_usable(each.address)]
        self._cache.learn(name, told, now)
        return "learnt" if told else "nothing"

    def _messages(
        self, packet: DnsPacket, way: Interfaces, now: float
    ) -> Iterator[tuple[DnsMessage, bytes]]:
        found = (
            self._streams.take(packet, (way.comes, way.port_in), now)
            if packet.protocol == TCP
            else (packet.payload,)
        )
        for data in found:
            head = read_head(data)
            if head is None:
                self._counts["other"] += 1
            else:
                yield head, data

    def _trusts(self, family: int, address: int) -> bool:
        return self._is_resolver((family, address))


def is_usable(at: At) -> bool:
    """Whether a name may stand for an address. It may not stand for the pod itself, a link, a
    metadata service of a cloud, a group or nobody, in whichever form these are written."""
    family, number = at
    address = ip_address(number.to_bytes(4 if family == 4 else 16, "big"))
    if address in _SECRETS:
        return False
    if isinstance(address, IPv6Address):
        for network, after in _CLOTHES:
            if address in network:
                return is_usable((4, number >> after & 0xFFFFFFFF))
        return number >> 32 not in (0, 0xFFFF) and not (
            address.is_link_local or address.is_multicast
        )
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or number >> 24 == 0
    )
