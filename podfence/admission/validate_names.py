"""Names, label keys, label values and port names: the texts with which the server refuses them.

Rule: every function maps one string to the list of complaints, in the server's order and words;
an empty tuple means valid. Lengths count UTF-8 bytes. Results are cached: clusters repeat
themselves.
"""

from __future__ import annotations

import re
from functools import lru_cache

_CACHE = 1 << 16
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_SUBDOMAIN = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_KEY_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = rf"({_KEY_NAME})?"

_DNS_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    f"for validation is '{_DNS_LABEL}')"
)
_DNS_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_DNS_SUBDOMAIN}')"
)
_KEY_NAME_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_KEY_NAME}')"
)
_KEY_TEXT = (
    f"a valid label key {_KEY_NAME_TEXT} with an optional DNS subdomain prefix and '/' "
    "(e.g. 'example.com/MyName')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  "
    f"or '12345', regex used for validation is '{_VALUE}')"
)

# A name may be very long and hostile: these forms match the same language as the published
# expressions, but without their nested repetition, so no text can make them slow.
_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_IS_LABEL = re.compile(_LABEL)
_IS_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_IS_KEY_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_IS_PORT_NAME_TEXT = r"[-a-z0-9]+"
_HAS_LETTER = r"[a-z]"

Complaints = tuple[str, ...]


def byte_length(text: str) -> int:
    """Length in UTF-8 bytes; a lone surrogate counts as its replacement character (3 bytes)."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=_CACHE)
def dns_subdomain(text: str, unit: str = "characters") -> Complaints:
    """DNS-1123 subdomain of at most 253 bytes, which the server calls ``unit``: names of most
    objects, prefixes of label keys.
    """
    found = []
    if byte_length(text) > 253:
        found.append(f"must be no more than 253 {unit}")
    if not _IS_SUBDOMAIN.fullmatch(text):
        found.append(_DNS_SUBDOMAIN_TEXT)
    return tuple(found)


def generate_name(text: str) -> Complaints:
    """``metadata.generateName``: a subdomain to which a suffix is still added."""
    trailing_dash = len(text) > 1 and text.endswith("-")
    return dns_subdomain(f"{text[:-2]}a" if trailing_dash else text)


@lru_cache(maxsize=_CACHE)
def namespace_name(text: str) -> Complaints:
    """DNS-1123 label, at most 63 characters."""
    found = []
    if byte_length(text) > 63:
        found.append("must be no more than 63 characters")
    if not _IS_LABEL.fullmatch(text):
        found.append("must not contain dots" if _IS_SUBDOMAIN.fullmatch(text) else _DNS_LABEL_TEXT)
    return tuple(found)


def _key_prefix(prefix: str) -> list[str]:
    if not prefix:
        return ["prefix part must be non-empty"]
    return [f"prefix part {text}" for text in dns_subdomain(prefix, "bytes")]


@lru_cache(maxsize=_CACHE)
def label_key(text: str) -> Complaints:
    """A label key: a name of at most 63 bytes, with an optional DNS prefix and ``/``."""
    *prefixes, name = text.split("/")
    if len(prefixes) > 1:
        return (_KEY_TEXT,)
    found = _key_prefix(prefixes[0]) if prefixes else []
    if not name:
        found.append("name part must be non-empty")
    elif byte_length(name) > 63:
        found.append("name part must be no more than 63 bytes")
    if not _IS_KEY_NAME.fullmatch(name):
        found.append(f"name part {_KEY_NAME_TEXT}")
    return tuple(found)


@lru_cache(maxsize=_CACHE)
def label_value(text: str) -> Complaints:
    """A label value: empty, or at most 63 bytes of the characters of a name."""
    found = []
    if byte_length(text) > 63:
        found.append("must be no more than 63 bytes")
    if text and not _IS_KEY_NAME.fullmatch(text):
        found.append(_VALUE_TEXT)
    return tuple(found)


@lru_cache(maxsize=_CACHE)
def port_name(text: str) -> Complaints:
    """A container port's name (NP-32)."""
    checks = (
        (byte_length(text) > 15, "must be no more than 15 characters"),
        (
            not re.fullmatch(_IS_PORT_NAME_TEXT, text),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (not re.search(_HAS_LETTER, text), "must contain at least one letter (a-z)"),
        ("--" in text, "must not contain consecutive hyphens"),
        (text.startswith("-") or text.endswith("-"), "must not begin or end with a hyphen"),
    )
    return tuple(complaint for failed, complaint in checks if failed)


def port_number(number: int) -> Complaints:
    """A port number."""
    return () if 1 <= number <= 65535 else ("must be between 1 and 65535, inclusive",)
