"""The peers of a rule as selectors and blocks, for a reader that has no endpoint classes.

Rule: words follow from policies alone, whoever matches them now. So rules that are written from
words stand still while pods come and go.
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
    """The addresses of the pods that any of ``any_of`` picks; ``addresses``: those that may be such
    a pod's (NP-60a), or that are meant in any case; and those that domain names stand for that
    ``names`` mean, or when ``kept``, that such names stood for (CNP-19)."""

    any_of: tuple[Pick, ...] = ()
    addresses: AddressSet = AddressSet()
    names: tuple[str, ...] = ()
    kept: bool = False
