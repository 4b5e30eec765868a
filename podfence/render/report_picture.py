"""The picture of a map as data for a page. It holds only numbers, because names and ports are in
the map.

Rule: positions are those of ``picture_layout``; a browser lays nothing out again.
"""

from __future__ import annotations

from collections.abc import Mapping

from podfence.questions.connectivity import Connectivity
from podfence.render.picture import of_workloads
from podfence.render.picture_layout import Rect, begins, layout
from podfence.render.report_names import AsWritten


def picture_data(
    connectivity: Connectivity, names: AsWritten, namespaces: Mapping[str, int]
) -> dict[str, object] | None:
    """The picture of a map's workloads; None where they are too many. ``namespaces``: numbers."""
    picture = of_workloads(connectivity, names)
    if picture is None or not picture.ends:
        return None
    drawn = layout(picture)
    groups = {group.number: group for group in connectivity.groups}
    numbers = [end.number for end in picture.ends]

    def namespace(box: int) -> int:
        workload = groups[numbers[picture.boxes[box].ends[0]]].workload
        return -1 if workload is None else namespaces[workload.namespace]

    return {
        "size": [drawn.width, drawn.height],
        "columns": [drawn.ends_at, drawn.hub, drawn.join, drawn.arrow],
        "boxes": [[side, namespace(box), *_rect(at)] for (side, box), at in drawn.boxes.items()],
        "ends": [[side, numbers[end], *_rect(at)] for (side, end), at in drawn.ends.items()],
        "slots": [
            [numbers[slot.end], slot.row, drawn.slots[number]]
            for number, slot in enumerate(picture.slots)
        ],
        "lines": [
            [
                begins(line, drawn.boxes, drawn.ends),
                drawn.hubs.get(line.slots, -1),
                list(line.slots),
                [numbers[member] for member in line.members],
            ]
            for line in picture.lines
        ],
    }


def _rect(at: Rect) -> tuple[int, int, int, int]:
    return at.left, at.top, at.width, at.height
