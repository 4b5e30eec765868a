"""The garbage collector, held back while many values are made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Pause the garbage collector inside: it would walk millions of small values without cycles
    again and again, and free nothing. May be nested.

    What was made inside counts as old when it ends: the next look at young values would walk all of
    it once more, a twentieth of a large map.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled and not gc.get_freeze_count():  # what others froze stays so
            gc.freeze()  # all of it leaves the young values ...
            gc.unfreeze()  # ... and is old
        if enabled:
            gc.enable()
