"""Numbers that others have counted.

Rule: they come from nodes that may be hostile, and are added, compared and printed: what no counter
can hold is refused where it is decoded, so that the fault is that of the node which tells it.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""How many; a serial, a generation, an epoch. msgspec checks it in what it decodes."""
