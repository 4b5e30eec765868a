"""Addresses that several live pods have: whose they are, and which pod gets them in a lab.

Rule: an address is one pod's or it is nobody's for certain (NP-60a). Pods on the host network have
no address of their own (NP-50), and finished pods none any more (NP-60).
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from podfence.errors import Problem, Severity
from podfence.model.objects import Pod
from podfence.sets.addresses import IPAddress

CLAIM_CODES = {"PF120": "an address that two live pods have"}

UNCLEAR_OWNER = (
    "while several pods have it, no peer selector matches it, and the policies of every one of "
    "these pods must allow a connection from it or to it"
)
"""What holds of an address with several holders (NP-60a), after a colon or semicolon."""


class AddressClaim(Struct, frozen=True):
    """An address that several live pods have, in the order of the input."""

    address: IPAddress
    pods: tuple[Pod, ...]

    @property
    def holders(self) -> tuple[Pod, ...]:
        """Those that it may belong to: the pods that are not being deleted, if there are any. One
        alone has the address for certain."""
        return tuple(pod for pod in self.pods if not pod.deleting) or self.pods

    @property
    def heir(self) -> Pod:
        """The one that gets it where one has to: the youngest holder, of equal ones the first by
        name."""
        by_name = sorted(self.holders, key=lambda pod: (pod.namespace, pod.name))
        return max(by_name, key=lambda pod: pod.created)


def claims(pods: Iterable[Pod]) -> tuple[AddressClaim, ...]:
    """Every address that more than one live pod has."""
    live = [pod for pod in pods if pod.addresses and pod.is_seen]
    numbers = [int(address) for pod in live for address in pod.addresses]
    if len(set(numbers)) == len(numbers):  # nearly always; addresses themselves are slow to hash
        return ()
    first: dict[IPAddress, Pod] = {}
    several: dict[IPAddress, list[Pod]] = {}
    for pod in live:
        for address in pod.addresses:
            known = first.setdefault(address, pod)
            if known is not pod:
                several.setdefault(address, [known]).append(pod)
    return tuple(AddressClaim(address, tuple(holders)) for address, holders in several.items())


def claim_problems(pods: Iterable[Pod]) -> tuple[Problem, ...]:
    """A warning for each pod that has an address which another one before it has."""
    found = []
    for claim in claims(pods):
        *others, last = claim.pods
        names = ", ".join(f"{pod.namespace}/{pod.name}" for pod in others)
        found.append(
            Problem(
                "PF120",
                Severity.WARNING,
                f"{claim.address} is also the address of {names}; {_whose(claim)} (NP-60a)",
                last.source,
                "status.podIP",
                f"Pod {last.namespace}/{last.name}",
            )
        )
    return tuple(found)


def _whose(claim: AddressClaim) -> str:
    if len(claim.holders) == 1:
        owner = claim.holders[0]
        return f"{owner.namespace}/{owner.name} owns it, because it is not being deleted"
    return UNCLEAR_OWNER
