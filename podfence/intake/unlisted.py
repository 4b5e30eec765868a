"""Kinds that could not be listed in a cluster, or whose objects podfence does not judge.

Rule: a gap is a value: a live cluster yields it, a snapshot stores it as an object of its own, and
a reader of the snapshot gets the same gap as a reader of the cluster.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from podfence.errors import Problem, Severity, Source
from podfence.intake.documents import Unreadable

API_VERSION: Final = "podfence/v1"
KIND: Final = "Unlisted"

UNLISTED_CODES: Final = {
    "PF113": "policies of another API are not judged",
    "PF117": "a kind of the cluster that cannot be listed",
    "PF118": "CronJobs of the cluster that cannot be listed",
}

_MEANINGS: Final = {
    "Namespace": "labels of namespaces are unknown; verdicts that depend on them are left open",
    "Node": "an address may be a node's; verdicts that this could change are left open",
    "Pod": "pods are unknown; no question can name one, and any address may be a pod's",
    "Service": "Services are unknown by name, and any address may be a Service's",
    "CronJob": "CronJobs that do not run now are unknown, and no question can name them",
    "EndpointSlice": "what is behind a Service without a selector is unknown",
    "NetworkPolicy": "verdicts that one more policy could change are left open",
    "ClusterNetworkPolicy": "verdicts that a policy of another tier could change are left open",
    "AdminNetworkPolicy": "verdicts that a policy of the Admin tier could change are left open",
    "BaselineAdminNetworkPolicy": "verdicts that a baseline policy could change are left open",
}


class Unlisted(Struct, frozen=True):
    """A kind whose objects are not all known."""

    kind: str
    """``NetworkPolicy``."""
    message: str
    """The reason, in the server's words, and the RBAC rule that would allow it."""
    listed_in: tuple[str, ...] = ()
    """The namespaces in which it could be listed."""

    @property
    def text(self) -> str:
        """As text: the kind, the consequence for answers, and the reason."""
        where = f" outside namespace {', '.join(self.listed_in)}" if self.listed_in else ""
        meaning = _MEANINGS.get(self.kind, "verdicts that it could change are left open")
        return f"{self.kind}{where}: {meaning}; {self.message}"

    def problem(self, source: Source) -> Problem:
        """The same as a problem."""
        return Problem("PF117", Severity.ERROR, self.text, source)

    def note(self) -> Problem:
        """The same as a note, if no verdict depends on the kind because no existing pod is
        missing."""
        return Problem("PF118", Severity.NOTE, self.text)

    def unreadable(self, source: Source) -> Unreadable:
        """Its substitute for building a cluster."""
        return Unreadable(source, self.kind, "", None, frozenset(self.listed_in))

    def document(self) -> dict[str, Any]:
        """Its object in a snapshot."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": self.kind.lower()},
            "of": self.kind,
            "message": self.message,
            "listedIn": list(self.listed_in),
        }


class Elsewhere(Struct, frozen=True):
    """Policies of another API, which are counted and not judged."""

    kind: str
    """``CiliumNetworkPolicy.cilium.io``."""
    number: int
    """-1: unknown."""

    def problem(self, source: Source | None) -> Problem:
        """As a problem."""
        name, _, group = self.kind.partition(".")
        number = "an unknown number of" if self.number < 0 else self.number
        text = (
            f"{number} {name} ({group}) {('is' if number == 1 else 'are')} not judged: podfence "
            "judges only the policies of Kubernetes; these may deny what it allows, and allow "
            "what it denies"
        )
        return Problem("PF113", Severity.WARNING, text, source, "kind")

    def document(self) -> dict[str, Any]:
        """Their object in a snapshot."""
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": self.kind.lower()},
            "of": self.kind,
            "number": self.number,
        }


def read_unlisted(data: dict[str, Any]) -> Unlisted | Elsewhere | None:
    """Read such an object of a snapshot; None if podfence did not write it."""
    kind, number, message = data.get("of"), data.get("number"), data.get("message")
    if not isinstance(kind, str) or not kind:
        return None
    if isinstance(number, int) and "." in kind:
        return Elsewhere(kind, number)
    listed = data.get("listedIn") or []
    if not isinstance(message, str) or not isinstance(listed, list):
        return None
    return Unlisted(kind, message, tuple(each for each in listed if isinstance(each, str)))
