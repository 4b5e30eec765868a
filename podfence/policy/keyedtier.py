"""Tiers of one class before they are shared."""

from __future__ import annotations

from dataclasses import dataclass

from podfence.policy.index import CompiledRule, Tier

Rules = tuple[CompiledRule, ...]


@dataclass(frozen=True, slots=True)
class KeyedTier:
    """What one tier says about one class in one direction. ``key`` names the policies and how
    their port names were resolved: equal keys, equal tiers. ``tier`` None: no policy applies."""

    key: str = ""
    tier: Tier | None = None


NO_TIER = KeyedTier()
