"""Measured series -> tables and judgement.

Rule: differences and ratios are taken within each round, against conntrack alone in that round,
and only then is the median taken. A target is met when the worst point of the grid meets it; how
far two equal rulesets lie apart is said beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

from bench.packets.rounds import TRACKED, TRACKED_BY, TWIN, Series
from bench.packets.scenario import Scenario

MAX_OVER = 40.0
"""Nanoseconds that an established packet may cost over conntrack alone."""
MAX_SPREAD = 0.20
"""How far an established packet may lie from the grid's median."""
MAX_RATIO = {10: 1.10, 100: 1.25}
"""Up to so many policies of the pod: ``connect`` against conntrack alone."""
Metric = Callable[[Series], list[float]]
HEADER = (
    "| rules | established, ns (quartiles) | over conntrack (ratio) "
    "| one-way, ns | over conntrack (ratio) "
    "| connect p50, us | ratio | connects/s |\n|---|---:|---:|---:|---:|---:|---:|---:|"
)


def _established(series: Series) -> list[float]:
    return series.established


def _one_way(series: Series) -> list[float]:
    return series.one_way


def _connect(series: Series) -> list[float]:
    return series.connect


@dataclass(frozen=True)
class Results:
    """``grid``: the points of ours by name; the other series are the baselines and variants.
    ``six``: names of those whose packets are IPv6."""

    series: Mapping[str, Series]
    grid: Mapping[str, Scenario]
    six: frozenset[str] = frozenset()

    def over(self, name: str, metric: Metric) -> float:
        """Median over the rounds of what a ruleset costs more than conntrack alone."""
        return median(value - base for value, base in self._rounds(name, metric))

    def ratio(self, name: str, metric: Metric) -> float:
        """Median over the rounds of a ruleset's cost by that of conntrack alone."""
        return median(value / base for value, base in self._rounds(name, metric))

    def beside(self, name: str, metric: Metric) -> str:
        """``+21 (1.01)``: how much more, and the ratio."""
        return f"{self.over(name, metric):+,.0f} ({self.ratio(name, metric):.2f})"

    def _rounds(self, name: str, metric: Metric) -> Iterator[tuple[float, float]]:
        base = TRACKED_BY[6] if name in self.six else TRACKED
        return zip(metric(self.series[name]), metric(self.series[base]), strict=True)


def row(results: Results, name: str) -> str:
    """One line of the table."""
    series = results.series[name]
    cells = (
        name,
        spread(series.established),
        results.beside(name, _established),
        f"{median(series.one_way):,.0f}",
        results.beside(name, _one_way),
        f"{median(series.connect) / 1e3:.2f}",
        f"{results.ratio(name, _connect):.2f}",
        f"{1e9 / median(series.cycle):,.0f}",
    )
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float]) -> str:
    """``1,205 (1,190-1,230)``: median and quartiles."""
    if len(values) < 2:
        return f"{median(values):,.0f}"
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return f"{middle:,.0f} ({low:,.0f}-{high:,.0f})"


def verdicts(results: Results) -> Iterator[str]:
    """One line a target: its worst point, and whether that meets it."""
    packet = "established packet"
    yield _over(results, packet, {name: str(point) for name, point in results.grid.items()})
    six = {name: name for name in results.six if name != TRACKED_BY[6]}
    if six:
        yield _over(results, f"{packet}, IPv6", six)
    yield _flat(results)
    least = 0
    for most, limit in MAX_RATIO.items():
        names = [n for n, s in results.grid.items() if least < s.selecting <= most]
        if names:
            yield _connects(results, names, most, limit)
        least = most


def _over(results: Results, packet: str, points: Mapping[str, str]) -> str:
    over = {name: results.over(name, _established) for name in points}
    worst = max(over, key=lambda name: over[name])
    return _line(
        f"{packet}, at most {MAX_OVER:.0f} ns over conntrack alone",
        f"{over[worst]:+.0f} ns ({points[worst]}); "
        f"median of {len(over)} points {median(over.values()):+.0f} ns",
        over[worst] <= MAX_OVER,
    )


def _flat(results: Results) -> str:
    points = [median(results.series[name].established) for name in results.grid]
    middle = median(points)
    low, high = min(points) / middle - 1, max(points) / middle - 1
    return _line(
        f"established packet, flat within {MAX_SPREAD:.0%} over the grid",
        f"{low:+.1%} to {high:+.1%} of the median; largest by smallest "
        f"{max(points) / min(points):.2f}",
        max(-low, high) <= MAX_SPREAD,
    )


def _connects(results: Results, names: Sequence[str], most: int, limit: float) -> str:
    ratios = {name: results.ratio(name, _connect) for name in names}
    worst = max(ratios, key=lambda name: ratios[name])
    return _line(
        f"connect p50, k up to {most}, at most {limit:.2f} of conntrack alone",
        f"{ratios[worst]:.2f} ({results.grid[worst]}); median of these points "
        f"{median(ratios.values()):.2f}",
        ratios[worst] <= limit,
    )


def _line(target: str, found: str, met: bool) -> str:
    return f"| {target} | {found} | {'met' if met else 'MISSED'} |"


def noise(results: Results) -> str:
    """How far two triples with the same ruleset lie apart."""
    return (
        f"Two equal rulesets (conntrack only) lie {results.over(TWIN, _established):+.0f} ns "
        f"(established) and {results.ratio(TWIN, _connect) - 1:+.1%} (connect) apart: smaller "
        "differences mean nothing."
    )


def lines(results: Results) -> Iterator[str]:
    """Everything, as Markdown."""
    yield "| target | worst point of the grid | |\n|---|---|---|"
    yield from verdicts(results)
    yield f"\n{noise(results)}\n"
    yield HEADER
    yield from (row(results, name) for name in results.series)
