"""``DST:PORT[/PROTO]`` and JSON queries -> questions."""

from __future__ import annotations

import re

from podfence.errors import QuestionError
from podfence.model.kindnames import kind_called
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.questions.can import Can
from podfence.questions.entrynames import entry_meant, is_entry
from podfence.questions.parties import literal
from podfence.sets.ports import OTHER

_TARGET = re.compile(
    r"(?P<dst>\[[^\]]+\]|.+?)(?::(?P<port>[^:/\[\]]*))(?:/(?P<proto>[^/:]+))?\Z", re.S
)
_EXAMPLE = (
    "write DST:PORT[/PROTO], for example shop/db:5432, shop/dns:53/udp, [2001:db8::1]:443 or "
    "shop/db:/icmp"
)


def question(source: str, target: str, namespace: str | None) -> Can:
    """The question in words of a command line; ``namespace``: of names without one (``-n``).

    Raises QuestionError when the target is not ``DST:PORT[/PROTO]``.
    """
    if is_entry(target) or (entry_meant(target) and not _TARGET.match(target)):
        raise QuestionError(
            f"{target}: an entry is where connections come from; write it in place of SRC, and DST "
            "for pods behind it, or nothing"
        )
    found = _TARGET.match(target)
    if not found:
        raise QuestionError(f"{target!r} has no port; {_EXAMPLE}")
    destination = found["dst"]
    if destination.startswith("["):
        destination = destination[1:-1]
    elif ":" in destination:
        raise QuestionError(
            f"where does the address end and the port begin in {target!r}? Put brackets around the "
            "address: [2001:db8::1]:443"
        )
    protocol = protocol_of(found["proto"] or "TCP")
    port = port_of(found["port"], protocol)
    ends = qualified(source, namespace), qualified(destination, namespace)
    return Can(*ends, port, protocol, namespace or DEFAULT_NAMESPACE)


def namespaces_of(asked: Can) -> tuple[str, ...]:
    """The namespaces that a question may be about."""
    first = (name.partition("/")[0] for name in (asked.source, asked.destination) if "/" in name)
    return tuple(dict.fromkeys((asked.namespace, *first)))


def policies_of(asked: Can) -> tuple[str, ...] | None:
    """The namespaces whose NetworkPolicies decide a question; None where its words do not tell,
    because an address may be that of a pod."""
    if any(literal(name) is not None for name in (asked.source, asked.destination)):
        return None
    return namespaces_of(asked)


def qualified(name: str, namespace: str | None) -> str:
    """``namespace/name``: a name without one belongs to ``-n``, or to ``default`` as in kubectl.
    ``service/NAMESPACE/NAME``, as in test files, is ``NAMESPACE/service/NAME``."""
    words = name.split("/")
    if len(words) == 3 and kind_called(words[0]) == "Service" and not kind_called(words[1]):
        return f"{words[1]}/{words[0]}/{words[2]}"
    if "/" in name or ":" in name or name.replace(".", "").isdigit() or not name:
        return name
    return f"{namespace or DEFAULT_NAMESPACE}/{name}"


def protocol_of(text: str) -> str:
    """TCP, UDP, SCTP in any case; ICMP (and ICMPv6) for all protocols without ports."""
    upper = text.upper()
    return OTHER if upper in ("ICMP", "ICMPV6", OTHER) else upper


def port_of(text: int | str | None, protocol: str) -> int | str:
    """A number, or a container port name. Protocols without ports have none."""
    if protocol == OTHER:
        if text in (None, "", "*", 0, "0"):
            return 0
        raise QuestionError(f"ICMP has no ports, but port {text!r} was given; write DST:/icmp")
    if text is None or text == "":
        raise QuestionError(f"no port given; {_EXAMPLE}")
    if isinstance(text, str) and text.isascii() and text.isdigit():
        return int(text[:6])
    return text
