"""EndpointSlices: which pods are behind a Service, for people who look at it. Pure.

Rule: the lab itself does not read them; what a Service leads to follows from its selector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from podfence.kube.writes import ApiWrite, WriteVerb, delete
from podfence.lab.api.nodes import addresses_of, node_of
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
from podfence.lab.api.workloads import is_ready

_SERVICE: Final = "kubernetes.io/service-name"
_MANAGED: Final = {"endpointslice.kubernetes.io/managed-by": "podfence-lab"}
_VERSIONS: Final = {"IPv4": 4, "IPv6": 6}


def endpoint_slices(state: ClusterState) -> Iterator[ApiWrite]:
    """One for each Service with a selector and each IP version that it has, and no others of
    ours."""
    known = {(namespace(each), name(each)): each for each in state.of("EndpointSlice")}
    wanted = {
        (namespace(service), f"{name(service)}-{family.lower()}"): (service, family)
        for service in state.of("Service")
        if service["spec"].get("selector") and not is_going(service)
        for family in service["spec"].get("ipFamilies") or ()
    }
    for key, (service, family) in wanted.items():
        body = _slice(state, service, family, key[1])
        if key not in known:
            yield ApiWrite(WriteVerb.CREATE, resource("EndpointSlice").path(key[0]), body)
        elif not holds(known[key], {"endpoints": body["endpoints"], "ports": body["ports"]}):
            patch = {**body, "metadata": {**body["metadata"], "uid": uid(known[key])}}
            yield ApiWrite(WriteVerb.PATCH, path_of("EndpointSlice", known[key]), patch)
    for key, each in known.items():
        if key not in wanted and _MANAGED.items() <= labels(each).items():
            yield delete(path_of("EndpointSlice", each), uid(each))


def _slice(state: ClusterState, service: ApiObject, family: str, title: str) -> dict[str, Any]:
    selector = service["spec"]["selector"]
    behind = [
        pod
        for pod in state.of("Pod")
        if namespace(pod) == namespace(service)
        and selector.items() <= labels(pod).items()
        and not is_going(pod)
    ]
    found = [
        {
            "addresses": [str(address)],
            "conditions": {"ready": is_ready(pod)},
            "nodeName": node_of(pod),
            "targetRef": {
                "kind": "Pod",
                "namespace": namespace(pod),
                "name": name(pod),
                "uid": uid(pod),
            },
        }
        for pod in behind
        for address in addresses_of(pod)
        if address.version == _VERSIONS.get(family)
    ]
    return {
        "apiVersion": resource("EndpointSlice").api_version,
        "kind": "EndpointSlice",
        "metadata": {
            "name": title,
            "namespace": namespace(service),
            "labels": {_SERVICE: name(service), **_MANAGED},
        },
        "addressType": family,
        "endpoints": found,
        "ports": list(_ports(service, behind)),
    }


def _ports(service: ApiObject, pods: Sequence[ApiObject]) -> Iterator[dict[str, Any]]:
    """Those of the pods; a named one is that of the first pod that has the name."""
    for port in service["spec"].get("ports") or ():
        target = port.get("targetPort", port["port"])
        number = target if isinstance(target, int) else _named(str(target), pods)
        if number is not None:
            protocol = port.get("protocol", "TCP")
            yield {"name": port.get("name", ""), "port": number, "protocol": protocol}


def _named(title: str, pods: Sequence[ApiObject]) -> int | None:
    ports = (
        port
        for pod in pods
        for container in pod["spec"]["containers"]
        for port in container.get("ports") or ()
    )
    return next((int(p["containerPort"]) for p in ports if p.get("name") == title), None)
