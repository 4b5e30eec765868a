"""Parts of one kind, followed apart, as changes of the one kind.

Rule: an object is gone when no part holds it. Where two parts hold it, the newer version counts.
Versions are only words, though: a source that is asked instead of the server is not believed about
objects that the server itself tells of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from podfence.kube.follow import Follow, ObjectChange, is_older
from podfence.kube.versions import Key

T = TypeVar("T")
LATEST = 4096
"""Words that are kept, which is more than what the server tells later than a substitute: a second
or two of a large cluster."""


class KindParts(Generic[T]):
    """``told``: the parts that the server tells. ``substituted``: the parts that another source is
    asked about first. One thread at a time uses it."""

    def __init__(self, told: Sequence[Follow[T]], substituted: Sequence[Follow[T]] = ()) -> None:
        self._told = told
        self._substituted = substituted
        self._kept: dict[Key, ObjectChange[T]] = {}
        """The latest word of a substitute on what the server still tells of; as many as that."""
        self._overridden: set[Key] = set()
        """What a substitute told of before the server did, in words that are not kept."""
        self._latest: dict[Key, ObjectChange[T]] = {}
        """The last words of substitutes that counted, at most ``LATEST``: the server may tell late
        of what was here before."""

    def counting(
        self, part: Follow[T], changes: Iterable[ObjectChange[T]]
    ) -> tuple[ObjectChange[T], ...]:
        """The changes of a part that are changes of the kind."""
        return tuple(found for change in changes for found in self._of(part, change))

    def _of(self, part: Follow[T], change: ObjectChange[T]) -> Iterator[ObjectChange[T]]:
        if not self._substituted:
            if _counts(change, self._others(part)):
                yield change
        elif part in self._substituted:
            yield from self._word(part, change)
        elif change.data is None:
            yield from self._end(part, change)
        else:
            yield from self._there(part, change)

    def _word(self, part: Follow[T], change: ObjectChange[T]) -> Iterator[ObjectChange[T]]:
        self._kept.pop(change.key, None)
        if any(told.held(change.key) is not None for told in self._told):
            if change.data is not None:
                self._kept[change.key] = change
        elif _counts(change, self._others(part)):
            self._overridden.discard(change.key)
            self._remember(change)
            yield change

    def _remember(self, word: ObjectChange[T]) -> None:
        self._latest.pop(word.key, None)
        if word.data is not None:
            self._latest[word.key] = word
        if len(self._latest) > LATEST:
            del self._latest[next(iter(self._latest))]

    def _there(self, part: Follow[T], change: ObjectChange[T]) -> Iterator[ObjectChange[T]]:
        """A change that the server sent. If no part holds the object any longer, its removal
        follows soon."""
        if not _counts(change, self._others(part)):
            if part.held(change.key) is None:
                return
            word = self._latest.pop(change.key, None)
            if word is not None and any(
                part.held(change.key) == word.version for part in self._substituted
            ):
                self._kept[change.key] = word
            else:
                self._overridden.add(change.key)
        yield change

    def _end(self, part: Follow[T], change: ObjectChange[T]) -> Iterator[ObjectChange[T]]:
        """The word of a substitute counts from now on; where it was lost, nothing is known."""
        word = self._kept.pop(change.key, None)
        is_lost = change.key in self._overridden
        self._overridden.discard(change.key)
        if word is not None:
            yield word
        elif is_lost or _counts(change, self._others(part)):
            yield change

    def _others(self, part: Follow[T]) -> list[Follow[T]]:
        return [each for each in (*self._told, *self._substituted) if each is not part]


def _counts(change: ObjectChange[T], others: Sequence[Follow[T]]) -> bool:
    """Whether a change in one part of a kind is a change of the kind: the other parts hold nothing
    of that name, or nothing newer. The question is asked when the change is taken: a newer version
    has been told already, or waits behind it. Where two parts hold the same version, neither may
    rely on the other, since both may wait."""
    held = [version for part in others if (version := part.held(change.key)) is not None]
    if change.data is None:
        return not held
    return not any(is_older(change.version, version) for version in held)
