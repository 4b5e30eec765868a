"""How many pairs a test covers: pairs of workloads, not of pods or atoms.

Rule: outside addresses that no policy distinguishes count as one, and a pair counts once however
often it is added.
"""

from __future__ import annotations

from collections.abc import Iterable

from pyroaring import BitMap, FrozenBitMap

from podfence.questions.tests.cells import Cells
from podfence.questions.tests.world import ClusterWorld


class PairCount:
    """The pairs of one test."""

    def __init__(self, world: ClusterWorld) -> None:
        self._world = world
        self._found: dict[int, tuple[Cells, dict[FrozenBitMap, BitMap]]] = {}

    def add(
        self, cells: Cells, sources: BitMap | FrozenBitMap, destinations: Iterable[int]
    ) -> None:
        """Pairs of atoms; most destinations of a test have the same sources."""
        _, groups = self._found.setdefault(cells.family.number, (cells, {}))
        groups.setdefault(FrozenBitMap(sources), BitMap()).update(destinations)

    def total(self) -> int:
        """How many pairs were added."""
        pairs: dict[int, BitMap] = {}
        for cells, groups in self._found.values():
            for sources, destinations in groups.items():
                near = self._parties(cells, sources)
                for far in self._parties(cells, destinations):
                    pairs.setdefault(far, BitMap()).update(near)
        return sum(map(len, pairs.values()))

    def _parties(self, cells: Cells, atoms: BitMap | FrozenBitMap) -> BitMap:
        """Workloads of atoms, and classes of addresses, as numbers."""
        world, parts = self._world, atoms & cells.atoms.cut
        found = BitMap(world.parties(FrozenBitMap(atoms - parts)))
        for atom in parts:
            pods, _ = cells.atoms.members(atom)
            if pods:
                found.update(world.workloads[pod] for pod in pods)
            else:
                found.add(len(world.pods) + cells.atoms.base(atom))
        return found
