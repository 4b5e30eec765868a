"""The agent's metrics, in Prometheus' text format.

Rule: labels are kinds, reasons and directions, so that their number is bounded; no label is a name
from the API. Names and units are an interface: docs/agent.md lists them. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from podfence._version import __version__
from podfence.agent.conditions import ConditionKind
from podfence.agent.latency import Latency
from podfence.agent.machine import Machine
from podfence.agent.status import NameCounts, NodeStatus, WatchedKind
from podfence.drops.ledger import DropCounts
from podfence.nft.lowering.deny import AUDIT

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MetricLabels = Mapping[str, str]
Sample = tuple[MetricLabels, float]
NO_LABELS: MetricLabels = {}


def exposition(status: NodeStatus, machine: Machine, now: float) -> str:
    """All metrics; ``now``: seconds of the monotonic clock."""
    return exposed(
        (*_agent(status), *_api(status, now), *_kernel(status, machine), *_process(machine))
    )


def exposed(families: Iterable[Iterable[str]]) -> str:
    """The lines of metrics as Prometheus reads them."""
    return "".join(f"{line}\n" for family in families for line in family)


def _agent(status: NodeStatus) -> Iterator[Iterator[str]]:
    yield gauge("build_info", "The version; always 1.", [({"version": __version__}, 1)])
    yield gauge("in_sync", "Whether all objects were listed and are enforced.", status.in_sync)
    if status.sync_seconds is not None:
        yield gauge("sync_seconds", "From the start until all was in sync.", status.sync_seconds)
    yield _histogram(
        "event_to_kernel_seconds",
        "From the arrival of an event to the kernel's answer, by kind of object.",
        [({"kind": kind}, found) for kind, found in sorted(status.latency.items())],
    )
    events = [({"kind": k, "type": t}, n) for (k, t), n in sorted(status.events.items())]
    yield counter("events_total", "Events taken in.", events)
    yield gauge("events_queued", "Events that wait.", status.queued)
    yield gauge("pods", "Pods of this node that policies see.", status.pods)
    yield gauge(
        "pods_pending", "Pods of this node without address: they pass nothing.", len(status.pending)
    )
    yield gauge("runtime_connected", "Whether starts of pods wait for rules.", status.runtime != "")
    starts = [({"outcome": outcome}, n) for outcome, n in sorted(status.starts.items())]
    yield counter("pod_starts_total", "Starts of pods that waited, by outcome.", starts)
    closed = {pod for condition in status.conditions for pod in condition.closed}
    yield gauge("pods_closed", "Pods that are closed because of a condition.", len(closed))
    held = Counter(condition.kind for condition in status.conditions)
    yield gauge(
        "conditions",
        "Conditions that hold now.",
        [({"condition": kind.value}, held[kind]) for kind in ConditionKind],
    )
    yield gauge("objects_refused", "Objects that cannot be read.", held[ConditionKind.REFUSED])


def _api(status: NodeStatus, now: float) -> Iterator[Iterator[str]]:
    heard = [(each, now - each.heard) for each in status.sources if each.heard is not None]
    yield gauge(
        "source_age_seconds",
        "Age of the last word of the API server about a kind; it says something each minute.",
        [(_labels(each), age) for each, age in heard],
    )
    yield gauge(
        "source_live",
        "Whether a kind is known and followed, or not served.",
        [(_labels(each), each.standing in ("live", "absent")) for each in status.sources],
    )
    yield counter(
        "relists_total",
        "Lists that were started again.",
        [
            ({**_labels(each), "reason": reason}, number)
            for each in status.sources
            for reason, number in sorted(each.relists.items())
        ],
    )


def _labels(source: WatchedKind) -> MetricLabels:
    return {"kind": source.kind, "part": source.part}


def _kernel(status: NodeStatus, machine: Machine) -> Iterator[Iterator[str]]:
    writes, sizes = status.writes, status.sizes
    results = {"taken": writes.taken, "refused": writes.refused, "unanswered": writes.unanswered}
    yield counter(
        "transactions_total",
        "Changes of the table, by what the kernel said.",
        [({"result": result}, number) for result, number in results.items()],
    )
    yield counter(
        "transaction_operations_total", "Operations in changes of the table.", writes.operations
    )
    transactions = [(NO_LABELS, writes.duration)]
    yield _histogram("transaction_seconds", "How long a change of the table took.", transactions)
    for name in ("sets", "chains", "rules", "elements"):
        yield gauge(name, f"Number of {name} in the table.", getattr(sizes, name))
    yield gauge("epoch", "The epoch of the rules in force.", status.epoch)
    yield counter("epoch_bumps_total", "How often the epoch changed.", status.bumps)
    yield counter("sweeps_total", "Clearings of old marks.", status.sweeps)
    yield counter("drifts_total", "Changes of the table by others.", status.drifts)
    yield counter("table_reads_total", "Readings of the whole table.", status.reads)
    denied = [
        ({"direction": d.direction.value if d.direction else "any", "reason": d.reason}, found)
        for d, found in machine.denied.items()
        if d.reason != AUDIT
    ]
    denied.sort(key=lambda each: sorted(each[0].items()))
    yield counter(
        "denied_packets_total", "Denied packets.", [(k, found.packets) for k, found in denied]
    )
    yield counter(
        "denied_bytes_total", "Bytes of denied packets.", [(k, found.bytes) for k, found in denied]
    )
    audited = [
        ({"direction": d.direction.value}, found.packets)
        for d, found in machine.denied.items()
        if d.reason == AUDIT and d.direction is not None
    ]
    audited.sort(key=lambda each: each[0]["direction"])
    yield counter(
        "audited_packets_total",
        "Packets that passed, and that audited policies would have denied.",
        audited,
    )
    yield from _drops(status.drops)
    yield from _names(status.names)
    if machine.conntrack is not None:
        entries, most = machine.conntrack
        yield gauge("conntrack_entries", "Connections that the kernel tracks.", entries)
        yield gauge("conntrack_max", "How many connections the kernel may track.", most)


def _drops(counts: DropCounts) -> Iterator[Iterator[str]]:
    seen = [
        ({"direction": d or "any", "reason": r}, n)
        for (d, r), n in sorted(counts.seen.items())
        if r != AUDIT
    ]
    yield counter("drops_total", "Denied packets that were logged and named.", seen)
    yield counter("drops_lost_total", "Logged packets that nobody could look at.", counts.lost)
    yield counter(
        "drops_forgotten_total", "Denied packets that gave way to others.", counts.forgotten
    )
    yield gauge("drops_kept", "Denied packets that can be asked for.", counts.kept)


def _names(counts: NameCounts) -> Iterator[Iterator[str]]:
    messages = [({"outcome": outcome}, n) for outcome, n in sorted(counts.messages.items())]
    yield counter("dns_messages_total", "DNS packets, by what came of them.", messages)
    yield counter("dns_lost_total", "Copies of DNS packets that nobody could look at.", counts.lost)
    yield gauge("names_addresses", "Addresses of names, live or kept.", counts.addresses)
    yield counter(
        "names_evicted_total", "Addresses of names that gave way to others.", counts.evicted
    )


def _process(machine: Machine) -> Iterator[Iterator[str]]:
    """Under the names that every Prometheus client has for these."""
    found = machine.process
    if found is None:
        return
    for name, text, kind, value in (
        ("resident_memory_bytes", "Memory in use.", "gauge", found.resident),
        ("virtual_memory_bytes", "Address space.", "gauge", found.virtual),
        ("cpu_seconds_total", "CPU time.", "counter", found.cpu),
        ("start_time_seconds", "Start, since 1970.", "gauge", found.started),
        ("open_fds", "Open files.", "gauge", found.files),
    ):
        yield _family(f"process_{name}", text, kind, [(NO_LABELS, value)])


# -- the text format


def gauge(name: str, text: str, found: float | Iterable[Sample]) -> Iterator[str]:
    """The lines of a gauge: one value, or one for each set of labels."""
    return _family(f"podfence_{name}", text, "gauge", _samples(found))


def counter(name: str, text: str, found: float | Iterable[Sample]) -> Iterator[str]:
    """The same of what only grows."""
    return _family(f"podfence_{name}", text, "counter", _samples(found))


def _samples(found: float | Iterable[Sample]) -> Iterable[Sample]:
    return [(NO_LABELS, found)] if isinstance(found, (int, float)) else found


def _family(name: str, text: str, kind: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield from _head(name, text, kind)
    for labels, value in samples:
        yield f"{name}{_braced(labels)} {_value(value)}"


def _histogram(
    name: str, text: str, found: Iterable[tuple[MetricLabels, Latency]]
) -> Iterator[str]:
    name = f"podfence_{name}"
    yield from _head(name, text, "histogram")
    for labels, latency in found:
        total = 0
        for bound, number in zip((*latency.bounds, None), latency.counts, strict=True):
            total += number
            upper = "+Inf" if bound is None else _value(bound)
            yield f"{name}_bucket{_braced({**labels, 'le': upper})} {total}"
        yield f"{name}_sum{_braced(labels)} {_value(latency.seconds)}"
        yield f"{name}_count{_braced(labels)} {total}"


def _head(name: str, text: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _braced(labels: MetricLabels) -> str:
    if not labels:
        return ""
    words = (f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{','.join(words)}}}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _value(value: float) -> str:
    """As Go reads it; a number of events as a whole one."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
