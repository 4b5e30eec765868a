"""Where packets are denied: the rules that end them, and what their log messages say.

Rule: the log prefix is written and read here alone. It holds the name of a group or tier, never
text of the API; ``lower.deniers`` leads from that name back to the policies.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.nft.lowering.identifiers import MAX_LOG_PREFIX, printable
from podfence.nft.objects import DROP, Counter, Limit, Log, Rule
from podfence.policy.flow import Direction

LOG_LIMIT = Limit(rate=20, burst=40)
"""A flood of denied packets must not become a flood of log messages."""
UNKNOWN = "unknown"
"""An address of the node's pod ranges that no known pod has."""
STATELESS = "stateless"
"""A packet without a connection, from or to an isolated pod."""
CLOSED = "closed"
"""A pod whose rules could not be enforced."""
_FIXED = (UNKNOWN, STATELESS, CLOSED)
_START = "podfence:"
_BY_POLICIES = {False: "deny:", True: "answer:"}
"""By whether packets of the reply direction come to it."""

PREFIXES = {Direction.EGRESS: "eg_", Direction.INGRESS: "in_"}
"""What the names of chains that judge one direction begin with."""


class Denied(Struct, frozen=True):
    """What denies. ``direction``: None where no direction of a policy is asked. ``reason``:
    "policy", UNKNOWN, STATELESS or CLOSED."""

    direction: Direction | None
    reason: str


def denied_in(chain: str) -> Denied | None:
    """What the counter of a chain counts; None: nothing that is denied."""
    for direction, prefix in PREFIXES.items():
        if chain.startswith(prefix):
            return Denied(direction, "policy")
    reason = chain.removesuffix("_d")
    return Denied(None, reason) if reason in _FIXED else None


class Logged(Struct, frozen=True):
    """What a log prefix says. ``denier``: the name of a group or tier whose policies deny, UNKNOWN,
    STATELESS or CLOSED. ``is_reply``: the packet was an answer within a connection."""

    denier: str
    is_reply: bool = False


def deny_rules(log_group: int, denier: str, *, is_reply: bool = False) -> tuple[Rule, ...]:
    """Log within limits, then count and drop (CNP-11). ``denier`` and ``is_reply`` as in
    ``Logged``."""
    what = denier if denier in _FIXED else f"{_BY_POLICIES[is_reply]}{denier}"
    prefix = printable(f"{_START}{what}", MAX_LOG_PREFIX)
    return (Rule((LOG_LIMIT, Log(log_group, prefix))), Rule((Counter(), DROP)))


def logged(prefix: str) -> Logged | None:
    """What a message with this prefix says; None: the message is not ours."""
    if not prefix.startswith(_START):
        return None
    what = prefix.removeprefix(_START)
    if what in _FIXED:
        return Logged(what)
    for is_reply, word in _BY_POLICIES.items():
        if what.startswith(word) and what != word:
            return Logged(what.removeprefix(word), is_reply)
    return None
