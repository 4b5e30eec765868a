"""The work of controllers: from workloads to the pods that they want, and the status of both. Pure.

Rule: one reading in, changes out; the same reading gives the same changes, names included. The
server refuses a change to an object that was changed meanwhile, and the next reading shows its new
state. The commands of tutorials work (create, scale, set image, rollout status, delete). No
controller waits for pods to have been ready for some time, because pods here do not fail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final

import msgspec

from podfence.kube.writes import ApiWrite, WriteVerb, delete
from podfence.lab.api.state import (
    ApiObject,
    ClusterState,
    holds,
    is_going,
    labels,
    name,
    namespace,
    path_of,
    resource,
    uid,
)
from podfence.model.workloads import POD_TEMPLATE_HASH

_REVISION: Final = "controller-revision-hash"
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
"""The letters that Kubernetes uses in generated names: they spell no word."""
_FINISHED: Final = frozenset({"Succeeded", "Failed"})


def controllers(state: ClusterState, nodes: Sequence[str], now: str) -> Iterator[ApiWrite]:
    """All that controllers change. ``nodes``: by name. ``now``: the time, as RFC 3339 has it."""
    for each in _standing(state, "Deployment"):
        yield from _deployment(state, each, now)
    for kind in ("ReplicaSet", "ReplicationController"):
        for each in _standing(state, kind):
            yield from _replicas(state, kind, each)
    for each in _standing(state, "StatefulSet"):
        yield from _stateful(state, each)
    for each in _standing(state, "DaemonSet"):
        yield from _daemon(state, each, nodes)
    for each in _standing(state, "Job"):
        yield from _job(state, each, now)


def is_ready(pod: ApiObject) -> bool:
    """Whether a pod says that it is."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _standing(state: ClusterState, kind: str) -> Iterator[ApiObject]:
    return (each for each in state.of(kind) if not is_going(each))


# -- Deployments


def _deployment(state: ClusterState, deployment: ApiObject, now: str) -> Iterator[ApiWrite]:
    wanted = int(deployment["spec"].get("replicas", 1))
    template = deployment["spec"]["template"]
    marked = {POD_TEMPLATE_HASH: _digest(msgspec.json.encode(template, order="deterministic"))}
    title = f"{name(deployment)}-{marked[POD_TEMPLATE_HASH]}"
    owned = [each for each in state.owned("ReplicaSet", deployment) if not is_going(each)]
    current = next((each for each in owned if name(each) == title), None)
    if current is None:
        yield _create_replicaset(deployment, title, marked, wanted)
    else:
        yield from _scaled(current, wanted)
    replaced = current is not None and _status(current, "readyReplicas") >= wanted
    at_once = deployment["spec"].get("strategy", {}).get("type") == "Recreate"
    for each in owned:
        if each is not current and (replaced or at_once):
            yield from _scaled(each, 0)
    ready = sum(_status(each, "readyReplicas") for each in owned)
    updated = 0 if current is None else _status(current, "replicas")
    is_done = updated == ready == wanted
    status = {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": sum(_status(each, "replicas") for each in owned),
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, wanted - ready),
        "conditions": [
            _condition(deployment, "Available", ready >= wanted, "MinimumReplicasAvailable", now),
            _condition(
                deployment,
                "Progressing",
                True,
                "NewReplicaSetAvailable" if is_done else "ReplicaSetUpdated",
                now,
            ),
        ],
    }
    yield from _said("Deployment", deployment, status)


def _create_replicaset(
    deployment: ApiObject, title: str, marked: Mapping[str, str], replicas: int
) -> ApiWrite:
    spec = deployment["spec"]
    template = spec["template"]
    meta = template.get("metadata") or {}
    marked_labels = {**(meta.get("labels") or {}), **marked}
    selector = spec["selector"]
    matched = {**(selector.get("matchLabels") or {}), **marked}
    body = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": title,
            "namespace": namespace(deployment),
            "labels": marked_labels,
            "ownerReferences": [_reference("Deployment", deployment)],
        },
        "spec": {
            "replicas": replicas,
            "selector": {**selector, "matchLabels": matched},
            "template": {**template, "metadata": {**meta, "labels": marked_labels}},
        },
    }
    return ApiWrite(WriteVerb.CREATE, resource("ReplicaSet").path(namespace(deployment)), body)


