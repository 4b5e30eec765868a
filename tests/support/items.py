"""Objects of a watch as plain values, for tests that look at watches alone."""

from __future__ import annotations

from typing import Any

import msgspec

from podfence.kube.follow import Item
from podfence.kube.resource import Resource


def whole(_: Resource, text: msgspec.Raw) -> Item[dict[str, Any]]:
    """All of an object."""
    data: dict[str, Any] = msgspec.json.decode(text)
    metadata = data["metadata"]
    return Item(
        metadata.get("namespace", ""), metadata["name"], metadata.get("resourceVersion", ""), data
    )
