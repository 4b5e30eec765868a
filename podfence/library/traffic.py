"""Flow records of the library's ``plan``: read, and what comes of them as its values.

Rule: records that cannot be read may be the ones that matter, so they are an error and no answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from podfence.errors import PodfenceError
from podfence.flows.seen import FlowRecords
from podfence.library.values import Traffic, Use
from podfence.manifests.flowfiles import read_flows
from podfence.questions.plan import used as judged
from podfence.render.plan_used import ungrounded
from podfence.render.suggest import port_text
from podfence.text import printable


def seen_in(files: Sequence[str]) -> FlowRecords:
    """What flow records of all files say. Raises PodfenceError (PF011) where one cannot be read."""
    seen = read_flows(files, None)
    if seen.unread:
        where = "; ".join(f"{printable(e.file)}:{e.line}: {e.message}" for e in seen.unread_at)
        more = seen.unread - len(seen.unread_at)
        said = f"{where}; and {more:,} more" if more else where
        raise PodfenceError(f"flow records cannot be read: {said}", code="PF011")
    return seen


def traffic_of(used: judged.Used, seen: FlowRecords) -> Traffic:
    """What a change cuts and lets through."""
    cut, opened = (tuple(map(_use, uses)) for uses in (used.cut, used.opened))
    return Traffic(cut, opened, used.kept, used.refused, ungrounded(used, seen))


def _use(each: judged.ChangedUse) -> Use:
    found = each.connection
    port = port_text(found.protocol, found.port)
    ends = found.source.name, found.destination.name
    return Use(*ends, port, found.count, found.last, each.denied)
