"""Makes changes of objects of a cluster, and reports the server's answer.

Rule: nothing is written twice. A caller that does not know whether a change was made reads again.
"""

from __future__ import annotations

from typing import Final

import msgspec

from podfence.errors import ClusterError
from podfence.kube.client import Client, ServerRefusal
from podfence.kube.writes import ApiWrite, WriteVerb

GONE: Final = frozenset({404, 409})
"""Answers that say: somebody was quicker. The object is not there, is there already, or is another
one."""
_ANOTHER: Final = "metadata.uid: Invalid value"
"""What is said of a patch whose uid is not that of the object."""


def write(client: Client, change: ApiWrite) -> bool:
    """Make a change. False: somebody was faster, so the object is gone, or another one has the
    name.

    Raises ServerRefusal for any other answer, and Lost where none came.
    """
    content = (
        "application/merge-patch+json" if change.verb is WriteVerb.PATCH else "application/json"
    )
    try:
        body = msgspec.json.encode(change.body)
    except (TypeError, ValueError) as error:
        raise ClusterError(f"{change.path}: the object to write is not JSON: {error}") from error
    try:
        client.write(change.verb.value, change.path, body, content)
    except ServerRefusal as refusal:
        if refusal.status in GONE or (refusal.status == 422 and _ANOTHER in refusal.said):
            return False
        raise
    return True
