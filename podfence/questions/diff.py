"""Two compiled clusters -> the verdicts that differ, by workload. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from msgspec import Struct

from podfence.engine.permitted import Permitted
from podfence.policy.index import PolicyIndex
from podfence.sets import PortSet
from podfence.sets.addresses import IPAddress


class VerdictChange(Struct, frozen=True):
    """What changed between two workloads, or a workload and an outside address."""

    source: str
    destination: str
    opened: PortSet
    """What may pass now and might not before."""
    closed: PortSet
    """What might pass before and may not now."""
    families: tuple[int, ...]
    """IP versions over which it changed."""
    pairs: int
    """Pairs of pods between which it changed, IP versions counted apart."""
    of: int
    """Pairs that the two workloads have."""


class _End(Struct, frozen=True):
    """``name`` identifies it; ``group`` is its name for a reader."""

    name: str
    group: str
    address: IPAddress


def changed_verdicts(
    before: PolicyIndex, after: PolicyIndex, outside: Iterable[IPAddress] = ()
) -> tuple[VerdictChange, ...]:
    """Every pair of pods that both clusters have, and every pair of such a pod and an ``outside``
    address."""
    ends = [*_pods(before, after), *(_End(str(a), f"outside {a}", a) for a in outside)]
    old, new = Permitted(before), Permitted(after)
    of: Counter[tuple[str, str]] = Counter()
    found: dict[tuple[str, str, PortSet, PortSet], list[int]] = defaultdict(list)
    for source, destination in _pairs(ends):
        key = (source.group, destination.group)
        of[key] += 1
        was = old.ports(source.address, destination.address)
        now = new.ports(source.address, destination.address)
        if was != now:
            found[*key, now - was, was - now].append(source.address.version)
    return tuple(
        VerdictChange(a, b, opened, closed, tuple(sorted(set(f))), len(f), of[a, b])
        for (a, b, opened, closed), f in sorted(found.items(), key=_order)
    )


def _order(item: tuple[tuple[str, str, PortSet, PortSet], object]) -> tuple[bool, str, str]:
    """Pods among themselves first, then by name."""
    source, destination, *_ = item[0]
    outside = any(name.startswith("outside ") for name in (source, destination))
    return outside, source, destination


def _pods(before: PolicyIndex, after: PolicyIndex) -> Iterator[_End]:
    for name, endpoint in after.endpoints.items():
        known = before.endpoints.get(name)
        if known is not None:
            for address in endpoint.addresses:
                if address in known.addresses:
                    group = str(endpoint.pod.owner or endpoint.pod.ref)
                    yield _End(name, group, address)


def _pairs(ends: list[_End]) -> Iterator[tuple[_End, _End]]:
    """Of one family, with a pod in it; a pod and itself are no pair."""
    for source in ends:
        for destination in ends:
            pods = "/" in source.name or "/" in destination.name
            alike = source.address.version == destination.address.version
            if pods and alike and source.name != destination.name:
                yield source, destination
