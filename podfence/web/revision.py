"""One state of the input for the page: parts as JSON, each made on first use."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from msgspec import Struct

from podfence.live.clusterindex import ClusterIndex
from podfence.manifests.inputfiles import InputFile, SkippedLink
from podfence.manifests.load import Loaded
from podfence.manifests.testfiles import ReadTests
from podfence.policy.index import PolicyIndex
from podfence.questions.lint.findings import LintFinding
from podfence.questions.lint.surroundings import NOWHERE, Surroundings
from podfence.questions.plan.followed import FollowedState
from podfence.questions.plan.plan import comparable
from podfence.render.jsontext import json_bytes


def _as_it_is(finding: LintFinding) -> LintFinding:
    return finding


class ReadInput(Struct, frozen=True):
    """The input. ``files``: its files, none for a cluster. ``tests``: its test files, None without
    any. ``around``, ``configured``: the settings of findings; the latter returns a finding as they
    change it, None if they leave it out."""

    loaded: Loaded
    index: PolicyIndex
    files: tuple[InputFile | SkippedLink, ...] = ()
    tests: ReadTests | None = None
    around: Surroundings = NOWHERE
    configured: Callable[[LintFinding], LintFinding | None] = _as_it_is

    @property
    def paths(self) -> tuple[str, ...]:
        """Names of the files that contain text, without rendered ones."""
        files = (each for each in self.files if isinstance(each, InputFile))
        return tuple(file.path for file in files if not file.error and not file.rendered)


Make = Callable[[ReadInput], Mapping[str, Callable[[], object]]]
"""The parts of a page by name; each is JSON values."""


class InputRevision:
    """``name`` is unique. ``parts`` may be used by any thread, ``followed`` only by the one that
    judges."""

    def __init__(self, name: str, read: ReadInput, make: Make) -> None:
        self.name = name
        self.read = read
        self._make: Mapping[str, Callable[[], Any]] = make(read)
        self._made: dict[str, bytes] = {}
        self._lock = threading.Lock()

    @property
    def objects(self) -> int:
        """How many objects were read."""
        return len(self.read.loaded.documents)

    def has(self, name: str) -> bool:
        """Whether a part has been made."""
        return name in self._made

    def part(self, name: str) -> bytes:
        """One part as JSON. Raises KeyError for an unknown name."""
        with self._lock:
            if name not in self._made:
                self._made[name] = json_bytes(self._make[name]())
            return self._made[name]

    @cached_property
    def followed(self) -> FollowedState:
        """The state that edits start from, with a pod to come in each namespace."""
        return followed_of(self.read)


def followed_of(read: ReadInput) -> FollowedState:
    """The state that edits of the input are compared with, newcomers included."""
    cluster, _ = comparable(*[read.loaded.cluster] * 2)
    return FollowedState(ClusterIndex.of(cluster, read.index.names))
