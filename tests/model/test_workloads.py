"""Expansion of workloads: how many pods, which names, whose, and none counted twice."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from podfence.admission.decode import decode
from podfence.errors import Severity, Source
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import ContainerPort, Node, Pod
from podfence.model.workloads import MAX_PODS, UNKNOWN_VALUE, Workload, expand, template_labels

SOURCE = Source("apps.yaml")
POD_SPEC: dict[str, Any] = {
    "hostNetwork": True,
    "containers": [{"ports": [{"name": "http", "containerPort": 80}]}],
}
TEMPLATE: dict[str, Any] = {"metadata": {"labels": {"app": "web"}}, "spec": POD_SPEC}
API_VERSIONS = {
    "ReplicationController": "v1",
    "Job": "batch/v1",
    "CronJob": "batch/v1",
}


def _workload(
    kind: str, name: str = "web", *, owner: Any = None, status: Any = None, **spec: Any
) -> Workload:
    if kind == "CronJob":
        spec = {**spec, "jobTemplate": {"spec": {"template": TEMPLATE}}}
    else:
        spec = {**spec, "template": TEMPLATE}
    metadata: dict[str, Any] = {"name": name, "namespace": "shop"}
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    data = {
        "apiVersion": API_VERSIONS.get(kind, "apps/v1"),
        "kind": kind,
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }
    decoded = decode(data, SOURCE)
    assert decoded.problems == ()
    (workload,) = decoded.objects
    assert isinstance(workload, Workload)
    return workload


def _owner(kind: str, name: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "controller": True}


def _ref(kind: str, name: str = "web") -> ObjectRef:
    return ObjectRef(kind, "shop", name)


def _names(*workloads: Workload, pods: tuple[Pod, ...] = (), nodes: tuple[Node, ...] = ()) -> Any:
    return [pod.name for pod in expand(workloads, pods, nodes)[0][len(pods) :]]


DONE = {"completionTime": "2024-01-01T00:00:00Z"}
COMPLETE = {"conditions": [{"type": "Complete", "status": "True"}]}
FAILED = {"conditions": [{"type": "Failed", "status": "True"}]}
RUNNING = {"conditions": [{"type": "Complete", "status": "False"}]}
COUNTS: list[tuple[str, Workload, list[str]]] = [
    ("deployment-default", _workload("Deployment"), ["web-1"]),
    ("deployment-null", _workload("Deployment", replicas=None), ["web-1"]),
    ("deployment-three", _workload("Deployment", replicas=3), ["web-1", "web-2", "web-3"]),
    ("deployment-zero", _workload("Deployment", replicas=0), []),
    ("statefulset-two", _workload("StatefulSet", replicas=2), ["web-0", "web-1"]),
    ("replicaset", _workload("ReplicaSet", replicas=2), ["web-1", "web-2"]),
    ("old-replicaset", _workload("ReplicaSet", replicas=0), []),
    ("controller", _workload("ReplicationController"), ["web-1"]),
    ("daemonset-without-nodes", _workload("DaemonSet"), ["web-1"]),
    ("job-default", _workload("Job"), ["web-1"]),
    ("job-parallel", _workload("Job", parallelism=2), ["web-1", "web-2"]),
    ("job-fewer", _workload("Job", parallelism=3, completions=2), ["web-1", "web-2"]),
    ("job-more", _workload("Job", parallelism=1, completions=5), ["web-1"]),
    ("job-open", _workload("Job", parallelism=2, completions=None), ["web-1", "web-2"]),
    ("job-nothing-to-do", _workload("Job", completions=0), []),
    ("job-none", _workload("Job", parallelism=0), []),
    ("job-suspended", _workload("Job", suspend=True), []),
    ("job-done", _workload("Job", status=DONE), []),
    ("job-complete", _workload("Job", status=COMPLETE), []),
    ("job-failed", _workload("Job", status=FAILED), []),
    ("job-running", _workload("Job", status=RUNNING), ["web-1"]),
    ("cronjob", _workload("CronJob"), ["web-1"]),
    ("cronjob-suspended", _workload("CronJob", suspend=True), []),
]


@pytest.mark.parametrize(
    ("workload", "names"), [case[1:] for case in COUNTS], ids=[case[0] for case in COUNTS]
)
def test_pods_of_a_workload(workload: Workload, names: list[str]) -> None:
    assert _names(workload) == names


@pytest.mark.parametrize("kind", ["Deployment", "CronJob"])
def test_expanded_pod_carries_the_template(kind: str) -> None:
    (pod,), problems = expand([_workload(kind)], [], [])
    assert problems == ()
    assert pod == Pod(
        "shop",
        "web-1",
        template_labels(_workload(kind)),
        ports=(ContainerPort("http", 80, Protocol.TCP),),
        host_network=True,
        owner=_ref(kind),
        source=SOURCE,
    )


def test_daemonset_runs_one_pod_a_node() -> None:
    nodes = (Node("b"), Node("a"))
    pods, _ = expand([_workload("DaemonSet")], [], nodes)
    assert [(pod.name, pod.node) for pod in pods] == [("web-1", "a"), ("web-2", "b")]


@pytest.mark.parametrize(
    "kind",
    "Deployment StatefulSet DaemonSet ReplicaSet ReplicationController Job CronJob".split(),
)
def test_a_node_that_the_template_names_is_that_of_the_pods(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That node reaches them (NP-52), and on its network they have its addresses (NP-50)."""
    monkeypatch.setitem(POD_SPEC, "nodeName", "b")
    pods, _ = expand([_workload(kind)], [], [Node("a"), Node("b")])
    assert [pod.node for pod in pods] == ["b"]


