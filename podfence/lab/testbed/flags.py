"""What is known of hundreds of thousands of probes, as bytes: one 0 or 1 for each. Pure."""

from __future__ import annotations

from collections.abc import Iterator


def both(a: bytes, b: bytes) -> bytes:
    """1 where both are 1."""
    return (int.from_bytes(a, "big") & int.from_bytes(b, "big")).to_bytes(len(a), "big")


def ones(flags: bytes) -> Iterator[int]:
    """Where the 1s are: quick where there are few."""
    at = flags.find(1)
    while at >= 0:
        yield at
        at = flags.find(1, at + 1)
