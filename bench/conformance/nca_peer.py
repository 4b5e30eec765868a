"""Puts connections before network-config-analyzer: a line of JSON is a cluster with its
connections, a line of answers comes back. Runs in an environment of its own, with that package.

Pods are known to it by name, so the pod at an address is looked up here.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from typing import Any

from nca.CoreDS.ConnectivityProperties import ConnectivityProperties
from nca.CoreDS.Peer import BasePeerSet, IpBlock, PeerSet
from nca.CoreDS.PortSet import PortSet
from nca.CoreDS.ProtocolSet import ProtocolSet
from nca.NetworkConfig.ResourcesHandler import ResourcesHandler


def answers(question: dict[str, Any]) -> list[str]:
    """allow, deny or an error for each connection."""
    BasePeerSet.reset()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"apiVersion": "v1", "kind": "List", "items": question["objects"]}, file)
        file.flush()
        config = ResourcesHandler().get_network_config(None, None, None, [file.name])
    allowed = config.allowed_connections().all_allowed_conns
    names = {
        each["ip"]: f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        for pod in question["objects"]
        if pod["kind"] == "Pod"
        for each in pod.get("status", {}).get("podIPs", ())
    }
    pods = {peer.full_name(): peer for peer in config.peer_container.get_all_peers_group()}

    def end(address: str) -> Any:
        if address in names:
            return PeerSet({pods[names[address]]})
        length = 128 if ":" in address else 32
        return PeerSet({IpBlock(f"{address}/{length}")})

    def one(flow: dict[str, Any]) -> str:
        try:
            wanted = ConnectivityProperties.make_conn_props_from_dict(
                {
                    "src_peers": end(flow["source"]),
                    "dst_peers": end(flow["destination"]),
                    "protocols": ProtocolSet.get_protocol_set_with_single_protocol(
                        flow["protocol"]
                    ),
                    "dst_ports": PortSet.make_port_set_with_range(flow["port"], flow["port"]),
                }
            )
            return "allow" if allowed & wanted else "deny"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            return f"error: {type(error).__name__}: {error}"

    return [one(flow) for flow in question["flows"]]


def main() -> None:
    """Until the input ends."""
    for line in sys.stdin:
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                found: dict[str, Any] = {"answers": answers(json.loads(line))}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - as above
            found = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(found), flush=True)


main()