def test_order_of_the_input_does_not_matter() -> None:
    some = [_workload("Deployment", "b"), _workload("StatefulSet", "a"), _workload("Job", "b")]
    assert expand(some, [], []) == expand(some[::-1], [], [])


def test_names_that_are_taken_are_left_out() -> None:
    taken = (Pod("shop", "web-1"), Pod("other", "web-2"))
    assert _names(_workload("Deployment", replicas=2), pods=taken) == ["web-2", "web-3"]


def test_two_workloads_of_one_name_do_not_collide() -> None:
    both = _workload("Deployment", replicas=2), _workload("StatefulSet", replicas=2)
    assert _names(*both) == ["web-1", "web-2", "web-0", "web-3"]


def test_pf208_huge_workload_is_capped() -> None:
    pods, (problem,) = expand([_workload("Deployment", replicas=10**30)], [], [])
    assert len(pods) == MAX_PODS
    assert (problem.code, problem.severity) == ("PF208", Severity.WARNING)
    assert problem.message == f"{10**30} pods wanted, only the first 1000 are considered"
    assert (problem.object, problem.source) == ("Deployment shop/web", SOURCE)


@pytest.mark.parametrize(
    ("workload", "path"),
    [
        (_workload("Deployment", replicas=1001), "spec.replicas"),
        (_workload("Job", parallelism=1001), "spec.parallelism"),
        (_workload("DaemonSet"), "spec"),
    ],
    ids=["Deployment", "Job", "DaemonSet"],
)
def test_pf208_names_the_field_that_sets_the_number(workload: Workload, path: str) -> None:
    _, (problem,) = expand([workload], [], [Node(str(number)) for number in range(1001)])
    assert problem.path == path
    assert problem.message.startswith("1001 pods wanted")


def test_limit_itself_is_no_problem() -> None:
    pods, problems = expand([_workload("Deployment", replicas=MAX_PODS)], [], [])
    assert (len(pods), problems) == (MAX_PODS, ())


# ------------------------------------------------------------------- never counted twice


def _pod(owner: ObjectRef | None, name: str = "given") -> Pod:
    return Pod("shop", name, has_status=True, owner=owner)


def test_deployment_with_pods_of_its_replicaset() -> None:
    replicaset = _workload("ReplicaSet", "web-5d4f", owner=_owner("Deployment", "web"), replicas=2)
    pods, _ = expand(
        [_workload("Deployment"), replicaset], [_pod(_ref("ReplicaSet", "web-5d4f"))], []
    )
    assert pods == (_pod(_ref("Deployment")),)


def test_deployment_with_pods_of_a_replicaset_that_is_not_in_the_input() -> None:
    data = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "given",
            "namespace": "shop",
            "labels": {"pod-template-hash": "5d4f"},
            "ownerReferences": [_owner("ReplicaSet", "web-5d4f")],
        },
    }
    given = [pod for pod in decode(data, SOURCE).objects if isinstance(pod, Pod)]
    pods, _ = expand([_workload("Deployment", replicas=3)], given, [])
    assert [(pod.name, pod.owner) for pod in pods] == [("given", _ref("Deployment"))]


def test_replicaset_of_a_deployment_of_the_input() -> None:
    replicaset = _workload("ReplicaSet", "web-5d4f", owner=_owner("Deployment", "web"), replicas=2)
    pods, _ = expand([replicaset, _workload("Deployment", replicas=3)], [], [])
    assert [(pod.name, pod.owner) for pod in pods] == [
        (f"web-{number}", _ref("Deployment")) for number in (1, 2, 3)
    ]


def test_replicaset_of_a_deployment_that_is_not_in_the_input() -> None:
    replicaset = _workload("ReplicaSet", "web-5d4f", owner=_owner("Deployment", "web"))
    (pod,), _ = expand([replicaset], [], [])
    assert (pod.name, pod.owner) == ("web-5d4f-1", _ref("Deployment"))


