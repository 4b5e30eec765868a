"""What findings depend on besides the policies and pods of an index.

Rule: what is not known is empty, and the findings that need it are silent.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.model.entries import Controllers, Entries
from podfence.questions.lint.conflicts import Twin
from podfence.questions.unjudged import UNTOUCHED, TouchedPods
from podfence.sets.addresses import IPAddress, IPNetwork


class Surroundings(Struct, frozen=True):
    """``touched``: pods that policies of other APIs may touch; ``entries``: ways in from outside,
    with who serves them."""

    touched: TouchedPods = UNTOUCHED
    entries: Entries = Entries()
    controllers: Controllers = Controllers()
    api_server: tuple[IPAddress, ...] = ()
    """The addresses of the API server."""
    tenant_label: str = ""
    """Of namespaces: those with different values are not to meet."""
    shared: frozenset[str] = frozenset()
    """Namespaces that every tenant may meet."""
    plugin: str = ""
    """The network plugin, with its version where that is known: ``calico 3.30``."""
    service_cidrs: tuple[IPNetwork, ...] = ()
    """The ranges from which the cluster gives addresses to Services."""
    twins: tuple[Twin, ...] = ()
    """Policies that others of the same name took the place of."""


NOWHERE = Surroundings()
