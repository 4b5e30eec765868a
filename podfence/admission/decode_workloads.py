"""Deployments, Jobs and other workloads as plain JSON -> values.

Rule: what a controller would make of a template is left to ``model.workloads``; here is only read
how many pods there will be, and what all of them have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from podfence.admission.decode_core import metadata_of, owner_of, pod_ports
from podfence.admission.decode_fields import Fields
from podfence.admission.schema import Json
from podfence.model.workloads import Workload

Decoder = Callable[[Fields, Json], Workload]


def _workload(kind: str, replicas: Callable[[Fields, Json, Json], int]) -> Decoder:
    def decode(fields: Fields, data: Json) -> Workload:
        spec = fields.mapping(data, "spec", "spec")
        path = "spec.jobTemplate.spec" if kind == "CronJob" else "spec"
        job = _job_template(fields, spec) if kind == "CronJob" else spec
        count = replicas(fields, spec, fields.mapping(data, "status", "status"))
        return _from_template(fields, kind, data, count, job, f"{path}.template")

    return decode


def _job_template(fields: Fields, spec: Json) -> Json:
    path = "spec.jobTemplate"
    return fields.mapping(fields.mapping(spec, "jobTemplate", path), "spec", f"{path}.spec")


def _from_template(
    fields: Fields, kind: str, data: Json, replicas: int, parent: Json, path: str
) -> Workload:
    metadata = metadata_of(fields, data)
    ref = fields.ref(kind, metadata)
    if parent.get("template") is None:
        fields.refuse(path, "required: the template of the pods")
    template = fields.mapping(parent, "template", path)
    template_metadata = fields.mapping(template, "metadata", f"{path}.metadata")
    spec = fields.mapping(template, "spec", f"{path}.spec")
    own_labels = fields.labels(metadata, "labels", "metadata.labels")
    return Workload(
        ref,
        replicas,
        fields.labels(template_metadata, "labels", f"{path}.metadata.labels"),
        pod_ports(fields, spec, f"{path}.spec"),
        fields.flag(spec, "hostNetwork", f"{path}.spec.hostNetwork"),
        owner_of(fields, metadata, ref.namespace, own_labels),
        fields.source,
        node=fields.text(spec, "nodeName", f"{path}.spec.nodeName"),
        **_of_controller(fields, kind, parent, path.removesuffix(".template")),
    )


def _of_controller(fields: Fields, kind: str, spec: Json, path: str) -> dict[str, Any]:
    """What the labels depend on that a controller adds to its pods."""
    if kind == "StatefulSet":
        ordinals = fields.mapping(spec, "ordinals", f"{path}.ordinals")
        return {"first": fields.count(ordinals, "start", f"{path}.ordinals.start", 0)}
    if kind in ("Job", "CronJob"):
        mode = fields.text(spec, "completionMode", f"{path}.completionMode")
        manual = fields.flag(spec, "manualSelector", f"{path}.manualSelector")
        return {"indexed": mode == "Indexed", "manual_selector": manual}
    return {}


def _replicas(fields: Fields, spec: Json, status: Json) -> int:
    return fields.count(spec, "replicas", "spec.replicas", 1)


def _one(fields: Fields, spec: Json, status: Json) -> int:
    return 1


def _job_pods(fields: Fields, spec: Json, status: Json) -> int:
    """``parallelism``, but no more than ``completions``; none when the Job is suspended, complete
    or failed."""
    parallelism = fields.count(spec, "parallelism", "spec.parallelism", 1)
    wanted = fields.count(spec, "completions", "spec.completions", parallelism)
    done = fields.text(status, "completionTime", "status.completionTime") != ""
    for path, condition in fields.items(status, "conditions", "status.conditions"):
        kind = fields.text(condition, "type", f"{path}.type")
        state = fields.text(condition, "status", f"{path}.status")
        done = done or (kind in ("Complete", "Failed") and state == "True")
    suspended = fields.flag(spec, "suspend", "spec.suspend")
    return 0 if done or suspended else min(parallelism, wanted)


def _cronjob_pods(fields: Fields, spec: Json, status: Json) -> int:
    """One pod stands for a run; a suspended CronJob has none."""
    return 0 if fields.flag(spec, "suspend", "spec.suspend") else 1


WORKLOAD_DECODERS: Mapping[str, Decoder] = {
    "Deployment": _workload("Deployment", _replicas),
    "StatefulSet": _workload("StatefulSet", _replicas),
    "ReplicaSet": _workload("ReplicaSet", _replicas),
    "ReplicationController": _workload("ReplicationController", _replicas),
    "DaemonSet": _workload("DaemonSet", _one),
    "Job": _workload("Job", _job_pods),
    "CronJob": _workload("CronJob", _cronjob_pods),
}
"""Kind to its decoder."""
