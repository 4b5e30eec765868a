"""Records of the use of rules: values, as JSON has them.

Rule: every name comes from the API and is hostile; all output escapes it. Names of fields are an
interface (``docs/schemas/rules.schema.json``). Times are RFC 3339, of the node's clock.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.model.meta import Count


class RuleUse(Struct, frozen=True, omit_defaults=True):
    """One rule. ``path``: in its policy (``spec.ingress[0]``). ``uses``: connections that passed
    and that it fits; of a rule that denies, how often a denied packet was put down to it. ``last``:
    when that was seen last, "" for never."""

    path: str
    uses: Count = 0
    last: str = ""


class PolicyUse(Struct, frozen=True, omit_defaults=True):
    """The rules of one revision of a policy. ``policy``: namespace/name, or the name alone.
    ``since``: from when on this node has looked for uses of this revision."""

    kind: str
    policy: str
    uid: str
    generation: Count
    since: str
    rules: tuple[RuleUse, ...] = ()


class NodeUsage(Struct, frozen=True):
    """What a node tells: the policies that select pods of it, or did."""

    node: str
    since: str
    """From when on the node has counted."""
    away: Count = 0
    """Seconds since then in which no agent looked."""
    looks: Count = 0
    cut: Count = 0
    """Looks at the connections that did not read all of them."""
    missed: Count = 0
    """Connections of which nobody could find out which rule they use."""
    uncounted: Count = 0
    """Policies for which there is no room."""
    policies: tuple[PolicyUse, ...] = ()
    fault: str = ""
    """Why the node does not look now, and has not since ``looked``; "": it does."""
    looked: str = ""
