"""Names, comments and log prefixes of our table.

Rule: a name is a hash of where a thing comes from. It is never a hash of what the thing holds, so a
pod that moves changes elements and no names. A name is never text from the API, which is hostile:
that text is shown in comments only, and only through :func:`printable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from sys import intern

from podfence.policy.flow import Direction
from podfence.policy.index import CompiledRule, CompiledTier, Match
from podfence.policy.origin import Origin

MAX_COMMENT = 128
"""Bytes that nft takes in a comment."""
_HARMLESS = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ./_-:,=+()[]{}<>&|"
)


def printable(text: str, limit: int = MAX_COMMENT) -> str:
    """``text`` with everything but harmless ASCII replaced by ``?``, cut to ``limit`` bytes."""
    safe = "".join(c if c in _HARMLESS else "?" for c in text[: limit + 1])
    return safe if len(safe) <= limit else f"{safe[: limit - 3]}..."


def rule_comment(origin: Origin, path: str) -> str:
    """``shop/db-allow ingress[0].from[1]``; a long name gives way, the path stays."""
    tail = printable(path.removeprefix("spec."))
    return f"{printable(str(origin.policy), MAX_COMMENT - len(tail) - 1)} {tail}"


def match_comment(origin: Origin, match: Match) -> str:
    """The comment of a rule that comes from one peer item of a policy's rule."""
    return rule_comment(origin, match.path or origin.path)


def joint_comment(comments: Sequence[str]) -> str:
    """The comment of a rule that stands for several: the first, and how many more."""
    more = f" and {len(comments) - 1} more" if len(comments) > 1 else ""
    return printable(comments[0], MAX_COMMENT - len(more)) + more


def action_comment(rule: CompiledRule, match: Match) -> str:
    """The same where rules do several things: ``deny ops egress[0].to[1]``."""
    return printable(f"{rule.action.value} {match_comment(rule.origin, match)}")


def group_comment(direction: Direction, tiers: Iterable[CompiledTier]) -> str:
    """The tiers of a group of pods, and the policies of each."""
    return printable(" ".join((direction.value, *map(_tier_words, tiers))))


def tier_comment(direction: Direction, tier: CompiledTier, asked: str) -> str:
    """One tier, what it is asked, and its policies."""
    return printable(f"{direction.value} {asked} {_tier_words(tier)}")


def _tier_words(tier: CompiledTier) -> str:
    origins = (*tier.isolated_by, *(rule.origin for rule in tier.rules))
    return " ".join((tier.name, *dict.fromkeys(str(origin.policy) for origin in origins)))


def tier_key(tier: CompiledTier) -> str:
    """Says all that a tier's chains are written from but the members of its sets: equal keys,
    equal chains."""
    rules = [
        (
            rule.action.value,
            str(rule.origin.policy),
            [(match.path, str(match.ports), match.peers.key) for match in rule.matches],
        )
        for rule in tier.rules
    ]
    return repr((tier.name, tier.default.value, rules))


class Namer:
    """Gives out names, each once.

    Names are short (48 bits of hash), and somebody who may write policies may search for two keys
    with the same hash. So the second key of a name gets another name, and no set is shared by
    accident.
    """

    def __init__(self, digits: Callable[[str, int], str] | None = None) -> None:
        self._digits = digits or short_hash
        self._owners: dict[str, str] = {}
        self.given: set[str] = set()
        """Names asked for since that was last cleared."""

    def __len__(self) -> int:
        """How many names something has."""
        return len(self._owners)

    def name(self, prefix: str, key: str) -> str:
        """The name for ``key``: the same at every call, ``prefix`` and 12 hexadecimal digits."""
        attempt = 0
        while True:
            found = intern(f"{prefix}{self._digits(key, attempt)}")  # many rules hold it
            if self._owners.setdefault(found, key) == key:
                self.given.add(found)
                return found
            attempt += 1

    def free(self, name: str) -> None:
        """Nothing has a name any more."""
        self._owners.pop(name, None)


def short_hash(key: str, attempt: int = 0) -> str:
    """12 hexadecimal digits; ``attempt`` gives others for the same key."""
    salt = attempt.to_bytes(8, "big")
    text = key.encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=6, salt=salt).hexdigest()
