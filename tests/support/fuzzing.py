"""One mutated manifest, or many, through everything that reads manifests.

Every case is loaded, compiled, mapped, checked and described in this process, and asked one
question. Rule: a case depends on seed, number and the seed files alone.
"""

from __future__ import annotations

import io
import json
import resource
import signal
import time
import traceback
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import FrameType
from xml.etree import ElementTree

import msgspec

from podfence.cli.common import describe_problem
from podfence.errors import PodfenceError, Position, Source
from podfence.manifests.load import Loaded, load
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.can import Can, QueryEvaluator
from podfence.questions.connectivity import connectivity
from podfence.questions.describe import describe
from podfence.questions.entries import judge_entries
from podfence.questions.lint.notes import notes_for
from podfence.questions.unjudged import TouchedPods
from podfence.questions.why import why
from podfence.render.describe import render_description
from podfence.render.entries import entries_data, entries_text
from podfence.render.map_data import map_csv, map_json
from podfence.render.map_graphs import Graph
from podfence.render.map_svg import pictured, svg
from podfence.render.map_table import render_matrix, render_table
from podfence.render.problems import problem_data
from podfence.render.verdicts import VerdictEncoder, can_text, why_text
from tests.support.mutations import case, seeds

CASE_SECONDS = 5
"""Processor time that a case may take, in seconds."""
WAITING = 12
"""Times as much may pass by the clock."""
_HARMLESS = frozenset("LMNPS")


class Hang(BaseException):
    """A case took longer than CASE_SECONDS; no ``except Exception`` swallows it."""


class Violation(Exception):
    """A case was answered, but not as it must be."""


@dataclass(frozen=True)
class Failure:
    """A case that broke the rule. ``reason``: one word; ``detail``: the traceback."""

    number: int
    reason: str
    detail: str


@dataclass
class Tally:
    """What a run saw."""

    cases: int = 0
    clean: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, int] = (0.0, 0)
    peak: int = 0
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Add the counts of another tally; the extremes stay."""
        self.cases += other.cases
        self.clean += other.clean
        self.codes += other.codes
        self.slowest = max(self.slowest, other.slowest)
        self.peak = max(self.peak, other.peak)
        self.failures += other.failures


# -- one case


def exercise(data: bytes) -> list[str]:
    """Put one input through every reader and every output; the codes of its problems.

    Raises Violation when an output is wrong, and whatever podfence itself raises.
    """
    loaded = load(["-"], stdin=io.BytesIO(data))
    _check(loaded)
    index = compile_cluster(loaded.cluster)
    _map(index)
    _beside(loaded, index)
    _describe(loaded, index)
    _ask(loaded, index)
    return [problem.code for problem in loaded.problems]


def _check(loaded: Loaded) -> None:
    for problem in loaded.problems:
        line = describe_problem(loaded, problem)
        _single_line(line)
        position = loaded.positions.locate_problem(problem)
        if position is None:
            # Input without lines that a person could open: the object and the field tell where.
            if not problem.object:
                raise Violation(f"no position: {line}")
        elif position.line < 1 or position.column < 1:
            raise Violation(f"no position: {line}")
        _json([msgspec.json.encode(problem_data(problem, position))])


def _map(index: PolicyIndex) -> None:
    answer = connectivity(index)
    check_harmless(render_table(answer))
    check_harmless(render_matrix(answer))
    _json(map_json(answer))
    for piece in (*map_csv(answer), *Graph(answer).dot(), *Graph(answer).mermaid()):
        piece.encode()
    ElementTree.fromstring("".join(svg(pictured(answer))))


def _beside(loaded: Loaded, index: PolicyIndex) -> None:
    """Ways in from outside, and pods that policies of other APIs may touch."""
    touched = TouchedPods.of(index, loaded.beside.foreign)
    rows = judge_entries(index, loaded.beside.entries(loaded.cluster, loaded.raw))
    check_harmless(entries_text(rows, loaded.locate, touched))
    _json([msgspec.json.encode(entries_data(rows, loaded.locate))])
    check_harmless(render_table(connectivity(index, touched=touched)))


def _describe(loaded: Loaded, index: PolicyIndex) -> None:
    def locate(source: Source | None, path: str) -> str:
        return str(_position(loaded, source, path))

    for policy in loaded.cluster.policies:
        notes = notes_for(index, policy, loaded.raw(policy.source))
        check_harmless(render_description(describe(index, policy), locate, notes))


def _position(loaded: Loaded, source: Source | None, path: str) -> Position | None:
    position = loaded.locate(source, path)
    if position is not None and (position.line < 1 or position.column < 1):
        raise Violation(f"no position for {path}")
    return position


def _ask(loaded: Loaded, index: PolicyIndex) -> None:
    """The first pod asks the last one; a port or a pod that cannot be asked is an answer too."""
    pods = loaded.cluster.pods
    if not pods:
        return
    names = [f"{pod.namespace}/{pod.name}" for pod in (pods[0], pods[-1])]
    try:
        answer = why(QueryEvaluator(index), Can(names[0], names[1], 80))
    except PodfenceError as error:
        error.message.encode("utf-8", "surrogatepass")
        return
    if answer.can.doubts:
        return
    check_harmless(can_text(answer.can, loaded.locate))
    check_harmless(why_text(answer, loaded.locate))
    _json([msgspec.json.encode(VerdictEncoder(loaded.locate).why(answer))])


def _json(pieces: Iterable[bytes]) -> None:
    json.loads(b"".join(pieces))


def check_harmless(text: str) -> None:
    """Raises Violation when a terminal would obey some character of ``text``."""
    for line in text.split("\n"):
        _single_line(line)


def _single_line(line: str) -> None:
    if line.isascii() and line.isprintable():
        return
    bad = {c for c in line if c != " " and unicodedata.category(c)[0] not in _HARMLESS}
    if bad:
        raise Violation(f"unprintable {bad!r} in {line[:200]!r}")


# -- many cases


def run_cases(numbers: Iterable[int], seed: int) -> Tally:
    """Run cases one after the other in this process, each under the time limit."""
    corpus = seeds()
    tally = Tally()
    signal.signal(signal.SIGPROF, _raise_hang)
    signal.signal(signal.SIGALRM, _raise_hang)
    for number in numbers:
        _run(tally, number, case(corpus, seed, number))
    tally.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return tally


def _raise_hang(_: int, __: FrameType | None) -> None:
    raise Hang


def _run(tally: Tally, number: int, data: bytes) -> None:
    start = time.perf_counter()
    # Work is bounded by the processor's time: a busy machine is no hang. Waiting is one, too.
    signal.setitimer(signal.ITIMER_PROF, CASE_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING * CASE_SECONDS)
    try:
        codes = exercise(data)
    except Hang:
        tally.failures.append(Failure(number, "hang", traceback.format_exc()))
    except Violation:
        tally.failures.append(Failure(number, "output", traceback.format_exc()))
    except Exception:  # noqa: BLE001 - anything at all is what this looks for
        tally.failures.append(Failure(number, "traceback", traceback.format_exc()))
    else:
        tally.codes.update(codes)
        tally.clean += not codes
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
    tally.cases += 1
    tally.slowest = max(tally.slowest, (time.perf_counter() - start, number))
