"""What a process holds."""

from __future__ import annotations

import gc
import resource
from pathlib import Path

_PAGE = resource.getpagesize()


def resident() -> int:
    """Bytes of this process that are in memory, after a collection."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def resident_of(process: int) -> int:
    """Bytes of another process that are in memory; 0 where there is none."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0
