"""The paths of an agent's endpoint, and what each answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from podfence.agent.endpoint import BadRequest, Route
from podfence.agent.nodereport import node_report
from podfence.agent.status import Status
from podfence.drops.narrow import of_namespace
from podfence.drops.record import Drops

STATUS, DROPS = "/v1/status", "/v1/drops"
_DIGITS = 20


def routes(status: Callable[[], Status], drops: Callable[[int], Drops]) -> dict[str, Route]:
    """By path. ``drops``: those that have changed after a serial."""

    def of_node(_: Mapping[str, str]) -> Iterator[bytes]:
        yield msgspec.json.encode(node_report(status(), time.monotonic()))

    def of_drops(query: Mapping[str, str]) -> Iterator[bytes]:
        since = query.get("since", "0")
        if not (since.isascii() and since.isdigit() and len(since) < _DIGITS):
            raise BadRequest("since is the serial of an earlier answer")
        found = drops(int(since))
        if namespace := query.get("namespace", ""):
            found = of_namespace(found, namespace)
        yield msgspec.json.encode(found)

    return {
        STATUS: Route("status", of_node),
        DROPS: Route("drops", of_drops, of_namespace=True),
    }
