"""The short words of a test file: ``db:sql``, ``9100-9110``, ``shop/app=db``, ``203.0.113.0/25``.

Rule: a word is read by its form alone; whether such an object exists is another question. Raises
ValueError that says what would be right.
"""

from __future__ import annotations

import re
from ipaddress import ip_network

from podfence.model.kindnames import kind_called
from podfence.model.selectors import LabelSelector
from podfence.questions.entrynames import is_entry
from podfence.questions.parties import IS_LOOPBACK, literal
from podfence.questions.tests.form import (
    ALL_PORTS,
    AddressEnd,
    End,
    EntryEnd,
    NamedEnd,
    NamedPort,
    PortSpec,
    SelectedEnd,
)
from podfence.sets import AddressSet, PortSet
from podfence.sets.addresses import EVERY_ADDRESS, IPNetwork
from podfence.sets.ports import MAX_PORT, OTHER, PROTOCOLS

_PORT = re.compile(
    r"(?:(?P<low>\d{1,6})(?:-(?P<high>\d{1,6}))?|(?P<name>(?=.*[A-Za-z])[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*))"
    r"(?:/(?P<proto>[A-Za-z]+))?\Z"
)
_ICMP = ("icmp", "icmpv6")
_PRIVATE = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
)
INTERNET = EVERY_ADDRESS - AddressSet.of([ip_network(text) for text in _PRIVATE])
"""Every address that is not of a private, shared, link-local or loopback range."""


def read_port(word: str | int) -> PortSpec:
    """``5432``, ``9100-9110``, ``sql``, each with ``/udp`` or ``/sctp``; a protocol; ``icmp``;
    ``any``. Raises ValueError, with words for a person."""
    text = str(word)
    lower = text.lower()
    if lower == "any":
        return ALL_PORTS
    if lower in _ICMP:
        return PortSpec(text, PortSet.protocol(OTHER))
    if lower.upper() in PROTOCOLS:
        return PortSpec(text, PortSet.protocol(lower.upper()))
    found = _PORT.match(text)
    protocol = (found["proto"] or "TCP").upper() if found else ""
    if found is None or protocol not in PROTOCOLS:
        raise ValueError(
            f"{text!r} is not a port; write a number, a range as 9100-9110, the name of a "
            "container port, each with /udp or /sctp if it is not TCP, or tcp, udp, sctp, icmp, "
            "any"
        )
    if found["name"]:
        return PortSpec(text, PortSet(), (NamedPort(found["name"], protocol),))
    low = int(found["low"])
    high = int(found["high"] or low)
    if not 0 <= low <= high <= MAX_PORT or not high:
        raise ValueError(f"{text!r} is not a port; ports are 1 to {MAX_PORT}, the lower one first")
    return PortSpec(text, PortSet.port(protocol, low, high))


def joined(ports: list[PortSpec]) -> PortSpec:
    """All of them."""
    if len(ports) == 1:
        return ports[0]
    return PortSpec(
        ", ".join(each.text for each in ports),
        PortSet.union(each.numbers for each in ports),
        tuple(dict.fromkeys(name for each in ports for name in each.names)),
    )


def read_end(word: str, namespace: str) -> End:
    """An end without a port; ``namespace``: that of names without one. Raises ValueError, with
    words for a person."""
    if word == "outside":
        return AddressEnd(word, EVERY_ADDRESS, is_outside=True)
    if word == "internet":
        return AddressEnd(word, INTERNET, is_outside=True)
    if network := _network(word):
        if network.is_loopback:
            raise ValueError(f"{word} {IS_LOOPBACK}")
        return AddressEnd(word, AddressSet.of([network]))
    if word == "*":
        return SelectedEnd(word, None, LabelSelector(), LabelSelector())
    if is_entry(word):
        return EntryEnd(word, namespace)
    first, slash, rest = word.partition("/")
    if not first or (slash and not rest) or any(c.isspace() for c in word):
        raise ValueError(
            f"{word!r} is not an end; write for example shop/db, shop/app=db or outside"
        )
    if "=" in word:
        return _labelled(word, namespace)
    if rest == "*":
        return SelectedEnd(word, None if first == "*" else first, LabelSelector(), LabelSelector())
    if slash and kind_called(first) == "Service":
        inner = rest if "/" in rest else f"{namespace}/{rest}"
        where, _, name = inner.partition("/")
        return NamedEnd(word, f"{where}/service/{name}", where, is_service=True)
    return NamedEnd(word, word if slash else f"{namespace}/{word}", namespace)


def read_target(word: str, namespace: str) -> tuple[End, PortSpec | None]:
    """``END`` or ``END:PORT``; an IPv6 address with a port is in brackets. Raises ValueError, with
    words for a person."""
    if _network(word) or is_entry(word):  # a host or a port that it is asked for may follow
        return read_end(word, namespace), None
    bracketed = re.fullmatch(r"\[(?P<end>[^\]]+)\](?::(?P<port>.+))?", word)
    if bracketed:
        port = bracketed["port"]
        return read_end(bracketed["end"], namespace), read_port(port) if port else None
    end, colon, port = word.rpartition(":")
    if not colon:
        return read_end(word, namespace), None
    if ":" in end:
        raise ValueError(
            f"where does the address end and the port begin in {word!r}? Put brackets around the "
            "address: [2001:db8::1]:443"
        )
    return read_end(end, namespace), read_port(port)


def _network(word: str) -> IPNetwork | None:
    address = literal(word.partition("/")[0])
    if address is None:
        return None
    try:
        network = ip_network(word, strict=False)
    except ValueError:
        raise ValueError(
            f"{word!r} is not an address block; write for example 203.0.113.0/25"
        ) from None
    if address.version < network.version and network.prefixlen >= 96:  # ::ffff:192.0.2.0/120
        return ip_network((int(address), network.prefixlen - 96), strict=False)
    return network


def _labelled(word: str, namespace: str) -> SelectedEnd:
    """``NS/key=value,key2=value2``; keys may have a prefix with a slash."""
    first, slash, rest = word.partition("/")
    if not slash or "=" in first or "." in first:  # a prefix of a key, no namespace
        first, rest = namespace, word
    pairs = [pair.partition("=") for pair in rest.split(",")]
    if any(not key or not sign or "=" in value for key, sign, value in pairs):
        raise ValueError(f"{word!r}: labels are written KEY=VALUE, several with commas between")
    labels = tuple(sorted({key: value for key, _, value in pairs}.items()))
    return SelectedEnd(
        word, None if first == "*" else first, LabelSelector(), LabelSelector(labels)
    )
