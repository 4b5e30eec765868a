"""Names as a report shows them: unchanged, or each replaced by a word of its own.

Rule: with ``AnonymousNames`` no text of the input is left, only its shape: who reaches whom, on
which ports, by which field of which policy. The same name is always the same word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from podfence.questions.connectivity import Group


class AsWritten:
    """Unchanged names."""

    hides = False

    def namespace(self, name: str) -> str:
        """A namespace."""
        return name

    def group(self, group: Group) -> str:
        """A line of the map."""
        return group.name

    def workload(self, group: Group) -> str:
        """The workload of a group, without its namespace."""
        return group.workload.name if group.workload else ""

    def pods(self, group: Group) -> tuple[str, ...]:
        """The pods of a group."""
        return group.pods

    def addresses(self, group: Group) -> tuple[str, ...]:
        """The addresses of an outside group, as networks."""
        return tuple(map(str, group.addresses.networks())) if group.addresses else ()

    def policy(self, namespace: str, name: str) -> str:
        """A policy, without its namespace."""
        return name

    def port(self, name: str) -> str:
        """A named port."""
        return name

    def rule(self, name: str) -> str:
        """The name of a rule."""
        return name

    def file(self, name: str) -> str:
        """A file."""
        return name

    def left_out(self, pods: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """The pods that are not on the map, by reason."""
        return dict(pods)


class AnonymousNames(AsWritten):
    """Words in place of names, numbered in order of appearance. Outside addresses are replaced too,
    because an address may identify its owner."""

    hides = True

    def __init__(self) -> None:
        self._words: dict[tuple[str, str], str] = {}
        self._counts: Counter[str] = Counter()

    def _word(self, sort: str, name: str) -> str:
        if not name:
            return ""
        found = self._words.get((sort, name))
        if found is None:
            self._counts[sort] += 1
            found = self._words[sort, name] = f"{sort}-{self._counts[sort]}"
        return found

    def namespace(self, name: str) -> str:
        """A namespace."""
        return self._word("namespace", name)

    def group(self, group: Group) -> str:
        """A line of the map: a workload whose pods differ has several."""
        if group.workload is None:
            return self._word("outside", group.name)
        return f"{self.namespace(group.workload.namespace)}/{self._word('workload', group.name)}"

    def workload(self, group: Group) -> str:
        """The workload of a group, without its namespace."""
        return self._word("workload", group.name) if group.workload else ""

    def pods(self, group: Group) -> tuple[str, ...]:
        """The pods of a group."""
        return tuple(f"pod-{number}" for number, _ in enumerate(group.pods, start=1))

    def addresses(self, group: Group) -> tuple[str, ...]:
        """The addresses of an outside group, as networks."""
        return ()

    def policy(self, namespace: str, name: str) -> str:
        """A policy, without its namespace."""
        return self._word("policy", f"{namespace}/{name}")

    def port(self, name: str) -> str:
        """A named port."""
        return ""

    def rule(self, name: str) -> str:
        """The name of a rule."""
        return ""

    def file(self, name: str) -> str:
        """A file."""
        return self._word("file", name)

    def left_out(self, pods: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        """The pods that are not on the map, by reason."""
        return {
            reason: tuple(f"pod-{number}" for number, _ in enumerate(names, start=1))
            for reason, names in pods.items()
        }
