"""The metrics: what of a status they tell, in the format that Prometheus reads, without names."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from podfence.agent.conditions import Condition, ConditionKind
from podfence.agent.latency import BOUNDS, Latencies, Latency
from podfence.agent.machine import Machine, Process
from podfence.agent.metrics import exposition
from podfence.agent.status import NodeStatus, TransactionCounts, WaitingPod, WatchedKind
from podfence.kernel.nftables.counters import ChainCount
from podfence.nft.lowering.deny import CLOSED, STATELESS, UNKNOWN, Denier, denied_in
from podfence.nft.lowering.sizes import Sizes
from podfence.policy.flow import Direction
from tests.agent.exposition import Samples, parse
from tests.nft.cases import CASES

NOTHING = Machine({}, None, None)
FRESH = NodeStatus("n1", started=100.0, turned=100.0)


def _latency(*seconds: float) -> Latency:
    latencies = Latencies()
    for each in seconds:
        latencies.add("x", each)
    return latencies.now()["x"]


BUSY = replace(
    FRESH,
    in_sync=True,
    sync_seconds=1.5,
    epoch=7,
    bumps=3,
    pods=4,
    pending=(WaitingPod("shop/secret-name", 90.0),),
    conditions=(
        Condition(
            ConditionKind.REFUSED, "NetworkPolicy shop/secret-name", "x", 1.0, ("shop/a", "shop/b")
        ),
        Condition(ConditionKind.KERNEL_REFUSED, "in_1", "y", 1.0, ("shop/b", "shop/c")),
    ),
    sources=(
        WatchedKind("Pod", "own", "live", heard=110.0, relists={"expired": 2, "lost": 1}),
        WatchedKind("Pod", "other", "late", heard=60.0),
        WatchedKind("Node", "", "forbidden", "secret-name"),
        WatchedKind("ClusterNetworkPolicy", "", "absent", heard=119.0),
    ),
    events={("Pod", "put"): 10, ("Pod", "gone"): 2},
    latency={"Pod": _latency(0.0007, 0.0007, 0.3, 99.0)},
    queued=5,
    writes=TransactionCounts(
        taken=8, refused=1, unanswered=2, operations=70, duration=_latency(0.001)
    ),
    drifts=1,
    reads=2,
    sweeps=3,
    sizes=Sizes(sets=11, chains=12, rules=13, elements=14),
)
MACHINE = Machine(
    {
        Denier(Direction.INGRESS, "policy"): ChainCount(5, 300),
        Denier(Direction.EGRESS, "policy"): ChainCount(6, 360),
        Denier(None, UNKNOWN): ChainCount(1, 60),
        Denier(Direction.EGRESS, "audit"): ChainCount(7, 420),
    },
    (17, 65536),
    Process(resident=1 << 25, virtual=1 << 28, cpu=1.25, started=1.7e9, files=20),
)


def _value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


@pytest.mark.parametrize("machine", [NOTHING, MACHINE], ids=["bare", "full"])
@pytest.mark.parametrize("status", [FRESH, BUSY], ids=["fresh", "busy"])
def test_it_is_in_the_format(status: NodeStatus, machine: Machine) -> None:
    assert parse(exposition(status, machine, 120.0))


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        ("podfence_in_sync", {}, 1),
        ("podfence_sync_seconds", {}, 1.5),
        ("podfence_epoch", {}, 7),
        ("podfence_epoch_bumps_total", {}, 3),
        ("podfence_pods", {}, 4),
        ("podfence_pods_pending", {}, 1),
        ("podfence_pods_closed", {}, 3),
        ("podfence_objects_refused", {}, 1),
        ("podfence_conditions", {"condition": "KernelRefused"}, 1),
        ("podfence_conditions", {"condition": "Drift"}, 0),
        ("podfence_source_age_seconds", {"kind": "Pod", "part": "own"}, 10),
        ("podfence_source_age_seconds", {"kind": "Pod", "part": "other"}, 60),
        ("podfence_source_live", {"kind": "Pod", "part": "own"}, 1),
        ("podfence_source_live", {"kind": "Pod", "part": "other"}, 0),
        ("podfence_source_live", {"kind": "Node", "part": ""}, 0),
        ("podfence_source_live", {"kind": "ClusterNetworkPolicy", "part": ""}, 1),
        ("podfence_relists_total", {"kind": "Pod", "part": "own", "reason": "expired"}, 2),
        ("podfence_events_total", {"kind": "Pod", "type": "gone"}, 2),
        ("podfence_events_queued", {}, 5),
        ("podfence_transactions_total", {"result": "taken"}, 8),
        ("podfence_transactions_total", {"result": "refused"}, 1),
        ("podfence_transactions_total", {"result": "unanswered"}, 2),
        ("podfence_transaction_operations_total", {}, 70),
        ("podfence_sets", {}, 11),
        ("podfence_elements", {}, 14),
        ("podfence_drifts_total", {}, 1),
        ("podfence_table_reads_total", {}, 2),
        ("podfence_sweeps_total", {}, 3),
        ("podfence_denied_packets_total", {"direction": "ingress", "reason": "policy"}, 5),
        ("podfence_denied_bytes_total", {"direction": "egress", "reason": "policy"}, 360),
        ("podfence_denied_packets_total", {"direction": "any", "reason": "unknown"}, 1),
        ("podfence_conntrack_entries", {}, 17),
        ("podfence_conntrack_max", {}, 65536),
        ("process_resident_memory_bytes", {}, 1 << 25),
        ("process_cpu_seconds_total", {}, 1.25),
    ],
)
def test_a_metric_says(name: str, labels: dict[str, str], value: float) -> None:
    assert _value(parse(exposition(BUSY, MACHINE, 120.0)), name, **labels) == value


@pytest.mark.parametrize(
    ("bound", "number"), [("0.0005", 0), ("0.001", 2), ("0.25", 2), ("0.5", 3), ("+Inf", 4)]
)
def test_a_histogram_counts_what_took_no_longer(bound: str, number: int) -> None:
    samples = parse(exposition(BUSY, MACHINE, 120.0))
    name = "podfence_event_to_kernel_seconds"
    assert _value(samples, f"{name}_bucket", kind="Pod", le=bound) == number
    assert _value(samples, f"{name}_sum", kind="Pod") == pytest.approx(99.3014)
    assert len([found for found, _ in samples if found == f"{name}_bucket"]) == len(BOUNDS) + 1


def test_what_would_be_denied_is_counted_apart() -> None:
    samples = parse(exposition(BUSY, MACHINE, 120.0))
    assert _value(samples, "podfence_audited_packets_total", direction="egress") == 7
    assert (
        _value(samples, "podfence_denied_packets_total", direction="egress", reason="policy") == 6
    )
    assert not [labels for _, labels in samples if dict(labels).get("reason") == "audit"]


def test_no_name_of_an_object_is_in_it() -> None:
    text = exposition(BUSY, MACHINE, 120.0)
    assert "secret-name" not in text
    assert "shop/" not in text


@pytest.mark.parametrize(
    ("chain", "denied"),
    [
        ("in_4be0c0ffee00_d", Denier(Direction.INGRESS, "policy")),
        ("eg_4be0c0ffee00_d_r", Denier(Direction.EGRESS, "policy")),
        ("eg_admin_4be0c0ffee00_d", Denier(Direction.EGRESS, "policy")),
        ("audit_in_4be0c0ffee00_d", Denier(Direction.INGRESS, "audit")),
        ("audit_eg_admin_4be0c0ffee00_a_d_r", Denier(Direction.EGRESS, "audit")),
        ("unknown", Denier(None, UNKNOWN)),
        ("stateless_d", Denier(None, STATELESS)),
        ("closed", Denier(None, CLOSED)),
        ("forward", None),
        ("ingress", None),
        ("audit_ingress", None),
    ],
)
def test_a_chain_tells_what_it_denies(chain: str, denied: Denier | None) -> None:
    assert denied_in(chain) == denied


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_chain_that_counts_says_what_it_denies(case: object) -> None:
    from podfence.nft.objects import Counter
    from tests.nft.cases import Case

    assert isinstance(case, Case)
    counting = [
        chain.name
        for chain in case.ruleset.chains.values()
        if any(isinstance(part, Counter) for rule in chain.rules for part in rule.parts)
    ]
    assert counting
    assert [name for name in counting if denied_in(name) is None] == []


@pytest.mark.parametrize(
    ("before", "now", "more"),
    [
        (ChainCount(), ChainCount(5, 50), ChainCount(5, 50)),
        (ChainCount(3, 30), ChainCount(5, 50), ChainCount(2, 20)),
        (ChainCount(5, 50), ChainCount(5, 50), ChainCount()),
        (ChainCount(5, 50), ChainCount(2, 20), ChainCount(2, 20)),
    ],
)
def test_a_counter_that_began_anew_counts_whole(
    before: ChainCount, now: ChainCount, more: ChainCount
) -> None:
    assert now.since(before) == more
