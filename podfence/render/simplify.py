"""What can go from policies, as text and as data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from podfence.errors import Locate
from podfence.policy.origin import Origin
from podfence.questions.phrases.words import count, some
from podfence.questions.simplify.covered import CoverScope, Simplification
from podfence.render.jsontext import position_data
from podfence.text import printable

_SHOWN = 3
_LEFT = 20


class SimplifyReport(Struct, frozen=True):
    """The answer. ``made``, ``left``: as in ``simplify``. ``rules``: the number of rules before;
    ``pods``: imaginary pods of the proof; ``written``: whether the files are changed."""

    made: Sequence[Simplification]
    left: Sequence[tuple[Simplification, str]]
    rules: int
    pods: int
    written: bool

    @property
    def of_today(self) -> bool:
        """Whether something goes that only existing pods do not need."""
        return any(each.strength is CoverScope.TODAY for each in self.made)


def simpler_text(answer: SimplifyReport, locate: Locate) -> str:
    """A line each, and what was proved."""
    return "".join(f"{line}\n" for line in _lines(answer, locate))


def _lines(answer: SimplifyReport, locate: Locate) -> Iterator[str]:
    verb = "removed" if answer.written else "can go"
    for each in answer.made:
        yield f"{_where(each.origin, locate)}{_name(each)}: {_words(each, verb, answer.written)}"
    for each, because in answer.left[:_LEFT]:
        yield f"{_where(each.origin, locate)}{_name(each)}: left: {printable(because)}"
    if len(answer.left) > _LEFT:
        yield f"and {len(answer.left) - _LEFT} more that are left"
    rules = sum(each.part.value == "rule" for each in answer.made)
    said = f"{rules} of {count(answer.rules, 'rule')} and {_items(len(answer.made) - rules)}"
    if not answer.made:
        yield f"nothing can go: {count(answer.rules, 'rule')}"
        return
    asked = "existing pods and pods to come without labels"
    if not answer.of_today:
        asked = (
            f"existing pods, pods to come, and {answer.pods} with labels drawn from the selectors"
        )
    proof = f"every verdict is the same before and after, for {asked}"
    how = "" if answer.written else "; --write edits the files"
    yield f"{said} {'are gone' if answer.written else 'can go'}; {proof}{how}"


def _items(number: int) -> str:
    return f"{count(number, 'item')} of rules"


def _where(origin: Origin, locate: Locate) -> str:
    position = locate(origin.source, origin.path)
    return f"{printable(str(position))}: " if position is not None else ""


def _name(each: Simplification) -> str:
    return f"{each.origin.policy.kind} {printable(str(each.origin.policy))}: {each.origin.path}"


def _words(each: Simplification, verb: str, written: bool) -> str:
    by = some([_short(origin, each.origin) for origin in each.by], _SHOWN)
    if each.joined:
        same = "peers" if each.field == "ports" else "ports"
        return f"{'joined to' if written else 'joins'} {by}, which has the same {same}"
    if each.strength is CoverScope.TODAY:
        return f"{verb}, only for the existing pods: other rules allow all of it"
    return f"{verb}: {by} {'allows' if len(each.by) == 1 else 'allow'} all of it"


def _short(origin: Origin, beside: Origin) -> str:
    if origin.policy == beside.policy:
        return origin.path
    return f"{printable(str(origin.policy))} {origin.path}"


def simpler_data(answer: SimplifyReport, locate: Locate) -> dict[str, object]:
    """The same for ``-o json``."""
    return {
        "schema": "podfence.simplify/v1",
        "removals": [_data(each, locate) for each in answer.made if not each.joined],
        "joins": [_data(each, locate) for each in answer.made if each.joined],
        "left": [{**_data(each, locate), "because": because} for each, because in answer.left],
        "rules": answer.rules,
        "proof": {"equal": True, "pods": 0 if answer.of_today else answer.pods},
        "written": answer.written,
    }


def _data(each: Simplification, locate: Locate) -> dict[str, object]:
    return {
        **_origin(each.origin, locate),
        "part": each.part.value,
        "strength": each.strength.value,
        "by": [_origin(origin, locate) for origin in each.by],
    }


def _origin(origin: Origin, locate: Locate) -> Mapping[str, object]:
    data: dict[str, object] = {
        "namespace": origin.policy.namespace,
        "name": origin.policy.name,
        "path": origin.path,
    }
    return data | position_data(locate(origin.source, origin.path))