def test_replicaset_with_pods_while_its_deployment_is_missing() -> None:
    replicaset = _workload("ReplicaSet", "web-5d4f", owner=_owner("Deployment", "web"))
    pods, _ = expand([replicaset], [_pod(_ref("ReplicaSet", "web-5d4f"))], [])
    assert pods == (_pod(_ref("Deployment")),)


def test_job_of_a_cronjob_of_the_input() -> None:
    job = _workload("Job", "web-28475", owner=_owner("CronJob", "web"))
    assert _names(job, _workload("CronJob")) == ["web-1"]


def test_pods_of_a_cronjobs_run_whose_job_is_not_in_the_input() -> None:
    pods, _ = expand([_workload("CronJob")], [_pod(_ref("Job", "web-28475160"))], [])
    assert pods == (_pod(_ref("CronJob")),)


def test_pods_of_a_job_that_no_cronjob_started() -> None:
    given = _pod(_ref("Job", "web-28475160"))
    assert expand([], [given], [])[0] == (given,)


def test_statefulset_of_an_operator_is_topmost() -> None:
    owned = _workload("StatefulSet", owner=_owner("Prometheus", "main"))
    (pod,), _ = expand([owned], [], [])
    assert pod.owner == _ref("StatefulSet")


def test_pod_of_an_operator_keeps_its_owner() -> None:
    given = _pod(_ref("Cluster", "pg"))
    assert expand([], [given], [])[0] == (given,)


def test_pods_without_an_owner_do_not_replace_a_workload() -> None:
    assert _names(_workload("Deployment"), pods=(_pod(None),)) == ["web-1"]


def test_owners_in_a_circle_end() -> None:
    first = _workload("ReplicaSet", "a", owner=_owner("Deployment", "b"))
    second = _workload("Deployment", "b", owner=_owner("ReplicaSet", "a"))
    pods, _ = expand([first, second], [_pod(_ref("ReplicaSet", "a"))], [])
    assert len(pods) == 1


def test_workload_named_twice_counts_once() -> None:
    assert _names(_workload("Deployment"), _workload("Deployment")) == ["web-1"]


UNKNOWN_UIDS = dict.fromkeys(("batch.kubernetes.io/controller-uid", "controller-uid"), "?")


@pytest.mark.parametrize(
    ("workload", "added"),
    [
        pytest.param(
            Workload(ObjectRef("StatefulSet", "a", "db"), 2, first=5),
            [
                {
                    "statefulset.kubernetes.io/pod-name": f"db-{n}",
                    "apps.kubernetes.io/pod-index": str(n),
                    "controller-revision-hash": UNKNOWN_VALUE,
                }
                for n in (5, 6)
            ],
            id="StatefulSet from an ordinal",
        ),
        pytest.param(
            Workload(ObjectRef("Job", "a", "run"), 1),
            [{**UNKNOWN_UIDS, "batch.kubernetes.io/job-name": "run", "job-name": "run"}],
            id="Job",
        ),
        pytest.param(
            Workload(ObjectRef("Job", "a", "run"), 2, indexed=True, manual_selector=True),
            [{"batch.kubernetes.io/job-completion-index": str(n)} for n in (0, 1)],
            id="indexed Job with labels of its own",
        ),
        pytest.param(
            Workload(ObjectRef("CronJob", "a", "tick"), 1, indexed=True),
            [
                {
                    **UNKNOWN_UIDS,
                    "batch.kubernetes.io/job-completion-index": "0",
                    "batch.kubernetes.io/job-name": UNKNOWN_VALUE,
                    "job-name": UNKNOWN_VALUE,
                }
            ],
            id="CronJob: the name of its Job is not known",
        ),
        pytest.param(
            Workload(ObjectRef("Deployment", "a", "web"), 1),
            [{"pod-template-hash": UNKNOWN_VALUE}],
            id="Deployment",
        ),
        pytest.param(
            Workload(ObjectRef("DaemonSet", "a", "log"), 1),
            [
                {
                    "controller-revision-hash": UNKNOWN_VALUE,
                    "pod-template-generation": UNKNOWN_VALUE,
                }
            ],
            id="DaemonSet",
        ),
        pytest.param(
            Workload(ObjectRef("ReplicaSet", "a", "web"), 1), [{}], id="ReplicaSet by itself"
        ),
    ],
)
def test_labels_that_controllers_add_are_there_as_far_as_they_are_known(
    workload: Workload, added: list[dict[str, str]]
) -> None:
    template = {"app": "x", "job-name": "written"}
    pods, _ = expand([replace(workload, labels=tuple(sorted(template.items())))], [], [])
    assert [dict(pod.labels) for pod in pods] == [{**template, **labels} for labels in added]
