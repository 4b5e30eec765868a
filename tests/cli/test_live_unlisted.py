"""A cluster that does not show everything: what is not listed leaves open what it could turn."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.cli.liveshop import asking, shop
from tests.kube.fakecluster import CILIUM, TIER


def test_a_forbidden_kind_takes_away_what_it_could_turn(tmp_path: Path) -> None:
    cluster = shop()
    cluster.forbidden = {"networkpolicies"}
    with asking(cluster, tmp_path) as ask:
        open_ = ask("can", "shop/web", "shop/db:5432")
        final = ask("can", "172.20.0.1", "shop/db:5432")
    assert open_.status == 2
    assert 'User "reader" cannot list resource "networkpolicies"' in open_.err
    assert '{apiGroups: ["networking.k8s.io"], resources: ["networkpolicies"]' in open_.err
    assert "no verdict: any NetworkPolicy could change this" in open_.err
    assert final.status == 0, "a node reaches its own pods whatever policies say"


def test_what_may_be_listed_in_one_namespace_is_enough_there(tmp_path: Path) -> None:
    cluster = shop()
    cluster.forbidden = {"networkpolicies", "pods", "services", "namespaces", "endpointslices"}
    cluster.allowed = {"shop"}
    with asking(cluster, tmp_path) as ask:
        assert ask("can", "shop/web", "shop/db:5432").status == 0
        assert ask("can", "shop/db", "shop/web:80").status == 0
        other = ask("can", "watch/probe", "shop/db:5432")
        outside = ask("can", "shop/web", "198.51.100.1:443")
    assert other.status == 2
    assert "any Pod outside shop and any Service outside shop may be called so" in other.err
    assert outside.status == 2
    assert "any Pod outside shop" in outside.err


def test_policies_of_another_namespace_do_not_matter_where_none_selects(tmp_path: Path) -> None:
    """Only policies outside shop are unknown: the direction that they could turn is watch's."""
    cluster = shop()
    cluster.forbidden, cluster.allowed = {"networkpolicies"}, {"shop"}
    with asking(cluster, tmp_path) as ask:
        assert ask("can", "watch/probe", "shop/db:5432").status == 1, "denied by shop already"
        assert ask("can", "shop/web", "watch/probe:80", "-n", "shop").status == 2


def test_unlisted_nodes_leave_open_what_may_be_a_node(tmp_path: Path) -> None:
    cluster = shop()
    cluster.forbidden = {"nodes"}
    with asking(cluster, tmp_path) as ask:
        assert ask("can", "shop/web", "shop/db:5432").status == 0
        assert ask("can", "172.20.0.1", "shop/db:5432").status == 0, "its pods tell whose it is"
        assert ask("can", "198.51.100.1", "shop/db:5432").status == 2


BACKUP = """
apiVersion: batch/v1
kind: CronJob
metadata: {name: backup, namespace: shop}
spec:
  schedule: "@daily"
  jobTemplate:
    spec:
      template:
        metadata: {labels: {app: web}, annotations: {note: hush}}
        spec: {containers: [{name: c, env: [{name: PASSWORD, value: hush}]}]}
"""
RUN = """
apiVersion: v1
kind: Pod
metadata:
  name: backup-29000000-x
  namespace: shop
  labels: {app: web}
  ownerReferences: [{apiVersion: batch/v1, kind: Job, name: backup-29000000, controller: true}]
spec: {nodeName: n1, containers: [{name: c}]}
status: {phase: Running, podIP: 10.1.0.8, hostIP: 172.20.0.1}
"""


@pytest.mark.parametrize("runs", [False, True], ids=["between two runs", "while it runs"])
def test_a_cronjob_is_a_workload_with_and_without_a_run(runs: bool, tmp_path: Path) -> None:
    cluster = shop()
    cluster.apply(yaml.safe_load(BACKUP))
    if runs:
        cluster.apply(yaml.safe_load(RUN))
    file = tmp_path / "backup.yaml"
    file.write_text(BACKUP)
    with asking(cluster, tmp_path) as ask:
        assert ask("can", "shop/backup", "shop/db:5432").status == 0
        assert ask("map", "-A").out.count("shop/backup") == 1
        assert ask("plan", "--context", "test", str(file)).status == 0, "it is there already"
        snapshot = ask("get").out
    assert "hush" not in snapshot
    assert "kind: CronJob" in snapshot


def test_without_cronjobs_no_verdict_is_lost(tmp_path: Path) -> None:
    cluster = shop()
    cluster.apply(yaml.safe_load(BACKUP))
    cluster.forbidden = {"cronjobs"}
    with asking(cluster, tmp_path) as ask:
        done, snapshot = ask("can", "shop/web", "shop/db:5432"), ask("get")
        assert ask("map", "-A").status == 0
    assert done.status == snapshot.status == 0
    assert done.err.count("note[PF118]: CronJob: CronJobs that do not run now are unknown") == 1
    assert '{apiGroups: ["batch"], resources: ["cronjobs"]' in done.err
    assert "Unlisted" not in snapshot.out


def test_a_map_leaves_out_pods_and_says_so(tmp_path: Path) -> None:
    cluster = shop()
    cluster.forbidden, cluster.allowed = {"networkpolicies"}, {"shop"}
    with asking(cluster, tmp_path, "shop") as ask:
        done, going = ask("map", "-A"), ask("map", "-A", "--keep-going")
    assert (done.status, going.status) == (2, 0)
    assert "the map leaves out 1 pod (watch/probe)" in done.err


def test_a_cluster_that_shows_nothing_is_an_error(tmp_path: Path) -> None:
    cluster = shop()
    cluster.forbidden = {plural for _, _, plural in cluster.served}
    with asking(cluster, tmp_path) as ask:
        done = ask("map")
    assert done.status == 2
    assert "error[PF008]: nothing may be listed" in done.err


def test_a_tier_that_may_not_be_listed_leaves_everything_open(tmp_path: Path) -> None:
    cluster = shop()
    cluster.served[TIER] = ("ClusterNetworkPolicy", False)
    cluster.forbidden = {TIER[2]}
    with asking(cluster, tmp_path) as ask:
        done = ask("can", "shop/web", "shop/db:5432")
    assert done.status == 2
    assert "any ClusterNetworkPolicy could change this" in done.err


def test_policies_of_another_api_are_named(tmp_path: Path) -> None:
    cluster = shop()
    cluster.served[CILIUM] = ("CiliumNetworkPolicy", True)
    for name in ("a", "b"):
        cluster.apply(
            {"kind": "CiliumNetworkPolicy", "metadata": {"name": name, "namespace": "shop"}}
        )
    with asking(cluster, tmp_path) as ask:
        done = ask("can", "shop/web", "shop/db:5432")
    assert done.status == 0
    assert "warning[PF113]: 2 CiliumNetworkPolicy (cilium.io) are not judged" in done.err
