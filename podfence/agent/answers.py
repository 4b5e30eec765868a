"""The paths of an agent's endpoint, and what each answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import msgspec

from podfence.agent.endpoint import Route
from podfence.agent.nodereport import node_report
from podfence.agent.status import Status

STATUS = "/v1/status"


def routes(status: Callable[[], Status]) -> dict[str, Route]:
    """By path."""

    def of_node(_: Mapping[str, str]) -> Iterator[bytes]:
        yield msgspec.json.encode(node_report(status(), time.monotonic()))

    return {STATUS: Route("status", of_node)}
