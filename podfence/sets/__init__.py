"""Value algebra: sets of ports and of addresses. No Kubernetes word in here."""

from podfence.sets.addresses import AddressSet
from podfence.sets.intervals import IntervalSet
from podfence.sets.ports import PortSet

__all__ = ["AddressSet", "IntervalSet", "PortSet"]
