"""Times of records, as RFC 3339 in UTC so that they can be compared."""

from __future__ import annotations

from datetime import UTC, datetime


def rfc3339(value: object) -> str:
    """``1732000000``, ``"1732000000"`` or RFC 3339; "" for what is none."""
    if isinstance(value, str) and not value.isdecimal():
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return ""
    try:
        return datetime.fromtimestamp(int(value), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return ""
