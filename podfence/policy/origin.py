"""Origin: which line of which policy a compiled rule comes from."""

from __future__ import annotations

from msgspec import Struct

from podfence.errors import Source
from podfence.model.meta import ObjectRef


class Origin(Struct, frozen=True, cache_hash=True):
    """Travels with a rule to the verdict, the nft comment, the answer on the command line.

    ``path`` is the field path inside the policy (``spec.ingress[0]``; ``spec.podSelector`` for
    isolation). Line and column are found from ``source`` and ``path`` when they are printed.
    """

    policy: ObjectRef
    path: str
    source: Source | None = None
