"""Where packets are denied, or would be: the rules that end them, and what their log messages say.

Rule: an audit accepts what it would deny, after everything else was asked. So only the ends of
chains tell an audit from what is enforced. The log prefix is written and read in this module alone.
It holds the name of a group or tier, never text of the API; ``lower.deniers`` leads from that name
back to the policies.
"""

from __future__ import annotations

from msgspec import Struct

from podfence.nft.lowering.identifiers import printable
from podfence.nft.objects import ACCEPT, DROP, MAX_LOG_PREFIX, Counter, Limit, Log, Rule
from podfence.policy.flow import Direction

LOG_LIMIT = Limit(rate=20, burst=40)
"""A flood of denied packets must not become a flood of log messages."""
UNKNOWN = "unknown"
"""An address of the node's pod ranges that no known pod has."""
STATELESS = "stateless"
"""A packet without a connection, from or to an isolated pod."""
CLOSED = "closed"
"""A pod whose rules could not be enforced."""
AUDIT = "audit"
"""Policies that are audited would deny."""
_FIXED = (UNKNOWN, STATELESS, CLOSED)
_START = "podfence:"
_AUDIT = "audit_"
_BY_POLICIES = {
    (False, False): "deny:",
    (False, True): "answer:",
    (True, False): "would-deny:",
    (True, True): "would-deny-answer:",
}
"""By whether it is only audited, and whether packets of the reply direction come to it."""
_PREFIXES = {Direction.EGRESS: "eg_", Direction.INGRESS: "in_"}


def prefix_of(direction: Direction, *, audit: bool) -> str:
    """What the names of groups, tiers and chains that judge one direction begin with."""
    return f"{_AUDIT if audit else ''}{_PREFIXES[direction]}"


def is_audit(name: str) -> bool:
    """Whether a group, tier or chain only audits (AUD-4)."""
    return direction_of(name) is not None and name.startswith(_AUDIT)


def direction_of(name: str) -> Direction | None:
    """The direction that a group, tier or chain judges; None: of no policy."""
    bare = name.removeprefix(_AUDIT)
    return next((d for d, prefix in _PREFIXES.items() if bare.startswith(prefix)), None)


class Denier(Struct, frozen=True):
    """What denies. ``direction``: None where no direction of a policy is asked. ``reason``:
    "policy", UNKNOWN, STATELESS or CLOSED. AUDIT: nothing was denied, and audited policies would
    have denied it."""

    direction: Direction | None
    reason: str


def denied_in(chain: str) -> Denier | None:
    """What the counter of a chain counts; None: nothing that is denied."""
    direction = direction_of(chain)
    if direction is not None:
        return Denier(direction, AUDIT if is_audit(chain) else "policy")
    reason = chain.removesuffix("_d")
    return Denier(None, reason) if reason in _FIXED else None


class LogPrefix(Struct, frozen=True):
    """What a log prefix says. ``denier``: the name of a group or tier whose policies deny, UNKNOWN,
    STATELESS or CLOSED. ``is_reply``: the packet was an answer within a connection."""

    denier: str
    is_reply: bool = False


def deny_rules(log_group: int, denier: str, *, is_reply: bool = False) -> tuple[Rule, ...]:
    """Log within limits, then count and drop (CNP-11). What is only audited is counted and passes.
    ``denier`` and ``is_reply``: as in ``LogPrefix``."""
    audit = is_audit(denier)
    what = denier if denier in _FIXED else f"{_BY_POLICIES[audit, is_reply]}{denier}"
    prefix = printable(f"{_START}{what}", MAX_LOG_PREFIX)
    end = ACCEPT if audit else DROP
    return (Rule((LOG_LIMIT, Log(log_group, prefix))), Rule((Counter(), end)))


def logged(prefix: str) -> LogPrefix | None:
    """What a message with this prefix says; None: the message is not ours."""
    if not prefix.startswith(_START):
        return None
    what = prefix.removeprefix(_START)
    if what in _FIXED:
        return LogPrefix(what)
    for (audit, is_reply), word in _BY_POLICIES.items():
        denier = what.removeprefix(word)
        if what.startswith(word) and denier and is_audit(denier) is audit:
            return LogPrefix(denier, is_reply)
    return None
