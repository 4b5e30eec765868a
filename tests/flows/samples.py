"""Records in the shape in which the tools print them, and short ways to read them."""

from __future__ import annotations

import json
from typing import Any

from podfence.flows.formats import FlowReader
from podfence.flows.seen import FlowRecords, RecordedFlow

WEB = {
    "ID": 423,
    "identity": 24753,
    "cluster_name": "prod",
    "namespace": "shop",
    "labels": ["k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"],
    "pod_name": "web-9b649846d-bxqfc",
    "workloads": [{"name": "web", "kind": "Deployment"}],
}
DB = {
    "ID": 12,
    "identity": 24075,
    "namespace": "shop",
    "labels": ["k8s:app=db"],
    "pod_name": "db-0",
    "workloads": [{"name": "db", "kind": "StatefulSet"}],
}
WORLD = {"identity": 2, "labels": ["reserved:world"]}
HOST = {"identity": 1, "labels": ["reserved:host"]}
APISERVER = {"identity": 7, "labels": ["reserved:kube-apiserver", "reserved:remote-node"]}


def hubble(**changes: Any) -> dict[str, Any]:
    """A flow from web to db as ``hubble observe -o json`` has it; None leaves a field out."""
    flow: dict[str, Any] = {
        "time": "2026-07-31T10:41:02.202450754Z",
        "uuid": "cd75b2ac-8dd3-486b-beca-3d17d9d56cff",
        "verdict": "FORWARDED",
        "ethernet": {"source": "62:6b:d0:a4:c5:63", "destination": "6e:d0:ea:78:fc:0a"},
        "IP": {"source": "10.0.1.235", "destination": "10.0.0.21", "ipVersion": "IPv4"},
        "l4": {"TCP": {"source_port": 60524, "destination_port": 5432, "flags": {"SYN": True}}},
        "source": WEB,
        "destination": DB,
        "Type": "L3_L4",
        "node_name": "prod/worker-1",
        "event_type": {"type": 4, "sub_type": 3},
        "traffic_direction": "EGRESS",
        "trace_observation_point": "TO_STACK",
        "is_reply": False,
        "Summary": "TCP Flags: SYN",
    } | changes
    return {key: value for key, value in flow.items() if value is not None}


def jsonpb(*flows: dict[str, Any]) -> bytes:
    """Lines as ``-o jsonpb`` prints them."""
    wrapped = ({"flow": f, "node_name": f.get("node_name"), "time": f.get("time")} for f in flows)
    return b"".join(json.dumps(each).encode() + b"\n" for each in wrapped)


CALICO = {
    "start_time": 1659621542,
    "end_time": 1659621842,
    "source_ip": "10.48.116.157",
    "source_name": "web-755cdc7957-wsvmz",
    "source_name_aggr": "web-755cdc7957-*",
    "source_namespace": "shop",
    "nat_outgoing_ports": None,
    "source_port": None,
    "source_type": "wep",
    "source_labels": {"labels": ["app=web", "pod-template-hash=755cdc7957"]},
    "dest_ip": None,
    "dest_name": "-",
    "dest_name_aggr": "db-*",
    "dest_namespace": "shop",
    "dest_port": 5432,
    "dest_type": "wep",
    "dest_labels": {"labels": ["app=db"]},
    "dest_service_namespace": "shop",
    "dest_service_name": "db",
    "dest_service_port": "sql",
    "dest_service_port_num": 5432,
    "proto": "tcp",
    "action": "allow",
    "reporter": "src",
    "policies": {"all_policies": ["0|__PROFILE__|__PROFILE__.kns.shop|allow|0"]},
    "bytes_in": 300,
    "bytes_out": 0,
    "num_flows": 3,
    "num_flows_started": 3,
    "num_flows_completed": 3,
}
"""A line of /var/log/calico/flowlogs/flows.log."""
WHISKER = {
    "start_time": "2026-09-27T11:32:15Z",
    "end_time": "2026-09-27T11:32:30Z",
    "action": "Deny",
    "source_name": "web-655c844475-*",
    "source_namespace": "shop",
    "source_labels": "app=web | pod-template-hash=655c844475",
    "dest_name": "db-*",
    "dest_namespace": "shop",
    "dest_labels": "app=db",
    "protocol": "tcp",
    "dest_port": 5432,
    "reporter": "Dst",
    "policies": {"enforced": [], "pending": []},
    "packets_in": 8,
    "packets_out": 0,
}
GOLDMANE = {
    "id": "17",
    "flow": {
        "Key": {
            "sourceName": "web-655c844475-*",
            "sourceNamespace": "shop",
            "sourceType": "WorkloadEndpoint",
            "destName": "db-*",
            "destNamespace": "shop",
            "destType": "WorkloadEndpoint",
            "destPort": "5432",
            "proto": "tcp",
            "reporter": "Src",
            "action": "Allow",
        },
        "startTime": "1790508735",
        "endTime": "1790508750",
        "numConnectionsStarted": "4",
    },
}
"""Of Goldmane's API, as protobuf and grpcurl write it in JSON."""

DROPS = {
    "schema": "podfence.drops/v1",
    "nodes": [
        {
            "node": "worker-1",
            "serial": 2,
            "seen": 3,
            "lost": 0,
            "forgotten": 0,
            "drops": [
                {
                    "node": "worker-1",
                    "serial": 1,
                    "first": "2026-11-21T09:00:00Z",
                    "last": "2026-11-21T09:00:05Z",
                    "count": 3,
                    "direction": "ingress",
                    "source": {"address": "10.244.1.7", "pods": ["shop/web-1"]},
                    "destination": {"address": "10.244.2.9", "pods": ["shop/db-0"]},
                    "protocol": "TCP",
                    "port": 5432,
                    "cause": {"reason": "isolated"},
                }
            ],
        }
    ],
}


def read(data: bytes) -> FlowRecords:
    """Everything that a file says."""
    seen = FlowRecords()
    reader = FlowReader(seen, "flows")
    reader.lines(data.split(b"\n"), 1)
    reader.end()
    return seen


def flows(data: bytes) -> list[RecordedFlow]:
    """The flows of a file."""
    return list(read(data).flows())


def one(data: bytes) -> RecordedFlow:
    """The only flow of a file."""
    (found,) = flows(data)
    return found


def lines(*records: Any) -> bytes:
    """JSON, a record a line."""
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)
