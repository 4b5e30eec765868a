"""What events change of one node's compiled form, as a value."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from podfence.live.pods import At
from podfence.live.policystore import UnreadPolicy
from podfence.live.selections import Moved
from podfence.model.networkpolicy import IPNetwork
from podfence.policy.index import DirectionPolicy, EndpointPolicy
from podfence.sets.members import Members


class LiveChange(Struct, frozen=True):
    """``new`` and ``gone``: the policies of one direction that pods here have, or have no more.
    ``verdicts``: by address, the policies of the pods here that it may belong to; none: it is no
    pod's here any more. ``moved``: members of selections that are looked at. ``pod_cidrs``: the
    ranges of the node, if they have changed. ``released``: by IP version, addresses that a pod had
    and none has now; ``given``: addresses that none had and a pod has now.
    ``refused``: the policies that cannot be read, of those that were looked at."""

    new: tuple[DirectionPolicy, ...] = ()
    gone: tuple[DirectionPolicy, ...] = ()
    verdicts: Mapping[At, tuple[EndpointPolicy, ...]] = {}
    moved: tuple[Moved, ...] = ()
    pod_cidrs: tuple[IPNetwork, ...] | None = None
    released: Mapping[int, Members] = {}
    given: Mapping[int, Members] = {}
    refused: tuple[UnreadPolicy, ...] = ()

    def __bool__(self) -> bool:
        """Whether the table has to change for it."""
        words = self.new or self.gone or self.verdicts or self.moved
        return bool(words) or self.pod_cidrs is not None
