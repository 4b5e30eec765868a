"""The peers of a rule as selectors and blocks, for a reader that has no endpoint classes.

Rule: words depend only on policies, not on the pods that match them now. So rules that are written
from words stand still while pods come and go.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.model.selectors import LabelSelector
from podfence.sets import AddressSet, PortSet


class Pick(Struct, frozen=True):
    """Pods that ``pods`` selects, of ``namespace``, or of those that ``namespaces`` selects.

    ``port``: only those that give exactly the numbers ``numbers`` to a container port of this name
    and protocol (``policy.namedports.PortName``). ``within``: only addresses that lie in it.
    """

    pods: LabelSelector = LabelSelector()
    namespace: str | None = None
    namespaces: LabelSelector = LabelSelector()
    port: tuple[str, str] | None = None
    numbers: PortSet = PortSet()
    within: AddressSet | None = None


class Selection(Struct, frozen=True):
    """A set of addresses in words. ``any_of``: the pods that any of these picks selects.
    ``addresses``: further addresses: those that may be such a pod's (NP-60a), and those that are
    always included. ``names``: domain names whose addresses are included (CNP-19); () for none.
    ``kept``: the addresses that these names had before, in place of the present ones."""

    any_of: tuple[Pick, ...] = ()
    addresses: AddressSet = AddressSet()
    names: tuple[str, ...] = ()
    kept: bool = False
