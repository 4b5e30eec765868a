"""What is suggested for traffic that was seen, and what is said of the rest."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from podfence.flows.seen import EndKind, RecordedEnd, RecordedFlow, RecordedVerdict
from podfence.model.cluster import Cluster
from podfence.model.meta import METADATA_NAME_LABEL
from podfence.model.networkpolicy import NetworkPolicy, PolicyType
from podfence.model.objects import Pod
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Direction
from podfence.questions.suggest.evidence import ExclusionReason
from podfence.questions.suggest.resolver import EndResolver, Unresolved
from podfence.questions.suggest.rules import OutsidePeers, SuggestOptions
from podfence.questions.suggest.suggest import Suggestion, suggest
from podfence.render.policies import policy_manifest
from podfence.sets.ports import OTHER
from podfence.testing.builders import peer, pod, policy, rule
from tests.questions.suggest.worlds import DB, WEB, closed, cluster, end, flow, running, service


def specs(found: Suggestion) -> dict[str, object]:
    """The suggested policies by name."""
    return {f"{each.policy.ref}": policy_manifest(each.policy)["spec"] for each in found.policies}


def test_a_connection_is_allowed_at_both_ends_and_nothing_else_is() -> None:
    found = suggest(cluster(), [flow("shop/web", "shop/db")])

    assert specs(found) == {
        "shop/db-from-flows": {
            "podSelector": {"matchLabels": {"app": "db"}},
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                    "ports": [{"protocol": "TCP", "port": 5432}],
                }
            ],
        },
        "shop/web-from-flows": {
            "podSelector": {"matchLabels": {"app": "web"}},
            "policyTypes": ["Egress"],
            "egress": [
                {
                    "to": [{"podSelector": {"matchLabels": {"app": "db"}}}],
                    "ports": [{"protocol": "TCP", "port": 5432}],
                }
            ],
        },
    }
    assert (found.replay.allowed, found.replay.refused, found.beyond) == (1, (), ())
    assert (found.change.closed, found.change.opened) == (3, 0)


def test_peers_of_other_namespaces_are_named_with_their_namespace() -> None:
    wish = SuggestOptions(frozenset({Direction.INGRESS}))
    found = suggest(cluster(), [flow("monitoring/prometheus", "shop/db", 9103)], wish)

    [(item,)] = [r.peers for each in found.policies for r in each.policy.ingress]
    assert item == peer(pods={"app": "prometheus"}, namespaces={METADATA_NAME_LABEL: "monitoring"})


def test_peers_with_the_same_ports_share_a_rule() -> None:
    flows = [flow("shop/web", "shop/db"), flow("monitoring/prometheus", "shop/db")]
    found = suggest(cluster(), flows, SuggestOptions(frozenset({Direction.INGRESS})))
    assert [len(r.peers) for each in found.policies for r in each.policy.ingress] == [2]


def test_labels_that_change_are_never_used() -> None:
    found = suggest(cluster(), [flow("shop/web", "shop/db")])
    assert "pod-template-hash" not in str(specs(found))


def test_what_policies_allow_already_needs_none() -> None:
    allow = policy(
        "shop/db-allow", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=[5432])]
    )
    ingress = SuggestOptions(frozenset({Direction.INGRESS}))
    settled = suggest(cluster(allow), [flow("shop/web", "shop/db")], ingress)
    assert (settled.policies, settled.settled) == ((), 1)

    missing = suggest(cluster(closed()), [flow("shop/web", "shop/db")], ingress)
    assert list(specs(missing)) == ["shop/db-from-flows"]
    assert missing.replay.refused == ()


def test_a_name_that_is_taken_is_not_used() -> None:
    taken = policy("shop/db-from-flows", {"app": "other"}, ingress=[])
    found = suggest(cluster(taken), [flow("shop/web", "shop/db")])
    assert "shop/db-from-flows-2" in specs(found)


def test_policies_are_suggested_only_for_the_wanted_workloads() -> None:
    (db,) = (each for each in cluster().pods if each.name == "db-0")
    assert db.owner is not None
    wish = SuggestOptions(workloads=frozenset({db.owner}))
    found = suggest(cluster(), [flow("shop/web", "shop/db")], wish)
    assert list(specs(found)) == ["shop/db-from-flows"]


# -- ends outside


@pytest.mark.parametrize("far", ["203.0.113.7", "172.18.0.2"], ids=["outside", "a node"])
def test_a_direction_with_ends_outside_stays_as_it_is(far: str) -> None:
    found = suggest(cluster(), [flow(far, "shop/web", 8080), flow("shop/db", "shop/web", 8080)])

    assert [(each.names, each.direction) for each in found.left_open] == [
        (("shop/web",), Direction.INGRESS)
    ]
    assert list(specs(found)) == ["shop/db-from-flows"]
    assert found.replay.refused == ()


def test_addresses_that_were_seen_become_blocks_of_nothing_else() -> None:
    flows = [flow(f"203.0.113.{n}", "shop/web", 8080) for n in (4, 5, 9)]
    found = suggest(cluster(), flows, SuggestOptions(outside=OutsidePeers.ADDRESSES))

    [only] = found.policies[0].policy.ingress
    assert [str(p.ip_block.cidr) for p in only.peers if p.ip_block] == [
        "203.0.113.4/31",
        "203.0.113.9/32",
    ]


def test_any_address_of_the_ip_version_that_was_seen() -> None:
    found = suggest(
        cluster(), [flow("203.0.113.7", "shop/web")], SuggestOptions(outside=OutsidePeers.ANY)
    )
    [only] = found.policies[0].policy.ingress
    assert [str(p.ip_block.cidr) for p in only.peers if p.ip_block] == ["0.0.0.0/0"]


def test_too_many_addresses_are_not_listed() -> None:
    flows = [flow(f"203.0.113.{n}", "shop/web") for n in range(0, 200, 2)]
    found = suggest(cluster(), flows, SuggestOptions(outside=OutsidePeers.ADDRESSES))
    assert "too many" in found.left_open[0].because


def test_an_end_outside_without_an_address_is_not_listed() -> None:
    unnamed = replace(flow("shop/db", "shop/web"), source=RecordedEnd(sort=EndKind.OUTSIDE))
    found = suggest(cluster(), [unnamed], SuggestOptions(outside=OutsidePeers.ADDRESSES))
    assert "no known address" in found.left_open[0].because
    assert found.replay.unjudged == 1


# -- what is no evidence


@pytest.mark.parametrize(
    ("flows", "aside"),
    [
        (
            [replace(flow("shop/db", "shop/web"), source=RecordedEnd(sort=EndKind.OWN_NODE))],
            ExclusionReason.OWN_NODE,
        ),
        ([flow("203.0.113.7", "203.0.113.8")], ExclusionReason.NO_POD),
        ([flow("shop/web", "shop/web")], ExclusionReason.ITSELF),
        ([flow("shop/web", "shop/db", 0, OTHER)], ExclusionReason.PORTLESS),
        ([flow("shop/web", "shop/db", 40000 + n) for n in range(5)], ExclusionReason.EPHEMERAL),
    ],
)
def test_left_out(flows: list[RecordedFlow], aside: ExclusionReason) -> None:
    found = suggest(cluster(), flows)
    assert (found.policies, dict(found.evidence.aside)) == ((), {aside: len(flows)})


def test_a_few_high_ports_are_no_answers() -> None:
    assert len(suggest(cluster(), [flow("shop/web", "shop/db", 50051)]).policies) == 2


def test_a_probe_by_the_own_node_is_no_evidence_and_one_by_another_node_is() -> None:
    here = running("api-1", "api", {"app": "api"}, "10.244.1.9", on="worker-1")
    there = running("api-1", "api", {"app": "api"}, "10.244.1.9", on="worker-2")
    probe = [flow("172.18.0.2", "shop/api", 8080)]

    assert suggest(cluster(here), probe).evidence.aside == {ExclusionReason.OWN_NODE: 1}
    assert suggest(cluster(there), probe).left_open != ()


def test_what_was_denied_is_a_wish() -> None:
    denied = [flow("shop/web", "shop/db", denied=True)]

    kept_apart = suggest(cluster(closed()), denied)
    assert (kept_apart.policies, len(kept_apart.evidence.denied)) == ((), 1)
    granted = suggest(cluster(closed()), denied, with_denied=True)
    assert (len(granted.policies), granted.change.opened) == (2, 1)


# -- labels


def test_workloads_that_no_label_tells_apart_share_a_policy() -> None:
    canary = running("canary-0", "canary", {"app": "db", "track": "canary"}, "10.244.2.10")
    flows = [flow("shop/web", "shop/db"), flow("shop/web", "shop/canary", 5433)]
    found = suggest(cluster(canary), flows, SuggestOptions(frozenset({Direction.INGRESS})))

    assert list(specs(found)) == ["shop/canary-from-flows"]
    assert found.replay.refused == ()
    assert {(c.destination.name, c.port) for c in found.beyond} == {
        ("shop/db", 5433),
        ("shop/canary", 5432),
    }


def test_pods_without_labels_are_left_alone() -> None:
    bare = running("bare", "", {}, "10.244.2.11")
    found = suggest(cluster(bare), [flow("shop/web", "shop/bare", 80)])

    assert [each.names for each in found.left_open] == [("shop/bare",)]
    assert list(specs(found)) == ["shop/web-from-flows"]


# -- DNS


def test_dns_that_the_manifests_do_not_hold_is_assumed_and_gets_tcp() -> None:
    dns = replace(flow("shop/web", "x/y", 53, "UDP"),
                  destination=RecordedEnd("kube-system", "coredns-5d78c9869d-4mfwj"))  # fmt: skip
    found = suggest(cluster(), [dns])

    [only] = found.policies
    [item] = only.policy.egress
    assert item.peers == (
        peer(pods={"k8s-app": "kube-dns"}, namespaces={METADATA_NAME_LABEL: "kube-system"}),
    )
    assert [(p.protocol.value, p.port) for p in item.ports] == [("TCP", 53), ("UDP", 53)]
    assert [ref.name for ref in found.assumed] == ["coredns"]
    assert [(c.protocol, c.port) for c in found.beyond] == [("TCP", 53)]


# -- ends


@pytest.mark.parametrize(
    ("where", "who"),
    [
        (RecordedEnd("shop", "web-9b649846d-bxqfc"), "shop/web"),
        (RecordedEnd("shop", "web-7c9f5d6b8-x2x2x"), "shop/web"),
        (RecordedEnd("shop", "gone", "web"), "shop/web"),
        (RecordedEnd("shop", "web-9b649846d-*"), "shop/web"),
        (RecordedEnd("shop", "db-17"), "shop/db"),
        (RecordedEnd("shop", "db-*"), "shop/db"),
        (end("10.244.2.9"), "shop/db"),
        (end("shop/statefulset/db"), "shop/db"),
        (end("203.0.113.7"), "203.0.113.7"),
        (end("10.1.2.3"), "10.1.2.3"),
        (end("outside"), "outside"),
    ],
)
def test_resolved_ends(where: RecordedEnd, who: str) -> None:
    assert EndResolver(compile_cluster(cluster())).source(where).name == who


@pytest.mark.parametrize("name", ["web-5", "web-bxqfc", "web-29012345-bxqfc", "db-9b649846d-bxqfc"])
def test_a_name_that_the_controller_would_not_make_is_somebody_else(name: str) -> None:
    """Whoever may start a pod of such a name may not get the rules of a workload with it."""
    with pytest.raises(Unresolved, match="no pod or workload is called"):
        EndResolver(compile_cluster(cluster())).source(RecordedEnd("shop", name))


@pytest.mark.parametrize("kind", ["DaemonSet", "CronJob", "Rollout"])
def test_a_pod_that_is_there_is_its_owners_whatever_its_name(kind: str) -> None:
    other = running("db-5", "batch", {"app": "batch"}, "10.244.2.10", kind=kind)
    assert (
        EndResolver(compile_cluster(cluster(other))).source(RecordedEnd("shop", "db-5")).name
        == "shop/batch"
    )


def test_how_controllers_of_other_apis_name_their_pods_is_not_known() -> None:
    other = running("site-x", "site", {"app": "site"}, "10.244.2.10", kind="Rollout")
    resolver = EndResolver(compile_cluster(cluster(other)))
    for name in ("site-9b649846d-bxqfc", "site-3"):
        assert resolver.source(RecordedEnd("shop", name)).name == "shop/site"


@pytest.mark.parametrize(
    ("where", "why"),
    [
        (RecordedEnd("shop", "webshop-0"), "no pod or workload is called shop/webshop-0"),
        (RecordedEnd("shop", "web-cache-1"), "no pod or workload is called"),
        (RecordedEnd("nope", "web-0"), "no pod or workload is called nope/web-0"),
        (end("10.244.9.9"), "in the range of pods, and no pod has it now"),
        (end("10.96.0.50"), "is the address of a Service"),
        (end("224.0.0.251"), "not the address of a single host"),
        (RecordedEnd(address="nonsense:"), "is not an address"),
        (end("shop/nobody"), "no pod or workload is called"),
        (RecordedEnd(), "names neither a pod nor an address"),
    ],
)
def test_what_is_not_known_is_said(where: RecordedEnd, why: str) -> None:
    index = compile_cluster(cluster(service("db", "10.96.0.50", {"app": "db"}, 3306, 5432)))
    with pytest.raises(Unresolved, match=why):
        EndResolver(index).source(where)


@pytest.mark.parametrize("target", ["10.96.0.50", "service/shop/db", "shop/service/db"])
def test_a_service_is_what_is_behind_it(target: str) -> None:
    there = cluster(service("db", "10.96.0.50", {"app": "db"}, 3306, 5432))
    found = suggest(there, [flow("shop/web", target, 3306)])
    assert [(c.destination.name, c.port) for c in found.evidence.seen] == [("shop/db", 5432)]


def test_addresses_that_were_assumed_resolve_to_nobody() -> None:
    def unborn(each: Pod) -> Pod:
        return replace(each, addresses=(), has_status=False)

    bare = Cluster.of([unborn(WEB), unborn(DB)])
    from podfence.model.cluster import assign_addresses

    there = replace(bare, pods=assign_addresses(bare.pods))
    taken = str(there.pods[0].addresses[0])
    found = suggest(there, [flow(taken, "shop/db")])
    assert "it is unknown whether a pod had it" in found.evidence.nameless[0].because


def test_policies_of_tiers_that_deny_are_named_by_the_replay() -> None:
    from podfence.testing.builders import cluster_peer, cluster_policy, cluster_rule

    deny = cluster_policy("no", ingress=[cluster_rule("Deny", cluster_peer(namespaces={}))])
    found = suggest(cluster(deny), [flow("shop/web", "shop/db")])
    assert [each.verdict.allowed for each in found.replay.refused] == [False]


def test_verdicts_of_records_are_kept_apart() -> None:
    both = [flow("shop/web", "shop/db"), flow("shop/web", "shop/db", denied=True)]
    found = suggest(cluster(), both, with_denied=True)
    assert (len(found.evidence.seen), len(found.evidence.denied)) == (1, 1)
    assert found.replay.allowed == 1
    assert both[1].verdict is RecordedVerdict.DENIED


def test_every_policy_says_which_directions_it_is_about() -> None:
    found = suggest(cluster(), [flow("shop/web", "shop/db")])
    types: list[frozenset[PolicyType]] = [each.policy.policy_types for each in found.policies]
    assert types == [frozenset({PolicyType.INGRESS}), frozenset({PolicyType.EGRESS})]
    assert all(isinstance(each.policy, NetworkPolicy) for each in found.policies)
    assert pod("a/b").name == "b"
