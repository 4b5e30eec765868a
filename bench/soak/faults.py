"""What is done to a cluster while packets pass, one function a fault.

Rule: after a fault everything is as it was. Agents of the first node alone are ended, so that the
second node's tells whether memory grows.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from msgspec import Struct

from bench.soak.field import IN_TIME_AFTER_FAULT, Field
from podfence.model.cluster import Cluster as Model
from podfence.nft.lowering.lower import TABLE
from tests.cluster.images import PAUSE
from tests.cluster.layout import PORT, Node
from tests.support.tableedits import EDITS

Next = Callable[[], Model]
"""The next state of the cluster, one write away."""
_AWAY = "soak-away"
_CROWD = "soak-crowd"
_PODS = 3
"""Of a crowd, on each node."""
_QUIET = 2.0
"""Seconds for which a fault lasts while packets pass."""


def killed(field: Field, _: Next, __: Random) -> None:
    """An agent is killed, and the next finds what it left."""
    _end(field, signal.SIGKILL)


def ended(field: Field, _: Next, __: Random) -> None:
    """The same, as an update does it."""
    _end(field, signal.SIGTERM)


def _end(field: Field, number: signal.Signals) -> None:
    agent = field.agent(field.nodes[0])
    agent.end(number)
    time.sleep(_QUIET)
    agent.start()


def changed_meanwhile(field: Field, following: Next, _: Random) -> None:
    """What changes while there is no agent comes with the first write of the next."""
    agent = field.agent(field.nodes[0])
    agent.end(signal.SIGKILL)
    field.write(following())
    time.sleep(_QUIET)
    agent.start()


def frozen(field: Field, _: Next, rng: Random) -> None:
    """An agent does not run for a while: what its kernel enforces stays."""
    with field.agent(rng.choice(field.nodes)).frozen():
        time.sleep(_QUIET)


def server_away(field: Field, following: Next, rng: Random) -> None:
    """A node's connections to the API server break or go silent, and something changes."""
    node = rng.choice(field.nodes)
    how = rng.choice((("drop",), ("reject", "with", "tcp", "reset")))
    with _away(field, node, *how):
        field.write(following())
        time.sleep(2 * _QUIET)


@contextmanager
def _away(field: Field, node: Node, *how: str) -> Iterator[None]:
    def nft(*words: str) -> None:
        field.cluster.run("nft", *words, node=node)

    hook = "{ type filter hook output priority 0; }"
    nft("add", "table", "inet", _AWAY)
    try:
        nft("add", "chain", "inet", _AWAY, "out", hook)
        nft("add", "rule", "inet", _AWAY, "out", "tcp", "dport", str(PORT), *how)
        yield
    finally:
        nft("delete", "table", "inet", _AWAY)


def server_frozen(field: Field, following: Next, _: Random) -> None:
    """The API server hangs, with every connection open; what changes comes late."""
    server = _program(field, "kube-apiserver")
    os.kill(server, signal.SIGSTOP)
    try:
        time.sleep(_QUIET)
    finally:
        os.kill(server, signal.SIGCONT)
    field.write(following())


def _program(field: Field, name: str) -> int:
    """The process of a program of the control plane."""
    wanted = str(field.cluster.assets.resolve() / name).encode()
    inside = os.readlink(f"/proc/{field.cluster.pid()}/ns/pid")
    for process in Path("/proc").glob("[0-9]*"):
        try:
            is_one = (process / "cmdline").read_bytes().split(b"\0")[0] == wanted
            if is_one and os.readlink(process / "ns" / "pid") == inside:
                return int(process.name)
        except OSError:
            continue  # it ended just now
    raise RuntimeError(f"there is no {name}")


def table_deleted(field: Field, _: Next, rng: Random) -> None:
    """Until it is mended nothing is enforced; what is allowed does not pause, but for some 0.1 ms
    in which the kernel has the rules of the table, and no elements."""
    node = rng.choice(field.nodes)
    with field.unknown():
        field.cluster.run("nft", "delete", "table", "inet", TABLE, node=node)
        field.expect_what_passes()
        field.wait_in_force(IN_TIME_AFTER_FAULT)


def table_edited(field: Field, _: Next, rng: Random) -> None:
    """Somebody else changes a rule or an element; until it is mended anything may pass."""
    with field.unknown():
        node = rng.choice(field.nodes)
        field.cluster.run("nft", *rng.choice(EDITS), node=node)
        field.wait_in_force(IN_TIME_AFTER_FAULT)


def connections_forgotten(field: Field, _: Next, rng: Random) -> None:
    """A node's kernel forgets all connections: what goes on is judged anew, and may still pass."""
    node = rng.choice(field.nodes)
    with field.unknown():
        field.cluster.run("conntrack", "-F", node=node, check=False)


def crowd(field: Field, _: Next, rng: Random) -> None:
    """Pods start and are deleted, as kubelets and the runtime do it; addresses come again."""
    labels = {"app": rng.choice(("web", "db"))}
    path = f"/api/v1/namespaces/{_CROWD}/pods"
    field.admin.request("POST", "/api/v1/namespaces", {"metadata": {"name": _CROWD}})
    _wait(field, f"/api/v1/namespaces/{_CROWD}/serviceaccounts/default", there=True)
    names = {f"{node.name}-{number}": node for node in field.nodes for number in range(_PODS)}
    for name, node in names.items():
        spec = {
            "nodeName": node.name,
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [{"name": "main", "image": PAUSE}],
        }
        field.admin.create(path, {"metadata": {"name": name, "labels": labels}, "spec": spec})
    words = ("--for=condition=Ready", "pod", "--all", "--timeout=120s")
    field.cluster.kubectl("wait", "-n", _CROWD, *words)
    time.sleep(_QUIET)
    for name in names:
        field.admin.request("DELETE", f"{path}/{name}?gracePeriodSeconds=0")
    for name in names:
        _wait(field, f"{path}/{name}", there=False)


def clear(field: Field) -> None:
    """Nothing of the faults stays in the cluster."""
    field.cluster.kubectl("delete", "namespace", _CROWD, "--ignore-not-found", check=False)


def _wait(field: Field, path: str, *, there: bool) -> None:
    until = time.monotonic() + IN_TIME_AFTER_FAULT
    while (field.admin.request("GET", path).status == 200) is not there:
        if time.monotonic() > until:
            raise RuntimeError(f"{path} is {'not ' * there}there")
        time.sleep(0.2)


class Fault(Struct, frozen=True):
    """``weight``: how often it is drawn."""

    name: str
    do: Callable[[Field, Next, Random], None]
    weight: int = 10


FAULTS = (
    Fault("agent killed, started", killed, 5),
    Fault("agent ended, started", ended, 5),
    Fault("changes without an agent", changed_meanwhile),
    Fault("agent frozen", frozen),
    Fault("API server away from a node, with changes", server_away),
    Fault("API server frozen", server_frozen, 5),
    Fault("table deleted", table_deleted),
    Fault("table edited", table_edited),
    Fault("connections forgotten", connections_forgotten),
    Fault("pods created and deleted at once", crowd, 5),
)


def strike(field: Field, following: Next, rng: Random) -> str:
    """One of them, by weight, until everything is as it should be again; its name. Raises Late."""
    (fault,) = rng.choices(FAULTS, [each.weight for each in FAULTS])
    fault.do(field, following, rng)
    field.wait_in_force(IN_TIME_AFTER_FAULT)
    return fault.name
