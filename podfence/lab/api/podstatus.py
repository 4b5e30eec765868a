"""The status that a node writes for its pods. Pure.

Rule: a pod is running and ready as soon as its network is there, for nothing runs in it that could
fail: the lab itself answers on its ports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from podfence.kube.writes import ApiWrite, WriteVerb
from podfence.lab.api.nodes import PodRun
from podfence.lab.api.state import ApiObject, holds, path_of, uid


def told(run: PodRun, now: str, missing: str = "") -> Iterator[ApiWrite]:
    """The status of a pod, where it is another one. ``missing``: why it has no network."""
    wanted = _pending(run, now, missing) if missing else _running(run, now)
    if not holds(run.pod.get("status", {}), wanted):
        patch = {"metadata": {"uid": uid(run.pod)}, "status": wanted}
        yield ApiWrite(WriteVerb.PATCH, path_of("Pod", run.pod, "status"), patch)


def _pending(run: PodRun, now: str, why: str) -> dict[str, Any]:
    said = _condition(run.pod, "Ready", "False", now)
    return {
        "phase": "Pending",
        "conditions": [
            _condition(run.pod, "PodScheduled", "True", now),
            {**said, "reason": "NoNetwork", "message": why},
        ],
    }


def _running(run: PodRun, now: str) -> dict[str, Any]:
    spec = run.pod["spec"]
    started = run.pod.get("status", {}).get("startTime", now)
    init: Sequence[ApiObject] = spec.get("initContainers") or ()
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    status: dict[str, Any] = {
        "phase": "Running",
        "hostIP": str(run.node.addresses[0]),
        "hostIPs": [{"ip": str(each)} for each in run.node.addresses],
        "podIP": str(run.addresses[0]),
        "podIPs": [{"ip": str(each)} for each in run.addresses],
        "startTime": started,
        "conditions": [_condition(run.pod, kind, "True", now) for kind in kinds],
        "containerStatuses": [_container(each, started) for each in spec["containers"]],
    }
    if init:
        status["initContainerStatuses"] = [
            _container(e, started) if e.get("restartPolicy") == "Always" else _ended(e, started)
            for e in init
        ]
    return status


def _condition(pod: ApiObject, kind: str, status: str, now: str) -> dict[str, Any]:
    known = pod.get("status", {}).get("conditions") or ()
    same: Mapping[str, Any] = next(
        (c for c in known if c.get("type") == kind and c.get("status") == status), {}
    )
    since = same.get("lastTransitionTime", now)
    return {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}


def _container(container: ApiObject, started: str) -> dict[str, Any]:
    state = {"running": {"startedAt": started}}
    return {**_known(container), "ready": True, "started": True, "state": state}


def _ended(container: ApiObject, at: str) -> dict[str, Any]:
    end = {"exitCode": 0, "reason": "Completed", "startedAt": at, "finishedAt": at}
    return {**_known(container), "ready": True, "started": False, "state": {"terminated": end}}


def _known(container: ApiObject) -> dict[str, Any]:
    return {
        "name": container["name"],
        "image": container.get("image", ""),
        "imageID": "",
        "restartCount": 0,
    }
