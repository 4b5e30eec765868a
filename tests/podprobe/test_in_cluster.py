"""Tests of test files, tried from inside the pods of a stand-in of a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.schema import SCHEMAS, violations
from tests.cli.session import Done
from tests.kube.fakeapi import Answer, Request, refusal
from tests.podprobe.network import ADDRESSES, Network, Tried, cluster_with, pod

READS = "- {name: web reads, from: web, to: db:5432, expect: allow}\n"
OTHERS = "- {name: nobody else, from: other, to: db:5432, expect: deny}\n"
SERVICE = "- {name: by name, from: web, to: service/pg:6000, expect: allow}\n"
ONLY = "- {name: only web, to: db, only: [{from: web, ports: [5432]}]}\n"
EDIT = "{remove: {kind: NetworkPolicy, namespace: shop, name: db}}"
BOTH = ("--in", "model,cluster")


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def tried(network: Network, tmp_path: Path) -> Tried:
    return Tried(cluster_with(network), tmp_path)


def first_word(done: Done) -> str:
    return done.out.split()[0]


def test_an_enforced_cluster_keeps_its_promises(tried: Tried, network: Network) -> None:
    done = tried(READS + OTHERS + SERVICE + ONLY)
    assert done.status == 0
    assert done.out == (
        "pass     web reads  (1 packet, 0 of them denied)\n"
        "pass     nobody else  (1 packet, 1 of them denied)\n"
        "pass     by name  (2 packets, 0 of them denied)\n"
        "pass     only web  (2 packets, 1 of them denied)\n"
        "          not tried: addresses that no pod has, pods to come\n"
        "4 tests: 4 passed\n"
    )
    assert set(network.ran) == {"shop/web", "shop/db", "shop/other"}, "each pod once"


def test_a_denial_that_nobody_enforces_is_a_failure(tried: Tried, network: Network) -> None:
    network.drops = lambda *_: False
    done = tried(READS + OTHERS)
    assert done.status == 1
    assert "shop/other -> shop/db TCP/5432 over IPv4 got through\n" in done.out
    assert "is a policy enforcer running?" in done.out


def test_an_allowed_connection_that_does_not_come_about_is_a_failure(
    tried: Tried, network: Network
) -> None:
    network.drops = lambda source, address: source == "shop/web" and address == "10.1.0.2"
    done = tried(READS + SERVICE)
    assert done.status == 1
    assert "shop/web -> shop/db TCP/5432 over IPv4 got no answer" in done.out
    assert "does something else deny it" in done.out


def test_a_connection_that_is_not_as_the_model_says_is_a_dispute(
    tried: Tried, network: Network
) -> None:
    network.drops = lambda *_: False
    done = tried(READS + OTHERS, *BOTH)
    assert done.status == 2
    assert "shop/other -> shop/db TCP/5432 over IPv4: open; the engine says denied" in done.out
    assert done.out.endswith(
        "model and cluster disagree on 1 test, and agree on 1 (1 connection, 0 denials on ports "
        "that answer)\n"
    )


def test_model_and_cluster_agree(tried: Tried) -> None:
    done = tried(READS + OTHERS + SERVICE, *BOTH)
    assert done.status == 0
    assert done.out == (
        "model and cluster agree on 3 tests (4 connections, 1 denial on ports that answer)\n"
    )


# --- what proves nothing -------------------------------------------------------------------------


def test_a_port_that_nobody_answers_proves_no_denial(tried: Tried, network: Network) -> None:
    network.listening -= {("10.1.0.2", 5432)}
    done = tried(OTHERS)
    assert done.status == 1
    assert first_word(done) == "UNPROVED"
    assert "nothing on shop/db answers TCP/5432, not even itself" in done.out


def test_silence_proves_nothing_where_no_connection_came_about(tried: Tried) -> None:
    done = tried(OTHERS)
    assert first_word(done) == "UNPROVED"
    assert "no connection between two pods came about in this run" in done.out


def test_a_refusal_is_a_denial_where_the_port_answers(tried: Tried, network: Network) -> None:
    """Some enforcers answer for the destination."""
    network.denied = "refused"
    done = tried(READS + OTHERS)
    assert "pass     nobody else" in done.out
    network.listening -= {("10.1.0.2", 5432)}
    done = tried(OTHERS)
    assert "UNPROVED nobody else" in done.out, "the pod itself may have refused it"


def test_each_required_source_has_to_get_there(tried: Tried, network: Network) -> None:
    tried.cluster.apply({**pod("shop/web", ADDRESSES["shop/web"]), "status": LOST})
    done = tried(ONLY + "- {name: open, from: other, to: web:5432, expect: allow}\n")
    assert "UNPROVED only web" in done.out
    assert "shop/web tried nothing: the pod is not running but Pending" in done.out
    assert "shop/web" not in network.ran


LOST = {"phase": "Pending", "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}]}


def test_a_proxy_in_a_pod_that_answers_for_everybody_is_found_out(
    tried: Tried, network: Network
) -> None:
    network.decoy = "open"
    done = tried(READS)
    assert done.status == 2
    assert "something in the pod answers in place of every destination" in done.err


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        ("- {name: a, from: outside, to: db, expect: allow}\n", "addresses that no pod has"),
        ("- {name: a, from: {namespace: shop, newcomer: {a: b}}, to: db, expect: deny}\n", "come"),
        ("- {name: a, newcomers: {namespace: shop}, isolated: [ingress]}\n", "packets cannot show"),
        ("- {name: a, from: web, to: db, by: ingress, expect: allow}\n", "in both directions"),
        ("- {name: a, from: web, to: db, in: [model], expect: allow}\n", "runs only in model"),
        (f"- {{name: a, from: web, to: db, expect: allow, given: [{EDIT}]}}\n", "without edits"),
    ],
)
def test_what_pods_cannot_try_is_told(tried: Tried, test: str, reason: str) -> None:
    done = tried(READS + test)
    assert done.status == 0
    assert reason in done.out.split("skip ")[1]


def test_some_needs_one_connection(tried: Tried, network: Network) -> None:
    some = "- {name: some, from: [web, other], to: db:5432, expect: some}\n"
    assert tried(some).status == 0
    network.drops = lambda source, address: source == "shop/web" or address == "10.1.0.2"
    done = tried(some + "- {name: open, from: other, to: web:5432, expect: allow}\n")
    assert done.status == 1
    assert "none of its connections is open" in done.out


def test_a_test_that_has_to_fail_fails_in_the_cluster(tried: Tried) -> None:
    expected = OTHERS.replace("deny", "allow, expectFailure: later")
    assert tried(READS + expected).status == 0


# --- pods ----------------------------------------------------------------------------------------


def test_one_pod_stands_for_those_that_policies_cannot_tell_apart(
    tried: Tried, network: Network
) -> None:
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "many", "controller": True}
    for number in range(5):
        made = pod(f"shop/many-{number}", f"10.1.1.{number + 1}")
        made["metadata"] |= {"labels": {"app": "many"}, "ownerReferences": [{**owner, "uid": "u"}]}
        tried.cluster.apply(made)
    network.listening |= {(f"10.1.1.{n}", 5432) for n in range(1, 6)}
    done = tried("- {name: a, from: many, to: web:5432, expect: allow}\n")
    assert done.status == 0, done
    assert set(network.ran) == {"shop/many-0", "shop/web"}


def test_pods_of_kubernetes_itself_are_left_alone_unless_named(
    tried: Tried, network: Network
) -> None:
    everybody = "- {name: a, from: '*', to: web:5432, expect: allow}\n"
    assert tried(everybody).status == 0
    assert "kube-system/dns" not in network.ran
    assert tried("- {name: a, from: kube-system/dns, to: web:5432, expect: allow}\n").status == 0
    assert "kube-system/dns" in network.ran


def test_there_are_at_most_as_many_pods_as_the_user_says(tried: Tried, network: Network) -> None:
    done = tried(READS + OTHERS, "--probe-pods", "2")
    assert set(network.ran) == {"shop/web", "shop/db"}
    assert "UNPROVED nobody else" in done.out
    assert "1 pod more would take part with a larger --probe-pods." in done.err


def test_a_service_is_proved_by_those_of_its_pods_that_take_part(
    tried: Tried, network: Network
) -> None:
    """The others get no container, however many there are."""
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": True}
    for number in range(9):
        made = pod(f"shop/db-{number}", f"10.1.1.{number + 1}")
        made["metadata"] |= {"labels": {"app": "db"}, "ownerReferences": [{**owner, "uid": "u"}]}
        tried.cluster.apply(made)
    network.listening |= {(f"10.1.1.{n}", 5432) for n in range(1, 10)}
    network.drops = lambda source, _: source == "shop/other"
    closed = SERVICE.replace("web", "other").replace("allow", "deny")
    assert tried(READS + closed).status == 0
    assert set(network.ran) == {"shop/web", "shop/other", "shop/db", "shop/db-0"}
    network.listening -= {("10.1.1.1", 5432)}
    assert "UNPROVED by name" in tried(READS + closed).out


# --- what is put into a pod ----------------------------------------------------------------------


def test_the_container_may_do_nothing_special(tried: Tried, network: Network) -> None:
    tried(READS)
    container = network.ran["shop/web"]
    assert container["name"].startswith("podfence-probe-")
    assert container["image"] == "python:3"
    assert container["command"][:3] == ["python3", "-I", "-c"]
    assert container["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65534,
        "runAsGroup": 65534,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def test_nothing_is_written_before_the_user_agrees(tried: Tried, network: Network) -> None:
    done = tried(READS, image=("--probe-image", "python:3"))
    assert done.status == 2
    assert "stays listed in the pod until the pod is deleted. Add --yes" in done.err
    assert not network.ran


def test_the_image_is_that_of_the_agent(tried: Tried, network: Network) -> None:
    done = tried(READS, image=("--yes",))
    assert done.status == 2
    assert "name an image that has python3 with --probe-image" in done.err
    agent = pod("kube-system/podfence-x", "10.1.0.9")
    agent["metadata"]["labels"] = {"app.kubernetes.io/name": "podfence"}
    agent["spec"]["containers"][0]["image"] = "podfence/podfence:9"
    tried.cluster.apply(agent)
    assert tried(READS, image=("--yes",)).status == 0
    assert network.ran["shop/web"]["image"] == "podfence/podfence:9"


# --- what a cluster refuses ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (403, 'User "x" cannot patch resource "pods/ephemeralcontainers"', "verbs: [patch]"),
        (403, 'violates PodSecurity "restricted:latest": \x1b[31mred', "restricted:latest"),
        (404, "the server could not find the requested resource", "the pod is gone"),
    ],
)
def test_a_refusal_is_told(tried: Tried, status: int, message: str, said: str) -> None:
    def before(request: Request) -> Answer | None:
        return refusal(status, message) if request.method == "PATCH" else None

    tried.cluster.before = before
    done = tried(READS)
    assert done.status == 2
    assert done.err.splitlines()[-1].startswith("error[PF008]: no pod could try anything; shop/")
    assert said in done.err
    assert "\x1b" not in done.err
    assert ("PodSecurity" in done.err) is not ("verbs: [patch]" in done.err) or status == 404


def test_an_image_that_cannot_be_pulled_is_told(tried: Tried) -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such host \x1b[2J"}}
    tried.cluster.runs = lambda *_: (waiting, b"")
    done = tried(READS)
    assert done.status == 2
    assert "does not start (ErrImagePull): no such host \\x1b[2J" in done.err


@pytest.mark.parametrize(
    "log", [b"", b"not json\n", b'{"done": 1}\n', b"[]\n\xff\n", b'{"at": "x"}']
)
def test_a_container_that_prints_something_else_tells_nothing(tried: Tried, log: bytes) -> None:
    tried.cluster.runs = lambda *_: ({"terminated": {}}, log)
    done = tried(READS)
    assert done.status == 2
    assert "it printed no results" in done.err


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        ("waiting", "RunContainerError", "does not start (RunContainerError): no python3"),
        ("terminated", "StartError", "it ended with StartError no python3"),
    ],
)
def test_an_image_without_python_is_told(tried: Tried, state: str, reason: str, said: str) -> None:
    found = {state: {"reason": reason, "message": "no python3"}}
    tried.cluster.runs = lambda *_: (found, b"")
    assert said in tried(READS).err


def test_one_pod_that_cannot_take_part_does_not_end_the_run(tried: Tried, network: Network) -> None:
    def before(request: Request) -> Answer | None:
        is_other = request.method == "PATCH" and "/other/" in request.path
        return refusal(403, "violates PodSecurity") if is_other else None

    tried.cluster.before = before
    done = tried(READS + OTHERS)
    assert done.status == 1
    assert "pass     web reads" in done.out
    assert "UNPROVED nobody else" in done.out
    assert "warning: shop/other tried nothing" in done.err
    assert set(network.ran) == {"shop/web", "shop/db"}


# --- the command line and formats ----------------------------------------------------------------


def test_files_are_not_what_runs_in_a_cluster(tried: Tried) -> None:
    done = tried(READS, "-f", "examples/shop")
    assert done.status == 2
    assert "drop -f" in done.err


def test_options_of_the_containers_are_for_a_cluster(tried: Tried, network: Network) -> None:
    done = tried(READS, "--in", "model")
    assert done.status == 2
    assert "add --in cluster" in done.err
    assert not network.ran


def test_the_answer_as_json(tried: Tried) -> None:
    found = json.loads(tried(READS + ONLY, *BOTH, "-o", "json").out)
    schema = json.loads((SCHEMAS / "test.schema.json").read_text(encoding="utf-8"))
    assert violations(found, schema, schema) == []
    assert found["where"] == ["model", "cluster"]
    mine = [each for each in found["tests"] if each.get("where") == "cluster"]
    assert [each["status"] for each in mine] == ["passed", "passed"]
    assert mine[1]["untried"] == ["addresses that no pod has", "pods to come"]
    assert found["agreementWithCluster"]["agree"] == 2


def test_a_dispute_as_json(tried: Tried, network: Network) -> None:
    network.drops = lambda *_: False
    found = json.loads(tried(OTHERS, *BOTH, "-o", "json").out)
    schema = json.loads((SCHEMAS / "test.schema.json").read_text(encoding="utf-8"))
    assert violations(found, schema, schema) == []
    (first,) = found["agreementWithCluster"]["disagreements"]
    assert (first["model"], first["cluster"]) == ("passed", "failed")


def test_build_servers_are_told_the_place(tried: Tried, network: Network) -> None:
    network.listening -= {("10.1.0.2", 5432)}
    done = tried(OTHERS, "-o", "tap")
    assert "not ok 1 - nobody else (cluster)" in done.out
    assert "not even itself" in done.out
    assert "unproved" in tried(OTHERS, "-o", "junit").out
