"""An agent on a node of a real API server, with real packets: what it does day by day."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.agent.cluster import Cluster
from tests.agent.network import Node
from tests.apiserver.crds import Crds
from tests.apiserver.server import ApiServer

pytestmark = [pytest.mark.apiserver, pytest.mark.kernel, pytest.mark.timeout(240)]

DB, WEB = {"app": "db"}, {"app": "web"}


def test_policies_pods_and_labels_take_effect(here: Node, cluster: Cluster) -> None:
    agent = here.agent()
    assert here.passes("web", "db")
    cluster.policy("db", DB, WEB)
    here.becomes(False, "far", "db")
    assert here.passes("web", "db")
    cluster.policy("db", DB, {"app": "far"})  # replaced
    here.becomes(False, "web", "db")
    here.becomes(True, "far", "db")
    cluster.relabel("web", {"app": "far"})
    here.becomes(True, "web", "db")
    cluster.delete_policy("db")
    cluster.relabel("web", {"app": "web"})
    here.becomes(True, "web", "db")
    assert agent.end() == 0


def test_a_pod_that_is_not_known_yet_is_closed(here: Node, cluster: Cluster) -> None:
    here.agent()
    here.add("new", f"{here.prefix}.0.9")
    assert not here.passes("new", "web")
    assert not here.passes("web", "new")
    cluster.pod("new", here.name)
    assert not here.passes("new", "web")
    cluster.address("new", f"{here.prefix}.0.9")
    here.becomes(True, "new", "web")
    assert here.passes("web", "new")
    cluster.delete_pod("new")
    here.becomes(False, "new", "web")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_on_unchanged_state_writes_nothing(
    here: Node, cluster: Cluster, number: signal.Signals
) -> None:
    cluster.policy("db", DB, WEB)
    first = here.agent()
    here.becomes(False, "far", "db")
    before = here.rules()
    first.end(number)
    assert here.rules() == before
    assert not here.passes("far", "db")
    assert here.passes("web", "db")
    second = here.agent()
    line = second.wait_for("in sync")
    assert (line["writes"], line["operations"]) == (0, 0)
    assert here.rules() == before


def test_what_changed_while_nobody_was_there_is_written_at_the_next_start(
    here: Node, cluster: Cluster
) -> None:
    cluster.policy("db", DB, WEB)
    here.agent().end(signal.SIGKILL)
    cluster.policy("db", DB, {"app": "far"})
    here.agent()
    assert not here.passes("web", "db")
    assert here.passes("far", "db")


def test_without_a_table_the_pod_range_is_closed_before_all_is_known(
    here: Node, cluster: Cluster
) -> None:
    here.relay.cut()
    agent = here.agent("--pod-cidr", f"{here.prefix}.0.0/24", wait=False)
    agent.wait_for("start")
    here.becomes(False, "web", "db")
    here.relay.mend()
    agent.wait_for("in sync")
    assert here.passes("web", "db")


def test_a_table_that_is_there_is_not_touched_before_all_is_known(
    here: Node, cluster: Cluster
) -> None:
    cluster.policy("db", DB, WEB)
    here.agent().end()
    before = here.rules()
    here.relay.cut()
    agent = here.agent(wait=False)
    agent.wait_for("start")
    assert not here.passes("far", "db")
    assert here.passes("web", "db")
    assert here.rules() == before
    assert agent.end() == 0


def test_without_the_server_nothing_opens_or_closes(here: Node, cluster: Cluster) -> None:
    cluster.policy("db", DB, WEB)
    here.agent()
    here.relay.cut()
    before = here.rules()
    cluster.policy("db", DB, {"app": "far"})
    assert not here.passes("far", "db", patience=3)
    assert here.passes("web", "db")
    assert here.rules() == before
    here.relay.mend()
    here.becomes(True, "far", "db")
    here.becomes(False, "web", "db")


@pytest.mark.parametrize(
    "command",
    [
        ("delete", "table", "inet", "podfence"),
        ("flush", "ruleset"),
        ("flush", "table", "inet", "podfence"),
    ],
)
def test_a_table_that_somebody_else_changed_is_mended(
    here: Node, cluster: Cluster, command: tuple[str, ...]
) -> None:
    cluster.policy("db", DB, WEB)
    agent = here.agent()
    here.nft(*command)
    here.becomes(False, "far", "db")
    assert here.passes("web", "db")
    drifts = [line for line in agent.lines("condition") if line["condition"] == "Drift"]
    assert "nft (process" in str(drifts[0]["message"])


def test_tables_of_others_are_none_of_its_business(here: Node) -> None:
    agent = here.agent()
    here.nft("add", "table", "inet", "others")
    here.nft("delete", "table", "inet", "others")
    assert here.passes("web", "db")
    assert agent.lines("condition") == []


def test_a_second_agent_refuses(here: Node) -> None:
    here.agent()
    second = here.agent(wait=False)
    assert second.process.wait(timeout=30) == 2


def test_policies_of_the_cluster_take_effect(here: Node, cluster: Cluster, crds: Crds) -> None:
    crds.install("experimental")
    agent = here.agent()
    name = {"kubernetes.io/metadata.name": cluster.namespace}
    deny = {
        "tier": "Admin",
        "priority": 1,
        "subject": {"pods": {"namespaceSelector": {"matchLabels": name}, "podSelector": {}}},
        "ingress": [
            {
                "action": "Deny",
                "from": [
                    {
                        "pods": {
                            "namespaceSelector": {"matchLabels": name},
                            "podSelector": {"matchLabels": {"app": "far"}},
                        }
                    }
                ],
            }
        ],
    }
    version = f"policy.networking.k8s.io/{crds.versions()[0]}"
    path = f"/apis/{version}/clusternetworkpolicies"
    body = {
        "apiVersion": version,
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": cluster.namespace},
        "spec": deny,
    }
    cluster.admin.create(path, body)
    here.becomes(False, "far", "db")
    assert here.passes("web", "db")
    cluster.policy("db", DB, {"app": "far"})  # does not overrule an administrator
    here.becomes(False, "web", "db")
    assert not here.passes("far", "db")
    assert cluster.admin.request("DELETE", f"{path}/{cluster.namespace}").status == 200
    here.becomes(True, "far", "db")
    assert agent.lines("condition") == []


def test_a_kind_that_may_not_be_listed_keeps_it_from_being_in_sync(
    here: Node, cluster: Cluster, apiserver: ApiServer, tmp_path: Path
) -> None:
    """It may hold a policy. The rule that is missing is named; what is there stays."""
    cluster.policy("db", DB, WEB)
    here.agent().end()
    before = here.rules()
    groups = [("", ["namespaces", "nodes", "pods"]), ("policy.networking.k8s.io", ["*"])]
    rules = [
        {"apiGroups": [group], "resources": kinds, "verbs": ["list", "watch"]}
        for group, kinds in groups
    ]
    token = apiserver.service_account(cluster.namespace, "agent", rules)
    here.kubeconfig = apiserver.kubeconfig(tmp_path / "limited", token)
    agent = here.agent(wait=False)
    condition = agent.wait_for("condition")
    assert (condition["condition"], condition["subject"]) == ("Forbidden", "NetworkPolicy")
    assert 'resources: ["networkpolicies"]' in str(condition["message"])
    assert agent.lines("in sync") == []
    assert here.rules() == before


def test_cleanup_lets_everything_pass(here: Node, cluster: Cluster) -> None:
    cluster.policy("db", DB, None)
    here.agent().end()
    assert not here.passes("web", "db")
    done = here.cleanup()
    assert (done.returncode, done.stdout) == (0, "removed the table podfence\n")
    assert here.passes("web", "db")
    assert here.cleanup().stdout == "there was no table podfence\n"
