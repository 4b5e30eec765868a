"""Changes of objects of a cluster, as values. Pure.

Rule: a change is about one object, or about all of a collection. A change that names the uid of its
object is not made to another object of that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct


class WriteVerb(Enum):
    """What a change does, by its HTTP method."""

    CREATE = "POST"
    PATCH = "PATCH"
    """Merged into the object (RFC 7396): lists are replaced as a whole."""
    REPLACE = "PUT"
    DELETE = "DELETE"


class ApiWrite(Struct, frozen=True):
    """A change. ``path``: of the object, of what lies below it (``/status``), or of the collection
    that it is to be in. ``body``: an object, a patch, or options of a deletion."""

    verb: WriteVerb
    path: str
    body: Mapping[str, Any]


def delete(path: str, uid: str = "", *, at_once: bool = False) -> ApiWrite:
    """Delete one object, or all of a collection. ``uid``: only the object that has it. ``at_once``:
    without waiting for anybody."""
    body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
    body["propagationPolicy"] = "Background"
    if uid:
        body["preconditions"] = {"uid": uid}
    if at_once:
        body["gracePeriodSeconds"] = 0
    return ApiWrite(WriteVerb.DELETE, path, body)
