"""Ends and ports as words of a command line, in the notation of test files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from podfence.cli.inputs import Inputs
from podfence.errors import QuestionError, UnknownObject
from podfence.policy.index import PolicyIndex
from podfence.questions.connectivity import Connectivity
from podfence.questions.find.narrow import RowFilter, narrowed
from podfence.questions.tests.ends import ResolvedEnd, Resolver
from podfence.questions.tests.form import End, PortSpec, TargetEnd
from podfence.questions.tests.words import read_end, read_port, read_target
from podfence.questions.tests.world import ClusterWorld
from podfence.sets import PortSet
from podfence.sets.ports import EVERYTHING

T = TypeVar("T")


def worded(read: Callable[[], T]) -> T:
    """The meaning of a word. Raises QuestionError where it has none."""
    try:
        return read()
    except ValueError as error:
        raise QuestionError(str(error)) from error


def end_of(word: str, namespace: str) -> End:
    """An end; ``namespace``: that of names without one. Raises QuestionError."""
    return worded(lambda: read_end(word, namespace))


def ports_of(word: str) -> PortSpec:
    """Ports, as a word or a list of words. Raises QuestionError."""
    return worded(lambda: read_port(word))


def hop_ports(words: Iterable[str]) -> PortSet:
    """The ports that each hop of a way may use, of words with commas between several. () is every
    port. Raises QuestionError."""
    specs = [ports_of(each) for word in words for each in word.split(",")]
    for spec in specs:
        if spec.names:
            raise QuestionError(f"{spec.text!r}: a hop takes port numbers, not names")
    return PortSet.union(spec.numbers for spec in specs) if specs else EVERYTHING


def target_of(word: str, port: str | None, namespace: str) -> TargetEnd:
    """An end with its ports: those after its colon, or ``port``. Raises QuestionError, also where
    both are given."""
    end, ports = worded(lambda: read_target(word, namespace))
    if port is None:
        return TargetEnd(end, ports)
    if ports is not None:
        raise QuestionError("the port is given twice; drop one of the two")
    return TargetEnd(end, ports_of(port))


def found_end(resolver: Resolver, word: str, namespace: str) -> ResolvedEnd:
    """The pods and addresses that a word names. Raises QuestionError, and UnknownObject where there
    are none."""
    end = end_of(word, namespace)
    if resolver.is_service(end):
        raise QuestionError(
            f"{word} is a Service; name the pods behind it, or ask who reaches it with find to"
        )
    found = resolver.found(end)
    if found.misses:
        raise UnknownObject(found.misses[0].text)
    return found


def narrowed_map(
    answer: Connectivity,
    index: PolicyIndex,
    words: tuple[str | None, str | None, str | None],
    inputs: Inputs,
) -> Connectivity:
    """A map of only some sources, destinations and ports. Raises QuestionError and
    UnknownObject."""
    world = ClusterWorld(index)
    resolver, space = Resolver(world), inputs.namespace_of_names(None)
    source, to, port = words
    wish = RowFilter(
        None if source is None else found_end(resolver, source, space),
        None if to is None else found_end(resolver, to, space),
        None if port is None else ports_of(port),
    )
    return narrowed(answer, world, wish)
