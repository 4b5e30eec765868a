"""The objects of one kind that are held, each with its resourceVersion, in few bytes.

Rule: a node follows every pod of its cluster, so there is no tuple for a key, and a version that is
a number is kept as one. What comes out is what was put in.
"""

from __future__ import annotations

from collections.abc import Iterator

Key = tuple[str, str]
"""Namespace and name."""
_DIGITS = 18
"""Of numbers that fit in 64 bits. Longer versions, and other words, are kept as they are."""


class Versions:
    """For one thread that changes it; any thread may ask for one."""

    def __init__(self) -> None:
        self._named: dict[str, dict[str, int | str]] = {}

    def __bool__(self) -> bool:
        return bool(self._named)

    def __iter__(self) -> Iterator[Key]:
        return ((namespace, name) for namespace, held in self._named.items() for name in held)

    def get(self, key: Key) -> str | None:
        """The version of an object; None: it is not held."""
        namespace, name = key
        found = self._named.get(namespace, {}).get(name)
        return None if found is None else str(found)

    def put(self, key: Key, version: str) -> None:
        """An object is held, in this version."""
        namespace, name = key
        self._named.setdefault(namespace, {})[name] = _short(version)

    def remove(self, key: Key) -> None:
        """Forget an object. Raises KeyError for one that is not held."""
        namespace, name = key
        held = self._named[namespace]
        del held[name]
        if not held:
            del self._named[namespace]


def _short(version: str) -> int | str:
    is_number = version.isdecimal() and version.isascii() and len(version) <= _DIGITS
    return int(version) if is_number and version[0] != "0" else version