def _scaled(replicaset: ApiObject, wanted: int) -> Iterator[ApiWrite]:
    if int(replicaset["spec"].get("replicas", 1)) != wanted:
        patch = {"metadata": {"uid": uid(replicaset)}, "spec": {"replicas": wanted}}
        yield ApiWrite(WriteVerb.PATCH, path_of("ReplicaSet", replicaset), patch)


def _condition(of: ApiObject, kind: str, holds: bool, reason: str, now: str) -> dict[str, Any]:
    status = "True" if holds else "False"
    known = of.get("status", {}).get("conditions") or ()
    same: Mapping[str, Any] = next(
        (c for c in known if c.get("type") == kind and c.get("status") == status), {}
    )
    since = same.get("lastTransitionTime", now)
    updated = same.get("lastUpdateTime", now) if same.get("reason") == reason else now
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "",
        "lastTransitionTime": since,
        "lastUpdateTime": updated,
    }


# -- the others


def _replicas(state: ClusterState, kind: str, owner: ApiObject) -> Iterator[ApiWrite]:
    wanted = int(owner["spec"].get("replicas", 1))
    owned = _active(state, owner)
    selector = owner["spec"].get("selector") or {}
    if kind == "ReplicaSet":
        selector = selector.get("matchLabels") or {}
    pods = [pod for pod in owned if selector.items() <= labels(pod).items()]
    yield from (_released(pod) for pod in owned if pod not in pods)
    template = owner["spec"]["template"]
    for title in _free_names(state, owner, wanted - len(pods)):
        yield _pod(kind, owner, template, title)
    yield from _surplus(pods, wanted)
    counts = {**_counts(owner, pods), "fullyLabeledReplicas": len(pods)}
    yield from _said(kind, owner, {**counts, "availableReplicas": counts["readyReplicas"]})


def _stateful(state: ClusterState, owner: ApiObject) -> Iterator[ApiWrite]:
    spec = owner["spec"]
    first = int((spec.get("ordinals") or {}).get("start", 0))
    wanted = {f"{name(owner)}-{n}": n for n in range(first, first + int(spec.get("replicas", 1)))}
    revision = _revision(spec["template"])
    taken = {name(pod) for pod in state.of("Pod") if namespace(pod) == namespace(owner)}
    for title, number in wanted.items():
        if title not in taken:
            added = {
                _REVISION: revision,
                "statefulset.kubernetes.io/pod-name": title,
                "apps.kubernetes.io/pod-index": str(number),
            }
            more = {"hostname": title, "subdomain": spec.get("serviceName", "")}
            yield _pod("StatefulSet", owner, spec["template"], title, added, more)
    pods = _active(state, owner)
    stays = [p for p in pods if name(p) in wanted and labels(p).get(_REVISION) == revision]
    yield from (_deleted(pod) for pod in pods if pod not in stays)
    status = {
        **_counts(owner, pods),
        "currentReplicas": len(stays),
        "updatedReplicas": len(stays),
        "availableReplicas": sum(map(is_ready, pods)),
        "currentRevision": f"{name(owner)}-{revision}",
        "updateRevision": f"{name(owner)}-{revision}",
    }
    yield from _said("StatefulSet", owner, status)


def _daemon(state: ClusterState, owner: ApiObject, nodes: Sequence[str]) -> Iterator[ApiWrite]:
    template = owner["spec"]["template"]
    revision = _revision(template)
    pods = _active(state, owner)
    stays = [pod for pod in pods if labels(pod).get(_REVISION) == revision]
    yield from (_deleted(pod) for pod in pods if pod not in stays)
    served = {pod["spec"].get("nodeName") for pod in stays}
    for node in nodes:
        if node not in served:
            title = next(_free_names(state, owner, 1, seed=node))
            yield _pod(
                "DaemonSet", owner, template, title, {_REVISION: revision}, {"nodeName": node}
            )
    ready = sum(map(is_ready, stays))
    status = {
        "observedGeneration": owner["metadata"].get("generation", 1),
        "desiredNumberScheduled": len(nodes),
        "currentNumberScheduled": len(pods),
        "updatedNumberScheduled": len(stays),
        "numberMisscheduled": 0,
        "numberReady": ready,
        "numberAvailable": ready,
    }
    yield from _said("DaemonSet", owner, status)


