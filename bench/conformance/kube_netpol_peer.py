"""Puts connections before kube-netpol: a line of JSON is a cluster with its connections, a line of
answers comes back. Runs in an environment of its own, which has that package.

Its simulator knows pods by their labels, so the pod at an address is looked up here.
"""

from __future__ import annotations

import json
import sys
import tempfile
from typing import Any

from kube_netpol.analyzers.simulator import simulate_traffic
from kube_netpol.models import TrafficFlow
from kube_netpol.parser import parse_manifests


def answers(question: dict[str, Any]) -> list[str]:
    """allow, deny or an error for each connection."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("\n---\n".join(map(json.dumps, question["objects"])))
        file.flush()
        policies, _ = parse_manifests(file.name)
    pods = {
        each["ip"]: pod["metadata"]
        for pod in question["objects"]
        if pod["kind"] == "Pod"
        for each in pod.get("status", {}).get("podIPs", ())
    }
    flows = []
    for flow in question["flows"]:
        source, destination = pods[flow["source"]], pods[flow["destination"]]
        flows.append(
            TrafficFlow(
                source["name"],
                source["namespace"],
                source["labels"],
                destination["name"],
                destination["namespace"],
                destination["labels"],
                flow["port"],
                flow["protocol"],
            )
        )
    words = {"ALLOW": "allow", "DENY": "deny"}
    said = simulate_traffic(policies, flows)
    return [words.get(flow.verdict.value, "error: unknown") for flow in said]


def main() -> None:
    """Until the input ends."""
    for line in sys.stdin:
        try:
            found: dict[str, Any] = {"answers": answers(json.loads(line))}
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(found), flush=True)


main()
