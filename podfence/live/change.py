"""What events change of one node's compiled form, as a value."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from podfence.live.pods import At
from podfence.live.selections import Moved
from podfence.live.unread import UnreadPolicy
from podfence.policy.index import DirectionPolicy, EndpointPolicy
from podfence.sets.addresses import IPNetwork
from podfence.sets.members import Members


class LiveChange(Struct, frozen=True):
    """What has changed of one node's compiled form."""

    new: tuple[DirectionPolicy, ...] = ()
    """Policies of one direction that pods here have now."""
    gone: tuple[DirectionPolicy, ...] = ()
    """Policies of one direction that no pod here has any more."""
    verdicts: Mapping[At, tuple[EndpointPolicy, ...]] = {}
    """By address, the policies of the pods here that it may belong to; none: it is no longer the
    address of a pod here."""
    moved: tuple[Moved, ...] = ()
    """Members of selections that somebody looks at."""
    pod_cidrs: tuple[IPNetwork, ...] | None = None
    """The ranges of the node, if they have changed."""
    released: Mapping[int, Members] = {}
    """By IP version, addresses that a pod had and none has now."""
    given: Mapping[int, Members] = {}
    """By IP version, addresses that no pod had and one has now."""
    refused: tuple[UnreadPolicy, ...] = ()
    """The policies that cannot be read, of those that were looked at."""

    def __bool__(self) -> bool:
        """Whether the table has to change for it."""
        words = self.new or self.gone or self.verdicts or self.moved
        return bool(words) or self.pod_cidrs is not None
