"""Reading needed fields of objects other than policies.

Rule: unknown fields are ignored; a needed field that cannot be used is a PF207 error with its path,
and reading continues with an empty value, so that one pass finds all errors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, ip_address
from typing import Any
from zlib import crc32

from podfence.admission.decode_strict import (
    bracketed,
    json_type,
    missing_space,
    plain,
    type_hint,
    with_hint,
)
from podfence.admission.policy_values import text_labels
from podfence.admission.schema import (
    NETWORK_POLICY,
    NOTHING,
    Json,
    ListOf,
    Struct,
    Text,
    TextMap,
    WireType,
)
from podfence.admission.validate_cidr import parse_cidr
from podfence.errors import Problem, Severity, Source
from podfence.model.meta import Labels, ObjectRef
from podfence.model.networkpolicy import Protocol
from podfence.sets.addresses import IPAddress, IPNetwork, unmapped

_PROTOCOLS = {protocol.value: protocol for protocol in Protocol}


class Fields:
    """Typed access to one object's JSON; collects the problems on the way."""

    __slots__ = ("problems", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []

    def refuse(self, path: str, text: str) -> None:
        """Add a PF207 error."""
        self.problems.append(Problem("PF207", Severity.ERROR, f"{path}: {text}", path=path))

    def _mistyped(self, path: str, value: Any, expected: str, hint: str = "") -> None:
        shown = "" if value is None or isinstance(value, dict | list) else f" {plain(value)}"
        text = f"expected {expected}, got {json_type(value)}{shown}"
        self.refuse(path, with_hint(text, hint))

    def mapping(self, parent: Json, key: str, path: str) -> Json:
        """An object; absent and null are empty."""
        value = parent.get(key)
        if value is None or isinstance(value, dict):
            return value or NOTHING
        self._mistyped(path, value, "an object", missing_space(value))
        return NOTHING

    def items(self, parent: Json, key: str, path: str) -> Iterator[tuple[str, Json]]:
        """The objects of a list with their paths; absent and null are empty, items too."""
        for index, item in enumerate(self._list(parent, key, path)):
            if item is None or isinstance(item, dict):
                yield f"{path}[{index}]", item or NOTHING
            else:
                self._mistyped(f"{path}[{index}]", item, "an object", missing_space(item))

    def texts(self, parent: Json, key: str, path: str) -> Iterator[tuple[str, str]]:
        """The strings of a list with their paths; absent and null are empty, items too."""
        for index, item in enumerate(self._list(parent, key, path)):
            if item is None or isinstance(item, str):
                yield f"{path}[{index}]", item or ""
            else:
                self._mistyped(f"{path}[{index}]", item, "a string")

    def _list(self, parent: Json, key: str, path: str) -> Sequence[Any]:
        value = parent.get(key)
        if value is None or isinstance(value, list):
            return value or ()
        self._mistyped(path, value, "a list")
        return ()

    def text(self, parent: Json, key: str, path: str) -> str:
        """A string; absent and null are ""."""
        value = parent.get(key)
        if value is None or isinstance(value, str):
            return value or ""
        self._mistyped(path, value, "a string")
        return ""

    def flag(self, parent: Json, key: str, path: str) -> bool:
        """A boolean; absent and null are false."""
        value = parent.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        self._mistyped(path, value, "true or false")
        return False

    def count(self, parent: Json, key: str, path: str, default: int) -> int:
        """A number of things, 0 or more."""
        value = parent.get(key)
        if value is None:
            return default
        if type(value) is int and value >= 0:
            return value
        self._mistyped(path, value, "an integer of 0 or more")
        return default

    def port(self, parent: Json, key: str, path: str) -> int:
        """A port number that has to be given; 0 only together with a problem."""
        value = parent.get(key)
        if type(value) is int and 1 <= value <= 65535:
            return value
        if value is None:
            self.refuse(path, "required: a port from 1 to 65535")
        else:
            self._mistyped(path, value, "a port from 1 to 65535")
        return 0

    def protocol(self, parent: Json, path: str) -> Protocol:
        """``protocol``; TCP by default."""
        protocol = _PROTOCOLS.get(name := self.text(parent, "protocol", path) or "TCP")
        if protocol is None:
            self.refuse(path, f"expected TCP, UDP or SCTP, got {plain(name)}")
            return Protocol.TCP
        return protocol

    def labels(self, parent: Json, key: str, path: str) -> Labels:
        """A map of strings; a null value is ""."""
        labels = self.mapping(parent, key, path)
        if not labels:
            return ()
        for name, value in labels.items():
            if type(name) is not str or type(value) is not str:
                return self._odd_labels(labels, path)
        return text_labels(labels)

    def _odd_labels(self, labels: Json, path: str) -> Labels:
        sound: dict[str, str] = {}
        for name, value in labels.items():
            if not isinstance(name, str):
                self._mistyped(path, name, "string keys (quote them)")
            elif value is None or isinstance(value, str):
                sound[name] = value or ""
            else:
                here = f"{path}{bracketed(name)}"
                self._mistyped(here, value, "a string", type_hint(value, Text()))
        return text_labels(sound)

    def address(self, text: str, path: str) -> IPAddress | None:
        """An IP address without a zone; ``None`` for "" and, with a problem, for anything else."""
        if not text:
            return None
        address = parse_address(text)
        if address is None:
            self.refuse(path, f"not an IP address: {plain(text)}")
        return address

    def network(self, text: str, path: str) -> IPNetwork | None:
        """A network, masked; ``None`` with a problem."""
        cidr = parse_cidr(text)
        if cidr is None:
            self.refuse(path, f"not a CIDR: {plain(text)}")
            return None
        return cidr.network

    def ref(self, kind: str, metadata: Json, *, namespaced: bool = True) -> ObjectRef:
        """Name and namespace (``default`` when the manifest has none)."""
        name = self.text(metadata, "name", "metadata.name")
        prefix = "" if name else self.text(metadata, "generateName", "metadata.generateName")
        if prefix:
            name = generated_name(prefix, self.source)
        if not name and not isinstance(metadata.get("name"), bool | int | float | list | dict):
            self.refuse("metadata.name", "required: name or generateName")
        namespace = ""
        if namespaced:
            namespace = self.text(metadata, "namespace", "metadata.namespace") or "default"
        return ObjectRef(kind, namespace, name)


_OCTETS = {str(number): number for number in range(256)}


@lru_cache(maxsize=1 << 14)
def parse_address(text: str) -> IPAddress | None:
    """An address without a zone, else ``None``. IPv4 written as IPv6 is IPv4, as for Go."""
    try:
        # The common spelling, in a quarter of the time that `ipaddress` takes: a large cluster has
        # an address for each of its pods.
        a, b, c, d = text.split(".")
        return IPv4Address(_OCTETS[a] << 24 | _OCTETS[b] << 16 | _OCTETS[c] << 8 | _OCTETS[d])
    except (ValueError, KeyError):
        pass
    try:
        return None if "%" in text else unmapped(ip_address(text))
    except ValueError:
        return None


# -- Names that manifests leave to the server or to a controller
# Rule: everything is deterministic: the same file gives the same names on every run.


_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_PREFIX = 58


def generated_name(prefix: str, source: Source) -> str:
    """The name of an object that has only ``generateName``: the prefix, cut as the server cuts it,
    and five letters that depend on where the object was read."""
    origin = f"{prefix}\0{source.file}\0{source.document}\0{source.item}"
    number = crc32(origin.encode("utf-8", "surrogatepass"))
    suffix = ""
    for _ in range(5):
        number, letter = divmod(number, len(_LETTERS))
        suffix += _LETTERS[letter]
    return prefix[:_LONGEST_PREFIX] + suffix


# -- Validation of what is left of a NetworkPolicy in which some fields have the wrong JSON type
# Rule: every problem reported here would also be one if those fields were right. The server stops
# at the first field of a wrong type. Here the others are checked as well, so that one run shows all
# that has to be fixed, except what depends on the unreadable fields.


_UNIT = r"metadata|.*(?:\.ipBlock|\.(?:ports|matchExpressions)\[\d+\])(?![^.\[])"
"""What is validated as one: a field of it that is not known makes the others doubtful."""
_MAP_ENTRY = r"(?s).*\.matchLabels\[.*\]"
_PARENT = r"(?:\.[^.\[\]]+|\[\d+\])\Z"


def readable_part(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest without unknown fields and with null in place of what has the wrong type."""
    part = _readable(dict(manifest), NETWORK_POLICY)
    return part if isinstance(part, dict) else {}


def _readable(value: Any, wire: WireType) -> Any:
    if isinstance(wire, Struct) and isinstance(value, dict):
        known = ((key, wire.fields.get(key)) for key in value if isinstance(key, str))
        return {key: _readable(value[key], field) for key, field in known if field is not None}
    if isinstance(wire, ListOf) and isinstance(value, list):
        return [_readable(item, wire.item) for item in value]
    if isinstance(wire, TextMap) and isinstance(value, dict):
        return {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, str)}
    return value if value is not None and wire.conforms(value) else None


def independent(problems: Iterable[Problem], wrong: Iterable[str]) -> Iterator[Problem]:
    """Those problems that hold whatever the fields at the paths ``wrong`` should have been."""
    doubtful = [_doubts(path) for path in wrong if not re.fullmatch(_MAP_ENTRY, path)]
    return (p for p in problems if not any(doubt(p.path) for doubt in doubtful))


def _doubts(wrong: str) -> Callable[[str], bool]:
    """Whether a problem at a path may come from not knowing the field ``wrong``."""
    unit = re.match(_UNIT, wrong)
    root = unit[0] if unit else wrong
    parent = re.sub(_PARENT, "", wrong)
    return lambda path: path in (root, parent) or path.startswith((f"{root}.", f"{root}["))