def _job(state: ClusterState, owner: ApiObject, now: str) -> Iterator[ApiWrite]:
    """Pods of a Job run and never complete, because no command runs in them."""
    spec = owner["spec"]
    wanted = 0 if spec.get("suspend") else int(spec.get("parallelism", 1))
    if (completions := spec.get("completions")) is not None:
        wanted = min(wanted, int(completions))
    pods = _active(state, owner)
    for title in _free_names(state, owner, wanted - len(pods)):
        yield _pod("Job", owner, spec["template"], title)
    yield from _surplus(pods, wanted)
    started = owner.get("status", {}).get("startTime", now)
    status: dict[str, Any] = {"active": len(pods), "ready": sum(map(is_ready, pods))}
    yield from _said("Job", owner, {**status, "startTime": started} if wanted else status)


# -- what they share


def _active(state: ClusterState, owner: ApiObject) -> list[ApiObject]:
    """Pods that count, the oldest first."""
    found = (
        pod
        for pod in state.owned("Pod", owner)
        if not is_going(pod) and pod.get("status", {}).get("phase") not in _FINISHED
    )
    return sorted(found, key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), name(pod)))


def _surplus(pods: Sequence[ApiObject], wanted: int) -> Iterator[ApiWrite]:
    return (_deleted(pod) for pod in pods[wanted:])


def _deleted(pod: ApiObject) -> ApiWrite:
    return delete(path_of("Pod", pod), uid(pod))


def _released(pod: ApiObject) -> ApiWrite:
    """A pod whose labels no longer match belongs to no controller, and keeps running."""
    patch = {"metadata": {"uid": uid(pod), "ownerReferences": None}}
    return ApiWrite(WriteVerb.PATCH, path_of("Pod", pod), patch)


def _free_names(
    state: ClusterState, owner: ApiObject, number: int, seed: str = ""
) -> Iterator[str]:
    """Names for new pods that no pod has, one that is being deleted included."""
    taken = {name(pod) for pod in state.of("Pod") if namespace(pod) == namespace(owner)}
    found = (f"{name(owner)}-{_digest(f'{uid(owner)} {seed} {n}'.encode())[:5]}" for n in count())
    for _ in range(number):
        title = next(each for each in found if each not in taken)
        taken.add(title)
        yield title


def _pod(
    kind: str,
    owner: ApiObject,
    template: ApiObject,
    title: str,
    marked: Mapping[str, str] = {},
    more: Mapping[str, Any] = {},
) -> ApiWrite:
    meta = template.get("metadata") or {}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": title,
            "namespace": namespace(owner),
            "labels": {**(meta.get("labels") or {}), **marked},
            "annotations": meta.get("annotations") or {},
            "ownerReferences": [_reference(kind, owner)],
        },
        "spec": {**template["spec"], **more},
    }
    return ApiWrite(WriteVerb.CREATE, resource("Pod").path(namespace(owner)), body)


def _reference(kind: str, owner: ApiObject) -> dict[str, Any]:
    return {
        "apiVersion": resource(kind).api_version,
        "kind": kind,
        "name": name(owner),
        "uid": uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _counts(owner: ApiObject, pods: Iterable[ApiObject]) -> dict[str, int]:
    known = list(pods)
    return {
        "observedGeneration": owner["metadata"].get("generation", 1),
        "replicas": len(known),
        "readyReplicas": sum(map(is_ready, known)),
    }


def _status(of: ApiObject, field: str) -> int:
    return int(of.get("status", {}).get(field, 0))


def _said(kind: str, of: ApiObject, status: Mapping[str, Any]) -> Iterator[ApiWrite]:
    """The status, where it is another one."""
    if not holds(of.get("status", {}), status):
        patch = {"metadata": {"uid": uid(of)}, "status": dict(status)}
        yield ApiWrite(WriteVerb.PATCH, path_of(kind, of, "status"), patch)


def _revision(template: ApiObject) -> str:
    return _digest(msgspec.json.encode(template, order="deterministic"))


def _digest(data: bytes) -> str:
    """Ten letters."""
    number = int.from_bytes(hashlib.sha256(data).digest()[:8])
    return "".join(_LETTERS[number // len(_LETTERS) ** at % len(_LETTERS)] for at in range(10))
