"""The map of a report as data: who reaches whom, small enough for a page.

Rule: a name, a set of ports and a row are stored once; lists of numbers hold the difference from
the previous number. The schema is docs/schemas/report.schema.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from podfence.model.objects import ContainerPort
from podfence.questions.connectivity import Connectivity, Group
from podfence.questions.report import Report
from podfence.render.picture import of_workloads
from podfence.render.picture_layout import Rect, begins, layout
from podfence.render.report_names import AsWritten
from podfence.sets import PortSet

MAP_SCHEMA = "podfence.report-map/v1"


class PortSetTable:
    """A table of port sets: each is a list of first and last indices on the line of all ports
    (``sets.ports``), ends included."""

    def __init__(self) -> None:
        self._numbers: dict[PortSet, int] = {}

    def number(self, ports: PortSet) -> int:
        """The index of a set in the table."""
        return self._numbers.setdefault(ports, len(self._numbers))

    def data(self) -> list[list[int]]:
        """The table."""
        return [list(chain.from_iterable(ports.line)) for ports in self._numbers]


def differences(numbers: Iterable[int]) -> list[int]:
    """Numbers in rising order, each as the difference from the one before."""
    return steps(sorted(numbers))


def steps(numbers: Iterable[int]) -> list[int]:
    """Numbers in the order that they have, each as the difference from the one before."""
    found, last = [], 0
    for number in numbers:
        found.append(number - last)
        last = number
    return found


def map_data(report: Report, names: AsWritten, notes: Iterable[str] = ()) -> dict[str, object]:
    """Everything that the matrix needs. ``notes``: remarks about the map as a whole."""
    ports, classes = PortSetTable(), report.classes()
    namespaces = sorted({g.workload.namespace for g in report.map.groups if g.workload})
    numbers = {name: number for number, name in enumerate(namespaces)}
    rows = [
        (
            row.destination.number,
            ports.number(row.ports),
            row.family or 0,
            differences(source.number for source in row.sources),
        )
        for row in report.map.rows()
    ]
    picture = picture_data(report.map, names, numbers)
    return {
        "schema": MAP_SCHEMA,
        "anonymous": names.hides,
        "families": [family for family, _ in report.families],
        "namespaces": [names.namespace(name) for name in namespaces],
        "endpoints": [
            _endpoint(report, group, names, numbers, classes) for group in report.map.groups
        ],
        "ports": ports.data(),
        "rows": rows,
        "leftOut": names.left_out(report.map.left_out),
        "notes": [] if names.hides else list(notes),
        "policies": len(report.index.cluster.policies) + len(report.index.cluster.admin_policies),
        **({} if picture is None else {"picture": picture}),
    }


def _endpoint(
    report: Report,
    group: Group,
    names: AsWritten,
    namespaces: dict[str, int],
    classes: dict[int, int],
) -> dict[str, object]:
    families = report.families_of(group)
    data: dict[str, object] = {
        "name": names.group(group),
        "families": families,
        "classes": [classes[report.class_in(group, family)] for family in families],
    }
    if group.workload is None:
        return data | {"kind": "Outside", "addresses": names.addresses(group)}
    data |= {
        "kind": group.workload.kind,
        "namespace": namespaces[group.workload.namespace],
        "workload": names.workload(group),
        "pods": names.pods(group),
        "ports": [
            [port.protocol.value, port.port, names.port(port.name or "")]
            for port in _declared(report, group)
        ],
        "isolated": group.isolated_ingress + 2 * group.isolated_egress,
    }
    return data | ({"open": True} if group.number in report.open_groups else {})


def _declared(report: Report, group: Group) -> tuple[ContainerPort, ...]:
    assert group.workload is not None
    return report.index.endpoints[f"{group.workload.namespace}/{group.pods[0]}"].pod.ports


# -- The picture
# The picture of a map as data for a page. It holds only numbers, because names and ports are in the
# map.
# Rule: positions are those of ``picture_layout``; a browser lays nothing out again.


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
