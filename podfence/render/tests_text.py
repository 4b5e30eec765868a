"""Results of tests as text for people: a line a test, and why it failed below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from podfence.errors import Locate
from podfence.policy.flow import Direction, Reason
from podfence.questions.phrases.words import count
from podfence.questions.tests.ends import UNKNOWN_WAY, WEAK
from podfence.questions.tests.judge import Result, ResultStatus, Witness
from podfence.questions.tests.run import FileResults
from podfence.render.verdicts import origin_text, protocol_text
from podfence.text import printable

WORDS = {
    ResultStatus.PASSED: "pass",
    ResultStatus.FAILED: "FAIL",
    ResultStatus.VACUOUS: "VACUOUS",
    ResultStatus.SKIPPED: "skip",
    ResultStatus.UNDECIDED: "UNKNOWN",
}
_SHOWN_RULES = 3
_INDENT = " " * 9


def render_tests(found: Iterable[FileResults], locate: Locate, *, strict: bool = False) -> str:
    """Every test, then how many there were. ``strict``: a weak test is no pass."""
    lines: list[str] = []
    results: list[Result] = []
    for each in found:
        for result in each.results:
            results.append(result)
            lines += lines_of_test(result, locate, strict=strict)
    lines.append(summary_line(results, strict=strict))
    return "".join(f"{line}\n" for line in lines)


def lines_of_test(result: Result, locate: Locate, *, strict: bool = False) -> Iterator[str]:
    """A test, and why it did not pass. ``strict``: a weak one did not."""
    word = "WEAK" if result.weak and strict else WORDS[result.status]
    remark = ""
    if result.status is ResultStatus.PASSED:
        remark = result.text or count(result.pairs, "pair")
    else:
        position = locate(result.test.source, result.test.path)
        remark = printable(str(position)) if position else ""
    yield f"{word:7} {printable(result.test.name)}{f'  ({remark})' if remark else ''}"
    yield from (f"{_INDENT}{line}" for line in reasons(result, locate))


def reasons(result: Result, locate: Locate) -> Iterator[str]:
    """Why a test is not just passed: the counterexample first."""
    if result.witness is not None:
        yield from witness_lines(result.witness, locate)
        if result.total > 1:
            yield f"{count(result.total - 1, 'more pair')} of {result.pairs}"
        if not _is_coming(result.witness.source) and not _is_coming(result.witness.destination):
            yield f"podfence why {why_words(result.witness)} -f ..."
    for miss in result.misses:
        yield f"{printable(miss.text)} [{miss.code}]"
    if result.unknown:
        yield f"{printable(result.unknown)} [{UNKNOWN_WAY}]"
    elif result.status is ResultStatus.UNDECIDED:
        yield f"cannot be judged: {printable(result.text)} could not be read, or not in full"
    elif result.text and result.status is not ResultStatus.PASSED:
        yield printable(result.text)
    if result.weak:
        yield f"weak: {result.weak} [{WEAK}]"


def witness_lines(witness: Witness, locate: Locate) -> Iterator[str]:
    """The connection, then what decided over it."""
    yield f"{connection_text(witness)} is {'allowed' if witness.allowed else 'denied'}"
    yield from decision_lines(witness, locate)


def decision_lines(witness: Witness, locate: Locate) -> Iterator[str]:
    """What decided over the connection, a line a direction."""
    for direction, decision in witness.decisions:
        if decision.allowed is not witness.allowed:
            continue
        end = witness.source if direction is Direction.EGRESS else witness.destination
        if decision.reason is Reason.RULE:
            verb = "allows" if decision.allowed else "denies"
            head = f"{direction.value}: a rule {verb} it: "
        elif decision.reason is Reason.ISOLATED:
            head = f"{direction.value}: {printable(end)} is isolated, and no rule allows it: "
        elif decision.reason is Reason.NOT_ISOLATED:
            yield f"{direction.value}: no policy selects {printable(end)}"
            continue
        else:
            continue
        most = _SHOWN_RULES if decision.reason is Reason.RULE else 1
        shown = [origin_text(origin, locate) for origin in decision.origins[:most]]
        more = len(decision.origins) - len(shown)
        yield head + ", ".join(shown) + (f" and {more} more" if more else "")


def connection_text(witness: Witness) -> str:
    """``shop/web -> shop/db TCP/5432``."""
    ports = protocol_text(witness.protocol, witness.port)
    return f"{_named(witness.source)} -> {_named(witness.destination)} {ports}"


def _named(name: str) -> str:
    return f"{printable(name)} (a pod to come)" if _is_coming(name) else printable(name)


def _is_coming(name: str) -> bool:
    """Whether a name is a newcomer's: no object of the API has a plus sign in its name."""
    return name.rpartition("/")[2].startswith("+")


def why_words(witness: Witness) -> str:
    """The two words that ``why`` takes."""
    target = witness.destination_pod or str(witness.destination_address)
    if ":" in target:
        target = f"[{target}]"
    port = "/icmp" if not witness.port else str(witness.port)
    suffix = f"/{witness.protocol.lower()}" if witness.protocol in ("UDP", "SCTP") else ""
    source = witness.source_pod or str(witness.source_address)
    return f"{printable(source)} {printable(target)}:{port}{suffix}"


def summary_line(results: Sequence[Result], *, strict: bool) -> str:
    """``9 tests: 7 passed, 1 failed, 1 vacuous``."""
    numbers = Counter(result.status.value for result in results)
    weak = sum(bool(result.weak) for result in results)
    said = [f"{n} {word}" for s in ResultStatus if (n := numbers[word := s.value])]
    if weak:
        said.append(f"{weak} of them weak" + (", which --strict fails" if strict else ""))
    return f"{count(len(results), 'test')}: {', '.join(said) or 'none ran'}"
