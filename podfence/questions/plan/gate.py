"""The words of ``plan --fail-on``.

Rule: imports nothing of a plan, so that settings can be read without the modules of one.
"""

from __future__ import annotations

from enum import Enum


class FailOn(Enum):
    """Which changes a gate is shut for. ``OUTSIDE``: new ways in from outside, or out to it.
    ``USED``: connections close that were seen."""

    ANY = "any"
    OPENS = "opens"
    CLOSES = "closes"
    OUTSIDE = "outside"
    USED = "used"
    NEVER = "never"
