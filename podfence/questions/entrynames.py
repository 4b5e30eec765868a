"""What people call an entry: ``entry/ingress/shop/front``, with its host and path where it has
several.

Rule: the words are those of the tables, so that a name can be copied from one. A word is an entry
only if its kind is that of an entry; ``entry/web`` is workload ``web`` of namespace ``entry``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from podfence.errors import UnknownObject
from podfence.likeness import similar
from podfence.model.entries import EntryPoint
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.questions.phrases.words import some

PREFIX: Final = "entry/"
_SHOWN: Final = 5
_KINDS: Final[Mapping[str, str]] = {
    **{
        kind: kind
        for kind in (
            "ingress",
            "httproute",
            "grpcroute",
            "tlsroute",
            "tcproute",
            "udproute",
            "route",
            "loadbalancer",
            "nodeport",
            "externalips",
            "hostport",
        )
    },
    "ing": "ingress",
    "ingresses": "ingress",
}
"""Words for the kinds of entries, without upper case."""


def object_name(entry: EntryPoint) -> str:
    """``ingress/shop/front``. Text of the API: never print it raw."""
    return f"{entry.ref.kind.lower()}/{entry.ref.namespace}/{entry.ref.name}"


def entry_name(entry: EntryPoint) -> str:
    """``ingress/shop/front shop.example/api``. Text of the API: never print it raw."""
    name = object_name(entry)
    return f"{name} {entry.asked}" if entry.asked else name


def is_entry(word: str) -> bool:
    """Whether a word names an entry, by its form."""
    _, prefix, rest = word.partition(PREFIX)
    kind, slash, name = rest.partition("/")
    return word.startswith(PREFIX) and bool(prefix and slash and name) and kind.lower() in _KINDS


def entry_meant(word: str) -> str:
    """The entry that a word may mean without saying so, by its form: ``entry/ingress/shop/front``
    of ``ingress/shop/front`` and ``shop/ingress/front``; "" of any other word."""
    name, blank, asked = word.partition(" ")
    match name.split("/"):
        case [kind, *rest] if kind.lower() in _KINDS and len(rest) in (1, 2) and all(rest):
            pass
        case [namespace, kind, last] if kind.lower() in _KINDS and namespace and last:
            rest = [namespace, last]
        case _:
            return ""
    return f"{PREFIX}{'/'.join([_KINDS[kind.lower()], *rest])}{blank}{asked}"


def called(entries: Iterable[EntryPoint], word: str, namespace: str = "") -> tuple[EntryPoint, ...]:
    """The entries that a word names: all of an object, or those of one host and path.
    ``namespace``: that of a name without one, ``default`` if it is "". Raises UnknownObject."""
    name, _, asked = word.removeprefix(PREFIX).partition(" ")
    kind, _, rest = name.partition("/")
    if "/" not in rest:
        rest = f"{namespace or DEFAULT_NAMESPACE}/{rest}"
    wanted = f"{_KINDS.get(kind.lower(), kind)}/{rest}"
    known = tuple(entries)
    of_object = [entry for entry in known if object_name(entry) == wanted]
    if not of_object:
        raise UnknownObject(f"no entry is called {PREFIX}{wanted}{_hint(known, wanted)}")
    found = tuple(entry for entry in of_object if asked in ("", entry.asked))
    if not found:
        ways = some([repr(entry.asked) for entry in of_object], _SHOWN, ", ")
        raise UnknownObject(f"{PREFIX}{wanted} is not asked for {asked!r}; it is for {ways}")
    return found


def _hint(known: Iterable[EntryPoint], wanted: str) -> str:
    names = sorted(dict.fromkeys(object_name(entry) for entry in known))
    if not names:
        return "; the input has no entries"
    last = wanted.rpartition("/")[2]
    close = [name for name in names if name.rpartition("/")[2] == last][:3]
    close = close or similar(wanted, names, 3)
    if close:
        return f"; did you mean {' or '.join(PREFIX + name for name in close)}?"
    return f"; there are {some([PREFIX + name for name in names], _SHOWN, ', ')}"
